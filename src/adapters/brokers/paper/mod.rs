//! The paper broker: an exchange and an account of its own, as far away as a real broker's.
//!
//! It knows nothing of the ledger and keeps a file of its own, so that reconciling with it means
//! something. What trades is [`daybook_core::exchange`]; this folder gives it a market, a clock and a
//! memory.
//!
//! Nobody calls a paper broker when the market moves. So every call first lets happen what has
//! happened in the meantime: it reads the bars that were completed since, of the symbols with
//! positions or working orders, and applies them with the opens and closes of the sessions in the
//! order in which they became known. The outcome is the same whether it is called every second
//! or was down for an hour; only what is bought and sold at which instant matters.
//!
//! Whatever changes is committed before the call returns: orders, executions, positions and how far
//! the market was followed, in one transaction. After a kill it goes on from there and meets the same
//! bars again.

mod codec;
mod error;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use daybook_core::calendar::{Calendar, MarketPhase};
use daybook_core::exchange::{
    ChangeRefusal, Exchange, ExchangeSettings, ExchangeState, ExecutionNumber, Holding, MarketEvent, OrderNumber,
    Refusal,
};
use daybook_core::market::{MINUTE, Symbol};
use daybook_core::money::{MoneyError, Price};
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use daybook_core::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use self::store::{Progress, Store, Stored};
use crate::ports::{Broker, BrokerError, Clock, FeedError, FillPage, MarketFeed, with_causes};

pub use error::PaperError;

/// The broker's name, for people.
const NAME: &str = "paper";

/// What the account's file outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: each commit waits for the disk.
    PowerCut,
    /// A kill of the process, but not a power cut: for simulations, which can be made again.
    Kill,
}

/// A broker whose exchange is simulated on a feed's prices.
pub struct PaperBroker {
    desk: Mutex<Desk>,
    settings: ExchangeSettings,
    feed: Arc<dyn MarketFeed>,
    clock: Arc<dyn Clock>,
    calendar: Calendar,
}

/// The account in memory, and the file it stands in.
struct Desk {
    store: Store,
    account_id: String,
    exchange: Exchange,
    progress: Progress,
    /// Whether the file may be ahead of memory: a commit was cut short.
    suspect: bool,
}

impl PaperBroker {
    /// Opens the account at `path`, or a new one with the settings' cash.
    ///
    /// # Errors
    /// If the file cannot be made or read, or is not a paper account of this program's version.
    pub fn open(
        path: &Path,
        durability: Durability,
        settings: ExchangeSettings,
        feed: Arc<dyn MarketFeed>,
        clock: Arc<dyn Clock>,
        calendar: Calendar,
    ) -> Result<Self, PaperError> {
        let mut store = Store::open(path, durability, || {
            let now = clock.wall();
            let session_open = calendar.phase_at(now) == MarketPhase::Trading;
            Stored {
                account_id: now.to_utc().format("paper-%Y%m%d%H%M%S").to_string(),
                state: ExchangeState::new(settings.starting_cash, session_open),
                progress: Progress { advanced_to: now, bars_from: BTreeMap::new() },
            }
        })?;
        let Stored { account_id, state, progress } = store.load()?;
        let exchange = Exchange::new(settings.clone(), state);
        let desk = Desk { store, account_id, exchange, progress, suspect: false };
        Ok(Self { desk: Mutex::new(desk), settings, feed, clock, calendar })
    }

    /// The name of an order that did not come from the ledger `ledger_id`; `None` if there is none.
    ///
    /// # Errors
    /// If the account cannot be read.
    pub async fn order_of_another(&self, ledger_id: &str) -> Result<Option<String>, PaperError> {
        self.desk.lock().await.store.order_of_another(ledger_id)
    }

    /// Every order that the broker ever took, legs included, in their order: its own record, which an audit compares.
    ///
    /// # Errors
    /// If the account cannot be read.
    pub async fn record(&self) -> Result<Vec<Order>, BrokerError> {
        self.desk().await?.store.orders().map_err(before_commit)
    }

