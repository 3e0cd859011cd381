//! What the gateway knows: every order under its client's number, in the terms of the wire, in front of the matching
//! engine. It goes on while programs come and go.

use std::collections::{BTreeMap, HashMap, btree_map};

use daybook::adapters::brokers::paper::PaperBroker;
use daybook::ports::{Broker, BrokerError};
use daybook_core::money::{Bps, Price, Quantity};
use daybook_core::order::{
    Fill, Order, OrderClass, OrderRole, OrderStatus, OrderTicket, OrderType, Side, TimeInForce, Trail,
};
use daybook_core::time::Timestamp;

use super::wire::{Fields, Message};
use crate::broker_contract::approved;

/// Numbers of messages out.
pub mod out {
    pub const ORDER_STATUS: i32 = 3;
    pub const ERROR: i32 = 4;
    pub const OPEN_ORDER: i32 = 5;
    pub const EXECUTION: i32 = 11;
    pub const COMMISSION: i32 = 59;
    pub const COMPLETED_ORDER: i32 = 101;
}

/// The account that holds everything.
pub const ACCOUNT: &str = "DU123";

/// The zone of the gateway's clock.
const ZONE: chrono_tz::Tz = chrono_tz::US::Eastern;

/// An order as a program has sent it.
#[derive(Debug, Clone)]
struct Entry {
    client_id: i32,
    order_id: i32,
    perm_id: i64,
    parent_id: i32,
    symbol: String,
    side: Side,
    quantity: Quantity,
    order_type: OrderType,
    time_in_force: TimeInForce,
    oca_group: String,
    oca_type: i32,
    reference: String,
    account: String,
    /// The engine's number for it, and those that it had before it was changed; none while it waits for its group.
    paper: Vec<String>,
    /// Whether it waits to be transmitted.
    is_parked: bool,
    is_canceled: bool,
    /// What its status is called, if not by its name.
    word: Option<&'static str>,
}

/// Every order there is, and the account behind them.
pub struct Book {
    pub engine: PaperBroker,
    entries: Vec<Entry>,
    next_perm_id: i64,
    /// What was last told of each execution and order, so that only news is told.
    told: HashMap<i64, (OrderStatus, Quantity)>,
    /// Orders that a program has sent, refused ones too.
    pub received: usize,
    /// Whether commissions are told.
    pub tells_commissions: bool,
}

impl Book {
    pub fn new(engine: PaperBroker) -> Self {
        let (entries, told) = (Vec::new(), HashMap::new());
        Self { engine, entries, next_perm_id: 900_001, told, received: 0, tells_commissions: true }
    }

    /// Calls the status of every order by a word of its own.
    pub fn calls_orders(&mut self, word: &'static str) {
        self.entries.iter_mut().for_each(|entry| entry.word = Some(word));
    }

    /// The least number that a client may give its next order.
    pub fn next_valid_id(&self, client_id: i32) -> i32 {
        let own = self.entries.iter().filter(|entry| entry.client_id == client_id);
        own.map(|entry| entry.order_id).max().unwrap_or(0) + 1
    }

    fn position(&self, client_id: i32, order_id: i32) -> Option<usize> {
        self.entries.iter().rposition(|entry| entry.client_id == client_id && entry.order_id == order_id)
    }

    /// Takes an order, or a change of one.
    pub async fn place(&mut self, client_id: i32, request: &Fields) -> Vec<Vec<u8>> {
        let (order_id, order) = (request.number(1), request.message(3));
        if let Some(at) = self.position(client_id, order_id) {
            return self.change(at, &order).await;
        }
        self.received += 1;
        let entry = self.entry(client_id, request);
        let is_last = order.int(66) == Some(1); // a false is left out
        self.entries.push(Entry { is_parked: !is_last, ..entry.clone() });
        if !is_last {
            return Vec::new();
        }
        let group = self.group(&entry);
        let Some(ticket) = self.ticket(&group) else {
            // The first of a pair.
            return vec![self.open_order(&entry, None), status(&entry, None)];
        };
        self.submit(&group, &ticket).await
    }

