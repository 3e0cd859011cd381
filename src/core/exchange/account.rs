use std::collections::BTreeMap;

use crate::market::Symbol;
use crate::money::{Money, MoneyError, Price};
use crate::order::OrderStatus;

use super::Exchange;

/// The account in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Cash; negative on margin.
    pub cash: Money,
    /// What the long positions are worth.
    pub long_value: Money,
    /// What the short positions would cost to buy back; above zero.
    pub short_value: Money,
    /// Cash and positions.
    pub equity: Money,
    /// Equity at the previous close.
    pub last_equity: Money,
    /// What opening orders that rest have set aside.
    pub reserved: Money,
    /// What new positions may cost; zero when there is less than nothing.
    pub buying_power: Money,
}

impl Figures {
    /// The result since the previous close; saturates.
    #[must_use]
    pub const fn day_pnl(&self) -> Money {
        Money(self.equity.0.saturating_sub(self.last_equity.0))
    }
}

impl Exchange {
    /// The account at the last prices known, or at `prices` where they are given.
    ///
    /// A position without any price is valued at what it was opened for.
    ///
    /// # Errors
    /// When an amount overflows.
    pub fn figures(&self, prices: &BTreeMap<Symbol, Price>) -> Result<Figures, MoneyError> {
        let state = &self.state;
        let (mut long_value, mut short_value) = (Money::ZERO, Money::ZERO);
        for (symbol, holding) in &state.holdings {
            let last = || state.marks.get(symbol).map_or(holding.average_price, |mark| mark.price);
            let value = prices.get(symbol).copied().unwrap_or_else(last).times(holding.quantity.abs())?;
            let side = if holding.quantity.is_negative() { &mut short_value } else { &mut long_value };
            *side = side.plus(value)?;
        }
        let mut reserved = Money::ZERO;
        for book in &state.orders {
            let status = book.order.status;
            if book.opens && !status.is_terminal() && status != OrderStatus::Held {
                let cost = book.reserve_price.times(book.order.remaining())?;
                reserved = reserved.plus(cost)?.plus(self.commission_left(book)?)?;
            }
        }
        let equity = state.cash.plus(long_value)?.minus(short_value)?;
        let granted = equity.scaled(i64::from(self.settings.margin_multiplier))?;
        let free = granted.minus(long_value)?.minus(short_value)?.minus(reserved)?;
        Ok(Figures {
            cash: state.cash,
            long_value,
            short_value,
            equity,
            last_equity: state.last_equity,
            reserved,
            buying_power: free.max(Money::ZERO),
        })
    }
}
