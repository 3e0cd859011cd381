//! What belongs to a session: its average price, its gap, its first bars, the levels of the one before.

use super::{Band, Candle, Indicator, Period, Pivots, ValueArea, VolumeProfile, Vwap, is_zero};
use crate::money::Price;

/// The share of the volume that a value area holds, as Steidlmayer has it: about one standard deviation.
const VALUE_AREA_SHARE: f64 = 0.7;

/// Whether a bar is within its date's regular hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    /// From the open to the close.
    Regular,
    /// Before, after, or on a date without a session.
    Extended,
}

/// Where a bar stands in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPlace {
    /// Whether it is the first bar of its date, or the first of that date's regular hours.
    pub begins: bool,
    /// The hours that it is in.
    pub hours: Hours,
}

/// Bars of regular hours alone: the first of a session, or another one.
impl From<bool> for SessionPlace {
    fn from(begins: bool) -> Self {
        Self { begins, hours: Hours::Regular }
    }
}

/// A bar with its place: what an indicator of the session takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlacedCandle {
    /// The bar.
    pub candle: Candle,
    /// Its place.
    pub place: SessionPlace,
}

/// [`Vwap`] of the session: it begins anew with each date and with the open.
#[derive(Debug, Clone, Default)]
pub struct SessionVwap(Vwap);

impl Indicator for SessionVwap {
    type Input = PlacedCandle;
    type Output = f64;

    fn update(&mut self, bar: PlacedCandle) -> Option<f64> {
        if bar.place.begins {
            self.0.restart();
        }
        self.0.update(bar.candle)
    }
}

/// The regular hours of the present session so far, and those of the last one that is over, each as one bar.
///
/// A session is over with the first bar of another date: levels that follow from it are in force before the open.
#[derive(Debug, Clone, Default)]
struct Sessions {
    now: Option<Candle>,
    last: Option<Candle>,
}

impl Sessions {
    fn update(&mut self, bar: PlacedCandle) {
        if bar.place.begins {
            self.last = self.now.take().or(self.last);
        }
        if bar.place.hours == Hours::Regular {
            let Candle { high, low, close, volume, .. } = bar.candle;
            self.now = Some(self.now.map_or(bar.candle, |now| Candle {
                open: now.open,
                high: now.high.max(high),
                low: now.low.min(low),
                close,
                volume: now.volume + volume,
            }));
        }
    }
}

/// [`Pivots`] of the regular hours of the session before; `None` until one is over.
#[derive(Debug, Clone, Default)]
pub struct SessionPivots(Sessions);

impl Indicator for SessionPivots {
    type Input = PlacedCandle;
    type Output = Pivots;

    fn update(&mut self, bar: PlacedCandle) -> Option<Pivots> {
        self.0.update(bar);
        self.0.last.as_ref().map(Pivots::after)
    }
}

/// The gap of a session in percent: `100 × (open / close before - 1)`, both of regular hours.
///
/// Defined from the session's open to the end of its date, once there was a session before it.
#[derive(Debug, Clone, Default)]
pub struct SessionGap(Sessions);

impl Indicator for SessionGap {
    type Input = PlacedCandle;
    type Output = f64;

    fn update(&mut self, bar: PlacedCandle) -> Option<f64> {
        self.0.update(bar);
        let (now, last) = (self.0.now?, self.0.last?);
        (!is_zero(last.close)).then(|| 100.0 * (now.open / last.close - 1.0))
    }
}

/// The opening range: the highest high and the lowest low of the first bars of the session's regular hours.
///
/// Defined from the last of these bars to the end of the date. It counts bars, as all indicators do: where minutes are
/// missing it reaches further than a range by the clock, for which see [`OpeningRange`](crate::analysis::OpeningRange).
/// Source: Crabel, *Day Trading with Short Term Price Patterns and Opening Range Breakout* (1990).
#[derive(Debug, Clone)]
pub struct OpeningBars {
    period: Period,
    seen: u16,
    range: Option<Band>,
}

impl OpeningBars {
    /// Of the first `period` bars.
    #[must_use]
    pub const fn new(period: Period) -> Self {
        Self { period, seen: 0, range: None }
    }
}

impl Indicator for OpeningBars {
    type Input = PlacedCandle;
    type Output = Band;

    fn update(&mut self, bar: PlacedCandle) -> Option<Band> {
        if bar.place.begins {
            (self.seen, self.range) = (0, None);
        }
        let wanted = self.period.0.get();
        if self.seen < wanted && bar.place.hours == Hours::Regular {
            let Candle { high, low, .. } = bar.candle;
            let (upper, lower) = self.range.map_or((high, low), |range| (range.upper.max(high), range.lower.min(low)));
            self.range = Some(Band { upper, middle: f64::midpoint(upper, lower), lower });
            self.seen += 1;
        }
        self.range.filter(|_| self.seen == wanted)
    }
}