    fn entry(&mut self, client_id: i32, request: &Fields) -> Entry {
        let (contract, order) = (request.message(2), request.message(3));
        let perm_id = self.next_perm_id;
        self.next_perm_id += 1;
        let price = |tag| Price::from_f64(order.double(tag).expect("a price")).unwrap();
        let order_type = match order.text(8).as_str() {
            "MKT" => OrderType::Market,
            "LMT" => OrderType::Limit { limit: price(9) },
            "STP" => OrderType::Stop { stop: price(10) },
            "STP LMT" => OrderType::StopLimit { stop: price(10), limit: price(9) },
            "TRAIL" => OrderType::TrailingStop {
                trail: match order.double(22) {
                    Some(percent) => Trail::Ratio(Bps::from_f64(percent / 100.0).unwrap()),
                    None => Trail::Amount(price(10)),
                },
            },
            other => panic!("an order of type {other}"),
        };
        Entry {
            client_id,
            order_id: request.number(1),
            perm_id,
            parent_id: order.number(4),
            symbol: contract.text(2),
            side: if order.text(5) == "BUY" { Side::Buy } else { Side::Sell },
            quantity: order.text(6).parse().unwrap(),
            order_type,
            time_in_force: if order.text(11) == "GTC" { TimeInForce::Gtc } else { TimeInForce::Day },
            oca_group: order.text(27),
            oca_type: order.number(30),
            reference: order.text(28),
            account: order.text(12),
            paper: Vec::new(),
            is_parked: false,
            is_canceled: false,
            word: None,
        }
    }

    /// The orders that are transmitted with this one.
    fn group(&self, last: &Entry) -> Vec<usize> {
        let with = |entry: &Entry| {
            entry.client_id == last.client_id
                && !entry.is_canceled
                && entry.paper.is_empty()
                && match last.parent_id {
                    0 if last.oca_group.is_empty() => entry.order_id == last.order_id,
                    0 => entry.oca_group == last.oca_group,
                    parent => entry.order_id == parent || entry.parent_id == parent,
                }
        };
        (0..self.entries.len()).filter(|at| with(&self.entries[*at])).collect()
    }

    /// What the engine is asked for; `None` while a part is missing.
    fn ticket(&self, group: &[usize]) -> Option<OrderTicket> {
        let entries: Vec<&Entry> = group.iter().map(|at| &self.entries[*at]).collect();
        let limit = |wanted: bool| {
            entries.iter().find_map(|entry| match entry.order_type {
                OrderType::Limit { limit } if (entry.parent_id != 0) == wanted => Some((*entry, limit)),
                _ => None,
            })
        };
        let stop = entries.iter().find_map(|entry| match entry.order_type {
            OrderType::Stop { stop } => Some(stop),
            _ => None,
        });
        let (head, class) = match entries.as_slice() {
            [only] if only.oca_group.is_empty() => (*only, OrderClass::Simple),
            [first, second] if first.parent_id == 0 && second.parent_id == 0 => {
                (limit(false)?.0, OrderClass::Oco { stop_loss: stop? })
            }
            [entry, _, _] => (*entry, OrderClass::Bracket { take_profit: limit(true)?.1, stop_loss: stop? }),
            _ => return None,
        };
        Some(OrderTicket {
            client_order_id: format!("ib-{}", head.perm_id).parse().unwrap(),
            symbol: head.symbol.replace(' ', ".").parse().unwrap(),
            side: head.side,
            quantity: head.quantity,
            order_type: head.order_type,
            time_in_force: head.time_in_force,
            class,
        })
    }

    async fn submit(&mut self, group: &[usize], ticket: &OrderTicket) -> Vec<Vec<u8>> {
        let answer = self.engine.submit(&approved(ticket)).await;
        let mut frames = Vec::new();
        match answer {
            Ok(orders) => {
                for order in &orders {
                    let at = group.iter().copied().find(|at| role(&self.entries[*at], ticket) == order.role).unwrap();
                    let entry = &mut self.entries[at];
                    (entry.is_parked, entry.paper) = (false, vec![order.broker_order_id.clone()]);
                    let entry = entry.clone();
                    self.told.insert(entry.perm_id, (order.status, order.filled));
                    frames.extend([self.open_order(&entry, Some(order)), status(&entry, Some(order))]);
                }
            }
            Err(refusal) => {
                let reason = words(refusal);
                for at in group {
                    let entry = self.entries[*at].clone();
                    frames.extend([self.open_order(&entry, None), status(&entry, None)]);
                }
                for at in group {
                    (self.entries[*at].is_canceled, self.entries[*at].is_parked) = (true, true);
                    let order_id = self.entries[*at].order_id.into();
                    frames.push(error(order_id, 201, &format!("Order rejected - reason:{reason}")));
                }
            }
        }
        frames
    }

