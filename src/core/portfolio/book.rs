use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ADOPTED, Position, PositionState};
use crate::market::Symbol;
use crate::money::{Money, MoneyError, Price, Quantity};
use crate::order::{Fill, OrderRole, Side};
use crate::strategy::Direction;

/// What an entry was decided with; it stands with the position that the entry opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPlan {
    /// The strategy behind it.
    pub strategy: String,
    /// The bracket's stop.
    pub stop: Price,
    /// The bracket's target.
    pub target: Price,
}

/// What is known of the order behind a fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillOrigin {
    /// What the order is within its group.
    pub role: OrderRole,
    /// The plan of the entry, if the order is one of ours that enters.
    pub plan: Option<EntryPlan>,
    /// Whether it was sent from here, or stands for what was taken over; else a stranger has sent it.
    pub is_ours: bool,
}

impl FillOrigin {
    /// An order that nothing is known of but that it stands alone.
    pub const STRANGER: Self = Self { role: OrderRole::Parent, plan: None, is_ours: false };
    /// An order of ours whose plan is lost, or the execution by which a position was taken over.
    pub const UNPLANNED: Self = Self { role: OrderRole::Parent, plan: None, is_ours: true };
}

/// What a fill did to the position of its symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It opened one.
    Opened,
    /// It added to one.
    Added,
    /// It took a part away, and realised this.
    Reduced { realised: Money },
    /// It took the last share away, and realised this.
    Closed { realised: Money },
}

/// A symbol after a fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// The position that the fill ended.
    pub closed: Option<Position>,
    /// The position that is open after it.
    pub open: Option<Position>,
    /// What happened, in order: a flip is a close and an opening.
    pub effects: Vec<Effect>,
    /// The change of cash: what was paid or received, less the fee.
    pub cash: Money,
}

/// Books one fill on the open position of its symbol, if there is one.
///
/// Each execution must be booked once, in the order of time and then of execution id; a fill that was
/// booked before is the caller's to reject, by its execution id. A fill for more than is held in the
/// other direction closes the position and opens another: value and fee are divided by shares.
///
/// What shares cost is their average cost: a reduction takes its share of the cost with it, rounded
/// down, and the last share takes the rest. So no unit of 10⁻⁸ is lost:
/// `realised = exit value - entry value` exactly for a closed long, and the reverse for a short.
///
/// # Errors
/// If a sum does not fit.
pub fn book(position: Option<Position>, fill: &Fill, origin: &FillOrigin) -> Result<Booked, MoneyError> {
    let value = fill.price.times(fill.quantity)?;
    let flow = match fill.side {
        Side::Buy => value.negated(),
        Side::Sell => value,
    };
    let cash = flow.minus(fill.fee)?;
    let part = Part { quantity: fill.quantity, value, fee: fill.fee };
    match position {
        None => {
            let open = Some(opened(fill, part, origin)?);
            Ok(Booked { closed: None, open, effects: vec![Effect::Opened], cash })
        }
        Some(position) if position.direction.entry_side() == fill.side => {
            let open = Some(added(position, part)?);
            Ok(Booked { closed: None, open, effects: vec![Effect::Added], cash })
        }
        Some(position) if part.quantity < position.quantity => {
            let (position, realised) = reduced(position, part)?;
            Ok(Booked { closed: None, open: Some(position), effects: vec![Effect::Reduced { realised }], cash })
        }
        Some(position) => {
            let (closing, opening) = part.split(position.quantity)?;
            let (position, realised) = reduced(position, closing)?;
            let mut effects = vec![Effect::Closed { realised }];
            let mut open = None;
            if opening.quantity.is_positive() {
                open = Some(opened(fill, opening, origin)?);
                effects.push(Effect::Opened);
            }
            Ok(Booked { closed: Some(closed(position, fill, origin)), open, effects, cash })
        }
    }
}

/// A fill, or the part of it that concerns one position.
#[derive(Clone, Copy)]
struct Part {
    quantity: Quantity,
    value: Money,
    fee: Money,
}

impl Part {
    /// Divides it at `quantity`, which is not above its own; the halves add up to it exactly.
    fn split(self, quantity: Quantity) -> Result<(Self, Self), MoneyError> {
        let first = Self {
            quantity,
            value: share_of(self.value, quantity, self.quantity)?,
            fee: share_of(self.fee, quantity, self.quantity)?,
        };
        let rest = Self {
            quantity: self.quantity.minus(first.quantity)?,
            value: self.value.minus(first.value)?,
            fee: self.fee.minus(first.fee)?,
        };
        Ok((first, rest))
    }
}

