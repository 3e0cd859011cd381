use crate::market::Symbol;
use crate::money::{MoneyError, Price};
use crate::order::{OrderType, Side};

use super::Exchange;
use super::pricing::Working;

/// Which bars concern the orders of a symbol: those whose low is at or below the one price, or whose high is at or
/// above the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// A bar this low is felt.
    pub low: Price,
    /// A bar this high is felt.
    pub high: Price,
}

impl Reach {
    /// No bar is felt.
    pub const NOTHING: Self = Self { low: Price(i64::MIN), high: Price::MAX };
    /// Every bar is felt.
    pub const EVERYTHING: Self = Self { low: Price::MAX, high: Price(i64::MIN) };

    /// Whether a bar of this range is felt.
    #[must_use]
    pub fn feels(self, low: Price, high: Price) -> bool {
        low <= self.low || high >= self.high
    }

    /// The bars that the one or the other feels.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
}

impl Exchange {
    /// The bars that can do anything to the orders of `symbol` as they stand: whoever leaves out the others changes
    /// no execution.
    ///
    /// # Errors
    /// When a stop's level overflows.
    pub fn reach(&self, symbol: Symbol) -> Result<Reach, MoneyError> {
        let mut reach = Reach::NOTHING;
        for book in self.state.orders.iter().filter(|book| book.order.symbol == symbol && book.is_working()) {
            // A trailing stop moves with every bar.
            let trails = matches!(book.order.order_type, OrderType::TrailingStop { .. });
            reach = reach.or(match book.waits_for()? {
                Working::Market | Working::Unanchored => Reach::EVERYTHING,
                Working::Stop(_) if trails => Reach::EVERYTHING,
                Working::Limit(limit) => felt_from(book.order.side.opposite(), limit),
                Working::Stop(stop) | Working::StopLimit { stop, .. } => felt_from(book.order.side, stop),
            });
        }
        Ok(reach)
    }
}

/// The bars that reach `price` on the side on which a stop of this side waits for them.
const fn felt_from(stop_side: Side, price: Price) -> Reach {
    match stop_side {
        Side::Buy => Reach { high: price, ..Reach::NOTHING },
        Side::Sell => Reach { low: price, ..Reach::NOTHING },
    }
}
