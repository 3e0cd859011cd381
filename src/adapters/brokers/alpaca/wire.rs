//! Alpaca's documents, as they come and go, and what they mean in our words.
//!
//! Money is text on the wire and stays exact. What Alpaca may add or leave out does not matter; a word that
//! must be understood and is not is an error that names it.

use daybook_core::market::Symbol;
use daybook_core::money::{Bps, Money, MoneyError, Price, Quantity};
use daybook_core::order::{
    Account, BrokerPosition, ClientOrderId, Order, OrderClass, OrderRole, OrderStatus, OrderTicket, OrderType, Side,
    TimeInForce, Trail,
};
use daybook_core::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};

/// A document that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{document} has {field} \"{text}\", which this version does not know")]
pub struct Strange {
    /// What it is: `order 61e6…`.
    pub document: String,
    /// Which of its fields.
    pub field: &'static str,
    /// What stands there.
    pub text: String,
}

/// An order, alone or with its legs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireOrder {
    pub id: String,
    client_order_id: String,
    pub symbol: String,
    #[serde(default)]
    asset_class: Option<String>,
    #[serde(default)]
    qty: Option<Quantity>,
    #[serde(default)]
    filled_qty: Option<Quantity>,
    #[serde(default, deserialize_with = "rounded_price")]
    filled_avg_price: Option<Price>,
    #[serde(default)]
    order_class: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    side: String,
    time_in_force: String,
    #[serde(default)]
    limit_price: Option<Price>,
    #[serde(default)]
    pub stop_price: Option<Price>,
    #[serde(default)]
    trail_price: Option<Price>,
    #[serde(default)]
    trail_percent: Option<Factor>,
    pub status: String,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    submitted_at: Option<Timestamp>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    #[serde(default)]
    pub replaces: Option<String>,
    #[serde(default)]
    pub replaced_by: Option<String>,
    #[serde(default)]
    pub legs: Option<Vec<WireOrder>>,
}

type Factor = daybook_core::money::Factor;

/// What an order is within its group: a listing of single orders does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub role: OrderRole,
    pub parent: Option<ClientOrderId>,
    pub class: OrderClass,
}

impl Place {
    pub(super) const ALONE: Self = Self { role: OrderRole::Parent, parent: None, class: OrderClass::Simple };
}

impl WireOrder {
    /// The name it was sent under; one that Daybook could not have given is replaced by Alpaca's own.
    pub(super) fn client_order_id(&self) -> Result<ClientOrderId, Strange> {
        let id = self.client_order_id.parse().or_else(|_| self.id.parse());
        id.map_err(|_| self.strange("client_order_id", &self.client_order_id))
    }

