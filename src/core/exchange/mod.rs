//! The exchange: a matching engine and the account that trades on it, as a pure state machine.
//!
//! Orders and [`MarketEvent`]s go in, in the order in which they became known; executions and changed
//! orders come out as [`Changes`]. Nothing else has a say: feeding the same events and orders gives
//! the same executions, in whatever pieces they are fed, and whether or not the state was stored and
//! read back in between. The paper broker runs on it by the clock, a back-test by its bars.
//!
//! # When an order fills
//!
//! | order | on a quote | at a bar's open | in a bar's range |
//! |---|---|---|---|
//! | market | ask or bid | open | – |
//! | limit | ask or bid, if the limit or better | open, if the limit or better | the limit |
//! | stop | ask or bid, once it reaches the stop | open, if gapped through | the stop |
//! | stop-limit | as a stop, if the limit allows; else it is a limit order from then on | | |
//! | trailing stop | as a stop at its present level | | |
//!
//! Market orders and stops pay the slippage on top; limits never trade beyond their limit.
//!
//! - An order that comes in is held against the quote of that instant, if that is fresh. After that it
//!   waits for bars (and for quotes, where a venue feeds them).
//! - Only regular hours fill. What comes in outside them is `Accepted` and parked until the next open;
//!   day orders expire at the close.
//! - A bar tells four prices and not their order, so **the stop is assumed first** when a bar reaches a
//!   stop and a target.
//! - An order sees a whole bar if it was working when the bar began. Of the bar in which it began to
//!   work (it came in, or its entry filled inside), only its last part came later, and nobody knows
//!   which. So there a **stop that leaves a position is hit if the range reaches it**, and nothing
//!   else fills. A bracket whose entry fills at the open has the whole bar before it.
//! - A trailing stop is first held against the bar with the level from before it; then it follows the
//!   bar's best price; then the bar's close, which certainly came later, may hit the new level.
//! - With a participation bound the account takes no more than that part of a bar's volume (or of a
//!   quote's size); the rest waits. What is left of a stop that was hit is a market order. Volume is
//!   known at a bar's end, so then [`MarketEvent::BarOpen`] fills nothing: the range does, at the open.
//! - An execution at a bar's open carries the bar's start. One inside a bar carries its last
//!   millisecond, the earliest instant at which it is certain.
//!
//! # Groups
//!
//! A bracket's legs are `Held` until the entry has filled wholly, then both work. An exit that fills
//! cancels its counterpart; one that fills in part takes that part off the counterpart. A cancel of any order
//! cancels its group, so an entry that was filled in part and canceled leaves shares without a stop,
//! as it does at real brokers. Moving a stop replaces the order by a new one with a new number.
//!
//! # What is checked
//!
//! See [`Refusal`]. Shares that resting orders may sell are not free to be sold again; opening orders
//! set buying power aside. Short positions exist where the settings allow them. Buying power is
//! equity times the margin multiplier, less the value of all positions and what is set aside.
//!
//! # What a venue may add
//!
//! A ticket of ours asks for little. [`Terms`] are what else an order may ask for at a venue: to fill at
//! once or not at all, at the open or at the close, outside regular hours (told by
//! [`MarketEvent::ExtendedOpen`] and [`MarketEvent::ExtendedClose`]; without them there are none), a
//! stop-limit leg, a single exit. [`Exchange::amend`] replaces an order by one with other terms.
//!
//! Deliberately absent: borrowing costs, dividends, margin calls, wash-trade blocks, and the account's
//! own influence on prices.

mod acceptance;
mod account;
mod amendment;
mod commission;
mod event;
mod matching;
mod orders;
mod pricing;
mod reach;
mod refusal;
mod settings;
mod state;
mod terms;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::market::Symbol;
use crate::money::{Money, MoneyError, Price, Quantity};
use crate::order::{Fill, OrderRole, OrderStatus, TimeInForce};
use crate::time::Timestamp;

use matching::Budget;

pub use account::Figures;
pub use amendment::Amendment;
pub use commission::CommissionTier;
pub use event::MarketEvent;
pub use orders::Orders;
pub use reach::Reach;
pub use refusal::{ChangeRefusal, Refusal};
pub use settings::ExchangeSettings;
pub use state::{
    BookOrder, Changes, ExchangeState, Execution, ExecutionNumber, Holding, LastPrice, OrderNumber, OrderNumberError,
};
pub use terms::{Terms, Timing};

/// The matching engine with its one account.
///
/// After an error of arithmetic its state is not to be relied on: work on a clone, or give it up.
#[derive(Debug, Clone)]
pub struct Exchange {
    settings: ExchangeSettings,
    state: ExchangeState,
    changes: Changes,
    /// The bars whose open was told on its own and has filled what it fills.
    opened: BTreeMap<Symbol, Timestamp>,
    /// What new positions may cost, where somebody else knows.
    credit: Option<Money>,
}