/// The value area of the session's [`VolumeProfile`] so far, 70 % of its volume; begins anew as [`SessionVwap`] does.
///
/// It looks at the levels of the session, which are at most as many as its bars.
#[derive(Debug, Clone)]
pub struct SessionProfile {
    step: Price,
    profile: VolumeProfile,
}

impl SessionProfile {
    /// With levels of `step`; `None` unless that is above zero.
    #[must_use]
    pub fn new(step: Price) -> Option<Self> {
        VolumeProfile::new(step).map(|profile| Self { step, profile })
    }
}

impl Indicator for SessionProfile {
    type Input = PlacedCandle;
    type Output = ValueArea;

    fn update(&mut self, bar: PlacedCandle) -> Option<ValueArea> {
        if bar.place.begins {
            self.profile = VolumeProfile::new(self.step)?;
        }
        self.profile.update(&bar.candle);
        self.profile.value_area(VALUE_AREA_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Column;
    use super::*;

    const DAY_BEGINS: SessionPlace = SessionPlace { begins: true, hours: Hours::Extended };
    const EXTENDED: SessionPlace = SessionPlace { begins: false, hours: Hours::Extended };
    const OPENS: SessionPlace = SessionPlace { begins: true, hours: Hours::Regular };
    const REGULAR: SessionPlace = SessionPlace { begins: false, hours: Hours::Regular };

    /// A bar between two prices that opens low and closes high.
    fn bar(place: SessionPlace, low: f64, high: f64) -> PlacedCandle {
        PlacedCandle { candle: Candle { open: low, high, low, close: high, volume: 100.0 }, place }
    }

    fn values(name: &str, bars: &[PlacedCandle]) -> Vec<Option<f64>> {
        let mut column: Column = name.parse().unwrap();
        bars.iter().map(|bar| column.update(&bar.candle, bar.place)).collect()
    }

    /// Two dates: one of regular hours alone with a bar after them, one with a bar before the open.
    fn two_days() -> [PlacedCandle; 7] {
        [
            bar(OPENS, 9.0, 11.0),
            bar(REGULAR, 10.0, 12.0),
            bar(EXTENDED, 1.0, 50.0),
            bar(DAY_BEGINS, 12.0, 60.0),
            bar(OPENS, 15.0, 16.0),
            bar(REGULAR, 14.0, 15.0),
            bar(REGULAR, 13.0, 20.0),
        ]
    }

    #[test]
    fn levels_are_of_the_regular_hours_of_the_session_that_is_over() {
        // High 12, low 9, close 12: what traded outside of the hours is no part of it.
        for (name, level) in [("PIVOT", 11.0), ("PIVOT_R1", 13.0), ("PIVOT_R2", 14.0), ("PIVOT_R3", 16.0)] {
            assert_eq!(values(name, &two_days())[2..5], [None, Some(level), Some(level)], "{name}");
        }
        for (name, level) in [("PIVOT_S1", 10.0), ("PIVOT_S2", 8.0), ("PIVOT_S3", 7.0)] {
            assert_eq!(values(name, &two_days())[6], Some(level), "{name}");
        }
    }

    #[test]
    fn the_gap_is_from_close_to_open() {
        let (none, gap) = (None, Some(25.0));
        assert_eq!(values("GAP", &two_days()), [none, none, none, none, gap, gap, gap]);
    }

    #[test]
    fn the_opening_range_is_complete_before_it_is_told() {
        let (high, low) = (values("OR_HIGH_2", &two_days()), values("OR_LOW_2", &two_days()));
        assert_eq!(high, [None, Some(12.0), Some(12.0), None, None, Some(16.0), Some(16.0)]);
        assert_eq!(low[5..], [Some(14.0), Some(14.0)]);
    }

    #[test]
    fn the_profile_begins_with_the_session() {
        let bars = [bar(OPENS, 10.0, 10.0), bar(REGULAR, 10.5, 10.5), bar(OPENS, 20.0, 20.0)];
        assert_eq!(values("POC_10", &bars), [Some(10.0), Some(10.0), Some(20.0)]);
        assert_eq!(values("VAL_10", &bars), [Some(10.0), Some(10.0), Some(20.0)]);
        assert_eq!(values("VAH_10", &bars), [Some(10.1), Some(10.6), Some(20.1)]);
        assert_eq!(values("VAH_0.5", &bars)[0], Some(10.005), "half a cent");
    }

    /// Dates of bars before, within and after regular hours, in cents.
    fn dates() -> impl Strategy<Value = Vec<PlacedCandle>> {
        let price = || (900_u16..1100, 0_u16..30, 0_u16..30, 0_u16..4);
        let hours = || proptest::collection::vec(price(), 0..6);
        proptest::collection::vec((hours(), hours(), hours()), 1..6).prop_map(|dates| {
            let mut bars = Vec::new();
            for (early, regular, late) in dates {
                let mut date_begins = true;
                for (prices, hours, opens) in
                    [(early, Hours::Extended, false), (regular, Hours::Regular, true), (late, Hours::Extended, false)]
                {
                    for (at, (low, body, wick, volume)) in prices.into_iter().enumerate() {
                        let begins = std::mem::take(&mut date_begins) || (opens && at == 0);
                        let [open, close] = [low, low + body].map(|cents| f64::from(cents) / 100.0);
                        let (high, volume) = (f64::from(low + body + wick) / 100.0, f64::from(volume));
                        let candle = Candle { open, high, low: open, close, volume };
                        bars.push(PlacedCandle { candle, place: SessionPlace { begins, hours } });
                    }
                }
            }
            bars
        })
    }

    /// The bars of one part of a date that `at` is in, up to it: from the last one that begins.
    fn part(bars: &[PlacedCandle], at: usize) -> &[PlacedCandle] {
        let from = bars[..=at].iter().rposition(|bar| bar.place.begins).unwrap();
        &bars[from..=at]
    }

    fn regular(bars: &[PlacedCandle]) -> Vec<Candle> {
        bars.iter().filter(|bar| bar.place.hours == Hours::Regular).map(|bar| bar.candle).collect()
    }

    /// The regular hours before the part of a date that `at` is in.
    fn session_before(bars: &[PlacedCandle], at: usize) -> Vec<Candle> {
        let mut end = at + 1 - part(bars, at).len();
        loop {
            let Some(last) = end.checked_sub(1) else { return Vec::new() };
            let before = part(bars, last);
            let found = regular(before);
            if !found.is_empty() {
                return found;
            }
            end -= before.len();
        }
    }

    proptest! {
        #[test]
        fn a_stream_says_what_the_definition_says_of_the_slice(bars in dates(), period in 1_usize..4) {
            let streams = ["PIVOT", "PIVOT_R3", "PIVOT_S1", "GAP", "VWAP_SESSION", "POC_5", "VAL_5", "VAH_5"];
            let streams = streams.map(|name| values(name, &bars));
            let range = [format!("OR_HIGH_{period}"), format!("OR_LOW_{period}")].map(|name| values(&name, &bars));
            for at in 0..bars.len() {
                let (now, before) = (regular(part(&bars, at)), session_before(&bars, at));
                let highest = |bars: &[Candle]| bars.iter().map(|bar| bar.high).fold(f64::MIN, f64::max);
                let lowest = |bars: &[Candle]| bars.iter().map(|bar| bar.low).fold(f64::MAX, f64::min);
                let levels = before.last().map(|last| {
                    let (high, low) = (highest(&before), lowest(&before));
                    let pivot = (high + low + last.close) / 3.0;
                    (pivot, high + 2.0 * (pivot - low), 2.0 * pivot - high)
                });
                let gap = now.first().zip(before.last()).map(|(now, last)| 100.0 * (now.open / last.close - 1.0));
                let opening = now.get(..period);
                let expected = [
                    (streams[0][at], levels.map(|levels| levels.0)),
                    (streams[1][at], levels.map(|levels| levels.1)),
                    (streams[2][at], levels.map(|levels| levels.2)),
                    (streams[3][at], gap),
                    (range[0][at], opening.map(highest)),
                    (range[1][at], opening.map(lowest)),
                ];
                for (place, (value, expected)) in expected.into_iter().enumerate() {
                    let equal = match (value, expected) {
                        (Some(value), Some(expected)) => (value - expected).abs() < 1e-9,
                        (value, expected) => value == expected,
                    };
                    prop_assert!(equal, "{place} at {at}: {value:?} is not {expected:?}");
                }
                // What begins with the session is of its bars alone.
                let alone = part(&bars, at);
                prop_assert_eq!(streams[4][at], SessionVwap::default().last(alone.iter().copied()));
                let step = Price::from_cents(5);
                let area = SessionProfile::new(step).unwrap().last(alone.iter().copied());
                for (stream, of) in [(5, 0), (6, 1), (7, 2)] {
                    let expected = area.map(|area| [area.point_of_control, area.low, area.high][of].to_f64());
                    prop_assert_eq!(streams[stream][at], expected);
                }
                if let Some(area) = area {
                    let volume = |bars: &[PlacedCandle]| bars.iter().map(|bar| bar.candle.volume).sum::<f64>();
                    let within: Vec<PlacedCandle> = alone.iter().copied().filter(|bar| {
                        let typical = Price::from_f64(bar.candle.typical()).unwrap();
                        area.low <= typical && typical < area.high
                    }).collect();
                    prop_assert!(volume(&within) >= VALUE_AREA_SHARE * volume(alone));
                    prop_assert!(area.low <= area.point_of_control && area.point_of_control < area.high);
                }
            }
        }

        #[test]
        fn a_batch_of_any_column_is_its_stream(bars in dates(), cut in 0_usize..90) {
            for form in Column::FORMS {
                let whole = values(form, &bars);
                let start = values(form, &bars[..cut.min(bars.len())]);
                prop_assert_eq!(&whole[..start.len()], &start[..], "{}: what comes after changes nothing", form);
            }
        }
    }
}
