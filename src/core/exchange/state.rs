use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::order::{Fill, Order, OrderRole, OrderStatus, OrderType, Side, Trail, numbered};
use crate::time::Timestamp;

use super::pricing::Working;
use super::{Orders, Terms};

/// An order's number at the exchange, counted from 1. As text it is the broker's order id: `ord-000001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct OrderNumber(pub i64);

impl OrderNumber {
    /// The broker's order id.
    #[must_use]
    pub fn id(self) -> String {
        numbered("ord-", self.0)
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id())
    }
}

/// Text that is no broker order id of this exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an order id: expected one such as ord-000001")]
pub struct OrderNumberError {
    /// What was read.
    pub text: String,
}

impl FromStr for OrderNumber {
    type Err = OrderNumberError;
    fn from_str(text: &str) -> Result<Self, OrderNumberError> {
        let number = text.strip_prefix("ord-").and_then(|digits| digits.parse().ok()).map(Self);
        number.filter(|number| number.id() == text).ok_or_else(|| OrderNumberError { text: text.to_owned() })
    }
}

/// An execution's number, counted from 1. As text it is the execution id: `exec-000001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ExecutionNumber(pub i64);

impl ExecutionNumber {
    /// The execution's id.
    #[must_use]
    pub fn id(self) -> String {
        numbered("exec-", self.0)
    }
}

impl fmt::Display for ExecutionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id())
    }
}

/// Everything that the exchange knows: what a keeper stores, and goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeState {
    /// The account's cash; negative on margin.
    pub cash: Money,
    /// Equity at the previous close.
    pub last_equity: Money,
    /// Whether regular trading is on.
    pub session_open: bool,
    /// Whether there is trading outside regular hours now, for the orders that ask for it.
    pub extended_open: bool,
    /// What is held; nothing of zero.
    pub holdings: BTreeMap<Symbol, Holding>,
    /// The last price known of each symbol that had an order or a position.
    pub marks: BTreeMap<Symbol, LastPrice>,
    /// The orders, settled ones until they are retired.
    pub orders: Orders,
    /// How many orders were ever numbered.
    pub orders_issued: i64,
    /// How many executions were ever numbered.
    pub executions_issued: i64,
}

impl ExchangeState {
    /// A new account with nothing but cash.
    #[must_use]
    pub const fn new(cash: Money, session_open: bool) -> Self {
        Self {
            cash,
            last_equity: cash,
            session_open,
            extended_open: false,
            holdings: BTreeMap::new(),
            marks: BTreeMap::new(),
            orders: Orders::new(),
            orders_issued: 0,
            executions_issued: 0,
        }
    }

    /// Shares held of `symbol`; negative for a short position.
    #[must_use]
    pub fn held(&self, symbol: Symbol) -> Quantity {
        self.holdings.get(&symbol).map(|holding| holding.quantity).unwrap_or_default()
    }

    /// The symbols whose prices matter: those with a position or with an order that has not ended.
    #[must_use]
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let ordered = self.orders.iter().filter(|book| !book.order.status.is_terminal());
        self.holdings.keys().copied().chain(ordered.map(|book| book.order.symbol)).collect()
    }

    /// Whether `symbol` is one of those whose prices matter.
    #[must_use]
    pub fn matters(&self, symbol: Symbol) -> bool {
        let ordered = |book: &BookOrder| book.order.symbol == symbol && !book.order.status.is_terminal();
        self.holdings.contains_key(&symbol) || self.orders.iter().any(ordered)
    }

    /// The orders of one group, its first order first.
    pub fn group(&self, group: OrderNumber) -> impl Iterator<Item = &BookOrder> {
        self.orders.of_group(group)
    }

    /// What the entry of a group has filled so far, replaced ones included.
    fn entered(&self, group: OrderNumber) -> Result<Quantity, MoneyError> {
        let entries = self.group(group).filter(|book| book.order.role == OrderRole::Parent);
        entries.map(|book| book.order.filled).try_fold(Quantity::ZERO, Quantity::plus)
    }

    /// The shares of `symbol` that orders on `side` already stand ready to take out of the position.
    ///
    /// The exits of one group count once, since a fill of one is taken off the other. Legs that wait
    /// for their entry tie up what the entry has bought so far.
    ///
    /// # Errors
    /// On overflow.
    pub fn held_for_orders(&self, symbol: Symbol, side: Side) -> Result<Quantity, MoneyError> {
        let mut groups: BTreeMap<OrderNumber, Quantity> = BTreeMap::new();
        for book in self.orders.iter() {
            let order = &book.order;
            if order.symbol != symbol || order.side != side || order.status.is_terminal() {
                continue;
            }
            let tied = match order.status {
                OrderStatus::Held => self.entered(book.group)?,
                _ => order.remaining(),
            };
            let most = groups.entry(book.group).or_default();
            *most = (*most).max(tied);
        }
        groups.into_values().try_fold(Quantity::ZERO, Quantity::plus)
    }
}

/// What is held of one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Shares; negative for a short position.
    pub quantity: Quantity,
    /// The average price at which they were opened.
    pub average_price: Price,
}

