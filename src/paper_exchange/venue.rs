//! The accounts and the market on one clock.

mod passing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::Timelike as _;
use daybook_core::calendar::{Calendar, MarketPhase};
use daybook_core::exchange::{Amendment, Exchange, ExchangeState, ExecutionNumber, OrderNumber, Refusal, Timing};
use daybook_core::market::{Quote, Symbol};
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{OrderStatus, OrderTicket};
use daybook_core::time::Timestamp;
use serde::Serialize;
use tokio::sync::{broadcast, oneshot};

use super::FillRules;
use super::desk::{Desk, settings};
use super::market::{Market, Tick};
use super::problem::Problem;
use super::request::{Amount, OrderRequest};
use super::store::{Note, Record, Row, Stored, Writer};
use super::views::Configuration;
use super::wire::{self, OrderDocument};
use crate::ports::FeedError;

/// How much time may go by without a change before it is kept all the same: a simulated clock goes on from there.
const KEPT_EVERY: Duration = Duration::from_secs(60);

/// A price beyond this is a typing error, and would not be countable.
pub(super) const PRICE_MAX: Price = Price(1_000_000 * Price::UNIT);

/// Something that happened to an account's order, as `trade_updates` tells it.
#[derive(Debug)]
pub(super) struct Update {
    /// The account's place.
    pub account: usize,
    /// Its number.
    number: u32,
    event: &'static str,
    at: Timestamp,
    /// The order as it was then.
    record: Record,
    /// What filled, and what was held afterwards.
    fill: Option<(ExecutionNumber, Price, Quantity, Quantity)>,
}

/// The same as the stream has it.
#[derive(Debug, Serialize)]
pub(super) struct UpdateDocument {
    event: &'static str,
    at: Timestamp,
    timestamp: Timestamp,
    order: OrderDocument,
    #[serde(flatten)]
    fill: Option<FillDocument>,
}

#[derive(Debug, Serialize)]
struct FillDocument {
    execution_id: String,
    price: Price,
    qty: Quantity,
    position_qty: Quantity,
}

impl Update {
    pub(super) fn document(&self) -> UpdateDocument {
        let Self { number, event, at, record, fill, .. } = self;
        UpdateDocument {
            event,
            at: *at,
            timestamp: *at,
            order: OrderDocument::of(*number, record, None),
            fill: fill.map(|(execution, price, qty, position_qty)| FillDocument {
                execution_id: wire::execution_id(*number, execution),
                price,
                qty,
                position_qty,
            }),
        }
    }
}

/// What a venue is made of, beside its market.
pub(super) struct Settings {
    pub calendar: Calendar,
    /// The accounts' keys.
    pub keys: Vec<String>,
    /// The cash of a new account.
    pub cash: Money,
    pub rules: FillRules,
    /// Whether the market is looked at all the time.
    pub watched: bool,
}

/// Accounts, market and time, and what of it is not written yet.
pub(super) struct Venue {
    pub market: Market,
    pub calendar: Calendar,
    pub desks: Vec<Desk>,
    pub advanced_to: Timestamp,
    /// The symbols in which nothing trades now.
    pub halted: BTreeSet<Symbol>,
    /// Cancels that were accepted and take effect later: when, of which account, which order.
    late_cancels: Vec<(Timestamp, usize, OrderNumber)>,
    cash: Money,
    rules: FillRules,
    /// Whether quotes fill orders as they come; otherwise bars do.
    watched: bool,
    writer: Writer,
    /// The time that stands in the file.
    kept: Timestamp,
    rows: Vec<Row>,
    updates: Vec<Update>,
    publish: broadcast::Sender<Arc<Update>>,
    /// The quote that each symbol's orders were held against last.
    quoted: BTreeMap<Symbol, Quote>,
    quoted_at: Timestamp,
}