    /// The desk, after everything has happened that is known by now.
    async fn desk(&self) -> Result<MutexGuard<'_, Desk>, BrokerError> {
        let mut desk = self.desk.lock().await;
        if desk.suspect || desk.store.is_overtaken().map_err(before_commit)? {
            desk.reload(&self.settings)?;
        }
        self.advance(&mut desk, self.clock.wall()).await?;
        Ok(desk)
    }

    /// Lets happen what became known up to `now`, one stretch between opens and closes after another.
    async fn advance(&self, desk: &mut Desk, now: Timestamp) -> Result<(), BrokerError> {
        while desk.progress.advanced_to < now {
            let from = desk.progress.advanced_to;
            let (open, close) = (self.calendar.next_open(from), self.calendar.next_close(from));
            let until = open.into_iter().chain(close).fold(now, Timestamp::min);
            let symbols = desk.exchange.state().symbols();
            let mut progress = Progress { advanced_to: until, ..desk.progress.clone() };
            let mut events = self.bars_until(until, symbols, &mut progress).await?;
            if close == Some(until) {
                events.push(MarketEvent::SessionClose { at: until });
            }
            if open == Some(until) {
                events.push(MarketEvent::SessionOpen { at: until });
            }
            events.sort_by_key(MarketEvent::order_key);
            desk.follow(&events, progress)?;
        }
        Ok(())
    }

    /// The bars of `symbols` that became complete by `until`.
    async fn bars_until(
        &self,
        until: Timestamp,
        symbols: BTreeSet<Symbol>,
        progress: &mut Progress,
    ) -> Result<Vec<MarketEvent>, BrokerError> {
        let mut events = Vec::new();
        for symbol in symbols {
            let from = progress.bars_from.entry(symbol).or_insert_with(|| until.floor_to(MINUTE));
            if from.after(MINUTE) > until {
                continue;
            }
            for bar in self.feed.minute_bars(symbol, *from, until).await.map_err(feed_down)? {
                let end = bar.minute_end();
                if bar.start >= *from && end <= until {
                    events.push(MarketEvent::BarRange { symbol, bar, end });
                    *from = end;
                }
            }
        }
        Ok(events)
    }

    /// Takes an order, reviewed or not: who has only [`Broker`] in hand cannot come here.
    async fn accept(&self, ticket: &OrderTicket) -> Result<Vec<Order>, BrokerError> {
        let mut desk = self.desk().await?;
        if desk.store.knows_client_id(&ticket.client_order_id).map_err(before_commit)? {
            return Err(duplicate(&ticket.client_order_id));
        }
        let now = desk.progress.advanced_to;
        let quote = self.feed.quote(ticket.symbol, now).await.map_err(|error| match error {
            FeedError::Retryable { .. } => feed_down(error),
            FeedError::Rejected { .. } => rejected(&error),
        })?;
        let mut progress = desk.progress.clone();
        // Unless its bars were followed before, the one under way is the first that concerns the order.
        progress.bars_from.entry(ticket.symbol).or_insert_with(|| now.floor_to(MINUTE));
        let mut exchange = desk.exchange.clone();
        let orders = exchange.submit(ticket, now, quote.as_ref()).map_err(|refusal| match refusal {
            Refusal::DuplicateId { client_order_id } => duplicate(&client_order_id),
            refusal => rejected(&refusal),
        })?;
        desk.commit(exchange, progress)?;
        Ok(orders)
    }
}

impl Desk {
    /// Reads the account again from its file.
    fn reload(&mut self, settings: &ExchangeSettings) -> Result<(), BrokerError> {
        let stored = self.store.load().map_err(before_commit)?;
        self.exchange = Exchange::new(settings.clone(), stored.state);
        self.progress = stored.progress;
        self.suspect = false;
        Ok(())
    }

    /// Applies events in their order, and commits what they change.
    fn follow(&mut self, events: &[MarketEvent], progress: Progress) -> Result<(), BrokerError> {
        if events.is_empty() {
            self.progress = progress;
            return Ok(());
        }
        let mut exchange = self.exchange.clone();
        for event in events {
            // A symbol whose last order has just ended does not matter any more, however many of its
            // bars were read at once.
            let matters = match event {
                MarketEvent::BarRange { symbol, .. } => exchange.state().matters(*symbol),
                MarketEvent::SessionOpen { .. }
                | MarketEvent::SessionClose { .. }
                | MarketEvent::ExtendedOpen { .. }
                | MarketEvent::ExtendedClose { .. }
                | MarketEvent::BarOpen { .. }
                | MarketEvent::Quote { .. } => true,
            };
            if matters {
                exchange.apply(event).map_err(uncountable)?;
            }
        }
        self.commit(exchange, progress)
    }

    /// Makes `exchange` the account, in the file first.
    fn commit(&mut self, mut exchange: Exchange, mut progress: Progress) -> Result<(), BrokerError> {
        let changes = exchange.take_changes();
        if !changes.is_empty() {
            let saved = self.store.save(exchange.state(), &changes, &progress);
            self.suspect = saved.is_err();
            saved.map_err(at_commit)?;
            exchange.retire_settled();
            progress.bars_from.retain(|symbol, _| exchange.state().matters(*symbol));
        }
        self.exchange = exchange;
        self.progress = progress;
        Ok(())
    }

    /// What became of a change that the exchange refuses because it has retired the order.
    fn settled(&self, broker_order_id: &str, refusal: ChangeRefusal) -> Result<ChangeRefusal, BrokerError> {
        let ChangeRefusal::Unknown { .. } = refusal else { return Ok(refusal) };
        let Ok(number) = broker_order_id.parse::<OrderNumber>() else { return Ok(refusal) };
        let order = self.store.order(number).map_err(before_commit)?;
        Ok(order.map_or(refusal, |order| ChangeRefusal::Ended {
            broker_order_id: broker_order_id.to_owned(),
            status: order.status,
        }))
    }
}

