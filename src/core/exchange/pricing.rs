//! What a price does to an order: pure rules, without quantities.

use crate::market::Bar;
use crate::money::{Bps, MoneyError, Price};
use crate::order::Side;

/// What an order that works is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Working {
    /// Any price.
    Market,
    /// This price or a better one.
    Limit(Price),
    /// This price or a worse one; then any.
    Stop(Price),
    /// The stop; then the limit or better.
    StopLimit { stop: Price, limit: Price },
    /// A first price, from which a trailing stop can be measured.
    Unanchored,
}

/// What a price does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Rests,
    /// Its stop is hit, its limit is not met.
    Triggers,
    /// It trades at this price.
    Trades(Price),
}

/// Whether a stop is hit at `price`.
pub(super) fn reaches(side: Side, stop: Price, price: Price) -> bool {
    match side {
        Side::Buy => price >= stop,
        Side::Sell => price <= stop,
    }
}

/// Whether `price` is the limit or better.
fn accepts(side: Side, limit: Price, price: Price) -> bool {
    match side {
        Side::Buy => price <= limit,
        Side::Sell => price >= limit,
    }
}

/// The bar's price that hits a stop first: the highest for a buy, the lowest for a sell.
const fn adverse(side: Side, bar: &Bar) -> Price {
    match side {
        Side::Buy => bar.high,
        Side::Sell => bar.low,
    }
}

/// The bar's price that is best for the order: the lowest for a buy, the highest for a sell.
pub(super) const fn favourable(side: Side, bar: &Bar) -> Price {
    match side {
        Side::Buy => bar.low,
        Side::Sell => bar.high,
    }
}

/// `price` made worse by `slippage`. It is the average over what the order would have met in the
/// book, so it need not be a whole tick.
pub(super) fn slipped(side: Side, price: Price, slippage: Bps) -> Result<Price, MoneyError> {
    match side {
        Side::Buy => price.moved_by(slippage),
        Side::Sell => price.moved_by(Bps(-slippage.0)),
    }
}

impl Working {
    /// What one price does that is there for the taking: a bar's open, or the quote's other side.
    pub(super) fn at_price(self, side: Side, price: Price, slippage: Bps) -> Result<Effect, MoneyError> {
        Ok(match self {
            Self::Market => Effect::Trades(slipped(side, price, slippage)?),
            Self::Limit(limit) if accepts(side, limit, price) => Effect::Trades(price),
            Self::Stop(stop) if reaches(side, stop, price) => Effect::Trades(slipped(side, price, slippage)?),
            Self::StopLimit { stop, limit } if reaches(side, stop, price) => {
                if accepts(side, limit, price) {
                    Effect::Trades(bounded(side, slipped(side, price, slippage)?, limit))
                } else {
                    Effect::Triggers
                }
            }
            Self::Limit(_) | Self::Stop(_) | Self::StopLimit { .. } | Self::Unanchored => Effect::Rests,
        })
    }

    /// What a bar's range does after its open: a stop trades at its own price, made worse by
    /// slippage, and a limit at its limit.
    pub(super) fn in_range(self, side: Side, bar: &Bar, slippage: Bps) -> Result<Effect, MoneyError> {
        match self {
            Self::Limit(limit) if accepts(side, limit, favourable(side, bar)) => Ok(Effect::Trades(limit)),
            Self::Stop(stop) | Self::StopLimit { stop, .. } if reaches(side, stop, adverse(side, bar)) => {
                // A stop that began to work inside the bar may lie beyond all of it.
                let met = match side {
                    Side::Buy => stop.max(bar.low),
                    Side::Sell => stop.min(bar.high),
                };
                self.at_price(side, met, slippage)
            }
            Self::Market | Self::Limit(_) | Self::Stop(_) | Self::StopLimit { .. } | Self::Unanchored => {
                Ok(Effect::Rests)
            }
        }
    }
}

