use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Bar;
use crate::money::{Bps, MoneyError, Price, Quantity};
use crate::time::Timestamp;

/// The best bid and offer at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// When it was valid.
    pub at: Timestamp,
    /// The best price to sell at.
    pub bid: Price,
    /// The best price to buy at.
    pub ask: Price,
    /// Shares wanted at the bid.
    pub bid_size: Quantity,
    /// Shares offered at the ask.
    pub ask_size: Quantity,
}

/// A quote that no orderly market shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteFault {
    /// A price of zero or below.
    #[error("{field} is {price}: expected a price above zero")]
    NonPositive { field: &'static str, price: Price },
    /// Somebody would buy for more than another asks.
    #[error("bid {bid} is above ask {ask}: the quote is crossed")]
    Crossed { bid: Price, ask: Price },
}

/// A price that must not be acted on because of when it was valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Older than allowed.
    #[error("the price is {} s old: at most {} s are allowed", age.as_secs(), limit.as_secs())]
    TooOld { age: Duration, limit: Duration },
    /// Dated after the instant it was asked for: a clock is wrong, here or at the feed.
    #[error("the price is dated {at}, after {as_of}: compare the clocks of this machine and of the feed")]
    FromTheFuture { at: Timestamp, as_of: Timestamp },
}

/// The age at `as_of` of a price that was valid at `at`.
///
/// # Errors
/// [`Stale`] if the age exceeds `limit`, or if the price is dated after `as_of`.
pub fn check_age(at: Timestamp, as_of: Timestamp, limit: Duration) -> Result<Duration, Stale> {
    if at > as_of {
        return Err(Stale::FromTheFuture { at, as_of });
    }
    let age = as_of.since(at);
    if age > limit { Err(Stale::TooOld { age, limit }) } else { Ok(age) }
}

impl Quote {
    /// What a minute bar tells of the book at its end: a spread around its close, in whole ticks. The sizes are what
    /// the bar traded: nothing more is known.
    ///
    /// # Errors
    /// When a price overflows.
    pub fn after_minute(bar: &Bar, half_spread: Bps) -> Result<Self, MoneyError> {
        Ok(Self {
            at: bar.minute_end(),
            bid: bar.close.moved_by(Bps(-half_spread.0))?.round_to_tick_down(),
            ask: bar.close.moved_by(half_spread)?.round_to_tick_up(),
            bid_size: bar.volume,
            ask_size: bar.volume,
        })
    }

    /// The middle of bid and ask, rounded down to 10⁻⁸.
    ///
    /// # Errors
    /// On overflow.
    pub fn midpoint(&self) -> Result<Price, MoneyError> {
        self.bid.plus(self.ask).map(|sum| Price(sum.0.div_euclid(2)))
    }

    /// Checks that both prices are above zero and that the bid is not above the ask.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), QuoteFault> {
        for (field, price) in [("bid", self.bid), ("ask", self.ask)] {
            if !price.is_positive() {
                return Err(QuoteFault::NonPositive { field, price });
            }
        }
        if self.bid > self.ask {
            return Err(QuoteFault::Crossed { bid: self.bid, ask: self.ask });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(bid: i64, ask: i64) -> Quote {
        let size = Quantity::whole(100);
        Quote {
            at: Timestamp(0),
            bid: Price::from_cents(bid),
            ask: Price::from_cents(ask),
            bid_size: size,
            ask_size: size,
        }
    }

    #[test]
    fn a_crossed_or_empty_quote_is_named() {
        assert_eq!(quote(1000, 1001).check(), Ok(()));
        assert_eq!(quote(1000, 1000).check(), Ok(()));
        assert!(matches!(quote(1001, 1000).check(), Err(QuoteFault::Crossed { .. })));
        assert!(matches!(quote(0, 1000).check(), Err(QuoteFault::NonPositive { field: "bid", .. })));
        assert!(matches!(quote(-5, 0).check(), Err(QuoteFault::NonPositive { .. })));
    }

    #[test]
    fn a_price_is_stale_past_its_limit_and_when_it_comes_from_the_future() {
        let limit = Duration::from_secs(60);
        assert_eq!(check_age(Timestamp(0), Timestamp(60_000), limit), Ok(limit));
        let old = check_age(Timestamp(0), Timestamp(75_000), limit);
        assert_eq!(old.map_err(|e| e.to_string()), Err("the price is 75 s old: at most 60 s are allowed".to_owned()));
        assert!(matches!(check_age(Timestamp(1), Timestamp(0), limit), Err(Stale::FromTheFuture { .. })));
    }
}