    async fn change(&mut self, at: usize, order: &Fields) -> Vec<Vec<u8>> {
        let entry = self.entries[at].clone();
        let (order_id, stop) = (entry.order_id.into(), Price::from_f64(order.double(10).expect("a stop")).unwrap());
        let Some(paper) = entry.paper.last() else { return vec![error(order_id, 103, "Duplicate order id")] };
        match self.engine.replace_stop(paper, stop).await {
            Ok(moved) => {
                let entry = &mut self.entries[at];
                if entry.paper.last() != Some(&moved.broker_order_id) {
                    entry.paper.push(moved.broker_order_id.clone());
                }
                let entry = entry.clone();
                vec![self.open_order(&entry, Some(&moved)), status(&entry, Some(&moved))]
            }
            Err(refusal) => vec![error(order_id, 104, &format!("Cannot modify a filled order: {}", words(refusal)))],
        }
    }

    /// Cancels an order, and with it what the engine cancels with it.
    pub async fn cancel(&mut self, client_id: i32, order_id: i32) -> Vec<Vec<u8>> {
        let missing = format!("OrderId {order_id} that needs to be cancelled is not found.");
        let Some(at) = self.position(client_id, order_id).filter(|at| !self.entries[*at].is_canceled) else {
            return vec![error(order_id.into(), 10147, &missing)];
        };
        let Some(paper) = self.entries[at].paper.last().cloned() else {
            self.entries[at].is_canceled = true;
            let entry = self.entries[at].clone();
            return vec![error(order_id.into(), 202, "Order Canceled - reason:"), status(&entry, None)];
        };
        match self.engine.cancel(&paper).await {
            Ok(()) => self.news(client_id).await,
            Err(refusal) => {
                let mut frames = self.news(client_id).await;
                let words = words(refusal);
                frames.push(error(
                    order_id.into(),
                    10148,
                    &format!("OrderId {order_id} can not be cancelled: {words}"),
                ));
                frames
            }
        }
    }

    /// An order that the account's owner sends by hand.
    pub async fn by_hand(&mut self, ticket: &OrderTicket) {
        let orders = self.engine.submit(&approved(ticket)).await.unwrap();
        self.entries.push(Entry {
            client_id: 0,
            order_id: 0,
            perm_id: self.next_perm_id,
            parent_id: 0,
            symbol: ticket.symbol.as_str().replace('.', " "),
            side: ticket.side,
            quantity: ticket.quantity,
            order_type: ticket.order_type,
            time_in_force: ticket.time_in_force,
            oca_group: String::new(),
            oca_type: 0,
            reference: String::new(),
            account: ACCOUNT.to_owned(),
            paper: vec![orders[0].broker_order_id.clone()],
            is_parked: false,
            is_canceled: false,
            word: None,
        });
        self.next_perm_id += 1;
    }

    async fn now(&self, entry: &Entry) -> Option<Order> {
        let id = entry.paper.last()?.clone();
        Some(self.engine.orders(&[id]).await.unwrap().remove(0))
    }

