use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daybook_core::exchange::{ChangeRefusal, Refusal};
use daybook_core::money::MoneyError;
use daybook_core::order::Side;
use serde_json::{Map, Value, json};

use crate::ports::FeedError;

/// An answer that says no: a status, a code of the API, and a message.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    body: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("code".to_owned(), code.into());
        body.insert("message".to_owned(), message.into().into());
        Self { status, body }
    }

    /// 422: the request is understood and against a rule.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 42_210_000, message)
    }

    /// 400: the request cannot be read.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 40_010_000, message)
    }

    /// 403: the account may not do that now.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, 40_310_000, message)
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, 40_410_000, message)
    }

    /// 500: something here is broken.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 50_010_000, message)
    }

    /// 401, which has no code.
    pub(super) fn unauthorized() -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, 0, "unauthorized.");
        problem.body.remove("code");
        problem
    }

    /// 422 with the code of an id that was used before.
    pub(super) fn duplicate_id() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 40_010_001, "client_order_id must be unique")
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn into_body(self) -> Value {
        Value::Object(self.body)
    }

    /// The service's own words for a refusal of the engine.
    pub(super) fn of_refusal(refusal: Refusal, side: Side) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::DuplicateId { .. } => Self::duplicate_id(),
            Refusal::SubPenny { field, price, .. } => {
                let field = field.replace(' ', "_");
                Self::invalid(format!(
                    "invalid {field}_price {price}. sub-penny increment does not fulfill minimum pricing criteria"
                ))
            }
            Refusal::InsufficientBuyingPower { cost, buying_power } => Self::forbidden("insufficient buying power")
                .with("buying_power", buying_power.to_string())
                .with("cost_basis", cost.to_string()),
            Refusal::InsufficientShares { symbol, requested, held, held_for_orders } => {
                let available = held.minus(held_for_orders).unwrap_or_default();
                Self::forbidden(format!(
                    "insufficient qty available for order (requested: {requested}, available: {available})"
                ))
                .with("available", available.to_string())
                .with("existing_qty", held.to_string())
                .with("held_for_orders", held_for_orders.to_string())
                .with("symbol", symbol.as_str())
            }
            Refusal::ShortNotAllowed { .. } => Self::forbidden("account is not allowed to short"),
            Refusal::LegThroughEntry { leg, base, .. } => {
                let field = if leg == "take profit" { "take_profit.limit_price" } else { "stop_loss.stop_price" };
                let above = (leg == "take profit") == (side == Side::Buy);
                let rule = if above { ">= base_price + 0.01" } else { "<= base_price - 0.01" };
                Self::invalid(format!("{field} must be {rule}")).with("base_price", base.to_string())
            }
            Refusal::BracketEntry { .. } | Refusal::BracketExits { .. } => {
                Self::invalid("bracket orders must be entry orders")
            }
            Refusal::StopThroughMarket { side, stop, market } => {
                let rule = match side {
                    Side::Buy => "stop price must be above the market price",
                    Side::Sell => "stop price must be below the market price",
                };
                Self::invalid(rule).with("market_price", market.to_string()).with("stop_price", stop.to_string())
            }
            Refusal::Fractional { .. } => Self::invalid("fractional orders must be simple orders"),
            Refusal::Change(change) => change.into(),
            Refusal::Amount(error) => error.into(),
            Refusal::ReservedId { .. }
            | Refusal::QuantityNotPositive { .. }
            | Refusal::PriceNotPositive { .. }
            | Refusal::TrailOutOfRange { .. }
            | Refusal::LegsCrossed { .. }
            | Refusal::OcoType { .. }
            | Refusal::NoPrice { .. } => Self::invalid(message),
        }
    }
}

impl From<ChangeRefusal> for Problem {
    fn from(refusal: ChangeRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            ChangeRefusal::Unknown { .. } => Self::not_found("order not found"),
            ChangeRefusal::Ended { status, .. } => {
                Self::invalid(format!("order is already in \"{}\" state", status.as_str()))
            }
            ChangeRefusal::NotWorking { status, .. } => {
                Self::invalid(format!("cannot replace order in {} status", status.as_str()))
            }
            ChangeRefusal::Unchanged { .. } => Self::invalid("order parameters are not changed"),
            ChangeRefusal::NoRestingStop { .. } | ChangeRefusal::StopPrice { .. } => Self::invalid(message),
        }
    }
}

impl From<MoneyError> for Problem {
    fn from(error: MoneyError) -> Self {
        Self::invalid(format!("the amounts cannot be counted: {error}"))
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        Self::internal(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!(self.body))).into_response()
    }
}
