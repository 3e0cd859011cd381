//! How an order's terms are written as columns, and read back.

use daybook_core::money::{Bps, Price};
use daybook_core::order::{OrderClass, OrderRole, OrderStatus, OrderType, Side, TimeInForce, Trail};
use rusqlite::types::Type;

/// A value of a column that this program would not have written.
pub(super) fn unreadable(what: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(what))
}

/// A word of a column that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("\"{word}\" is no {kind}")]
pub(super) struct UnknownWord {
    word: String,
    kind: &'static str,
}

fn find<T: Copy, const N: usize>(
    kind: &'static str,
    word: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> rusqlite::Result<T> {
    let found = all.into_iter().find(|value| name(*value) == word);
    found.ok_or_else(|| unreadable(UnknownWord { word: word.to_owned(), kind }))
}

pub(super) fn side(word: &str) -> rusqlite::Result<Side> {
    find("side", word, [Side::Buy, Side::Sell], Side::as_str)
}

pub(super) fn status(word: &str) -> rusqlite::Result<OrderStatus> {
    use OrderStatus as S;
    let all = [
        S::Accepted,
        S::Held,
        S::New,
        S::PartiallyFilled,
        S::PendingCancel,
        S::Filled,
        S::Canceled,
        S::Expired,
        S::Rejected,
        S::Replaced,
    ];
    find("order status", word, all, S::as_str)
}

pub(super) const fn role_word(role: OrderRole) -> &'static str {
    match role {
        OrderRole::Parent => "parent",
        OrderRole::TakeProfit => "take_profit",
        OrderRole::StopLoss => "stop_loss",
    }
}

pub(super) fn role(word: &str) -> rusqlite::Result<OrderRole> {
    find("role", word, [OrderRole::Parent, OrderRole::TakeProfit, OrderRole::StopLoss], role_word)
}

pub(super) const fn time_in_force_word(time_in_force: TimeInForce) -> &'static str {
    match time_in_force {
        TimeInForce::Day => "day",
        TimeInForce::Gtc => "gtc",
    }
}

pub(super) fn time_in_force(word: &str) -> rusqlite::Result<TimeInForce> {
    find("time in force", word, [TimeInForce::Day, TimeInForce::Gtc], time_in_force_word)
}

/// An order's type as columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TypeColumns {
    pub limit_e8: Option<i64>,
    pub stop_e8: Option<i64>,
    pub trail_e8: Option<i64>,
    pub trail_bps: Option<i64>,
}

pub(super) const fn type_word(order_type: OrderType) -> &'static str {
    match order_type {
        OrderType::Market => "market",
        OrderType::Limit { .. } => "limit",
        OrderType::Stop { .. } => "stop",
        OrderType::StopLimit { .. } => "stop_limit",
        OrderType::TrailingStop { .. } => "trailing_stop",
    }
}

impl TypeColumns {
    pub(super) fn of(order_type: OrderType) -> Self {
        let none = Self::default();
        match order_type {
            OrderType::Market => none,
            OrderType::Limit { limit } => Self { limit_e8: Some(limit.0), ..none },
            OrderType::Stop { stop } => Self { stop_e8: Some(stop.0), ..none },
            OrderType::StopLimit { stop, limit } => Self { limit_e8: Some(limit.0), stop_e8: Some(stop.0), ..none },
            OrderType::TrailingStop { trail: Trail::Amount(distance) } => Self { trail_e8: Some(distance.0), ..none },
            OrderType::TrailingStop { trail: Trail::Ratio(ratio) } => Self { trail_bps: Some(ratio.0), ..none },
        }
    }

    /// The columns say what the type is: they determine it without its word, which is for people.
    pub(super) fn order_type(self) -> OrderType {
        match self {
            Self { limit_e8: Some(limit), stop_e8: Some(stop), .. } => {
                OrderType::StopLimit { stop: Price(stop), limit: Price(limit) }
            }
            Self { limit_e8: Some(limit), .. } => OrderType::Limit { limit: Price(limit) },
            Self { stop_e8: Some(stop), .. } => OrderType::Stop { stop: Price(stop) },
            Self { trail_e8: Some(distance), .. } => OrderType::TrailingStop { trail: Trail::Amount(Price(distance)) },
            Self { trail_bps: Some(ratio), .. } => OrderType::TrailingStop { trail: Trail::Ratio(Bps(ratio)) },
            Self { limit_e8: None, stop_e8: None, trail_e8: None, trail_bps: None } => OrderType::Market,
        }
    }
}

pub(super) const fn class_word(class: OrderClass) -> &'static str {
    match class {
        OrderClass::Simple => "simple",
        OrderClass::Bracket { .. } => "bracket",
        OrderClass::Oco { .. } => "oco",
    }
}

/// A class's prices as columns: take-profit and stop-loss.
pub(super) const fn class_columns(class: OrderClass) -> (Option<i64>, Option<i64>) {
    match class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { take_profit, stop_loss } => (Some(take_profit.0), Some(stop_loss.0)),
        OrderClass::Oco { stop_loss } => (None, Some(stop_loss.0)),
    }
}

/// The class that these columns stand for.
pub(super) const fn class(take_profit_e8: Option<i64>, stop_loss_e8: Option<i64>) -> OrderClass {
    match (take_profit_e8, stop_loss_e8) {
        (Some(take_profit), Some(stop_loss)) => {
            OrderClass::Bracket { take_profit: Price(take_profit), stop_loss: Price(stop_loss) }
        }
        (None, Some(stop_loss)) => OrderClass::Oco { stop_loss: Price(stop_loss) },
        (_, None) => OrderClass::Simple,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_classes_come_back_from_their_columns() {
        let price = Price::from_cents;
        for order_type in [
            OrderType::Market,
            OrderType::Limit { limit: price(1) },
            OrderType::Stop { stop: price(2) },
            OrderType::StopLimit { stop: price(3), limit: price(4) },
            OrderType::TrailingStop { trail: Trail::Amount(price(5)) },
            OrderType::TrailingStop { trail: Trail::Ratio(Bps(6)) },
        ] {
            assert_eq!(TypeColumns::of(order_type).order_type(), order_type);
        }
        for class_of in [
            OrderClass::Simple,
            OrderClass::Bracket { take_profit: price(1), stop_loss: price(2) },
            OrderClass::Oco { stop_loss: price(3) },
        ] {
            let (take_profit, stop_loss) = class_columns(class_of);
            assert_eq!(class(take_profit, stop_loss), class_of);
        }
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        assert!(side("hold").is_err() && role("").is_err() && status("New").is_err() && time_in_force("ioc").is_err());
    }
}