    /// Whether it stands alone, without legs and without a parent.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.order_class.as_deref(), None | Some("" | "simple"))
    }

    /// Whether it is of something that Daybook cannot name: an option, or several of them.
    pub(super) fn is_foreign(&self) -> bool {
        is_foreign(self.asset_class.as_deref(), &self.symbol)
    }

    /// What it is at the head of its group: legs that were replaced count as they were sent.
    pub(super) fn place_at_head(&self) -> Place {
        let legs = self.legs.as_deref().unwrap_or_default();
        let leg = |role| legs.iter().filter(move |leg| leg.role_as_leg() == role);
        let sent = |role| leg(role).find(|leg| leg.replaces.is_none()).or_else(|| leg(role).next());
        let stop_loss = sent(OrderRole::StopLoss).and_then(|leg| leg.stop_price);
        let take_profit = sent(OrderRole::TakeProfit).and_then(|leg| leg.limit_price);
        match (self.order_class.as_deref(), take_profit, stop_loss) {
            (Some("oco"), _, Some(stop_loss)) => {
                Place { role: OrderRole::TakeProfit, parent: None, class: OrderClass::Oco { stop_loss } }
            }
            (Some("bracket"), Some(take_profit), Some(stop_loss)) => {
                Place { class: OrderClass::Bracket { take_profit, stop_loss }, ..Place::ALONE }
            }
            _ => Place::ALONE,
        }
    }

    /// What it is as a leg: the one with a limit alone takes the profit.
    pub(super) fn role_as_leg(&self) -> OrderRole {
        if self.kind == "limit" { OrderRole::TakeProfit } else { OrderRole::StopLoss }
    }

    /// The order in our words.
    pub(super) fn order(&self, place: Place) -> Result<Order, Strange> {
        let filled = self.filled_qty.unwrap_or_default();
        let status = self.status(filled);
        // An order for an amount of money has no number of shares until it has filled.
        let quantity = self.qty.unwrap_or(filled).max(Quantity(1));
        let submitted_at = self.submitted_at.or(self.created_at).unwrap_or_default();
        Ok(Order {
            broker_order_id: self.id.clone(),
            client_order_id: self.client_order_id()?,
            parent: place.parent,
            role: place.role,
            symbol: self.symbol.parse().map_err(|_| self.strange("symbol", &self.symbol))?,
            side: side(&self.side).ok_or_else(|| self.strange("side", &self.side))?,
            quantity,
            order_type: self.order_type()?,
            time_in_force: self.time_in_force(),
            class: place.class,
            status,
            filled,
            average_price: self.filled_avg_price.filter(|_| filled.is_positive()),
            reason: self.reason(status),
            submitted_at,
            updated_at: self.updated_at.unwrap_or(submitted_at),
        })
    }

    fn order_type(&self) -> Result<OrderType, Strange> {
        let missing = |field: &'static str| self.strange(field, "");
        let limit = || self.limit_price.ok_or_else(|| missing("limit_price"));
        let stop = || self.stop_price.ok_or_else(|| missing("stop_price"));
        Ok(match self.kind.as_str() {
            "market" => OrderType::Market,
            "limit" => OrderType::Limit { limit: limit()? },
            "stop" => OrderType::Stop { stop: stop()? },
            "stop_limit" => OrderType::StopLimit { stop: stop()?, limit: limit()? },
            "trailing_stop" => OrderType::TrailingStop {
                trail: match (self.trail_price, self.trail_percent) {
                    (Some(amount), _) => Trail::Amount(amount),
                    // A percent has 100 basis points, a `Factor` 10,000 parts.
                    (None, Some(percent)) => Trail::Ratio(Bps(percent.0 / 100)),
                    (None, None) => return Err(missing("trail_price")),
                },
            },
            other => return Err(self.strange("type", other)),
        })
    }

    /// Orders of other hands may end at an auction or at once; to us they end within the day.
    fn time_in_force(&self) -> TimeInForce {
        if self.time_in_force == "gtc" { TimeInForce::Gtc } else { TimeInForce::Day }
    }

    /// Where it stands. A word that is not known counts as working, with the word as the reason: the order is
    /// looked at again until it says otherwise.
    fn status(&self, filled: Quantity) -> OrderStatus {
        match self.status.as_str() {
            "accepted" | "pending_new" | "accepted_for_bidding" | "pending_review" => OrderStatus::Accepted,
            "held" => OrderStatus::Held,
            "pending_cancel" => OrderStatus::PendingCancel,
            "filled" => OrderStatus::Filled,
            "canceled" => OrderStatus::Canceled,
            "expired" => OrderStatus::Expired,
            "rejected" => OrderStatus::Rejected,
            "replaced" => OrderStatus::Replaced,
            _ if filled.is_positive() => OrderStatus::PartiallyFilled,
            _ => OrderStatus::New,
        }
    }

    /// Alpaca gives no reason over HTTP but the status itself.
    fn reason(&self, status: OrderStatus) -> Option<String> {
        match status {
            OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Rejected => Some(self.status.clone()),
            OrderStatus::New | OrderStatus::PartiallyFilled => match self.status.as_str() {
                "new" | "partially_filled" | "pending_replace" => None,
                // Rare at Alpaca, and not the end of an order that is good until canceled.
                "done_for_day" | "calculated" | "stopped" | "suspended" => {
                    Some(format!("its status is {}", self.status))
                }
                unknown => Some(Order::reason_of_unknown_status(unknown)),
            },
            OrderStatus::Accepted
            | OrderStatus::Held
            | OrderStatus::PendingCancel
            | OrderStatus::Filled
            | OrderStatus::Replaced => None,
        }
    }

    fn strange(&self, field: &'static str, text: &str) -> Strange {
        Strange { document: format!("order {}", self.id), field, text: text.to_owned() }
    }
}