impl Venue {
    pub(super) async fn new(
        market: Market,
        settings: Settings,
        stored: Stored,
        now: Timestamp,
        writer: Writer,
    ) -> Result<Self, FeedError> {
        let Settings { calendar, keys, cash, rules, watched } = settings;
        let (publish, _) = broadcast::channel(UPDATES_MAX);
        let mut venue = Self {
            market,
            calendar,
            desks: Vec::new(),
            advanced_to: stored.advanced_to.unwrap_or(now),
            halted: stored.halted,
            late_cancels: Vec::new(),
            cash,
            rules,
            watched,
            writer,
            kept: stored.advanced_to.unwrap_or_default(),
            rows: Vec::new(),
            updates: Vec::new(),
            publish,
            quoted: BTreeMap::new(),
            quoted_at: Timestamp::default(),
        };
        for (symbol, tick) in stored.prices {
            venue.market.steer(symbol, tick);
        }
        for account in stored.accounts {
            let mut marks = BTreeMap::new();
            for symbol in account.symbols() {
                marks.extend(venue.market.last_price(symbol, venue.advanced_to).await?.map(|last| (symbol, last)));
            }
            let late = |record: &Record| Some((record.note.cancel_at?, venue.desks.len(), record.book.number));
            let open = account.orders.iter().filter(|record| !record.book.order.status.is_terminal());
            venue.late_cancels.extend(open.filter_map(late).collect::<Vec<_>>());
            venue.desks.push(Desk::of_store(account, rules, marks));
        }
        for key in keys {
            venue.open_account(key);
        }
        Ok(venue)
    }

    /// A new account, unless there is one of this key.
    fn open_account(&mut self, key: String) {
        if self.desks.iter().any(|desk| desk.key == key) {
            return;
        }
        let at = self.advanced_to;
        let phase = self.calendar.phase_at(at);
        let mut state = ExchangeState::new(self.cash, phase == MarketPhase::Trading);
        state.extended_open = phase != MarketPhase::Closed;
        let configuration = Configuration::default();
        let desk = Desk {
            // Bounded by the keys of a command line.
            number: u32::try_from(self.desks.len()).unwrap_or(u32::MAX).saturating_add(1),
            key,
            exchange: Exchange::new(settings(&configuration, self.rules), state),
            created_at: at,
            starting_cash: self.cash,
            configuration,
            records: BTreeMap::new(),
            ids: HashMap::new(),
            executions: Vec::new(),
            equity: Vec::new(),
        };
        self.rows.push(desk.row());
        self.desks.push(desk);
    }

    /// Forgets everything: the accounts are new again.
    pub(super) fn reset(&mut self) {
        let keys: Vec<String> = self.desks.drain(..).map(|desk| desk.key).collect();
        self.market.release_all();
        self.halted.clear();
        self.late_cancels.clear();
        self.quoted.clear();
        self.rows.push(Row::Clear);
        for key in keys {
            self.open_account(key);
        }
    }