#[async_trait]
impl Broker for PaperBroker {
    fn name(&self) -> &str {
        NAME
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        let desk = self.desk().await?;
        let state = desk.exchange.state();
        let mut prices: BTreeMap<Symbol, Price> = BTreeMap::new();
        for symbol in state.holdings.keys().copied() {
            let quote = self.feed.quote(symbol, desk.progress.advanced_to).await.map_err(feed_down)?;
            let marked_at = state.marks.get(&symbol).map(|mark| mark.at);
            if let Some(quote) = quote.filter(|quote| quote.check().is_ok() && Some(quote.at) >= marked_at) {
                prices.insert(symbol, quote.midpoint().map_err(uncountable)?);
            }
        }
        let figures = desk.exchange.figures(&prices).map_err(uncountable)?;
        Ok(Account {
            account_id: desk.account_id.clone(),
            cash: figures.cash,
            equity: figures.equity,
            last_equity: figures.last_equity,
            buying_power: figures.buying_power,
            blocked: false,
        })
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let desk = self.desk().await?;
        let holdings = desk.exchange.state().holdings.iter();
        let position = |(symbol, holding): (&Symbol, &Holding)| BrokerPosition {
            symbol: *symbol,
            quantity: holding.quantity,
            average_price: holding.average_price,
        };
        Ok(holdings.map(position).collect())
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        let desk = self.desk().await?;
        let orders = desk.exchange.state().orders.iter().map(|book| &book.order);
        Ok(orders.filter(|order| !order.status.is_terminal()).cloned().collect())
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.desk().await?.store.orders_by_client_id(id).map_err(before_commit)
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        let desk = self.desk().await?;
        let numbers = broker_order_ids.iter().filter_map(|id| id.parse().ok());
        let orders = numbers.map(|number| desk.store.order(number).map_err(before_commit));
        orders.filter_map(Result::transpose).collect()
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.accept(ticket.get()).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        let mut desk = self.desk().await?;
        let (now, progress) = (desk.progress.advanced_to, desk.progress.clone());
        let mut exchange = desk.exchange.clone();
        match exchange.cancel(broker_order_id, now) {
            Ok(()) => desk.commit(exchange, progress),
            Err(refusal) => match desk.settled(broker_order_id, refusal)? {
                ChangeRefusal::Ended { status, .. } => {
                    ChangeRefusal::of_cancel(broker_order_id, status).map_err(|refusal| rejected(&refusal))
                }
                refusal => Err(rejected(&refusal)),
            },
        }
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        let mut desk = self.desk().await?;
        let (now, progress) = (desk.progress.advanced_to, desk.progress.clone());
        let mut exchange = desk.exchange.clone();
        match exchange.replace_stop(broker_order_id, stop, now) {
            Ok(order) => desk.commit(exchange, progress).map(|()| order),
            Err(refusal) => Err(rejected(&desk.settled(broker_order_id, refusal)?)),
        }
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        let desk = self.desk().await?;
        let after = match cursor {
            None => ExecutionNumber::default(),
            Some(text) => {
                let issued = 0..=desk.exchange.state().executions_issued;
                let number = text.parse().ok().filter(|number| issued.contains(number));
                ExecutionNumber(number.ok_or_else(|| unknown_cursor(text))?)
            }
        };
        let page = desk.store.fills(after).map_err(before_commit)?;
        Ok(FillPage { fills: page.fills, cursor: page.last.0.to_string(), more: page.more })
    }
}

fn rejected(reason: &dyn std::error::Error) -> BrokerError {
    BrokerError::Rejected { broker: NAME.to_owned(), reason: with_causes(reason) }
}

fn duplicate(client_order_id: &ClientOrderId) -> BrokerError {
    BrokerError::Duplicate { broker: NAME.to_owned(), client_order_id: client_order_id.clone() }
}

fn unknown_cursor(text: &str) -> BrokerError {
    let reason = format!("there is no fill {text} in this account: the cursor comes from another one");
    BrokerError::Rejected { broker: NAME.to_owned(), reason }
}

/// A market that cannot be read: nothing has happened yet, and the call may be made again.
fn feed_down(error: FeedError) -> BrokerError {
    BrokerError::Retryable { broker: NAME.to_owned(), reason: error.to_string() }
}

fn uncountable(error: MoneyError) -> BrokerError {
    rejected(&error)
}

/// A failure of the file before anything was committed.
fn before_commit(error: PaperError) -> BrokerError {
    BrokerError::Retryable { broker: NAME.to_owned(), reason: with_causes(&error) }
}

/// A failure of a write: of its commit, nobody knows whether it was made.
fn at_commit(error: PaperError) -> BrokerError {
    match error {
        PaperError::Commit { .. } => BrokerError::Unknown { broker: NAME.to_owned(), reason: with_causes(&error) },
        PaperError::Make { .. }
        | PaperError::NotAnAccount { .. }
        | PaperError::Newer { .. }
        | PaperError::Sqlite { .. }
        | PaperError::Overtaken { .. } => before_commit(error),
    }
}