    /// What a program has not been told yet of its orders.
    pub async fn news(&mut self, client_id: i32) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let fills = self.fills().await;
        for entry in self.entries.clone() {
            let Some(order) = self.now(&entry).await.filter(|_| entry.client_id == client_id) else { continue };
            let state = (order.status, order.filled);
            let before = self.told.insert(entry.perm_id, state);
            if before == Some(state) {
                continue;
            }
            if order.status == OrderStatus::Canceled {
                frames.push(error(entry.order_id.into(), 202, "Order Canceled - reason:"));
            }
            let known = before.map_or(Quantity::ZERO, |(_, filled)| filled);
            let mut filled = Quantity::ZERO;
            for (number, fill) in
                fills.iter().enumerate().filter(|(_, fill)| entry.paper.contains(&fill.broker_order_id))
            {
                filled = filled.plus(fill.quantity).unwrap();
                if filled > known {
                    frames.extend(self.execution(-1, &entry, &order, number, fill));
                }
            }
            frames.push(status(&entry, Some(&order)));
        }
        frames
    }

    /// Every order that works, or, of those that are over, every one.
    pub async fn listing(&self, over: bool) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for entry in &self.entries {
            let order = self.now(entry).await;
            let is_over = entry.is_canceled || order.as_ref().is_some_and(|order| order.status.is_terminal());
            match (over, is_over, &order) {
                (false, false, _) if !entry.is_parked => {
                    frames.extend([self.open_order(entry, order.as_ref()), status(entry, order.as_ref())]);
                }
                (true, true, order) if !entry.is_parked => frames.push(completed(entry, order.as_ref())),
                _ => {}
            }
        }
        frames
    }

    /// A client's orders that were never transmitted.
    pub fn parked(&self, client_id: i32) -> Vec<Vec<u8>> {
        let own = self.entries.iter().filter(|entry| entry.client_id == client_id);
        let parked = own.filter(|entry| entry.is_parked && !entry.is_canceled);
        parked.map(|entry| open_order_of(&Entry { perm_id: 0, ..entry.clone() }, None)).collect()
    }

    async fn fills(&self) -> Vec<Fill> {
        let (mut fills, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.engine.fills(cursor.as_deref()).await.unwrap();
            fills.extend(page.fills);
            if !page.more {
                return fills;
            }
            cursor = Some(page.cursor);
        }
    }

    /// Every execution, as the answer to a request.
    pub async fn executions(&self, request: i64) -> Vec<Vec<u8>> {
        let mut orders: BTreeMap<i64, Option<Order>> = BTreeMap::new();
        let mut frames = Vec::new();
        for (number, fill) in self.fills().await.iter().enumerate() {
            let entry = self.entries.iter().find(|entry| entry.paper.contains(&fill.broker_order_id)).unwrap();
            if let btree_map::Entry::Vacant(unknown) = orders.entry(entry.perm_id) {
                unknown.insert(self.now(entry).await);
            }
            let order = orders[&entry.perm_id].as_ref().unwrap();
            frames.extend(self.execution(request, entry, order, number, fill));
        }
        frames
    }

    fn execution(&self, request: i64, entry: &Entry, order: &Order, number: usize, fill: &Fill) -> Vec<Vec<u8>> {
        let id = format!("0000e0d5.{number:08}.01.01");
        let execution = Message::default()
            .int(1, entry.order_id.into())
            .text(2, &id)
            .text(3, clock_time(fill.at))
            .text(4, ACCOUNT)
            .text(5, "NASDAQ")
            .text(6, if fill.side == Side::Buy { "BOT" } else { "SLD" })
            .text(7, fill.quantity)
            .double(8, fill.price.to_f64())
            .int(9, entry.perm_id)
            .int(10, entry.client_id.into())
            .text(12, order.filled)
            .double(13, order.average_price.map_or(0.0, Price::to_f64))
            .text(14, &entry.reference);
        let details = Message::default().int(1, request).message(2, &contract(&entry.symbol)).message(3, &execution);
        let mut frames = vec![details.frame(out::EXECUTION)];
        if self.tells_commissions {
            let report = Message::default().text(1, id).double(2, fill.fee.to_f64()).text(3, "USD");
            frames.push(report.frame(out::COMMISSION));
        }
        frames
    }

    fn open_order(&self, entry: &Entry, order: Option<&Order>) -> Vec<u8> {
        open_order_of(entry, order)
    }
}

fn role(entry: &Entry, ticket: &OrderTicket) -> OrderRole {
    match (ticket.class, entry.order_type) {
        (OrderClass::Simple, _) => OrderRole::Parent,
        (OrderClass::Bracket { .. }, _) if entry.parent_id == 0 => OrderRole::Parent,
        (_, OrderType::Limit { .. }) => OrderRole::TakeProfit,
        _ => OrderRole::StopLoss,
    }
}

fn words(refusal: BrokerError) -> String {
    match refusal {
        BrokerError::Rejected { reason, .. } => reason,
        other => panic!("the engine answers {other}"),
    }
}

fn clock_time(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%Y%m%d %H:%M:%S US/Eastern").to_string()
}

/// A message of the gateway about an order, a request (by its id), or itself (-1).
pub fn error(id: i64, code: i64, message: &str) -> Vec<u8> {
    Message::default().int(1, id).int(2, 1_763_650_000_000).int(3, code).text(4, message).frame(out::ERROR)
}

/// A share by its symbol.
pub fn contract(symbol: &str) -> Message {
    Message::default().int(1, 265_598).text(2, symbol).text(3, "STK").text(8, "SMART").text(10, "USD")
}

