use crate::money::Quantity;
use crate::order::{OrderClass, OrderTicket, OrderType, Side};

use super::{CheckName, Verdict};

/// Proof that risk has reviewed an order: it is made by the functions of this file only, and a
/// broker accepts nothing else.
///
/// It is not serialised: an order that comes back from the ledger after a restart is reviewed again,
/// by the same function, against the verdict that is stored with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved<T>(T);

impl<T> Approved<T> {
    /// What was approved.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }
}

/// Why an order is not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// It is for no shares, or for less than none.
    #[error("the order is for {quantity} shares: expected more than none")]
    NoShares { quantity: Quantity },
    /// Risk has refused the signal behind it.
    #[error("risk refused the signal: {check:?}")]
    Refused { check: Option<CheckName> },
    /// It is for more than risk allowed.
    #[error("the order is for {quantity} shares; risk allowed {approved}")]
    TooLarge { quantity: Quantity, approved: Quantity },
    /// It enters without a stop and a target behind it.
    #[error("the entry has no bracket: its stop would not rest at the broker")]
    NoBracket,
    /// Its stop and target are not on their sides of each other.
    #[error("a {} bracket has its stop and target on the wrong sides", side.as_str())]
    BracketSides { side: Side },
    /// It is of a type that cannot do what it is for.
    #[error("an order of type {order_type:?} and class {class:?} cannot {purpose}")]
    WrongType { purpose: &'static str, order_type: OrderType, class: OrderClass },
    /// It would open a position or add to it.
    #[error("the order to {} {quantity} does not reduce the {held} shares held", side.as_str())]
    NotReducing { side: Side, quantity: Quantity, held: Quantity },
}

/// Approves an entry that stays within what risk allowed and has its stop resting at the broker.
///
/// # Errors
/// [`ApprovalError`] if the verdict refuses, if the order is larger than approved, or if it is not a
/// sound bracket entered at the market or at a limit.
pub fn approve_entry(ticket: OrderTicket, verdict: &Verdict) -> Result<Approved<OrderTicket>, ApprovalError> {
    require_shares(&ticket)?;
    let approved = match (verdict.quantity, verdict.refused_by) {
        (Some(quantity), None) => quantity,
        (_, check) => return Err(ApprovalError::Refused { check }),
    };
    if ticket.quantity > approved {
        return Err(ApprovalError::TooLarge { quantity: ticket.quantity, approved });
    }
    let OrderClass::Bracket { take_profit, stop_loss } = ticket.class else {
        return Err(ApprovalError::NoBracket);
    };
    let (low, high) = match ticket.side {
        Side::Buy => (stop_loss, take_profit),
        Side::Sell => (take_profit, stop_loss),
    };
    let inside = match ticket.order_type {
        OrderType::Market => low < high,
        OrderType::Limit { limit } => low < limit && limit < high,
        OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => {
            return Err(wrong_type("enter", &ticket));
        }
    };
    if !inside || !low.is_positive() {
        return Err(ApprovalError::BracketSides { side: ticket.side });
    }
    Ok(Approved(ticket))
}

/// Approves an order that leaves a position of `held` shares (negative: short), or a part of it.
///
/// # Errors
/// [`ApprovalError`] if it could do anything but reduce the position.
pub fn approve_exit(ticket: OrderTicket, held: Quantity) -> Result<Approved<OrderTicket>, ApprovalError> {
    require_reducing(&ticket, held)?;
    match ticket.class {
        OrderClass::Simple => Ok(Approved(ticket)),
        OrderClass::Bracket { .. } | OrderClass::Oco { .. } => Err(wrong_type("leave a position", &ticket)),
    }
}

/// Approves an order that puts a stop behind `held` shares (negative: short), or a part of them.
///
/// # Errors
/// [`ApprovalError`] if it could do anything but reduce the position, or has no stop.
pub fn approve_protection(ticket: OrderTicket, held: Quantity) -> Result<Approved<OrderTicket>, ApprovalError> {
    require_reducing(&ticket, held)?;
    let stops = match (ticket.class, ticket.order_type) {
        (OrderClass::Simple, OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. }) => {
            true
        }
        (OrderClass::Oco { .. }, OrderType::Limit { .. }) => true,
        (OrderClass::Simple | OrderClass::Bracket { .. } | OrderClass::Oco { .. }, _) => false,
    };
    if stops { Ok(Approved(ticket)) } else { Err(wrong_type("protect a position", &ticket)) }
}

fn require_shares(ticket: &OrderTicket) -> Result<(), ApprovalError> {
    if ticket.quantity.is_positive() { Ok(()) } else { Err(ApprovalError::NoShares { quantity: ticket.quantity }) }
}

fn require_reducing(ticket: &OrderTicket, held: Quantity) -> Result<(), ApprovalError> {
    require_shares(ticket)?;
    let reducible = match ticket.side {
        Side::Sell => held,
        Side::Buy => held.negated(),
    };
    if ticket.quantity <= reducible {
        Ok(())
    } else {
        Err(ApprovalError::NotReducing { side: ticket.side, quantity: ticket.quantity, held })
    }
}

