use std::time::Duration;

use crate::calendar::MarketPhase;
use crate::market::{Quote, check_age};
use crate::money::{Bps, MoneyError, Price, Quantity};
use crate::time::Timestamp;

/// How far through the quote a limit goes that has to trade outside regular hours: books are thin there, and a
/// position that stays costs more than two parts in a hundred of its price.
const THROUGH: Bps = Bps(200);

/// How old a quote may be outside regular hours, where they come minutes apart.
const QUOTE_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// How an order that closes a position is sent: by what trades now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOut {
    /// At the market.
    Market,
    /// Outside regular hours, where no market order is taken: at a limit that the other side is sure to take.
    ExtendedHours { limit: Price },
    /// At the market of the next open, until which the broker keeps the order.
    Parked,
}

impl WayOut {
    /// The way out of `held` shares (negative: short) in this phase of the market. `quote` is what is bid and asked
    /// outside regular hours, where the broker trades in them.
    #[must_use]
    pub fn of(phase: MarketPhase, held: Quantity, quote: Option<&Quote>, now: Timestamp) -> Self {
        match phase {
            MarketPhase::Trading => Self::Market,
            MarketPhase::Closed => Self::Parked,
            MarketPhase::PreMarket | MarketPhase::PostMarket => {
                let fresh = |quote: &&Quote| quote.check().is_ok() && check_age(quote.at, now, QUOTE_AGE_MAX).is_ok();
                let limit = quote.filter(fresh).and_then(|quote| through(held, quote).ok());
                limit.filter(|limit| limit.is_positive()).map_or(Self::Parked, |limit| Self::ExtendedHours { limit })
            }
        }
    }
}

fn through(held: Quantity, quote: &Quote) -> Result<Price, MoneyError> {
    Ok(if held.is_negative() {
        quote.ask.moved_by(THROUGH)?.round_to_tick_up()
    } else {
        quote.bid.moved_by(Bps(-THROUGH.0))?.round_to_tick_down()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_794_870_000_000);

    fn quote(bid: i64, ask: i64, age_s: u64) -> Quote {
        let size = Quantity::whole(100);
        let at = NOW.before(Duration::from_secs(age_s));
        Quote { at, bid: Price::from_cents(bid), ask: Price::from_cents(ask), bid_size: size, ask_size: size }
    }

    #[test]
    fn a_position_is_left_by_what_trades() {
        use MarketPhase::{Closed, PostMarket, PreMarket, Trading};
        let (long, short) = (Quantity::whole(10), Quantity::whole(-10));
        let (fresh, old, crossed) = (quote(9_990, 10_010, 60), quote(9_990, 10_010, 3_600), quote(10_010, 9_990, 60));
        let limit = |cents| WayOut::ExtendedHours { limit: Price::from_cents(cents) };
        for (phase, held, quote, expected) in [
            (Trading, long, None, WayOut::Market),
            (Trading, long, Some(fresh), WayOut::Market),
            (PreMarket, long, Some(fresh), limit(9_790)),
            (PostMarket, short, Some(fresh), limit(10_211)),
            (PostMarket, long, Some(old), WayOut::Parked),
            (PostMarket, long, Some(crossed), WayOut::Parked),
            (PreMarket, long, None, WayOut::Parked),
            (Closed, long, Some(fresh), WayOut::Parked),
        ] {
            assert_eq!(WayOut::of(phase, held, quote.as_ref(), NOW), expected, "{phase:?} {held} {quote:?}");
        }
    }
}
