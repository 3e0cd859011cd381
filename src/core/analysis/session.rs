use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calendar::Session;
use crate::market::Bar;
use crate::money::{Bps, MoneyError, Price, Quantity};
use crate::time::Timestamp;

/// The range of a session's first minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningRange {
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// Shares traded.
    pub volume: Quantity,
    /// How many minute bars it holds.
    pub minutes: u32,
    /// The instant at which it is over. Until then it may still widen.
    pub end: Timestamp,
}

impl OpeningRange {
    /// Measures the first `length` of a session by minutes in order; `None` if none of it has traded.
    ///
    /// # Errors
    /// If the volume overflows.
    pub fn of(minutes: &[Bar], session: &Session, length: Duration) -> Result<Option<Self>, MoneyError> {
        let end = session.open.after(length).min(session.close);
        let first_place = minutes.partition_point(|bar| bar.start < session.open);
        let over = minutes.partition_point(|bar| bar.start < end);
        let Some((first, rest)) = minutes.get(first_place..over).and_then(<[Bar]>::split_first) else {
            return Ok(None);
        };
        let (mut high, mut low, mut volume) = (first.high, first.low, first.volume);
        for bar in rest {
            (high, low) = (high.max(bar.high), low.min(bar.low));
            volume = volume.plus(bar.volume)?;
        }
        let minutes = u32::try_from(over - first_place).unwrap_or(u32::MAX);
        Ok(Some(Self { high, low, volume, minutes, end }))
    }

    /// Whether it was over at `as_of`.
    #[must_use]
    pub fn is_complete(&self, as_of: Timestamp) -> bool {
        self.end <= as_of
    }

    /// Its height; zero where only one price has traded.
    #[must_use]
    pub fn width(&self) -> Price {
        self.high.minus(self.low).unwrap_or(Price::MAX)
    }
}

/// How far a price lies from the close before, as a ratio of that close, rounded down to a basis
/// point; `None` if the close is not above zero.
///
/// ```
/// # use daybook_core::{analysis::gap, money::{Bps, Price}};
/// assert_eq!(gap(Price::from_cents(50_00), Price::from_cents(51_00)), Some(Bps(200)));
/// ```
#[must_use]
pub fn gap(previous_close: Price, price: Price) -> Option<Bps> {
    ratio(i128::from(price.0) - i128::from(previous_close.0), i128::from(previous_close.0))
}

/// A volume against the mean of earlier ones, rounded down to a basis point: 150 % is half as much
/// again. `None` without an earlier volume above zero.
///
/// Like must be compared with like: the volume up to some time of day with the volumes up to that time
/// ([`volume_through`]), a whole session with whole sessions.
#[must_use]
pub fn relative_volume(volume: Quantity, earlier: &[Quantity]) -> Option<Bps> {
    let sum: i128 = earlier.iter().map(|volume| i128::from(volume.0)).sum();
    ratio(i128::from(volume.0).checked_mul(i128::try_from(earlier.len()).ok()?)?, sum)
}

/// The part of a session's volume that has usually traded after so much of its length, 0 to 1.
///
/// Where only whole sessions are known to compare with: trading is heaviest at the open and at the close. With `x` from
/// -1 at the open to 1 at the close its density is taken as `1/2 + 3/2 x²`, so the part is `(2 + x + x³) / 4`: a quarter
/// after the first hour, half at noon. Source of the shape: Jain and Joh, *The Dependence between Hourly Prices and
/// Trading Volume* (Journal of Financial and Quantitative Analysis 23, 1988).
///
/// ```
/// # use daybook_core::analysis::usual_part;
/// # use std::time::Duration;
/// let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
/// assert!((usual_part(minutes(65), minutes(390)) - 0.259).abs() < 0.001);
/// assert_eq!(usual_part(minutes(195), minutes(390)), 0.5);
/// assert_eq!(usual_part(minutes(500), minutes(390)), 1.0);
/// ```
#[must_use]
pub fn usual_part(elapsed: Duration, length: Duration) -> f64 {
    let passed = (elapsed.as_secs_f64() / length.as_secs_f64().max(1.0)).min(1.0);
    let x = 2.0 * passed - 1.0;
    (2.0 + x + x * x * x) / 4.0
}

/// Shares traded in the first `elapsed` of a session's regular hours.
///
/// # Errors
/// If the sum overflows.
pub fn volume_through(minutes: &[Bar], session: &Session, elapsed: Duration) -> Result<Quantity, MoneyError> {
    let end = session.open.after(elapsed).min(session.close);
    let counted = minutes.iter().filter(|bar| bar.start >= session.open && bar.start < end);
    counted.map(|bar| bar.volume).try_fold(Quantity::ZERO, Quantity::plus)
}

