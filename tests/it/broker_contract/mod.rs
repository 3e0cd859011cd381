//! What every broker must do, whoever is behind it: one suite, written against the port.
//!
//! An adapter joins by implementing [`Venue`] and naming itself in `contract!` below. A test is one
//! day at one venue: the market does something, time passes, the broker is asked.

mod account;
mod commissions;
mod entries;
mod exits;
mod lookups;
pub mod over_gateway;
mod over_http;
mod refusals;
mod restarts;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use daybook::adapters::brokers::paper::{Durability, PaperBroker, PaperError};
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::ports::{Broker, BrokerError, Clock};
use daybook_core::calendar::Calendar;
use daybook_core::exchange::ExchangeSettings;
use daybook_core::market::MINUTE;
use daybook_core::money::{Bps, Price, Quantity};
use daybook_core::order::{
    ClientOrderId, Fill, Order, OrderClass, OrderRole, OrderStatus, OrderTicket, OrderType, Side, TimeInForce,
};
use daybook_core::risk::{Approved, Verdict, approve_entry, approve_exit, approve_protection};
use daybook_core::time::Timestamp;
use tempfile::TempDir;

use crate::support::market::{ScriptedMarket, cents, new_york};

/// A broker that trades on a scripted market.
pub trait Venue: Sized {
    /// Opens a fresh account of 100,000 dollars under these rules, when the clock shows `start`.
    async fn open(settings: ExchangeSettings, start: Timestamp) -> Self;
    /// The broker under test.
    fn broker(&self) -> &dyn Broker;
    /// What its market does.
    fn market(&self) -> &ScriptedMarket;
    /// Lets time pass; nobody calls the broker meanwhile.
    async fn wait_until(&self, instant: Timestamp);
    /// Kills the broker and brings it up again.
    async fn restart(&mut self);
    /// The account's owner sends an order with another program.
    async fn by_hand(&self, ticket: &OrderTicket);
    /// What stands in a refusal of this venue where the paper broker says `words`.
    fn says(words: &'static str) -> &'static str {
        words
    }
}

/// The paper broker with its file in a folder of its own.
pub struct PaperVenue {
    broker: PaperBroker,
    settings: ExchangeSettings,
    market: Arc<ScriptedMarket>,
    clock: Arc<SimulatedClock>,
    folder: TempDir,
}

impl PaperVenue {
    /// The file of the account.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("paper.db")
    }

    /// Another broker on the account's file, or on a copy of it.
    pub fn broker_on(&self, path: &Path) -> PaperBroker {
        self.try_broker_on(path).unwrap()
    }

    /// The same, for a file that may be none.
    pub fn try_broker_on(&self, path: &Path) -> Result<PaperBroker, PaperError> {
        let (market, clock) = (Arc::clone(&self.market), Arc::clone(&self.clock));
        PaperBroker::open(path, Durability::Kill, self.settings.clone(), market, clock, Calendar::xnys())
    }
}

impl Venue for PaperVenue {
    async fn open(settings: ExchangeSettings, start: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let market = Arc::new(ScriptedMarket::default());
        let clock = Arc::new(SimulatedClock::new(start, Speed::Max));
        let (feed, wall) = (Arc::clone(&market), Arc::clone(&clock));
        let path = folder.path().join("paper.db");
        let broker =
            PaperBroker::open(&path, Durability::Kill, settings.clone(), feed, wall, Calendar::xnys()).unwrap();
        Self { broker, settings, market, clock, folder }
    }

    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn market(&self) -> &ScriptedMarket {
        &self.market
    }

    async fn wait_until(&self, instant: Timestamp) {
        self.clock.sleep_until(instant).await;
    }

    async fn restart(&mut self) {
        self.broker = self.broker_on(&self.path());
    }

    async fn by_hand(&self, ticket: &OrderTicket) {
        self.broker.submit(&approved(ticket)).await.unwrap();
    }
}

/// Makes each contract function a test of each venue.
macro_rules! contract {
    ($venue:ident => $($module:ident: $($name:ident),+;)+) => {
        $(mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    crate::broker_contract::$module::$name::<super::$venue>().await;
                }
            )+
        })+
    };
}

/// All of it.
macro_rules! whole_contract {
    ($venue:ident) => {
        contract! { $venue =>
            entries: a_market_entry_fills_on_the_quote, a_limit_entry_fills_at_its_limit_or_better,
                     legs_wait_for_the_whole_entry, a_canceled_entry_leaves_the_shares_that_it_bought,
                     an_entry_before_the_open_is_parked, a_short_entry_is_bought_back,
                     class_shares_trade_under_their_name;
            exits: the_stop_ends_the_trade, the_target_ends_the_trade, a_bar_that_reaches_both_is_a_loss,
                   every_type_of_exit, a_pair_protects_what_is_held, a_stop_is_moved,
                   a_stop_that_was_hit_meanwhile_is_not_moved, nothing_fills_in_a_halt, shares_are_sold_once,
                   day_orders_end_at_an_early_close;
            lookups: an_order_is_found_under_its_id_with_its_legs, orders_are_found_by_the_brokers_id,
                     fills_come_in_pages, an_id_is_used_once, an_order_by_hand_is_shown_as_what_it_is;
            refusals: refusals_say_why_and_leave_nothing_behind, a_cancel_that_comes_too_late_is_refused,
                      a_cancel_takes_the_group_with_it;
            restarts: a_bracket_protects_while_nobody_looks, working_orders_outlive_the_process,
                      a_moved_stop_stays_in_its_group, an_entry_goes_on_filling_after_a_restart,
                      how_often_it_is_asked_does_not_matter;
            account: the_account_adds_up;
        }
    };
}

