//! One account: its engine, its record, and the rules that need them.

use std::collections::{BTreeMap, HashMap};

use daybook_core::exchange::{Exchange, ExchangeSettings, ExchangeState, Execution, LastPrice, OrderNumber, Terms};
use daybook_core::market::{Quote, Symbol};
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{ClientOrderId, OrderClass, OrderRole, OrderType, Side, TimeInForce};
use daybook_core::time::Timestamp;

use super::FillRules;
use super::market::QUOTE_AGE_MAX;
use super::problem::Problem;
use super::request::{Amount, OrderRequest};
use super::store::{AccountRow, Record, Row, StoredAccount};
use super::views::Configuration;
use super::wire;

/// The margin that the service grants intraday.
const MARGIN_MULTIPLIER: u32 = 4;

/// One account.
#[derive(Debug)]
pub(super) struct Desk {
    pub number: u32,
    pub key: String,
    pub exchange: Exchange,
    pub created_at: Timestamp,
    pub starting_cash: Money,
    pub configuration: Configuration,
    /// Every order it ever had.
    pub records: BTreeMap<OrderNumber, Record>,
    /// Every id that was ever used.
    pub ids: HashMap<ClientOrderId, OrderNumber>,
    /// Every execution, in order.
    pub executions: Vec<Execution>,
    /// The equity at each close.
    pub equity: Vec<(Timestamp, Money)>,
}

impl Desk {
    /// An account as it was; `marks` are the last prices of its symbols, which the market knows and the file does not.
    pub(super) fn of_store(stored: StoredAccount, rules: FillRules, marks: BTreeMap<Symbol, LastPrice>) -> Self {
        let row = stored.row;
        let mut state = ExchangeState::new(row.cash, row.session_open);
        state.last_equity = row.last_equity;
        state.extended_open = row.extended_open;
        state.orders_issued = row.orders_issued;
        state.executions_issued = row.executions_issued;
        state.holdings = stored.holdings;
        state.marks = marks;
        state.orders = stored.orders.iter().map(|record| record.book.clone()).collect();
        let mut exchange = Exchange::new(settings(&row.configuration, rules), state);
        exchange.retire_settled();
        let ids = stored.orders.iter().map(|record| (record.book.order.client_order_id.clone(), record.book.number));
        Self {
            number: stored.number,
            key: stored.key,
            exchange,
            created_at: row.created_at,
            starting_cash: row.starting_cash,
            configuration: row.configuration,
            ids: ids.collect(),
            records: stored.orders.into_iter().map(|record| (record.book.number, record)).collect(),
            executions: stored.executions,
            equity: stored.equity,
        }
    }

    pub(super) fn row(&self) -> Row {
        let state = self.exchange.state();
        Row::Account {
            number: self.number,
            key: self.key.clone(),
            row: Box::new(AccountRow {
                created_at: self.created_at,
                starting_cash: self.starting_cash,
                cash: state.cash,
                last_equity: state.last_equity,
                session_open: state.session_open,
                extended_open: state.extended_open,
                orders_issued: state.orders_issued,
                executions_issued: state.executions_issued,
                configuration: self.configuration.clone(),
            }),
        }
    }

    /// The id of an order that came without one.
    pub(super) fn made_id(&self) -> Result<ClientOrderId, Problem> {
        let next = OrderNumber(self.exchange.state().orders_issued.saturating_add(1));
        let text = format!("auto-{}", wire::order_id(self.number, next));
        text.parse().map_err(|_| Problem::internal("an id that was made cannot be read"))
    }

    /// The shares that are ordered.
    pub(super) fn quantity(&self, request: &OrderRequest, quote: Option<&Quote>) -> Result<Quantity, Problem> {
        let worth = match request.amount {
            Amount::Shares(quantity) => return Ok(quantity),
            Amount::Worth(worth) => worth,
        };
        let price = quote.map(|quote| match request.side {
            Side::Buy => quote.ask,
            Side::Sell => quote.bid,
        });
        let last = || self.exchange.state().marks.get(&request.symbol).map(|mark| mark.price);
        let price =
            price.or_else(last).ok_or_else(|| Problem::invalid(format!("no price of {} is known", request.symbol)))?;
        let quantity = worth.shares_at(price)?;
        if quantity.is_positive() {
            Ok(quantity)
        } else {
            Err(Problem::invalid("notional is less than a share's 10^-9"))
        }
    }

    /// The rules that need the account.
    pub(super) fn check(&self, request: &OrderRequest, quantity: Quantity) -> Result<(), Problem> {
        if self.configuration.suspend_trade {
            return Err(Problem::forbidden("trading is suspended by the account's configuration"));
        }
        let state = self.exchange.state();
        let fractional = quantity.floor_to_lot(Quantity::whole(1)) != quantity;
        if fractional && !self.configuration.fractional_trading {
            return Err(Problem::forbidden("fractional trading is off in the account's configuration"));
        }
        if fractional && request.side == Side::Sell && !state.held(request.symbol).is_positive() {
            return Err(Problem::forbidden("fractional orders cannot be sold short"));
        }
        if request.class_word != "simple" || matches!(request.order_type, OrderType::TrailingStop { .. }) {
            return Ok(());
        }
        self.check_wash_trade(request)
    }

    /// Refuses an order that might trade with another one of the same account.
    fn check_wash_trade(&self, request: &OrderRequest) -> Result<(), Problem> {
        let opposite = self.exchange.state().orders.iter().find(|book| {
            let order = &book.order;
            let meets = match (limit_of(request.order_type), limit_of(order.order_type)) {
                (Some(new), Some(old)) => match request.side {
                    Side::Buy => new >= old,
                    Side::Sell => new <= old,
                },
                _ => true,
            };
            order.symbol == request.symbol
                && order.side != request.side
                && !order.status.is_terminal()
                && order.role == OrderRole::Parent
                && order.class == OrderClass::Simple
                && book.terms.then.is_none()
                && !matches!(order.order_type, OrderType::TrailingStop { .. })
                && meets
        });
        match opposite {
            None => Ok(()),
            Some(book) => Err(Problem::forbidden("potential wash trade detected. use complex orders")
                .with("existing_order_id", wire::order_id(self.number, book.number))
                .with("reject_reason", "opposite side order exists")),
        }
    }
}

/// The price at which an order may rest in the book; `None` for one that trades at the market.
const fn limit_of(order_type: OrderType) -> Option<Price> {
    match order_type {
        OrderType::Limit { limit } => Some(limit),
        OrderType::Market | OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => {
            None
        }
    }
}

/// The engine's settings for an account: no fees, as the service's paper trading has it.
pub(super) fn settings(configuration: &Configuration, rules: FillRules) -> ExchangeSettings {
    ExchangeSettings {
        slippage: rules.slippage,
        participation: rules.participation,
        allow_short: !configuration.no_shorting,
        margin_multiplier: configuration.max_margin_multiplier.parse().unwrap_or(MARGIN_MULTIPLIER),
        quote_age_max_s: u32::try_from(QUOTE_AGE_MAX.as_secs()).unwrap_or(u32::MAX),
        ..ExchangeSettings::default()
    }
}

/// The order that closes so many shares of a position.
pub(super) fn closing(symbol: Symbol, held: Quantity, quantity: Quantity) -> OrderRequest {
    OrderRequest {
        client_order_id: None,
        symbol,
        side: if held.is_negative() { Side::Buy } else { Side::Sell },
        amount: Amount::Shares(quantity),
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Simple,
        terms: Terms::default(),
        class_word: "simple",
        position_intent: None,
    }
}