/// The volume-weighted average price since the session's open, one value a bar; `None` before the
/// open and while nothing has traded.
///
/// Each bar counts with its typical price, `(high + low + close) / 3`, as is usual where single trades
/// are not at hand.
#[must_use]
pub fn session_vwap(minutes: &[Bar], session: &Session) -> Vec<Option<f64>> {
    let (mut value, mut shares) = (0.0, 0.0);
    let average = |bar: &Bar| {
        if bar.start >= session.open && bar.start < session.close {
            let typical = (bar.high.to_f64() + bar.low.to_f64() + bar.close.to_f64()) / 3.0;
            value += typical * bar.volume.to_f64();
            shares += bar.volume.to_f64();
        }
        (shares > 0.0).then(|| value / shares)
    };
    minutes.iter().map(average).collect()
}

/// `part / whole`, rounded down to a basis point; `None` unless `whole` is above zero and it fits.
pub(super) fn ratio(part: i128, whole: i128) -> Option<Bps> {
    if whole <= 0 {
        return None;
    }
    let scaled = part.checked_mul(i128::from(Bps::ONE.0))?.div_euclid(whole);
    i64::try_from(scaled).ok().map(Bps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use crate::time::SessionDate;

    fn day() -> Session {
        Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap()
    }

    /// A minute bar `place` minutes after the open.
    fn minute(place: i64, low: i64, high: i64, shares: i64) -> Bar {
        Bar {
            start: Timestamp(day().open.0 + 60_000 * place),
            open: Price::from_cents(low),
            high: Price::from_cents(high),
            low: Price::from_cents(low),
            close: Price::from_cents(high),
            volume: Quantity::whole(shares),
        }
    }

    #[test]
    fn the_opening_range_takes_its_minutes_and_no_others() {
        let minutes = [
            minute(-1, 500, 2_000, 9),
            minute(0, 1_000, 1_010, 100),
            minute(4, 990, 1_005, 50),
            minute(5, 900, 1_100, 70),
        ];
        let range = OpeningRange::of(&minutes, &day(), Duration::from_secs(300)).unwrap().unwrap();
        assert_eq!((range.high, range.low), (Price::from_cents(1_010), Price::from_cents(990)));
        assert_eq!((range.volume, range.minutes, range.width()), (Quantity::whole(150), 2, Price::from_cents(20)));
        assert!(!range.is_complete(Timestamp(range.end.0 - 1)) && range.is_complete(range.end));
        let premarket = minutes.get(..1).unwrap();
        assert_eq!(OpeningRange::of(premarket, &day(), Duration::from_secs(300)), Ok(None));
    }

    #[test]
    fn a_gap_is_signed_and_rounds_down() {
        let table =
            [(10_000, 10_250, Some(250)), (10_000, 9_900, Some(-100)), (30_000, 29_999, Some(-1)), (0, 100, None)];
        for (before, price, expected) in table {
            assert_eq!(gap(Price::from_cents(before), Price::from_cents(price)), expected.map(Bps));
        }
        assert_eq!(gap(Price(1), Price::MAX), None);
    }

    #[test]
    fn relative_volume_compares_the_same_time_of_day() {
        let minutes = [minute(-5, 1, 1, 1_000), minute(0, 1, 1, 30), minute(9, 1, 1, 60), minute(10, 1, 1, 500)];
        let volume = volume_through(&minutes, &day(), Duration::from_secs(600)).unwrap();
        assert_eq!(volume, Quantity::whole(90));
        let earlier = [Quantity::whole(40), Quantity::whole(80)];
        assert_eq!(relative_volume(volume, &earlier), Some(Bps(15_000)));
        assert_eq!(relative_volume(volume, &[]), None);
        assert_eq!(relative_volume(volume, &[Quantity::ZERO]), None);
        assert_eq!(relative_volume(Quantity::MAX, &[Quantity::MAX, Quantity::MAX]), Some(Bps::ONE));
    }

    #[test]
    fn vwap_begins_at_the_open() {
        let minutes = [minute(-1, 1, 900, 1_000), minute(0, 1_000, 1_000, 100), minute(1, 1_300, 1_300, 200)];
        let averages = session_vwap(&minutes, &day());
        assert_eq!(averages, [None, Some(10.0), Some(12.0)]);
    }
}