fn wrong_type(purpose: &'static str, ticket: &OrderTicket) -> ApprovalError {
    ApprovalError::WrongType { purpose, order_type: ticket.order_type, class: ticket.class }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Price;
    use crate::order::TimeInForce;

    const PROFIT_OVER_LOSS: OrderClass =
        OrderClass::Bracket { take_profit: Price::from_cents(11_00), stop_loss: Price::from_cents(9_00) };

    fn ticket(side: Side, shares: i64, order_type: OrderType, class: OrderClass) -> OrderTicket {
        OrderTicket {
            client_order_id: "dbk-1".parse().unwrap(),
            symbol: "AAPL".parse().unwrap(),
            side,
            quantity: Quantity::whole(shares),
            order_type,
            time_in_force: TimeInForce::Day,
            class,
        }
    }

    fn allowed(shares: i64) -> Verdict {
        Verdict { quantity: Some(Quantity::whole(shares)), refused_by: None, checks: vec![] }
    }

    #[test]
    fn an_entry_needs_a_sound_bracket_within_the_approved_size() {
        let market = OrderType::Market;
        assert!(approve_entry(ticket(Side::Buy, 100, market, PROFIT_OVER_LOSS), &allowed(100)).is_ok());
        assert_eq!(
            approve_entry(ticket(Side::Buy, 101, market, PROFIT_OVER_LOSS), &allowed(100)),
            Err(ApprovalError::TooLarge { quantity: Quantity::whole(101), approved: Quantity::whole(100) })
        );
        assert_eq!(
            approve_entry(ticket(Side::Buy, 100, market, OrderClass::Simple), &allowed(100)),
            Err(ApprovalError::NoBracket)
        );
        assert_eq!(
            approve_entry(ticket(Side::Sell, 100, market, PROFIT_OVER_LOSS), &allowed(100)),
            Err(ApprovalError::BracketSides { side: Side::Sell })
        );
        let beyond_target = OrderType::Limit { limit: Price::from_cents(11_01) };
        assert_eq!(
            approve_entry(ticket(Side::Buy, 100, beyond_target, PROFIT_OVER_LOSS), &allowed(100)),
            Err(ApprovalError::BracketSides { side: Side::Buy })
        );
        assert_eq!(
            approve_entry(ticket(Side::Buy, 0, market, PROFIT_OVER_LOSS), &allowed(100)),
            Err(ApprovalError::NoShares { quantity: Quantity::ZERO })
        );
    }

    #[test]
    fn a_refused_verdict_approves_nothing() {
        let refused = Verdict { quantity: None, refused_by: Some(CheckName::DayLoss), checks: vec![] };
        let contradictory = Verdict { quantity: Some(Quantity::whole(5)), ..refused.clone() };
        for verdict in [refused, contradictory] {
            assert_eq!(
                approve_entry(ticket(Side::Buy, 1, OrderType::Market, PROFIT_OVER_LOSS), &verdict),
                Err(ApprovalError::Refused { check: Some(CheckName::DayLoss) })
            );
        }
    }

    #[test]
    fn an_exit_only_reduces() {
        let sell = |shares| ticket(Side::Sell, shares, OrderType::Market, OrderClass::Simple);
        let buy = |shares| ticket(Side::Buy, shares, OrderType::Market, OrderClass::Simple);
        let held = Quantity::whole;
        assert!(approve_exit(sell(100), held(100)).is_ok());
        assert!(approve_exit(buy(100), held(-100)).is_ok());
        for (ticket, held) in [(sell(101), 100), (sell(1), 0), (buy(1), 100), (sell(1), -100), (buy(101), -100)] {
            assert!(matches!(approve_exit(ticket, Quantity::whole(held)), Err(ApprovalError::NotReducing { .. })));
        }
        let bracket = ticket(Side::Sell, 1, OrderType::Market, PROFIT_OVER_LOSS);
        assert!(matches!(approve_exit(bracket, held(1)), Err(ApprovalError::WrongType { .. })));
    }

    #[test]
    fn a_protection_is_a_stop_that_only_reduces() {
        let stop = OrderType::Stop { stop: Price::from_cents(9_00) };
        let limit = OrderType::Limit { limit: Price::from_cents(11_00) };
        let oco = OrderClass::Oco { stop_loss: Price::from_cents(9_00) };
        let held = Quantity::whole(100);
        assert!(approve_protection(ticket(Side::Sell, 100, stop, OrderClass::Simple), held).is_ok());
        assert!(approve_protection(ticket(Side::Sell, 100, limit, oco), held).is_ok());
        for (order_type, class) in [(limit, OrderClass::Simple), (OrderType::Market, OrderClass::Simple)] {
            let refused = approve_protection(ticket(Side::Sell, 100, order_type, class), held);
            assert!(matches!(refused, Err(ApprovalError::WrongType { .. })), "{refused:?}");
        }
        let flips = approve_protection(ticket(Side::Sell, 200, stop, OrderClass::Simple), held);
        assert!(matches!(flips, Err(ApprovalError::NotReducing { .. })));
    }
}
