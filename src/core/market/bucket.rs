use serde::{Deserialize, Serialize};

use super::{Bar, MINUTE, Timeframe, complete_minutes};
use crate::calendar::Session;
use crate::money::{MoneyError, Quantity};
use crate::time::Timestamp;

/// The minutes of one interval of a session as one bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The minutes taken together. It starts where the interval does, traded or not.
    pub bar: Bar,
    /// The instant at which the interval ends: the next bucket's start, or the close.
    pub end: Timestamp,
    /// How many minute bars it holds.
    pub minutes: u32,
}

impl Bucket {
    /// How many minutes the interval has; the last bucket of a session may be short.
    #[must_use]
    pub fn minutes_possible(&self) -> u32 {
        minutes_between(self.bar.start, self.end)
    }

    /// How many minutes had no trade, or have not been delivered.
    #[must_use]
    pub fn minutes_missing(&self) -> u32 {
        self.minutes_possible().saturating_sub(self.minutes)
    }

    /// Whether the interval was over at `as_of`. Before that the bar may still change.
    #[must_use]
    pub fn is_complete(&self, as_of: Timestamp) -> bool {
        self.end <= as_of
    }
}

/// Takes a session's minute bars together into buckets of a timeframe.
///
/// Buckets are anchored at the session's open and end at its close, so the last one is short where
/// the frame does not divide the session. Only regular hours count: minutes before the open and from
/// the close on are left out. An interval without a minute has no bucket. `minutes` are in order.
///
/// ```
/// # use daybook_core::{calendar::Calendar, time::SessionDate, money::{Price, Quantity}};
/// # use daybook_core::market::{aggregate, Bar, Timeframe};
/// let half_day = Calendar::xnys().session(SessionDate::of(2026, 11, 27).unwrap()).unwrap();
/// let minute = |start| Bar { start, open: Price::from_cents(1_00), high: Price::from_cents(1_00),
///     low: Price::from_cents(1_00), close: Price::from_cents(1_00), volume: Quantity::whole(1) };
/// let minutes: Vec<Bar> = (0..210).map(|i| minute(half_day.open.after(std::time::Duration::from_secs(60 * i)))).collect();
///
/// let hours = aggregate(&minutes, &half_day, Timeframe::H1).unwrap();
/// assert_eq!(hours.iter().map(|hour| hour.minutes).collect::<Vec<_>>(), [60, 60, 60, 30]);
/// assert_eq!(hours[3].end, half_day.close);
/// ```
///
/// # Errors
/// If a bucket's volume overflows.
pub fn aggregate(minutes: &[Bar], session: &Session, timeframe: Timeframe) -> Result<Vec<Bucket>, MoneyError> {
    gather(minutes, session, timeframe, Some)
}

/// As [`aggregate`], the bars of those buckets alone that were complete at `as_of`.
///
/// # Errors
/// If a bucket's volume overflows.
pub fn aggregate_complete(
    minutes: &[Bar],
    session: &Session,
    timeframe: Timeframe,
    as_of: Timestamp,
) -> Result<Vec<Bar>, MoneyError> {
    if timeframe == Timeframe::M1 {
        return Ok(complete_minutes(minutes, session.open, as_of.min(session.close)).to_vec());
    }
    gather(minutes, session, timeframe, |bucket| bucket.is_complete(as_of).then_some(bucket.bar))
}