impl Exchange {
    /// Goes on from `state`.
    #[must_use]
    pub fn new(settings: ExchangeSettings, state: ExchangeState) -> Self {
        Self { settings, state, changes: Changes::default(), opened: BTreeMap::new(), credit: None }
    }

    /// What it knows now.
    #[must_use]
    pub const fn state(&self) -> &ExchangeState {
        &self.state
    }

    /// What has changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        self.take_changes_into(&mut changes);
        changes
    }

    /// As [`Self::take_changes`], for who asks often: what was in `changes` is forgotten, its memory is used again.
    pub fn take_changes_into(&mut self, changes: &mut Changes) {
        std::mem::swap(&mut self.changes, changes);
        self.changes.clear();
        changes.orders.sort_unstable();
        changes.orders.dedup();
        changes.holdings.sort_unstable();
        changes.holdings.dedup();
    }

    /// Says what new positions may cost from now on, in place of this account's own figures: it is one of several
    /// parts of an account.
    pub const fn grant(&mut self, buying_power: Money) {
        self.credit = Some(buying_power);
    }

    /// Forgets the groups in which every order has ended. Their ids stay used: who retires orders has
    /// to refuse them.
    pub fn retire_settled(&mut self) {
        // Few have ended of the many that may rest.
        let is_over = |book: &&BookOrder| book.order.status.is_terminal();
        let mut settled: Vec<OrderNumber> = self.state.orders.iter().filter(is_over).map(|book| book.group).collect();
        settled.sort_unstable();
        settled.dedup();
        if settled.is_empty() {
            return;
        }
        for book in self.state.orders.iter().filter(|book| !book.order.status.is_terminal()) {
            if let Ok(place) = settled.binary_search(&book.group) {
                settled.remove(place);
            }
        }
        self.state.orders.remove_groups(&settled);
    }

    /// Takes in what the market says.
    ///
    /// # Errors
    /// When an amount overflows.
    pub fn apply(&mut self, event: &MarketEvent) -> Result<(), MoneyError> {
        match event {
            MarketEvent::ExtendedOpen { at } => self.open_extended(*at),
            MarketEvent::ExtendedClose { at } => self.close_extended(*at),
            MarketEvent::SessionOpen { at } => self.open_session(*at),
            MarketEvent::SessionClose { at } => return self.close_session(*at),
            MarketEvent::BarOpen { symbol, at, open } => return self.match_open(*symbol, *at, *open),
            MarketEvent::BarRange { symbol, bar, end } => return self.match_bar(*symbol, bar, *end),
            MarketEvent::Quote { symbol, quote } => return self.match_quote(*symbol, quote),
        }
        Ok(())
    }

    fn open_session(&mut self, at: Timestamp) {
        self.state.session_open = true;
        self.changes.session = true;
        self.unpark(at, |book| book.terms.timing != Timing::AtClose);
    }

    fn open_extended(&mut self, at: Timestamp) {
        self.state.extended_open = true;
        self.changes.session = true;
        self.unpark(at, |book| book.terms.extended_hours);
    }

    fn close_extended(&mut self, at: Timestamp) {
        self.state.extended_open = false;
        self.changes.session = true;
        let over = |book: &BookOrder| book.is_working() && book.order.time_in_force == TimeInForce::Day;
        for number in self.numbers(|book| over(book) && book.terms.extended_hours) {
            self.end(number, at, OrderStatus::Expired, "expired at the end of extended hours");
        }
    }

    /// Parked orders start to work.
    fn unpark(&mut self, at: Timestamp, wanted: impl Fn(&BookOrder) -> bool) {
        for number in self.numbers(|book| book.order.status == OrderStatus::Accepted && wanted(book)) {
            self.change(number, at, |book| {
                book.order.status = OrderStatus::New;
                book.working_since = Some(at);
            });
        }
    }

    /// Fills the orders for the close at the last price of their symbol.
    fn match_close(&mut self, at: Timestamp) -> Result<(), MoneyError> {
        for number in
            self.numbers(|book| book.order.status == OrderStatus::Accepted && book.terms.timing == Timing::AtClose)
        {
            let Some(book) = self.state.orders.get(number) else { continue };
            let price = self.state.marks.get(&book.order.symbol).map(|mark| mark.price);
            self.change(number, at, |book| {
                book.order.status = OrderStatus::New;
                book.working_since = Some(at);
            });
            if let Some(price) = price {
                self.meet(number, price, at, &mut Budget(None))?;
            }
        }
        Ok(())
    }

    fn close_session(&mut self, at: Timestamp) -> Result<(), MoneyError> {
        self.match_close(at)?;
        // With extended hours after it, the close is not the end of an order that trades in them.
        let lasts = |book: &BookOrder| book.terms.extended_hours && self.state.extended_open;
        let day = |book: &BookOrder| book.order.time_in_force == TimeInForce::Day && !lasts(book);
        for number in self.numbers(|book| day(book) && book.is_working()) {
            self.end(number, at, OrderStatus::Expired, "expired at the close");
        }
        let gone = |group: &OrderNumber| {
            let mut entries = self.state.group(*group).filter(|book| book.order.role == OrderRole::Parent);
            entries.all(|entry| entry.order.status.is_terminal())
        };
        for number in self.numbers(|book| book.order.status == OrderStatus::Held && gone(&book.group)) {
            self.end(number, at, OrderStatus::Canceled, "its entry did not fill");
        }
        self.state.last_equity = self.figures(&BTreeMap::new())?.equity;
        self.state.session_open = false;
        self.changes.session = true;
        Ok(())
    }

    /// Books an execution of `quantity` at `price`, and what follows from it for the group.
    fn execute(
        &mut self,
        number: OrderNumber,
        quantity: Quantity,
        price: Price,
        at: Timestamp,
    ) -> Result<(), MoneyError> {
        let Some(book) = self.state.orders.get_mut(number) else { return Ok(()) };
        let order = &mut book.order;
        order.filled = order.filled.plus(quantity)?;
        order.status = if order.remaining().is_zero() { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        order.updated_at = at;
        book.filled_value = book.filled_value.plus(price.times(quantity)?)?;
        order.average_price = Some(book.filled_value.per_share(order.filled)?);
        let fees = self.settings.commission(order.filled, book.filled_value)?;
        let fee = fees.minus(book.fees)?;
        book.fees = fees;
        let symbol = book.order.symbol;

        let signed = book.order.side.signed(quantity);
        self.state.cash = self.state.cash.minus(price.times(signed)?)?.minus(fee)?;
        match Holding::traded(self.state.holdings.remove(&symbol), signed, price)? {
            Some(holding) => self.state.holdings.insert(symbol, holding),
            None => None,
        };
        self.state.executions_issued += 1;
        let execution = ExecutionNumber(self.state.executions_issued);
        self.changes.orders.push(number);
        self.changes.holdings.push(symbol);
        self.changes.executions.push(Execution {
            number: execution,
            order: number,
            fill: Fill {
                execution_id: execution.id(),
                broker_order_id: book.order.broker_order_id.clone(),
                client_order_id: book.order.client_order_id.clone(),
                symbol,
                side: book.order.side,
                quantity,
                price,
                fee,
                at,
            },
        });
        self.settle_group(number, quantity, at);
        Ok(())
    }

    /// What an execution of `quantity` of one order does to the others of its group.
    fn settle_group(&mut self, filled: OrderNumber, quantity: Quantity, at: Timestamp) {
        let Some(book) = self.state.orders.get(filled) else { return };
        let (group, whole) = (book.group, book.order.status == OrderStatus::Filled);
        match book.order.role {
            OrderRole::Parent if whole => {
                for number in self.numbers_of(group, |book| book.order.status == OrderStatus::Held) {
                    self.change(number, at, |book| {
                        book.order.status = OrderStatus::New;
                        book.working_since = Some(at);
                    });
                }
            }
            OrderRole::Parent => {}
            OrderRole::TakeProfit | OrderRole::StopLoss => {
                let counterpart =
                    |book: &BookOrder| book.number != filled && book.is_exit_leg() && !book.order.status.is_terminal();
                for number in self.numbers_of(group, counterpart) {
                    if whole {
                        self.end(number, at, OrderStatus::Canceled, "its counterpart filled");
                    } else {
                        self.change(number, at, |book| {
                            book.order.quantity = Quantity(book.order.quantity.0.saturating_sub(quantity.0));
                        });
                    }
                }
            }
        }
    }

    /// The orders that satisfy `wanted`, by number.
    fn numbers(&self, wanted: impl Fn(&BookOrder) -> bool) -> Vec<OrderNumber> {
        self.state.orders.iter().filter(|book| wanted(book)).map(|book| book.number).collect()
    }

    /// The orders of a group that satisfy `wanted`, by number.
    fn numbers_of(&self, group: OrderNumber, wanted: impl Fn(&BookOrder) -> bool) -> Vec<OrderNumber> {
        self.state.group(group).filter(|book| wanted(book)).map(|book| book.number).collect()
    }

    /// Changes an order and takes note of that.
    fn change(&mut self, number: OrderNumber, at: Timestamp, change: impl FnOnce(&mut BookOrder)) {
        if let Some(book) = self.state.orders.get_mut(number) {
            change(book);
            book.order.updated_at = book.order.updated_at.max(at);
            self.changes.orders.push(number);
        }
    }

    fn end(&mut self, number: OrderNumber, at: Timestamp, status: OrderStatus, reason: &str) {
        self.change(number, at, |book| {
            book.order.status = status;
            book.order.reason = Some(reason.to_owned());
        });
    }

    /// The commission that is still to come for an order, were it to fill wholly.
    fn commission_left(&self, book: &BookOrder) -> Result<Money, MoneyError> {
        let quantity = book.order.quantity;
        self.settings.commission(quantity, book.reserve_price.times(quantity)?)?.minus(book.fees)
    }
}
