//! Orders as the gateway takes and shows them, and what they mean in our words.
//!
//! An order's reference is the ticket's client order id followed by the order's part in its group: from it alone a
//! process that has just started knows what the order is, whose leg, and of which intent.

use std::collections::HashMap;

use daybook_core::market::Symbol;
use daybook_core::money::{Bps, Price, Quantity};
use daybook_core::order::{
    ClientOrderId, Order, OrderClass, OrderRole, OrderStatus, OrderTicket, OrderType, Side, TimeInForce, Trail,
};
use daybook_core::time::Timestamp;
use ibapi::contracts::{Contract, SecurityType};
use ibapi::orders::{Action, OcaType, Order as WireOrder, OrderStatusKind, TimeInForce as WireTimeInForce};

use super::listing::Seen;

/// Something that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{document} has {field} \"{text}\", which this version does not know")]
pub(super) struct Strange {
    /// What it is: `order 900001`.
    pub document: String,
    /// Which of its fields.
    pub field: &'static str,
    /// What stands there.
    pub text: String,
}

/// What an order is within the group that one ticket makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The only one.
    Alone,
    /// A bracket's entry.
    Entry,
    /// The bracket's limit that takes the profit.
    Target,
    /// The bracket's stop.
    Stop,
    /// The limit of a pair of exits, which stands for the ticket.
    PairTarget,
    /// The stop of a pair of exits.
    PairStop,
}

impl Part {
    const WITH_SUFFIX: [Self; 5] = [Self::Entry, Self::Target, Self::Stop, Self::PairTarget, Self::PairStop];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Alone => "",
            Self::Entry => "/entry",
            Self::Target => "/target",
            Self::Stop => "/stop",
            Self::PairTarget => "/pair-target",
            Self::PairStop => "/pair-stop",
        }
    }

    const fn role(self) -> OrderRole {
        match self {
            Self::Alone | Self::Entry => OrderRole::Parent,
            Self::Target | Self::PairTarget => OrderRole::TakeProfit,
            Self::Stop | Self::PairStop => OrderRole::StopLoss,
        }
    }

    /// Whether it goes by the ticket's own client order id.
    pub(super) const fn is_head(self) -> bool {
        match self {
            Self::Alone | Self::Entry | Self::PairTarget => true,
            Self::Target | Self::Stop | Self::PairStop => false,
        }
    }

    /// The parts of its whole group.
    pub(super) const fn group(self) -> &'static [Self] {
        match self {
            Self::Alone => &[Self::Alone],
            Self::Entry | Self::Target | Self::Stop => &[Self::Entry, Self::Target, Self::Stop],
            Self::PairTarget | Self::PairStop => &[Self::PairTarget, Self::PairStop],
        }
    }
}

/// An order's reference: which ticket it was made of, and its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub ticket: ClientOrderId,
    pub part: Part,
}

impl Reference {
    /// Reads a reference; one that is no client order id was not given by Daybook.
    pub(super) fn read(text: &str) -> Option<Self> {
        let of = |part: Part| Some((text.strip_suffix(part.suffix())?, part));
        let (ticket, part) = Part::WITH_SUFFIX.into_iter().find_map(of).unwrap_or((text, Part::Alone));
        Some(Self { ticket: ticket.parse().ok()?, part })
    }

    fn text(ticket: &ClientOrderId, part: Part) -> String {
        format!("{ticket}{}", part.suffix())
    }

    /// The name that the order has outside: the ticket's for a head, a leg's own otherwise.
    pub(super) fn client_order_id(&self) -> Option<ClientOrderId> {
        if self.part.is_head() { Some(self.ticket.clone()) } else { Self::text(&self.ticket, self.part).parse().ok() }
    }
}