/// What is kept of each bucket.
fn gather<T>(
    minutes: &[Bar],
    session: &Session,
    timeframe: Timeframe,
    keep: impl Fn(Bucket) -> Option<T>,
) -> Result<Vec<T>, MoneyError> {
    let session_ms = (session.close.0 - session.open.0).max(1);
    let length_ms = timeframe.length().and_then(|length| i64::try_from(length.as_millis()).ok()).unwrap_or(session_ms);
    let minutes = regular(minutes, session);
    // As many as fill the time between the first minute and the last, or one for each minute.
    let span_ms = minutes.first().zip(minutes.last()).map_or(0, |(first, last)| last.start.0 - first.start.0);
    let most = usize::try_from(span_ms / length_ms + 2).unwrap_or(usize::MAX);
    let mut kept = Vec::with_capacity(minutes.len().min(most));
    let (mut rest, mut end) = (minutes, session.open);
    while let [first, others @ ..] = rest {
        // Behind another bucket the next one begins: that needs no division.
        let start = match first.start {
            start if start == end => start,
            start => Timestamp(start.0 - (start.0 - session.open.0) % length_ms),
        };
        end = Timestamp(start.0 + length_ms).min(session.close);
        let Bar { open, mut high, mut low, mut close, mut volume, .. } = *first;
        let (mut more, mut overflows) = (0, false);
        for minute in others {
            if minute.start >= end {
                break;
            }
            (high, low, close) = (high.max(minute.high), low.min(minute.low), minute.close);
            let (sum, overflowed) = volume.0.overflowing_add(minute.volume.0);
            (volume, overflows) = (Quantity(sum), overflows | overflowed);
            more += 1;
        }
        let (inside, behind) = rest.split_at(more + 1); // it was counted in it
        if overflows {
            // It is found again, with its error.
            inside.iter().try_fold(Quantity::ZERO, |sum, minute| sum.plus(minute.volume))?;
        }
        let minutes = u32::try_from(inside.len()).unwrap_or(u32::MAX);
        kept.extend(keep(Bucket { bar: Bar { start, open, high, low, close, volume }, end, minutes }));
        rest = behind;
    }
    Ok(kept)
}

/// Takes a session's regular minutes together into one bar; `None` if there is none.
///
/// # Errors
/// If the volume overflows.
pub fn session_bar(minutes: &[Bar], session: &Session) -> Result<Option<Bar>, MoneyError> {
    aggregate(minutes, session, Timeframe::D1).map(|buckets| buckets.first().map(|bucket| bucket.bar))
}

fn regular<'a>(minutes: &'a [Bar], session: &Session) -> &'a [Bar] {
    let begin = minutes.partition_point(|bar| bar.start < session.open);
    let end = minutes.partition_point(|bar| bar.start < session.close);
    minutes.get(begin..end).unwrap_or_default()
}