fn side(word: &str) -> Option<Side> {
    match word {
        "buy" => Some(Side::Buy),
        "sell" | "sell_short" => Some(Side::Sell),
        _ => None,
    }
}

fn is_foreign(asset_class: Option<&str>, symbol: &str) -> bool {
    asset_class == Some("us_option") || symbol.parse::<Symbol>().is_err()
}

/// A position.
#[derive(Debug, Deserialize)]
pub(super) struct WirePosition {
    symbol: String,
    #[serde(default)]
    asset_class: Option<String>,
    qty: Quantity,
    #[serde(default)]
    side: Option<String>,
    #[serde(deserialize_with = "rounded_price")]
    avg_entry_price: Option<Price>,
}

impl WirePosition {
    /// The position in our words; `None` for what Daybook cannot name.
    pub(super) fn position(&self) -> Option<BrokerPosition> {
        if is_foreign(self.asset_class.as_deref(), &self.symbol) {
            tracing::warn!(symbol = self.symbol, quantity = %self.qty, "position.foreign");
            return None;
        }
        let short = self.side.as_deref() == Some("short");
        Some(BrokerPosition {
            symbol: self.symbol.parse().ok()?,
            quantity: if short { self.qty.abs().negated() } else { self.qty },
            average_price: self.avg_entry_price.unwrap_or_default(),
        })
    }
}

/// The account.
#[derive(Debug, Deserialize)]
pub(super) struct WireAccount {
    id: String,
    #[serde(default)]
    account_number: Option<String>,
    #[serde(default)]
    pub status: String,
    #[serde(deserialize_with = "rounded_money")]
    cash: Money,
    #[serde(deserialize_with = "rounded_money")]
    equity: Money,
    #[serde(deserialize_with = "rounded_money")]
    last_equity: Money,
    #[serde(deserialize_with = "rounded_money")]
    buying_power: Money,
    #[serde(default)]
    trading_blocked: bool,
    #[serde(default)]
    account_blocked: bool,
    #[serde(default)]
    trade_suspended_by_user: bool,
}

impl WireAccount {
    /// The account's number, as people know it.
    pub(super) fn number(&self) -> &str {
        self.account_number.as_deref().unwrap_or(&self.id)
    }

    /// Why nothing can be traded, if so.
    pub(super) fn block(&self) -> Option<String> {
        let flags = [
            (self.account_blocked, "the account is blocked"),
            (self.trading_blocked, "trading is blocked"),
            (self.trade_suspended_by_user, "trading is suspended in the account's own configuration"),
        ];
        let flagged = flags.iter().find(|(set, _)| *set).map(|(_, told)| (*told).to_owned());
        let active = matches!(self.status.as_str(), "" | "ACTIVE" | "ACCOUNT_UPDATED" | "PAPER_ONLY");
        flagged.or_else(|| (!active).then(|| format!("the account's status is {}", self.status)))
    }

    /// The account in our words.
    pub(super) fn account(&self) -> Account {
        Account {
            account_id: self.number().to_owned(),
            cash: self.cash,
            equity: self.equity,
            last_equity: self.last_equity,
            buying_power: self.buying_power,
            blocked: self.block().is_some(),
        }
    }
}

/// An execution.
#[derive(Debug, Deserialize)]
pub(super) struct Activity {
    pub id: String,
    pub transaction_time: Timestamp,
    pub price: Price,
    pub qty: Quantity,
    side: String,
    symbol: String,
    pub order_id: String,
}

impl Activity {
    pub(super) fn side(&self) -> Result<Side, Strange> {
        side(&self.side).ok_or_else(|| Strange {
            document: format!("execution {}", self.id),
            field: "side",
            text: self.side.clone(),
        })
    }