    /// What time it is goes into the file with the next change that does.
    pub(super) fn keep_time(&mut self) {
        self.rows.push(Row::Venue { advanced_to: self.advanced_to });
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Update>> {
        self.publish.subscribe()
    }

    /// The account of this key.
    pub(super) fn account(&self, key: &str) -> Option<usize> {
        self.desks.iter().position(|desk| desk.key == key)
    }

    pub(super) fn desk(&self, account: usize) -> Result<&Desk, Problem> {
        self.desks.get(account).ok_or_else(Problem::unauthorized)
    }

    fn desk_mut(&mut self, account: usize) -> Result<&mut Desk, Problem> {
        self.desks.get_mut(account).ok_or_else(Problem::unauthorized)
    }

    /// Hands over what has changed. The answer comes once it is on the disk; `None` if nothing has.
    pub(super) fn flush(&mut self) -> Option<oneshot::Receiver<()>> {
        let is_late = self.advanced_to.since(self.kept) >= KEPT_EVERY;
        if self.rows.is_empty() && self.updates.is_empty() && !is_late {
            return None;
        }
        self.kept = self.advanced_to;
        let mut rows = std::mem::take(&mut self.rows);
        rows.push(Row::Venue { advanced_to: self.advanced_to });
        let (updates, publish) = (std::mem::take(&mut self.updates), self.publish.clone());
        let then = move || {
            for update in updates {
                // Nobody may be listening.
                let _ = publish.send(Arc::new(update));
            }
        };
        Some(self.writer.write(rows, Box::new(then)))
    }

    /// What a share of each symbol that an account holds is worth, where a quote is later than what traded last.
    pub(super) async fn prices(&self, account: usize) -> Result<BTreeMap<Symbol, Price>, Problem> {
        let state = self.desk(account)?.exchange.state();
        let mut prices = BTreeMap::new();
        for symbol in state.holdings.keys().copied() {
            let marked_at = state.marks.get(&symbol).map(|mark| mark.at);
            let quote = self.market.quote(symbol, self.advanced_to).await?;
            if let Some(quote) = quote.filter(|quote| Some(quote.at) >= marked_at) {
                prices.insert(symbol, quote.midpoint()?);
            }
        }
        Ok(prices)
    }

    /// The symbols whose prices matter to anybody.
    fn symbols(&self) -> BTreeSet<Symbol> {
        self.desks.iter().flat_map(|desk| desk.exchange.state().symbols()).collect()
    }

    /// Sets a symbol's price from now on, and lets it fill what it fills.
    pub(super) async fn set_price(
        &mut self,
        symbol: Symbol,
        price: Price,
        size: Option<Quantity>,
    ) -> Result<(), Problem> {
        let tick = Tick { at: self.advanced_to, price, size };
        self.market.steer(symbol, tick);
        self.rows.push(Row::Price { symbol, tick });
        self.quoted.remove(&symbol);
        self.meet_quote(symbol).await
    }

    /// Halts trading in a symbol, or lets it go on.
    pub(super) async fn halt(&mut self, symbol: Symbol, halted: bool) -> Result<(), Problem> {
        let changed = if halted { self.halted.insert(symbol) } else { self.halted.remove(&symbol) };
        if !changed {
            return Ok(());
        }
        self.rows.push(Row::Halt { symbol, halted });
        self.quoted.remove(&symbol);
        if self.market.is_steered(symbol) { self.meet_quote(symbol).await } else { Ok(()) }
    }

    /// Takes an order.
    pub(super) async fn submit(&mut self, account: usize, request: &OrderRequest) -> Result<OrderNumber, Problem> {
        let (symbol, side, now) = (request.symbol, request.side, self.advanced_to);
        if !self.market.lists(symbol) {
            return Err(Problem::invalid(format!("asset \"{symbol}\" not found")));
        }
        self.check_auction(request.terms.timing, now)?;
        let quote = self.market.quote_to_fill(symbol, now).await?;
        let quote = quote.filter(|_| !self.halted.contains(&symbol));
        let desk = self.desk(account)?;
        let client_order_id = match &request.client_order_id {
            Some(id) if desk.ids.contains_key(id) => return Err(Problem::duplicate_id()),
            Some(id) => id.clone(),
            None => desk.made_id()?,
        };
        let quantity = desk.quantity(request, quote.as_ref())?;
        desk.check(request, quantity)?;
        let note = Note {
            class: request.class_word.to_owned(),
            notional: match request.amount {
                Amount::Worth(worth) => Some(worth),
                Amount::Shares(_) => None,
            },
            position_intent: request.position_intent.clone(),
            ..Note::default()
        };
        let ticket = OrderTicket {
            client_order_id,
            symbol,
            side,
            quantity,
            order_type: request.order_type,
            time_in_force: request.time_in_force,
            class: request.class,
        };
        let desk = self.desk_mut(account)?;
        let orders = desk
            .exchange
            .submit_on(&ticket, request.terms, now, quote.as_ref())
            .map_err(|refusal| Problem::of_refusal(refusal, side))?;
        let number = orders.first().and_then(|order| order.broker_order_id.parse().ok());
        let filled = orders.first().map(|order| order.filled).unwrap_or_default();
        self.collect(account, &note, now)?;
        self.take(symbol, filled);
        number.ok_or_else(|| Problem::internal("the engine took an order and named none"))
    }

    /// Auction orders are taken until shortly before their auction, and again in the evening.
    fn check_auction(&self, timing: Timing, now: Timestamp) -> Result<(), Problem> {
        let minutes = {
            let wall = now.in_zone(self.calendar.zone());
            wall.hour() * 60 + wall.minute()
        };
        // 09:28 or 15:50, until 19:00, in minutes of the day.
        let (word, closed) = match timing {
            Timing::AtOpen => ("opg", 568..1_140),
            Timing::AtClose => ("cls", 950..1_140),
            Timing::Resting | Timing::ImmediateOrCancel | Timing::FillOrKill => return Ok(()),
        };
        if self.calendar.session_containing(now).is_some() && closed.contains(&minutes) {
            return Err(Problem::invalid(format!("{word} orders are not accepted at this time of day")));
        }
        Ok(())
    }

    /// Cancels an order and its group, at once or in a while.
    pub(super) fn cancel(
        &mut self,
        account: usize,
        number: OrderNumber,
        late: Option<Duration>,
    ) -> Result<(), Problem> {
        let now = self.advanced_to;
        let desk = self.desk_mut(account)?;
        let record = desk.records.get(&number).ok_or_else(|| Problem::not_found("order not found"))?;
        let status = record.book.order.status;
        if status == OrderStatus::Canceled {
            return Ok(());
        }
        if status.is_terminal() {
            return Err(Problem::invalid(format!("order is already in \"{}\" state", status.as_str())));
        }
        if record.note.cancel_at.is_some() {
            return Ok(());
        }
        if let Some(late) = late {
            return self.cancel_late(account, number, now.after(late));
        }
        desk.exchange.cancel(&number.to_string(), now)?;
        self.collect(account, &Note::default(), now)
    }

    fn cancel_late(&mut self, account: usize, number: OrderNumber, at: Timestamp) -> Result<(), Problem> {
        let now = self.advanced_to;
        let desk = self.desk_mut(account)?;
        let Some(record) = desk.records.get_mut(&number) else { return Ok(()) };
        record.note.cancel_at = Some(at);
        let (record, account_number) = (record.clone(), desk.number);
        self.updates.push(Update {
            account,
            number: account_number,
            event: PENDING_CANCEL,
            at: now,
            record: record.clone(),
            fill: None,
        });
        self.rows.push(Row::Order { account: account_number, record: Box::new(record) });
        self.late_cancels.push((at, account, number));
        Ok(())
    }

    /// Replaces an order; the answer is the new one's number.
    pub(super) async fn amend(
        &mut self,
        account: usize,
        number: OrderNumber,
        amendment: &Amendment,
    ) -> Result<OrderNumber, Problem> {
        let now = self.advanced_to;
        let desk = self.desk_mut(account)?;
        let record = desk.records.get(&number).ok_or_else(|| Problem::not_found("order not found"))?.clone();
        let order = &record.book.order;
        if order.status == OrderStatus::Replaced {
            return Err(Problem::invalid("order already replaced"));
        }
        if order.status.is_terminal() {
            return Err(Problem::invalid(format!("order is already in \"{}\" state", order.status.as_str())));
        }
        if record.note.cancel_at.is_some() {
            return Err(Problem::invalid(format!("cannot replace order in {PENDING_CANCEL} status")));
        }
        if record.note.notional.is_some() {
            return Err(Problem::invalid("notional orders cannot be replaced"));
        }
        if record.note.class == "oto" {
            return Err(Problem::invalid("oto orders cannot be replaced"));
        }
        if order.quantity.floor_to_lot(Quantity::whole(1)) != order.quantity && amendment.quantity.is_some() {
            return Err(Problem::invalid("fractional qty cannot be replaced"));
        }
        if record.note.class != "simple" && amendment.quantity.is_some_and(|quantity| quantity != order.quantity) {
            return Err(Problem::invalid("qty of a complex order cannot be replaced"));
        }
        if amendment.quantity.is_some_and(|quantity| quantity <= order.filled) {
            return Err(Problem::invalid("qty must be > filled_qty"));
        }
        if amendment.client_order_id.as_ref().is_some_and(|id| desk.ids.contains_key(id)) {
            return Err(Problem::duplicate_id());
        }
        let new = desk
            .exchange
            .amend(&number.to_string(), amendment, now)
            .map_err(|refusal: Refusal| Problem::of_refusal(refusal, order.side))?;
        let new: OrderNumber =
            new.broker_order_id.parse().map_err(|_| Problem::internal("the engine named an order in another way"))?;
        if let Some(old) = desk.records.get_mut(&number) {
            old.note.replaced_by = Some(new);
        }
        let note = Note { replaces: Some(number), replaced_by: None, cancel_at: None, ..record.note };
        self.collect(account, &note, now)?;
        self.quoted.remove(&record.book.order.symbol);
        self.meet_quote(record.book.order.symbol).await?;
        Ok(new)
    }

    /// Sets an account's configuration.
    pub(super) fn configure(&mut self, account: usize, configuration: Configuration) -> Result<(), Problem> {
        let rules = self.rules;
        let desk = self.desk_mut(account)?;
        let state = desk.exchange.state().clone();
        desk.exchange = Exchange::new(settings(&configuration, rules), state);
        desk.configuration = configuration;
        let row = desk.row();
        self.rows.push(row);
        Ok(())
    }

    /// Takes note of what the engine has changed in an account: rows to write, and what is told.
    fn collect(&mut self, account: usize, note: &Note, at: Timestamp) -> Result<(), Problem> {
        let Some(desk) = self.desks.get_mut(account) else { return Ok(()) };
        let changes = desk.exchange.take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        let number = desk.number;
        let told = |event: &'static str, record: Record| Update { account, number, event, at, record, fill: None };
        let mut ended = Vec::new();
        let mut before: BTreeMap<OrderNumber, Record> = BTreeMap::new();
        for changed in &changes.orders {
            let Some(book) = desk.exchange.state().orders.get(*changed) else { continue };
            let old = desk.records.get(changed);
            let record = Record { book: book.clone(), note: old.map_or_else(|| note.clone(), |old| old.note.clone()) };
            match old {
                Some(old) => drop(before.insert(*changed, old.clone())),
                None => {
                    let mut first = record.clone();
                    first.book.order.filled = Quantity::ZERO;
                    first.book.order.average_price = None;
                    first.book.filled_value = Money::ZERO;
                    let parked = matches!(book.order.status, OrderStatus::Accepted | OrderStatus::Held);
                    if !parked {
                        first.book.order.status = OrderStatus::New;
                    }
                    let event = first.book.order.status.as_str();
                    self.updates.push(told(event, first.clone()));
                    desk.ids.insert(record.book.order.client_order_id.clone(), *changed);
                    before.insert(*changed, first);
                }
            }
            ended.push((*changed, record.clone()));
            desk.records.insert(*changed, record);
        }
        // The position after each execution, going forward from where it was before the first.
        let mut held: BTreeMap<Symbol, Quantity> = BTreeMap::new();
        for execution in changes.executions.iter().rev() {
            let fill = &execution.fill;
            let after = held.entry(fill.symbol).or_insert_with(|| desk.exchange.state().held(fill.symbol));
            *after = after.minus(fill.side.signed(fill.quantity))?;
        }
        for execution in changes.executions {
            let fill = &execution.fill;
            if let Some(record) = before.get_mut(&execution.order) {
                let book = &mut record.book;
                book.filled_value = book.filled_value.plus(fill.price.times(fill.quantity)?)?;
                let order = &mut book.order;
                order.filled = order.filled.plus(fill.quantity)?;
                order.average_price = Some(book.filled_value.per_share(order.filled)?);
                order.updated_at = fill.at;
                let whole =
                    desk.records.get(&execution.order).is_some_and(|record| order.filled >= record.book.order.quantity);
                order.status = if whole { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
                let position = held.entry(fill.symbol).or_default();
                *position = position.plus(fill.side.signed(fill.quantity))?;
                let event = if whole { "fill" } else { "partial_fill" };
                let fill = Some((execution.number, fill.price, fill.quantity, *position));
                self.updates.push(Update { fill, ..told(event, record.clone()) });
            }
            self.rows.push(Row::Execution { account: number, execution: Box::new(execution.clone()) });
            desk.executions.push(execution);
        }
        for (changed, record) in ended {
            let (status, was) = (record.book.order.status, before.get(&changed).map(|old| old.book.order.status));
            let tells = match status {
                OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Replaced | OrderStatus::Rejected => true,
                OrderStatus::New => true,
                OrderStatus::Accepted
                | OrderStatus::Held
                | OrderStatus::PartiallyFilled
                | OrderStatus::PendingCancel
                | OrderStatus::Filled => false,
            };
            if tells && was != Some(status) {
                self.updates.push(told(status.as_str(), record.clone()));
            }
            self.rows.push(Row::Order { account: number, record: Box::new(record) });
        }
        for symbol in changes.holdings {
            let holding = desk.exchange.state().holdings.get(&symbol).copied();
            self.rows.push(Row::Position { account: number, symbol, holding });
        }
        self.rows.push(desk.row());
        desk.exchange.retire_settled();
        Ok(())
    }
}

/// The status of an order whose cancel was accepted and has not taken effect.
pub(super) const PENDING_CANCEL: &str = "pending_cancel";

/// So many events may wait for a listener: some seconds at the fastest rate that is promised.
const UPDATES_MAX: usize = 65_536;