fn minutes_between(from: Timestamp, to: Timestamp) -> u32 {
    u32::try_from(to.since(from).as_secs() / MINUTE.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::Calendar;
    use crate::money::Price;
    use crate::time::SessionDate;

    fn session(year: i32, month: u32, day: u32) -> Session {
        Calendar::xnys().session(SessionDate::of(year, month, day).unwrap()).unwrap()
    }

    fn minute(start: Timestamp, cents: i64) -> Bar {
        let price = Price::from_cents(cents);
        Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::whole(10) }
    }

    /// Every minute from the pre-market to the end of the post-market, its price counting up.
    fn whole_day(session: &Session) -> Vec<Bar> {
        (0..i64::from(minutes_between(session.pre_open, session.post_close)))
            .map(|i| minute(Timestamp(session.pre_open.0 + 60_000 * i), 1_000 + i))
            .collect()
    }

    #[test]
    fn each_frame_fills_a_full_and_a_half_day() {
        let table = [
            (Timeframe::M1, 390, 1, 210, 1),
            (Timeframe::M5, 78, 5, 42, 5),
            (Timeframe::M15, 26, 15, 14, 15),
            (Timeframe::M30, 13, 30, 7, 30),
            (Timeframe::H1, 7, 30, 4, 30),
            (Timeframe::H4, 2, 150, 1, 210),
            (Timeframe::D1, 1, 390, 1, 210),
        ];
        let (full, half) = (session(2026, 11, 16), session(2026, 11, 27));
        for (timeframe, full_count, full_last, half_count, half_last) in table {
            for (day, count, last) in [(&full, full_count, full_last), (&half, half_count, half_last)] {
                let buckets = aggregate(&whole_day(day), day, timeframe).unwrap();
                let (first, end) = (buckets.first().unwrap(), buckets.last().unwrap());
                assert_eq!((buckets.len(), end.minutes), (count, last), "{timeframe} on {}", day.date);
                assert_eq!((first.bar.start, end.end), (day.open, day.close), "{timeframe} on {}", day.date);
                assert!(buckets.iter().all(|bucket| bucket.minutes_missing() == 0));
            }
        }
    }

    #[test]
    fn extended_hours_never_reach_a_regular_frame() {
        let day = session(2026, 11, 16);
        let bar = session_bar(&whole_day(&day), &day).unwrap().unwrap();
        assert_eq!(bar.open, Price::from_cents(1_000 + 330));
        assert_eq!(bar.high, Price::from_cents(1_000 + 330 + 389));
        assert_eq!(bar.volume, Quantity::whole(3_900));
        let extended: Vec<Bar> =
            whole_day(&day).into_iter().filter(|bar| bar.start < day.open || bar.start >= day.close).collect();
        assert_eq!(session_bar(&extended, &day), Ok(None));
    }

    #[test]
    fn a_missing_minute_stays_visible_and_an_empty_interval_has_no_bucket() {
        let day = session(2026, 11, 16);
        let at = |i: i64| Timestamp(day.open.0 + 60_000 * i);
        let minutes = [minute(at(1), 1_010), minute(at(3), 990), minute(at(12), 1_000)];
        let buckets = aggregate(&minutes, &day, Timeframe::M5).unwrap();
        let seen: Vec<_> = buckets.iter().map(|b| (b.bar.start, b.minutes, b.minutes_missing())).collect();
        assert_eq!(seen, [(at(0), 2, 3), (at(10), 1, 4)]);
        let first = buckets[0];
        assert_eq!((first.bar.open, first.bar.close), (Price::from_cents(1_010), Price::from_cents(990)));
        assert!(!first.is_complete(at(4)) && first.is_complete(at(5)));
    }

    #[test]
    fn an_overflowing_volume_is_an_error() {
        let day = session(2026, 11, 16);
        let huge = Bar { volume: Quantity::MAX, ..minute(day.open, 1_000) };
        let minutes = [huge, Bar { start: huge.minute_end(), ..huge }];
        assert!(matches!(aggregate(&minutes, &day, Timeframe::M5), Err(MoneyError::Overflow { .. })));
    }

    proptest! {
        /// Aggregating loses nothing: volume, minutes, extremes, first open and last close survive.
        #[test]
        fn every_frame_keeps_the_whole(present in proptest::collection::vec(any::<bool>(), 390), frame in 0_usize..7) {
            let day = session(2013, 10, 7);
            let minutes: Vec<Bar> = whole_day(&day).into_iter().skip(330).zip(present)
                .filter_map(|(bar, present)| present.then_some(bar)).collect();
            let buckets = aggregate(&minutes, &day, Timeframe::ALL[frame]).unwrap();
            let whole = session_bar(&minutes, &day).unwrap();
            prop_assert_eq!(buckets.iter().map(|b| b.minutes as usize).sum::<usize>(), minutes.len());
            prop_assert_eq!(buckets.iter().map(|b| b.bar.high).max(), whole.map(|b| b.high));
            prop_assert_eq!(buckets.iter().map(|b| b.bar.low).min(), whole.map(|b| b.low));
            prop_assert_eq!(buckets.first().map(|b| b.bar.open), whole.map(|b| b.open));
            prop_assert_eq!(buckets.last().map(|b| b.bar.close), whole.map(|b| b.close));
            prop_assert_eq!(buckets.iter().map(|b| b.bar.volume.0).sum::<i64>(), whole.map_or(0, |b| b.volume.0));
            for pair in buckets.windows(2) {
                prop_assert!(pair[0].end <= pair[1].bar.start);
            }
        }

        #[test]
        fn complete_are_those_that_are_over(
            present in proptest::collection::vec(any::<bool>(), 390), frame in 0_usize..7, at in -40_i64..400,
        ) {
            let (day, frame) = (session(2013, 10, 7), Timeframe::ALL[frame]);
            let extended = whole_day(&day).into_iter().enumerate();
            let minutes: Vec<Bar> = extended.filter_map(|(place, bar)| {
                place.checked_sub(330).and_then(|place| present.get(place)).is_none_or(|present| *present).then_some(bar)
            }).collect();
            let as_of = Timestamp(day.open.0 + 60_000 * at);
            let buckets = aggregate(&minutes, &day, frame).unwrap();
            let over: Vec<Bar> = buckets.iter().filter(|b| b.is_complete(as_of)).map(|b| b.bar).collect();
            prop_assert_eq!(aggregate_complete(&minutes, &day, frame, as_of).unwrap(), over);
        }
    }
}
