use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Symbol;
use crate::money::{Price, Quantity};
use crate::time::Timestamp;

/// The interval of the bars that feeds deliver and that everything else is made of.
pub const MINUTE: Duration = Duration::from_secs(60);

/// One interval of trading; a missing minute is a minute without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// The instant at which the interval begins.
    pub start: Timestamp,
    /// The first trade's price.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The last trade's price.
    pub close: Price,
    /// Shares traded.
    pub volume: Quantity,
}

/// Bars by symbol, each series in the order of time.
pub type BarSet = BTreeMap<Symbol, Vec<Bar>>;

/// What no bar of real trading can look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BarFault {
    /// A price of zero or below.
    #[error("{field} is {price}: expected a price above zero")]
    NonPositive { field: &'static str, price: Price },
    /// The extremes are the wrong way round.
    #[error("high {high} is below low {low}: expected the order open, high, low, close")]
    HighBelowLow { high: Price, low: Price },
    /// The open or the close lies beyond the extremes.
    #[error("{field} {price} lies outside the range from low {low} to high {high}")]
    OutsideRange { field: &'static str, price: Price, low: Price, high: Price },
    /// Fewer shares than none.
    #[error("volume is {volume}: expected zero or more")]
    NegativeVolume { volume: Quantity },
}

impl Bar {
    /// Checks that the bar can have come from trading: prices above zero, open and close between low
    /// and high, no negative volume.
    ///
    /// # Errors
    /// The first fault found.
    #[inline]
    pub fn check(&self) -> Result<(), BarFault> {
        let Self { open, high, low, close, volume, .. } = *self;
        for (field, price) in [("open", open), ("high", high), ("low", low), ("close", close)] {
            if !price.is_positive() {
                return Err(BarFault::NonPositive { field, price });
            }
        }
        if high < low {
            return Err(BarFault::HighBelowLow { high, low });
        }
        for (field, price) in [("open", open), ("close", close)] {
            if price < low || price > high {
                return Err(BarFault::OutsideRange { field, price, low, high });
            }
        }
        if volume.is_negative() {
            return Err(BarFault::NegativeVolume { volume });
        }
        Ok(())
    }

    /// The instant at which a minute bar is complete.
    #[must_use]
    pub fn minute_end(&self) -> Timestamp {
        self.start.after(MINUTE)
    }
}

/// The part of minute bars in order that starts at or after `from` and was complete at `as_of`.
#[must_use]
pub fn complete_minutes(bars: &[Bar], from: Timestamp, as_of: Timestamp) -> &[Bar] {
    let begin = bars.partition_point(|bar| bar.start < from);
    let end = bars.partition_point(|bar| bar.minute_end() <= as_of);
    bars.get(begin..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(open: i64, high: i64, low: i64, close: i64) -> Bar {
        Bar {
            start: Timestamp(0),
            open: Price::from_cents(open),
            high: Price::from_cents(high),
            low: Price::from_cents(low),
            close: Price::from_cents(close),
            volume: Quantity::whole(100),
        }
    }

    #[test]
    fn names_what_is_wrong_with_a_bar() {
        let table = [
            (bar(1000, 1010, 990, 1005), None),
            (bar(1000, 1000, 1000, 1000), None),
            (bar(0, 1010, 990, 1005), Some("open is 0.00: expected a price above zero")),
            (bar(1000, 1010, -1, 1005), Some("low is -0.01: expected a price above zero")),
            (
                bar(1000, 990, 1010, 1005),
                Some("high 9.90 is below low 10.10: expected the order open, high, low, close"),
            ),
            (bar(1011, 1010, 990, 1005), Some("open 10.11 lies outside the range from low 9.90 to high 10.10")),
            (bar(1000, 1010, 990, 989), Some("close 9.89 lies outside the range from low 9.90 to high 10.10")),
            (
                Bar { volume: Quantity::whole(-1), ..bar(1000, 1010, 990, 1005) },
                Some("volume is -1: expected zero or more"),
            ),
        ];
        for (bar, fault) in table {
            assert_eq!(bar.check().err().map(|e| e.to_string()).as_deref(), fault, "{bar:?}");
        }
    }

    #[test]
    fn a_minute_is_complete_at_its_end_and_not_before() {
        let bars: Vec<Bar> = (0..3).map(|i| Bar { start: Timestamp(i * 60_000), ..bar(1, 1, 1, 1) }).collect();
        let starts = |from, as_of| -> Vec<i64> {
            complete_minutes(&bars, Timestamp(from), Timestamp(as_of)).iter().map(|bar| bar.start.0).collect()
        };
        assert_eq!(starts(0, 119_999), [0]);
        assert_eq!(starts(0, 120_000), [0, 60_000]);
        assert_eq!(starts(1, 180_000), [60_000, 120_000]);
        assert!(starts(180_000, 60_000).is_empty());
    }
}