/// The orders of a ticket as they are sent, in their order: nothing of a bracket is transmitted before its stop, which
/// goes last; of a pair the stop goes first, so that what is cut short protects.
pub(super) fn wire_orders(ticket: &OrderTicket, account: &str, first_id: i32) -> Vec<WireOrder> {
    let group = ticket.client_order_id.to_string();
    let base = WireOrder {
        total_quantity: ticket.quantity.to_f64(),
        tif: match ticket.time_in_force {
            TimeInForce::Day => WireTimeInForce::Day,
            TimeInForce::Gtc => WireTimeInForce::GoodTillCanceled,
        },
        account: account.to_owned(),
        ..WireOrder::default()
    };
    let order = |order_id, part, side, order_type| {
        let reference = Reference::text(&ticket.client_order_id, part);
        with_type(WireOrder { order_id, action: action(side), order_ref: reference, ..base.clone() }, order_type)
    };
    let linked = |order| WireOrder { oca_group: group.clone(), oca_type: OcaType::ReduceWithBlock, ..order };
    let (side, out) = (ticket.side, ticket.side.opposite());
    match ticket.class {
        OrderClass::Simple => vec![order(first_id, Part::Alone, side, ticket.order_type)],
        OrderClass::Bracket { take_profit, stop_loss } => {
            let entry = order(first_id, Part::Entry, side, ticket.order_type);
            let target = order(first_id + 1, Part::Target, out, OrderType::Limit { limit: take_profit });
            let stop = order(first_id + 2, Part::Stop, out, OrderType::Stop { stop: stop_loss });
            vec![
                WireOrder { transmit: false, ..entry },
                WireOrder { transmit: false, parent_id: first_id, ..linked(target) },
                WireOrder { parent_id: first_id, ..linked(stop) },
            ]
        }
        OrderClass::Oco { stop_loss } => {
            let stop = order(first_id, Part::PairStop, side, OrderType::Stop { stop: stop_loss });
            let target = order(first_id + 1, Part::PairTarget, side, ticket.order_type);
            vec![linked(stop), linked(target)]
        }
    }
}

/// A resting stop as it is sent again to move it: the terms that it was made of, and nothing that the gateway added.
pub(super) fn moved_stop(order: &WireOrder, stop: Price) -> WireOrder {
    WireOrder {
        order_id: order.order_id,
        parent_id: order.parent_id,
        action: order.action,
        total_quantity: order.total_quantity,
        order_type: order.order_type.clone(),
        limit_price: order.limit_price.filter(|limit| *limit > 0.0),
        aux_price: Some(stop.to_f64()),
        tif: order.tif.clone(),
        oca_group: order.oca_group.clone(),
        oca_type: order.oca_type,
        order_ref: order.order_ref.clone(),
        account: order.account.clone(),
        outside_rth: order.outside_rth,
        ..WireOrder::default()
    }
}

const fn action(side: Side) -> Action {
    match side {
        Side::Buy => Action::Buy,
        Side::Sell => Action::Sell,
    }
}

fn with_type(order: WireOrder, order_type: OrderType) -> WireOrder {
    let (word, limit, aux, percent) = match order_type {
        OrderType::Market => ("MKT", None, None, None),
        OrderType::Limit { limit } => ("LMT", Some(limit), None, None),
        OrderType::Stop { stop } => ("STP", None, Some(stop), None),
        OrderType::StopLimit { stop, limit } => ("STP LMT", Some(limit), Some(stop), None),
        OrderType::TrailingStop { trail: Trail::Amount(distance) } => ("TRAIL", None, Some(distance), None),
        OrderType::TrailingStop { trail: Trail::Ratio(ratio) } => ("TRAIL", None, None, Some(ratio.to_f64() * 100.0)),
    };
    WireOrder {
        order_type: word.to_owned(),
        limit_price: limit.map(Price::to_f64),
        aux_price: aux.map(Price::to_f64),
        trailing_percent: percent,
        ..order
    }
}

/// The contract's symbol in our spelling, `BRK.B`; `None` for what Daybook cannot name, such as an option.
pub(super) fn symbol(contract: &Contract) -> Option<Symbol> {
    let is_share = contract.security_type == SecurityType::Stock;
    is_share.then(|| contract.symbol.to_string().replace(' ', ".").parse().ok()).flatten()
}

/// The symbol in the broker's spelling: `BRK B`.
pub(super) fn wire_symbol(symbol: Symbol) -> String {
    symbol.as_str().replace('.', " ")
}