impl Holding {
    /// The holding after `quantity` (negative when sold) has traded at `price`; `None` when nothing is left.
    ///
    /// Adding averages the price, leaving does not change it, and what crosses zero is opened anew.
    pub(super) fn traded(held: Option<Self>, quantity: Quantity, price: Price) -> Result<Option<Self>, MoneyError> {
        let Some(held) = held else {
            return Ok(Some(Self { quantity, average_price: price }));
        };
        let sum = held.quantity.plus(quantity)?;
        let average_price = if held.quantity.is_negative() == quantity.is_negative() {
            held.average_price.times(held.quantity)?.plus(price.times(quantity)?)?.per_share(sum)?
        } else if sum.is_negative() == held.quantity.is_negative() {
            held.average_price
        } else {
            price
        };
        Ok((!sum.is_zero()).then_some(Self { quantity: sum, average_price }))
    }
}

/// A price and since when it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPrice {
    /// The price.
    pub price: Price,
    /// When it was valid.
    pub at: Timestamp,
}

/// An order in the book, with what only the exchange knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookOrder {
    /// Its number.
    pub number: OrderNumber,
    /// The number of its group's first order; its own for that one.
    pub group: OrderNumber,
    /// The order as it is reported.
    pub order: Order,
    /// What was asked for beyond the ticket.
    pub terms: Terms,
    /// Whether it adds to a position; otherwise it leaves one.
    pub opens: bool,
    /// Since when it can be hit: prices before do not count. `None` while parked or held.
    pub working_since: Option<Timestamp>,
    /// Whether its stop has been hit: the rest is a market order, or a limit order.
    pub triggered: bool,
    /// The best price that a trailing stop has seen.
    pub best_price: Option<Price>,
    /// The price at which buying power is set aside for it.
    pub reserve_price: Price,
    /// What the shares filled so far were worth.
    pub filled_value: Money,
    /// Commission charged so far.
    pub fees: Money,
}

impl BookOrder {
    /// Whether a price can hit it.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        matches!(self.order.status, OrderStatus::New | OrderStatus::PartiallyFilled)
    }

    /// Whether it is one of a pair of which only one shall fill.
    #[must_use]
    pub const fn is_exit_leg(&self) -> bool {
        matches!(self.order.role, OrderRole::TakeProfit | OrderRole::StopLoss)
    }

    /// The price that would hit its stop now; `None` for what has none, or has been hit.
    ///
    /// # Errors
    /// On overflow.
    pub fn stop_level(&self) -> Result<Option<Price>, MoneyError> {
        Ok(match self.waits_for()? {
            Working::Stop(stop) | Working::StopLimit { stop, .. } => Some(stop),
            Working::Market | Working::Limit(_) | Working::Unanchored => None,
        })
    }

    /// What it waits for now.
    pub(super) fn waits_for(&self) -> Result<Working, MoneyError> {
        Ok(match self.order.order_type {
            OrderType::Market => Working::Market,
            OrderType::Limit { limit } => Working::Limit(limit),
            OrderType::Stop { .. } | OrderType::TrailingStop { .. } if self.triggered => Working::Market,
            OrderType::StopLimit { limit, .. } if self.triggered => Working::Limit(limit),
            OrderType::Stop { stop } => Working::Stop(stop),
            OrderType::StopLimit { stop, limit } => Working::StopLimit { stop, limit },
            OrderType::TrailingStop { trail } => match self.best_price {
                Some(best) => Working::Stop(trailing_level(self.order.side, best, trail)?),
                None => Working::Unanchored,
            },
        })
    }

    /// Takes note of a price, if it is a trailing stop; whether that moved it.
    pub(super) fn follow(&mut self, price: Price) -> bool {
        if self.triggered || !matches!(self.order.order_type, OrderType::TrailingStop { .. }) {
            return false;
        }
        let best = self.best_price.map_or(price, |best| match self.order.side {
            Side::Sell => best.max(price),
            Side::Buy => best.min(price),
        });
        self.best_price.replace(best) != Some(best)
    }
}

fn trailing_level(side: Side, best: Price, trail: Trail) -> Result<Price, MoneyError> {
    match (side, trail) {
        (Side::Sell, Trail::Amount(distance)) => best.minus(distance),
        (Side::Buy, Trail::Amount(distance)) => best.plus(distance),
        (Side::Sell, Trail::Ratio(ratio)) => best.moved_by(Bps(-ratio.0)),
        (Side::Buy, Trail::Ratio(ratio)) => best.moved_by(ratio),
    }
}

/// One execution, with its place in the exchange's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Its number: fills are paged by it.
    pub number: ExecutionNumber,
    /// The order that filled.
    pub order: OrderNumber,
    /// The execution as it is reported.
    pub fill: Fill,
}

/// What was changed since the changes were last taken: what a keeper writes, and tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Executions, in their order.
    pub executions: Vec<Execution>,
    /// Orders that are new or differ, each once and in order.
    pub orders: Vec<OrderNumber>,
    /// Symbols whose position differs, each once and in order.
    pub holdings: Vec<Symbol>,
    /// Whether a session has opened or closed.
    pub session: bool,
}

impl Changes {
    pub(super) fn clear(&mut self) {
        let Self { executions, orders, holdings, session } = self;
        executions.clear();
        orders.clear();
        holdings.clear();
        *session = false;
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.executions.is_empty() && self.orders.is_empty() && self.holdings.is_empty() && !self.session
    }
}