    /// What was traded; `None` for what Daybook cannot name.
    pub(super) fn symbol(&self) -> Option<Symbol> {
        self.symbol.parse().ok()
    }
}

/// What is sent for an order.
#[derive(Debug, Serialize)]
pub(super) struct NewOrder<'a> {
    client_order_id: &'a ClientOrderId,
    symbol: Symbol,
    qty: Quantity,
    side: Side,
    #[serde(rename = "type")]
    kind: &'static str,
    time_in_force: TimeInForce,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_percent: Option<Factor>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    extended_hours: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    take_profit: Option<TakeProfit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_loss: Option<StopLoss>,
}

#[derive(Debug, Serialize)]
struct TakeProfit {
    limit_price: Price,
}

#[derive(Debug, Serialize)]
struct StopLoss {
    stop_price: Price,
}

impl<'a> NewOrder<'a> {
    /// The same order, which may trade before the open and after the close, too.
    pub(super) fn in_extended_hours(self) -> Self {
        Self { extended_hours: true, ..self }
    }

    /// The document of a ticket. A pair's limit goes with its take-profit, as the leg that it is.
    pub(super) fn of(ticket: &'a OrderTicket) -> Self {
        let (kind, limit_price, stop_price) = match ticket.order_type {
            OrderType::Market => ("market", None, None),
            OrderType::Limit { limit } => ("limit", Some(limit), None),
            OrderType::Stop { stop } => ("stop", None, Some(stop)),
            OrderType::StopLimit { stop, limit } => ("stop_limit", Some(limit), Some(stop)),
            OrderType::TrailingStop { .. } => ("trailing_stop", None, None),
        };
        let (trail_price, trail_percent) = match ticket.order_type {
            OrderType::TrailingStop { trail: Trail::Amount(amount) } => (Some(amount), None),
            OrderType::TrailingStop { trail: Trail::Ratio(ratio) } => {
                (None, Some(daybook_core::money::Factor(ratio.0.saturating_mul(100))))
            }
            OrderType::Market | OrderType::Limit { .. } | OrderType::Stop { .. } | OrderType::StopLimit { .. } => {
                (None, None)
            }
        };
        let (order_class, take_profit, stop_loss) = match ticket.class {
            OrderClass::Simple => (None, None, None),
            OrderClass::Bracket { take_profit, stop_loss } => ("bracket".into(), Some(take_profit), Some(stop_loss)),
            OrderClass::Oco { stop_loss } => ("oco".into(), limit_price, Some(stop_loss)),
        };
        Self {
            client_order_id: &ticket.client_order_id,
            symbol: ticket.symbol,
            qty: ticket.quantity,
            side: ticket.side,
            kind,
            time_in_force: ticket.time_in_force,
            limit_price: limit_price.filter(|_| order_class != Some("oco")),
            stop_price,
            trail_price,
            trail_percent,
            extended_hours: false,
            order_class,
            take_profit: take_profit.map(|limit_price| TakeProfit { limit_price }),
            stop_loss: stop_loss.map(|stop_price| StopLoss { stop_price }),
        }
    }
}

/// What is sent to move a stop.
#[derive(Debug, Serialize)]
pub(super) struct NewStop {
    pub stop_price: Price,
}

/// A decimal as text or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Decimal {
    Text(String),
    Number(serde_json::Number),
}

impl Decimal {
    /// The value, cut after so many decimals: averages and sums over the account come with more than an exact
    /// price has.
    fn cut<T: std::str::FromStr<Err = MoneyError>>(self, decimals: usize) -> Result<T, MoneyError> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        };
        match text.split_once('.') {
            Some((whole, fraction)) => format!("{whole}.{}", fraction.get(..decimals).unwrap_or(fraction)).parse(),
            None => text.parse(),
        }
    }
}

fn rounded_price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Price>, D::Error> {
    let decimal = Option::<Decimal>::deserialize(deserializer)?;
    decimal.map(|decimal| decimal.cut(8).map_err(de::Error::custom)).transpose()
}

fn rounded_money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
    Decimal::deserialize(deserializer)?.cut(8).map_err(de::Error::custom)
}