/// Orders in our words, a group together: the head, then its legs. What Daybook cannot name is left out, and said so.
///
/// The gateway tells no time for a working order: `now`, the time of the look, stands for it.
pub(super) fn orders(seen: &[Seen], now: Timestamp) -> Result<Vec<Order>, Strange> {
    let mut groups: HashMap<&str, Prices> = HashMap::new();
    for seen in seen {
        let Some((ticket, part)) = split(&seen.order.order_ref) else { continue };
        let prices = groups.entry(ticket).or_default();
        match part {
            Part::Target => prices.target = price_of(seen, seen.order.limit_price)?,
            Part::Stop | Part::PairStop => prices.stop = price_of(seen, seen.order.aux_price)?,
            Part::Entry => prices.entry_works |= !seen.is_over(),
            Part::Alone | Part::PairTarget => {}
        }
    }
    let mut orders = Vec::with_capacity(seen.len());
    for seen in seen {
        let prices = split(&seen.order.order_ref).and_then(|(ticket, _)| groups.get(ticket)).copied();
        match order(seen, prices.unwrap_or_default(), now)? {
            Some(order) => orders.push(order),
            None => tracing::warn!(perm_id = seen.perm_id, symbol = %seen.contract.symbol, "order.foreign"),
        }
    }
    Ok(by_group(orders))
}

/// What the orders of a group tell of each other.
#[derive(Debug, Default, Clone, Copy)]
struct Prices {
    target: Option<Price>,
    stop: Option<Price>,
    entry_works: bool,
}

fn split(reference: &str) -> Option<(&str, Part)> {
    let of = |part: Part| Some((reference.strip_suffix(part.suffix())?, part));
    Part::WITH_SUFFIX.into_iter().find_map(of)
}

fn price_of(seen: &Seen, value: Option<f64>) -> Result<Option<Price>, Strange> {
    value.map(Price::from_f64).transpose().map_err(|error| seen.strange("price", error))
}

fn order(seen: &Seen, group: Prices, now: Timestamp) -> Result<Option<Order>, Strange> {
    let Some(symbol) = symbol(&seen.contract) else { return Ok(None) };
    let broker_order_id = seen.perm_id.to_string();
    let reference = Reference::read(&seen.order.order_ref);
    let part = reference.as_ref().map_or(Part::Alone, |reference| reference.part);
    let own_name = || broker_order_id.parse().map_err(|error| seen.strange("perm id", error));
    let name = reference.as_ref().and_then(Reference::client_order_id);
    let filled = seen.filled().map_err(|error| seen.strange("filled quantity", error))?;
    let order_type = order_type(seen)?;
    let status = status(seen, part, group, filled, order_type);
    let reason = match &seen.status {
        OrderStatusKind::Unknown(word) => Order::reason_of_unknown_status(word),
        _ => seen.reason.clone(),
    };
    let class = match (part, group.target, group.stop) {
        (Part::Entry, Some(take_profit), Some(stop_loss)) => OrderClass::Bracket { take_profit, stop_loss },
        (Part::PairTarget, _, Some(stop_loss)) => OrderClass::Oco { stop_loss },
        _ => OrderClass::Simple,
    };
    Ok(Some(Order {
        client_order_id: name.map_or_else(own_name, Ok)?,
        parent: reference.filter(|_| !part.is_head()).map(|reference| reference.ticket),
        role: part.role(),
        symbol,
        side: match seen.order.action {
            Action::Buy => Side::Buy,
            Action::Sell | Action::SellShort | Action::SellLong => Side::Sell,
        },
        quantity: seen.quantity(filled).map_err(|error| seen.strange("quantity", error))?,
        order_type,
        time_in_force: match seen.order.tif {
            WireTimeInForce::GoodTillCanceled => TimeInForce::Gtc,
            _ => TimeInForce::Day, // what its owner sent by hand may know others: none outlives the day unsaid
        },
        class,
        status,
        filled,
        average_price: price_of(seen, seen.average_price.filter(|price| *price > 0.0))?,
        reason: Some(reason).filter(|reason| status != OrderStatus::Filled && !reason.is_empty()),
        submitted_at: now,
        updated_at: now,
        broker_order_id,
    }))
}