const fn word(entry: &Entry, order: Option<&Order>) -> &'static str {
    if let Some(word) = entry.word {
        return word;
    }
    let Some(order) = order else { return if entry.is_canceled { "Cancelled" } else { "PreSubmitted" } };
    match order.status {
        OrderStatus::Accepted | OrderStatus::Held => "PreSubmitted",
        // A stop rests with the broker until its price comes.
        OrderStatus::New | OrderStatus::PartiallyFilled => match order.order_type {
            OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => "PreSubmitted",
            OrderType::Market | OrderType::Limit { .. } => "Submitted",
        },
        OrderStatus::PendingCancel => "PendingCancel",
        OrderStatus::Filled => "Filled",
        OrderStatus::Canceled | OrderStatus::Expired => "Cancelled",
        OrderStatus::Rejected | OrderStatus::Replaced => "Inactive",
    }
}

fn status(entry: &Entry, order: Option<&Order>) -> Vec<u8> {
    let filled = order.map_or(Quantity::ZERO, |order| order.filled);
    let remaining = order.map_or(entry.quantity, Order::remaining);
    Message::default()
        .int(1, entry.order_id.into())
        .text(2, word(entry, order))
        .text(3, filled)
        .text(4, remaining)
        .double(5, order.and_then(|order| order.average_price).map_or(0.0, Price::to_f64))
        .int(6, entry.perm_id)
        .int(7, entry.parent_id.into())
        .int(9, entry.client_id.into())
        .frame(out::ORDER_STATUS)
}

fn order_message(entry: &Entry, order: Option<&Order>) -> Message {
    let order_type = order.map_or(entry.order_type, |order| order.order_type);
    let (word, limit, aux, percent) = match order_type {
        OrderType::Market => ("MKT", None, None, None),
        OrderType::Limit { limit } => ("LMT", Some(limit), None, None),
        OrderType::Stop { stop } => ("STP", None, Some(stop), None),
        OrderType::StopLimit { stop, limit } => ("STP LMT", Some(limit), Some(stop), None),
        OrderType::TrailingStop { trail: Trail::Amount(by) } => ("TRAIL", None, Some(by), None),
        OrderType::TrailingStop { trail: Trail::Ratio(by) } => ("TRAIL", None, None, Some(by.to_f64() * 100.0)),
    };
    Message::default()
        .int(1, entry.client_id.into())
        .int(2, entry.order_id.into())
        .int(3, entry.perm_id)
        .int(4, entry.parent_id.into())
        .text(5, if entry.side == Side::Buy { "BUY" } else { "SELL" })
        .text(6, order.map_or(entry.quantity, |order| order.quantity))
        .text(8, word)
        .some_double(9, limit.map(Price::to_f64))
        .some_double(10, aux.map(Price::to_f64))
        .text(11, if entry.time_in_force == TimeInForce::Gtc { "GTC" } else { "DAY" })
        .text(12, &entry.account)
        .some_double(22, percent)
        .text(27, &entry.oca_group)
        .text(28, &entry.reference)
        .int(30, entry.oca_type.into())
}

fn open_order_of(entry: &Entry, order: Option<&Order>) -> Vec<u8> {
    let state = Message::default().text(1, word(entry, order));
    Message::default()
        .int(1, entry.order_id.into())
        .message(2, &contract(&entry.symbol))
        .message(3, &order_message(entry, order))
        .message(4, &state)
        .frame(out::OPEN_ORDER)
}

/// An order that is over: the gateway has no client's number for it any more, and no average price.
fn completed(entry: &Entry, order: Option<&Order>) -> Vec<u8> {
    let filled = order.map_or(Quantity::ZERO, |order| order.filled);
    let ended = match order.map(|order| order.status) {
        Some(OrderStatus::Filled) => format!("Filled Size: {filled}"),
        Some(OrderStatus::Expired) => "Order Expired".to_owned(),
        _ => "Cancelled by Trader".to_owned(),
    };
    let state = Message::default().text(1, word(entry, order)).text(30, ended);
    let shown = order_message(&Entry { order_id: 0, ..entry.clone() }, order).text(115, filled);
    Message::default()
        .message(1, &contract(&entry.symbol))
        .message(2, &shown)
        .message(3, &state)
        .frame(out::COMPLETED_ORDER)
}