mod paper {
    use super::PaperVenue;

    whole_contract! { PaperVenue }
    contract! { PaperVenue => commissions: an_open_order_sets_its_commission_aside; }
}

mod exchange {
    use super::over_http::ExchangeVenue;

    whole_contract! { ExchangeVenue }
}

mod gateway {
    use super::over_gateway::GatewayVenue;

    whole_contract! { GatewayVenue }
}

/// No slippage: the prices in the tests are those of the script.
pub fn exact() -> ExchangeSettings {
    ExchangeSettings { slippage: Bps::ZERO, ..ExchangeSettings::default() }
}

/// A full Monday.
const MONDAY: &str = "2026-11-16";

/// An instant of that Monday in New York.
pub fn at(wall: &str) -> Timestamp {
    new_york(MONDAY, wall)
}

/// A venue on that Monday, with AAPL at 100.00 before it.
pub async fn monday<V: Venue>(settings: ExchangeSettings, wall: &str) -> V {
    let venue = V::open(settings, at(wall)).await;
    venue.market().minute("AAPL", at("09:00"), [10_000; 4]);
    venue
}

pub fn id(text: &str) -> ClientOrderId {
    text.parse().unwrap()
}

pub const fn limit(price: i64) -> OrderType {
    OrderType::Limit { limit: cents(price) }
}

const fn stop(price: i64) -> OrderType {
    OrderType::Stop { stop: cents(price) }
}

fn ticket(name: &str, side: Side, shares: i64, order_type: OrderType) -> OrderTicket {
    OrderTicket {
        client_order_id: id(name),
        symbol: "AAPL".parse().unwrap(),
        side,
        quantity: Quantity::whole(shares),
        order_type,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Simple,
    }
}

/// A bracket that buys, with its stop and its target in cents.
pub fn bracket(name: &str, shares: i64, order_type: OrderType, stop_loss: i64, take_profit: i64) -> OrderTicket {
    let class = OrderClass::Bracket { take_profit: cents(take_profit), stop_loss: cents(stop_loss) };
    OrderTicket { class, ..ticket(name, Side::Buy, shares, order_type) }
}

pub fn sell(name: &str, shares: i64, order_type: OrderType) -> OrderTicket {
    ticket(name, Side::Sell, shares, order_type)
}

/// A pair that sells: its target is the order's own limit.
pub fn pair(name: &str, shares: i64, stop_loss: i64, take_profit: i64) -> OrderTicket {
    OrderTicket { class: OrderClass::Oco { stop_loss: cents(stop_loss) }, ..sell(name, shares, limit(take_profit)) }
}

/// Risk's approval of whatever the test wants to send: the broker is what is tested here.
pub fn approved(ticket: &OrderTicket) -> Approved<OrderTicket> {
    let verdict = Verdict { quantity: Some(ticket.quantity), refused_by: None, checks: Vec::new() };
    let held = ticket.side.opposite().signed(ticket.quantity);
    let entry = approve_entry(ticket.clone(), &verdict);
    let protection = |_| approve_protection(ticket.clone(), held);
    entry.or_else(protection).or_else(|_| approve_exit(ticket.clone(), held)).unwrap()
}

pub async fn send<V: Venue>(venue: &V, ticket: &OrderTicket) -> Result<Vec<Order>, BrokerError> {
    venue.broker().submit(&approved(ticket)).await
}

/// Buys shares at 100.00 in the minute before `wall`, without legs in the way.
pub async fn holds<V: Venue>(venue: &V, shares: i64, wall: &str) {
    let start = at(wall).before(MINUTE);
    venue.wait_until(start).await;
    let orders = send(venue, &bracket("opening", shares, limit(10_000), 100, 100_000)).await.unwrap();
    venue.market().minute("AAPL", start, [10_000; 4]);
    venue.wait_until(at(wall)).await;
    venue.broker().cancel(&orders[1].broker_order_id).await.unwrap();
    assert_eq!(held(venue).await, shares);
}

/// AAPL shares held.
pub async fn held<V: Venue>(venue: &V) -> i64 {
    let positions = venue.broker().positions().await.unwrap();
    positions.iter().map(|position| position.quantity.0 / Quantity::UNIT).sum()
}

pub async fn fills<V: Venue>(venue: &V) -> Vec<Fill> {
    let mut fills = Vec::new();
    let mut cursor = None;
    loop {
        let page = venue.broker().fills(cursor.as_deref()).await.unwrap();
        fills.extend(page.fills);
        if !page.more {
            return fills;
        }
        cursor = Some(page.cursor);
    }
}

/// Each fill as side, shares and price.
async fn told<V: Venue>(venue: &V) -> Vec<(Side, i64, Price)> {
    let fills = fills(venue).await;
    fills.iter().map(|fill| (fill.side, fill.quantity.0 / Quantity::UNIT, fill.price)).collect()
}

/// The order with its legs, by role and state.
async fn states<V: Venue>(venue: &V, name: &str) -> Vec<(OrderRole, OrderStatus)> {
    let orders = venue.broker().orders_by_client_id(&id(name)).await.unwrap();
    orders.iter().map(|order| (order.role, order.status)).collect()
}