/// At what price it may trade. Its owner may have sent one of a type that Daybook has not: it counts by its price.
fn order_type(seen: &Seen) -> Result<OrderType, Strange> {
    let order = &seen.order;
    let limit = price_of(seen, order.limit_price)?;
    let aux = price_of(seen, order.aux_price)?;
    let ratio = order.trailing_percent.filter(|percent| *percent > 0.0).map(|percent| Bps::from_f64(percent / 100.0));
    let ratio = ratio.transpose().map_err(|error| seen.strange("trailing percent", error))?;
    Ok(match (order.order_type.as_str(), limit, aux) {
        ("TRAIL", _, Some(distance)) if ratio.is_none() => OrderType::TrailingStop { trail: Trail::Amount(distance) },
        ("TRAIL", _, _) if ratio.is_some() => {
            OrderType::TrailingStop { trail: Trail::Ratio(ratio.unwrap_or(Bps::ZERO)) }
        }
        ("STP LMT", Some(limit), Some(stop)) => OrderType::StopLimit { stop, limit },
        ("STP", _, Some(stop)) => OrderType::Stop { stop },
        ("LMT" | "LOC" | "LIT", Some(limit), _) => OrderType::Limit { limit },
        ("MKT" | "MOC" | "MIT" | "MTL", _, _) => OrderType::Market,
        (word, limit, _) => {
            tracing::warn!(perm_id = seen.perm_id, order_type = word, "order.type_unknown");
            limit.map_or(OrderType::Market, |limit| OrderType::Limit { limit })
        }
    })
}

fn status(seen: &Seen, part: Part, group: Prices, filled: Quantity, order_type: OrderType) -> OrderStatus {
    let is_leg = matches!(part, Part::Target | Part::Stop);
    let works = if filled.is_positive() { OrderStatus::PartiallyFilled } else { OrderStatus::New };
    match &seen.status {
        OrderStatusKind::ApiPending | OrderStatusKind::PendingSubmit if is_leg => OrderStatus::Held,
        OrderStatusKind::ApiPending | OrderStatusKind::PendingSubmit => OrderStatus::Accepted,
        // It is held back: a leg by its entry, a stop by the broker until its price comes, others by the hour.
        OrderStatusKind::PreSubmitted if is_leg && group.entry_works => OrderStatus::Held,
        OrderStatusKind::PreSubmitted => match order_type {
            OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => works,
            OrderType::Market | OrderType::Limit { .. } if is_leg || filled.is_positive() => works,
            OrderType::Market | OrderType::Limit { .. } => OrderStatus::Accepted,
        },
        OrderStatusKind::Submitted => works,
        OrderStatusKind::PendingCancel => OrderStatus::PendingCancel,
        OrderStatusKind::Filled => OrderStatus::Filled,
        OrderStatusKind::Cancelled | OrderStatusKind::ApiCancelled => {
            if seen.reason.to_ascii_lowercase().contains("expire") {
                OrderStatus::Expired
            } else {
                OrderStatus::Canceled
            }
        }
        // An inactive order may come back to life, unless the gateway counts it among those that are over.
        OrderStatusKind::Inactive if seen.completed => OrderStatus::Rejected,
        OrderStatusKind::Inactive => OrderStatus::Accepted,
        // It is looked at again until it says otherwise; its word is the reason.
        OrderStatusKind::Unknown(_) => works,
    }
}

const fn rank(role: OrderRole) -> u8 {
    match role {
        OrderRole::Parent => 0,
        OrderRole::TakeProfit => 1,
        OrderRole::StopLoss => 2,
    }
}

/// Orders with each group together, in the order in which the groups begin.
fn by_group(mut orders: Vec<Order>) -> Vec<Order> {
    let mut first: HashMap<ClientOrderId, usize> = HashMap::new();
    let head = |order: &Order| order.parent.clone().unwrap_or_else(|| order.client_order_id.clone());
    for (at, order) in orders.iter().enumerate() {
        first.entry(head(order)).or_insert(at);
    }
    orders.sort_by_cached_key(|order| (first.get(&head(order)).copied(), order.parent.is_some(), rank(order.role)));
    orders
}