/// `amount x part / whole`, rounded down to 10⁻⁸.
fn share_of(amount: Money, part: Quantity, whole: Quantity) -> Result<Money, MoneyError> {
    const OPERATION: &str = "dividing an amount by shares";
    if part == whole && !whole.is_zero() {
        return Ok(amount);
    }
    if whole.is_zero() {
        return Err(MoneyError::DivisionByZero { operation: OPERATION });
    }
    let share = (i128::from(amount.0) * i128::from(part.0)).div_euclid(i128::from(whole.0));
    i64::try_from(share).map(Money).map_err(|_| MoneyError::Overflow { operation: OPERATION })
}

fn opened(fill: &Fill, part: Part, origin: &FillOrigin) -> Result<Position, MoneyError> {
    let direction = match fill.side {
        Side::Buy => Direction::Long,
        Side::Sell => Direction::Short,
    };
    let plan = origin.plan.as_ref();
    Ok(Position {
        symbol: fill.symbol,
        direction,
        state: PositionState::Open,
        strategy: plan.map(|plan| plan.strategy.clone()).or_else(|| origin.is_ours.then(|| ADOPTED.to_owned())),
        quantity: part.quantity,
        quantity_max: part.quantity,
        entered: part.quantity,
        entry_value: part.value,
        exit_value: Money::ZERO,
        cost: part.value,
        entry_price: part.value.per_share(part.quantity)?,
        exit_price: None,
        initial_stop: plan.map(|plan| plan.stop),
        stop: plan.map(|plan| plan.stop),
        target: plan.map(|plan| plan.target),
        adjustments: 0,
        best_price: fill.price,
        opened_at: fill.at,
        closed_at: None,
        realised: Money::ZERO,
        fees: part.fee,
        exit_reason: None,
    })
}

fn added(mut position: Position, part: Part) -> Result<Position, MoneyError> {
    position.quantity = position.quantity.plus(part.quantity)?;
    position.quantity_max = position.quantity_max.max(position.quantity);
    position.entered = position.entered.plus(part.quantity)?;
    position.entry_value = position.entry_value.plus(part.value)?;
    position.cost = position.cost.plus(part.value)?;
    position.entry_price = position.entry_value.per_share(position.entered)?;
    position.fees = position.fees.plus(part.fee)?;
    Ok(position)
}

fn reduced(mut position: Position, part: Part) -> Result<(Position, Money), MoneyError> {
    let cost = share_of(position.cost, part.quantity, position.quantity)?;
    let realised = match position.direction {
        Direction::Long => part.value.minus(cost)?,
        Direction::Short => cost.minus(part.value)?,
    };
    position.quantity = position.quantity.minus(part.quantity)?;
    position.cost = position.cost.minus(cost)?;
    position.exit_value = position.exit_value.plus(part.value)?;
    position.exit_price = Some(position.exit_value.per_share(position.entered.minus(position.quantity)?)?);
    position.realised = position.realised.plus(realised)?;
    position.fees = position.fees.plus(part.fee)?;
    Ok((position, realised))
}

fn closed(mut position: Position, fill: &Fill, origin: &FillOrigin) -> Position {
    position.state = PositionState::Closed;
    position.closed_at = Some(fill.at);
    // A leg that filled is why, whatever was decided meanwhile.
    position.exit_reason = match origin.role {
        OrderRole::StopLoss => Some(position.reason_of_stop().to_owned()),
        OrderRole::TakeProfit => Some("target".to_owned()),
        OrderRole::Parent => position.exit_reason.or_else(|| Some("order".to_owned())),
    };
    position
}

/// An account as the fold of its fills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Cash: what it began with, and every fill since.
    pub cash: Money,
    /// The open position of each symbol.
    pub open: BTreeMap<Symbol, Position>,
    /// Positions that were closed, in the order in which they were: the trades.
    pub closed: Vec<Position>,
}

impl Book {
    /// A book that holds nothing but cash.
    #[must_use]
    pub fn with_cash(cash: Money) -> Self {
        Self { cash, ..Self::default() }
    }

    /// Books a fill; see [`book`].
    ///
    /// # Errors
    /// If a sum does not fit; the book is as it was before.
    pub fn apply(&mut self, fill: &Fill, origin: &FillOrigin) -> Result<Vec<Effect>, MoneyError> {
        let before = self.open.get(&fill.symbol).cloned();
        let booked = book(before, fill, origin)?;
        self.cash = self.cash.plus(booked.cash)?;
        match booked.open {
            Some(position) => self.open.insert(fill.symbol, position),
            None => self.open.remove(&fill.symbol),
        };
        self.closed.extend(booked.closed);
        Ok(booked.effects)
    }

    /// Shares held of a symbol; negative for a short position.
    #[must_use]
    pub fn held(&self, symbol: Symbol) -> Quantity {
        self.open.get(&symbol).map_or(Quantity::ZERO, Position::signed_quantity)
    }
}

/// Puts fills into the order in which they are booked: by time, then by execution id.
pub fn sort_fills(fills: &mut [Fill]) {
    fills.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.execution_id.cmp(&b.execution_id)));
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
