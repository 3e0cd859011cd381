//! Invariant 15: every share held has a stop behind it.

use std::collections::BTreeMap;

use super::{Findings, Invariant, LedgerView};
use crate::market::Symbol;
use crate::order::{ClientOrderId, Fill, Order, OrderRole, OrderStatus, OrderType, Purpose, Side};
use crate::time::{Span, Timestamp};

/// Something that changes what is held or what is protected.
enum Change<'a> {
    /// Shares came (positive) or went.
    Shares(i128),
    /// A stop order now protects so many of the side's shares.
    Stop { order: &'a str, protects: i128 },
    /// An exit was decided: until the symbol is flat, its stops are taken back on purpose.
    Leaving,
}

pub(super) fn check(view: &LedgerView, findings: &mut Findings) {
    let strangers = view.strangers();
    for (symbol, mut changes) in changes(view).into_iter().filter(|(symbol, _)| !strangers.contains(symbol)) {
        changes.sort_by_key(|(at, _)| *at);
        check_symbol(view, symbol, &changes, findings);
    }
}

fn changes(view: &LedgerView) -> BTreeMap<Symbol, Vec<(Timestamp, Change<'_>)>> {
    let mut changes: BTreeMap<Symbol, Vec<(Timestamp, Change<'_>)>> = BTreeMap::new();
    for row in &view.fills {
        let shares = i128::from(row.fill.quantity.0);
        let signed = match row.fill.side {
            Side::Buy => shares,
            Side::Sell => -shares,
        };
        changes.entry(row.fill.symbol).or_default().push((row.fill.at, Change::Shares(signed)));
    }
    let stops: BTreeMap<&str, &Order> = view
        .orders
        .iter()
        .map(|row| &row.order)
        .filter(|order| match order.order_type {
            OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => true,
            OrderType::Market | OrderType::Limit { .. } => false,
        })
        .map(|order| (order.broker_order_id.as_str(), order))
        .collect();
    let cuts = cuts(view);
    for event in &view.order_events {
        let Some(order) = stops.get(event.broker_order_id.as_str()) else { continue };
        // The order is known as it is now: what was taken off it later still rested at this event.
        let until = if order.status.is_terminal() { order.updated_at } else { view.as_of };
        let of_group = order.parent.as_ref().and_then(|parent| cuts.get(parent));
        let later = of_group.into_iter().flatten().filter(|(at, _)| event.at < *at && *at <= until);
        let cut_later: i128 = later.map(|(_, shares)| shares).sum();
        let remaining = i128::from(order.quantity.0) + cut_later - i128::from(event.filled.0);
        let rests = match event.status {
            OrderStatus::Accepted | OrderStatus::New | OrderStatus::PartiallyFilled | OrderStatus::PendingCancel => {
                remaining
            }
            OrderStatus::Held
            | OrderStatus::Filled
            | OrderStatus::Canceled
            | OrderStatus::Expired
            | OrderStatus::Rejected
            | OrderStatus::Replaced => 0,
        };
        // A stop that sells protects shares held, one that buys protects shares owed.
        let protects = match order.side {
            Side::Sell => rests,
            Side::Buy => -rests,
        };
        let change = Change::Stop { order: &order.broker_order_id, protects };
        changes.entry(order.symbol).or_default().push((event.at, change));
    }
    for intent in view.intents.iter().filter(|intent| intent.purpose == Purpose::Exit) {
        changes.entry(intent.symbol).or_default().push((intent.decided_at, Change::Leaving));
    }
    changes
}

/// What fills of a group's target took off its stop, by the entry: a part that fills makes the other leg smaller, the
/// last one cancels it.
fn cuts(view: &LedgerView) -> BTreeMap<&ClientOrderId, Vec<(Timestamp, i128)>> {
    let targets = view.orders.iter().map(|row| &row.order).filter(|order| order.role == OrderRole::TakeProfit);
    let targets: BTreeMap<&str, &Order> = targets.map(|order| (order.broker_order_id.as_str(), order)).collect();
    let mut fills: Vec<&Fill> = view.fills.iter().map(|row| &row.fill).collect();
    fills.sort_by_key(|fill| fill.at);
    let mut filled: BTreeMap<&str, i128> = BTreeMap::new();
    let mut cuts: BTreeMap<&ClientOrderId, Vec<(Timestamp, i128)>> = BTreeMap::new();
    for fill in fills {
        let Some(target) = targets.get(fill.broker_order_id.as_str()) else { continue };
        let shares = i128::from(fill.quantity.0);
        let so_far = filled.entry(target.broker_order_id.as_str()).or_default();
        *so_far += shares;
        if let Some(parent) = target.parent.as_ref().filter(|_| *so_far < i128::from(target.quantity.0)) {
            cuts.entry(parent).or_default().push((fill.at, shares));
        }
    }
    cuts
}

fn check_symbol(view: &LedgerView, symbol: Symbol, changes: &[(Timestamp, Change<'_>)], findings: &mut Findings) {
    let mut held: i128 = 0;
    let mut stops: BTreeMap<&str, i128> = BTreeMap::new();
    let mut is_leaving = false;
    let mut bare_since: Option<Timestamp> = None;
    let mut rest = changes;
    while let Some((at, _)) = rest.first() {
        // Changes of one instant are one change: a fill and the stop that it activates are not apart.
        let (together, later) = rest.split_at(rest.partition_point(|(other, _)| other <= at));
        rest = later;
        for (_, change) in together {
            match change {
                Change::Shares(shares) => held += shares,
                Change::Stop { order, protects } => {
                    stops.insert(order, *protects);
                }
                Change::Leaving => is_leaving = true,
            }
        }
        if held == 0 {
            is_leaving = false;
        }
        let protected: i128 =
            stops.values().filter(|protects| protects.signum() == held.signum()).map(|n| n.abs()).sum();
        let is_bare = held != 0 && !is_leaving && protected < held.abs();
        match (bare_since, is_bare) {
            (None, true) => bare_since = Some(*at),
            (Some(since), false) => {
                report(view, symbol, since, *at, findings);
                bare_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    if let Some(since) = bare_since {
        report(view, symbol, since, view.as_of, findings);
    }
}

fn report(view: &LedgerView, symbol: Symbol, since: Timestamp, until: Timestamp, findings: &mut Findings) {
    let bare = trading_millis(view, since, until);
    if bare > view.unprotected_limit.as_millis() {
        let found = format!(
            "shares lay without a stop from {since} to {until}, {} s of trading (limit {})",
            bare / 1_000,
            view.unprotected_limit
        );
        findings.add(Invariant::Protected, symbol, found);
    }
}

/// How long the sessions of the view traded between two instants, as far as the ledger was there to see it.
fn trading_millis(view: &LedgerView, since: Timestamp, until: Timestamp) -> u64 {
    let traded = |since: Timestamp, until: Timestamp| -> u128 {
        let overlap = |open: Timestamp, close: Timestamp| until.min(close).since(since.max(open));
        view.sessions.iter().map(|session| overlap(session.open, session.close).as_millis()).sum()
    };
    let unseen = view.unseen().map(|(from, to)| traded(since.max(from), until.min(to)));
    u64::try_from(traded(since, until).saturating_sub(unseen.sum())).unwrap_or(Span::days(36_525).as_millis())
}