/// `price`, but no worse than `limit`.
fn bounded(side: Side, price: Price, limit: Price) -> Price {
    match side {
        Side::Buy => price.min(limit),
        Side::Sell => price.max(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Quantity;
    use crate::time::Timestamp;

    const fn cents(cents: i64) -> Price {
        Price::from_cents(cents)
    }

    const BAR: Bar = Bar {
        start: Timestamp(0),
        open: cents(10_000),
        high: cents(10_200),
        low: cents(9_900),
        close: cents(10_100),
        volume: Quantity::whole(1_000),
    };

    const PERCENT: Bps = Bps(100);

    #[test]
    fn one_price_for_the_taking() {
        use Effect::{Rests, Trades, Triggers};
        use Side::{Buy, Sell};
        use Working::{Limit, Market, Stop, StopLimit, Unanchored};
        let cases = [
            (Market, Buy, Trades(cents(10_100))),
            (Market, Sell, Trades(cents(9_900))),
            (Limit(cents(10_000)), Buy, Trades(cents(10_000))),
            (Limit(cents(10_050)), Buy, Trades(cents(10_000))),
            (Limit(cents(9_999)), Buy, Rests),
            (Limit(cents(10_000)), Sell, Trades(cents(10_000))),
            (Limit(cents(9_950)), Sell, Trades(cents(10_000))),
            (Limit(cents(10_001)), Sell, Rests),
            (Stop(cents(10_000)), Buy, Trades(cents(10_100))),
            (Stop(cents(9_000)), Buy, Trades(cents(10_100))),
            (Stop(cents(10_001)), Buy, Rests),
            (Stop(cents(10_000)), Sell, Trades(cents(9_900))),
            (Stop(cents(11_000)), Sell, Trades(cents(9_900))),
            (Stop(cents(9_999)), Sell, Rests),
            (StopLimit { stop: cents(10_000), limit: cents(10_020) }, Buy, Trades(cents(10_020))),
            (StopLimit { stop: cents(9_000), limit: cents(9_500) }, Buy, Triggers),
            (StopLimit { stop: cents(10_000), limit: cents(9_980) }, Sell, Trades(cents(9_980))),
            (StopLimit { stop: cents(10_500), limit: cents(10_400) }, Sell, Triggers),
            (StopLimit { stop: cents(9_000), limit: cents(8_900) }, Sell, Rests),
            (Unanchored, Sell, Rests),
        ];
        for (working, side, expected) in cases {
            assert_eq!(working.at_price(side, cents(10_000), PERCENT), Ok(expected), "{working:?} {side:?}");
        }
    }

    #[test]
    fn a_range_hits_stops_at_their_stop_and_limits_at_their_limit() {
        use Effect::{Rests, Trades, Triggers};
        use Side::{Buy, Sell};
        use Working::{Limit, Market, Stop, StopLimit};
        let cases = [
            (Market, Buy, Rests),
            (Limit(cents(9_900)), Buy, Trades(cents(9_900))),
            (Limit(cents(9_899)), Buy, Rests),
            (Limit(cents(10_200)), Sell, Trades(cents(10_200))),
            (Limit(cents(10_201)), Sell, Rests),
            (Stop(cents(10_200)), Buy, Trades(cents(10_302))),
            (Stop(cents(10_201)), Buy, Rests),
            (Stop(cents(9_900)), Sell, Trades(cents(9_801))),
            (Stop(cents(9_899)), Sell, Rests),
            (Stop(cents(9_000)), Buy, Trades(cents(9_999))),
            (Stop(cents(10_500)), Sell, Trades(cents(10_098))),
            (StopLimit { stop: cents(10_100), limit: cents(10_150) }, Buy, Trades(cents(10_150))),
            (StopLimit { stop: cents(10_100), limit: cents(10_000) }, Buy, Triggers),
        ];
        for (working, side, expected) in cases {
            assert_eq!(working.in_range(side, &BAR, PERCENT), Ok(expected), "{working:?} {side:?}");
        }
    }
}
