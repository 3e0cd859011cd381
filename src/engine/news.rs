//! What people are told of what was recorded: executions, positions, orders, and runs that begin.
//!
//! Each is told in the transaction that records it. What is routine costs nothing where nobody asks for it.

use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::order::{Action, Fill, IntentEvent, IntentState, Order, OrderStatus, Purpose, Side};
use daybook_core::phase::Phase;
use daybook_core::report::words;
use daybook_core::strategy::Direction;
use daybook_core::time::Timestamp;
use rusqlite::Transaction;

use crate::ledger::LedgerError;
use crate::ledger::alert::{self, Routes};
use crate::ledger::fill::{self, FillConflict, FillsRecorded};
use crate::ledger::intent::{self, StoredIntent};
use crate::ledger::order::OrdersRecorded;
use crate::ledger::phase::PhaseChange;
use crate::ledger::position::{self, FillEffect};
use crate::ledger::run::{ClaimedRun, Stage};

/// A run that begins so long after it was due is told of: no job waits that long for another in an ordinary day.
const LATE: Duration = Duration::from_secs(60);
/// Intents that an alert of a run's orders names.
const LISTED_MAX: usize = 20;

/// Tells of a page of executions and what they did to positions.
pub(super) fn tell_of_fills(
    tx: &Transaction<'_>,
    account: &str,
    recorded: &FillsRecorded,
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    for fill in &recorded.new {
        let is_part = fill::leaves_a_rest(tx, account, fill)?;
        let event = if is_part { AlertEvent::OrderPartFilled } else { AlertEvent::OrderFilled };
        alert::raise_if_wanted(tx, None, &alert_of_fill(event, fill), routes, now)?;
        for effect in position::effects_of(tx, account, &fill.execution_id)? {
            alert::raise_if_wanted(tx, None, &alert_of_effect(fill, &effect), routes, now)?;
        }
    }
    for conflict in &recorded.conflicts {
        alert::raise(tx, None, &alert_of_conflict(conflict), routes, now)?;
    }
    Ok(())
}

fn alert_of_fill(event: AlertEvent, fill: &Fill) -> Alert {
    let Fill { symbol, quantity, price, .. } = fill;
    let did = match fill.side {
        Side::Buy => "bought",
        Side::Sell => "sold",
    };
    let subject = format!("{symbol}: {did} {} at {}", words::shares(*quantity), words::price(*price));
    Alert::new(event, subject).about(*symbol)
}

fn alert_of_effect(fill: &Fill, effect: &FillEffect) -> Alert {
    let position = &effect.position.position;
    let symbol = fill.symbol;
    let direction = match position.direction {
        Direction::Long => "long",
        Direction::Short => "short",
    };
    let held = words::shares(effect.quantity);
    let (event, subject) = match effect.kind.as_str() {
        "opened" => {
            let price = words::price(fill.price);
            (AlertEvent::PositionOpened, format!("{symbol}: {direction} position of {held} opened at {price}"))
        }
        "closed" => {
            let reason = position.exit_reason.as_deref().map_or(String::new(), |reason| format!(" ({reason})"));
            let result = words::signed_dollars(position.realised);
            (AlertEvent::PositionClosed, format!("{symbol}: {direction} position closed, {result} before fees{reason}"))
        }
        kind => {
            let did = if kind == "added" { "added to" } else { "reduced" };
            (AlertEvent::PositionAdjusted, format!("{symbol}: {direction} position was {did}, {held} are held"))
        }
    };
    Alert::new(event, subject).about(symbol)
}

/// The broker shows an execution that is recorded already, with other numbers. What was recorded stays;
/// a person must look.
fn alert_of_conflict(conflict: &FillConflict) -> Alert {
    let FillConflict { kept, shown } = conflict;
    let subject = format!("{}: execution {} is not what it was", kept.symbol, kept.execution_id);
    let body = format!(
        "recorded: {} {} at {}\nshown now: {} {} at {}\nThe recorded one was kept.",
        kept.side.as_str(),
        kept.quantity,
        kept.price,
        shown.side.as_str(),
        shown.quantity,
        shown.price
    );
    Alert::new(AlertEvent::FillChanged, subject).about(kept.symbol).with_body(body)
}

/// Tells of orders that have ended without being filled, and of those that stand in a way that nobody here knows.
pub(super) fn tell_of_orders(
    tx: &Transaction<'_>,
    recorded: &OrdersRecorded,
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    for order in &recorded.unfilled {
        alert::raise_if_wanted(tx, None, &alert_of_unfilled(order), routes, now)?;
    }
    for order in &recorded.unrecognised {
        alert::raise(tx, None, &alert_of_unrecognised(order), routes, now)?;
    }
    Ok(())
}

fn alert_of_unrecognised(order: &Order) -> Alert {
    let Order { symbol, broker_order_id, .. } = order;
    let word = order.unknown_status().unwrap_or_default();
    let subject =
        format!("{symbol}: the broker's order {broker_order_id} is \"{word}\", which this version does not know");
    Alert::new(AlertEvent::OrderUnrecognised, subject).about(*symbol).with_body("It counts as working.")
}

fn alert_of_unfilled(order: &Order) -> Alert {
    let Order { symbol, side, quantity, filled, .. } = order;
    let (event, how) = match order.status {
        OrderStatus::Rejected => (AlertEvent::OrderRejected, "was rejected by the broker after it had taken it"),
        OrderStatus::Expired => (AlertEvent::OrderCanceled, "has expired"),
        _ => (AlertEvent::OrderCanceled, "was canceled"),
    };
    let part = if filled.is_zero() { String::new() } else { format!(", {} of them filled", words::shares(*filled)) };
    let subject = format!("{symbol}: the order to {} {}{part} {how}", side.as_str(), words::shares(*quantity));
    Alert::new(event, subject).about(*symbol)
}

/// Tells that a run begins, and if it is long after it was due, that it is late.
pub(super) fn tell_of_start(
    tx: &Transaction<'_>,
    run: &ClaimedRun,
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if run.attempt != 1 || run.stage != Stage::Gather {
        return Ok(());
    }
    let begins = format!("{} of {} begins", run.job, words::instant(run.slot));
    alert::raise_if_wanted(tx, Some(run.run_id), &Alert::new(AlertEvent::JobStarted, &begins), routes, now)?;
    let late = now.since(run.slot);
    if late >= LATE {
        let subject = format!("{begins} {} late", words::held(late));
        alert::raise(tx, Some(run.run_id), &Alert::new(AlertEvent::JobLate, subject), routes, now)?;
    }
    Ok(())
}

/// Tells of the orders that a run has sent, once all of them are.
pub(super) fn tell_of_trades(
    tx: &Transaction<'_>,
    run_id: i64,
    job: &str,
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let intents = intent::of_run(tx, run_id)?;
    let sent: Vec<String> = intents.iter().filter(|stored| was_sent(stored)).map(line_of).collect();
    if sent.is_empty() {
        return Ok(());
    }
    let subject = format!("{job} has sent {}", words::counted(sent.len(), "order", "orders"));
    let body = sent.into_iter().take(LISTED_MAX).collect::<Vec<_>>().join("\n");
    let told = Alert::new(AlertEvent::TradesExecuted, subject).with_body(body);
    alert::raise_if_wanted(tx, Some(run_id), &told, routes, now)
}

/// What people are told of an intent to which something happened.
pub(super) fn alert_of_intent(stored: &StoredIntent, event: IntentEvent, outcome: Option<&str>) -> Option<Alert> {
    let symbol = stored.intent.action.symbol();
    let why = outcome.unwrap_or("no reason given");
    let reason = &stored.intent.reason;
    let told = match event {
        IntentEvent::Refused => {
            Alert::new(AlertEvent::OrderRejected, format!("{symbol}: the broker refused ({reason}): {why}"))
        }
        IntentEvent::TermsDiffer => {
            let subject = format!("{symbol}: the broker holds our order under other terms; entries are halted");
            Alert::new(AlertEvent::OrderConflicted, subject).with_body(why)
        }
        IntentEvent::AbsentTooLate => {
            Alert::new(AlertEvent::OrderAbandoned, format!("{symbol}: not sent in time ({reason})"))
        }
        IntentEvent::Ended => match &stored.intent.action {
            Action::ReplaceStop { stop, .. } => {
                let subject = format!("{symbol}: the stop was moved to {} ({reason})", words::price(*stop));
                Alert::new(AlertEvent::PositionAdjusted, subject)
            }
            Action::Submit(_) | Action::Cancel { .. } | Action::Close { .. } => return None,
        },
        IntentEvent::Sending | IntentEvent::AnswerLost | IntentEvent::Acknowledged | IntentEvent::Expired => {
            return None;
        }
    };
    Some(told.about(symbol))
}

fn was_sent(stored: &StoredIntent) -> bool {
    let trades = matches!(stored.intent.action, Action::Submit(_) | Action::Close { .. });
    trades && matches!(stored.state, IntentState::Acked | IntentState::Terminal)
}

fn line_of(stored: &StoredIntent) -> String {
    let what = match (&stored.intent.action, stored.intent.purpose) {
        (Action::Submit(ticket), _) => format!("{} {}", ticket.side.as_str(), words::shares(ticket.quantity)),
        (Action::Close { quantity: Some(part), .. }, _) => format!("close {}", words::shares(*part)),
        (_, Purpose::Enter) => "enter".to_owned(),
        (_, _) => "close".to_owned(),
    };
    format!("{}: {what} ({})", stored.intent.action.symbol(), stored.intent.reason)
}

/// What people are told of a change of the phase.
pub(super) fn alert_of_phase(change: &PhaseChange) -> Alert {
    let to = change.to.to_string();
    let from = change.from.map_or(String::new(), |from: Phase| format!(", after {from}"));
    // That the market is in a phase is why the program is: said once, it is enough.
    let why = if change.reason == to { String::new() } else { format!(": {}", change.reason) };
    Alert::new(AlertEvent::PhaseChanged, format!("the phase is {to}{from}{why}"))
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::AlertRule;
    use daybook_core::decision::Decision;
    use daybook_core::money::{Price, Quantity};
    use daybook_core::order::Intent;

    use super::*;
    use crate::ledger::alert::Route;
    use crate::ledger::order;
    use crate::ledger::testing::{TestLedger, enter, fill_of, order_of};

    fn record(day: &TestLedger, fill: Fill, routes: &Routes) {
        let routes = routes.clone();
        day.ledger
            .write_blocking(move |tx| {
                let recorded = fill::record(tx, "paper", &[fill], Timestamp(9))?;
                tell_of_fills(tx, "paper", &recorded, &routes, Timestamp(9))
            })
            .unwrap();
    }

    fn told(routes: &Routes) -> Vec<String> {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let entry = enter(&day, &run, 0, "AAPL", 100);
        let (ticket, review, intent) = (entry.ticket, entry.review, entry.intent);
        day.decide(&run, &Decision { reviews: vec![review], intents: vec![intent], ..Decision::default() });
        let buy = order_of(&ticket, "b-1", 10);
        let shown = buy.clone();
        day.ledger.write_blocking(move |tx| order::record(tx, "paper", &[shown], Timestamp(11))).unwrap();
        for (execution, shares) in [("x-1", 40), ("x-2", 60)] {
            let part = Order { filled: Quantity::whole(shares), ..buy.clone() };
            record(&day, fill_of(&part, execution), routes);
        }
        let mut sell = order_of(&ticket, "b-2", 20_000);
        (sell.side, sell.filled) = (Side::Sell, sell.quantity);
        sell.client_order_id = "other".parse().unwrap();
        record(&day, fill_of(&sell, "x-3"), routes);
        let mut told = day.ledger.read(|conn| alert::last(conn, 50)).unwrap();
        told.reverse();
        told.into_iter().map(|stored| format!("{}  {}", stored.alert.event, stored.alert.subject)).collect()
    }

    #[test]
    fn a_trade_is_told_by_its_orders_and_its_result() {
        let ordinary = [
            "order.filled  AAPL: bought 60 at 100.00",
            "order.filled  AAPL: sold 100 at 100.00",
            "position.closed  AAPL: long position closed, $0.00 before fees (order)",
        ];
        assert_eq!(told(&Routes::from([Route::every("slack")])), ordinary);
    }

    #[test]
    fn what_is_routine_is_told_to_those_who_want_it() {
        let rule = AlertRule {
            events: vec!["order.*".to_owned(), "position.*".to_owned()],
            channels: vec!["slack".to_owned()],
            ..AlertRule::default()
        };
        let mut routes = Routes::from([Route::every("slack")]);
        routes.rules.push(rule);
        let every = [
            "order.part_filled  AAPL: bought 40 at 100.00",
            "position.opened  AAPL: long position of 40 opened at 100.00",
            "order.filled  AAPL: bought 60 at 100.00",
            "position.adjusted  AAPL: long position was added to, 100 are held",
            "order.filled  AAPL: sold 100 at 100.00",
            "position.closed  AAPL: long position closed, $0.00 before fees (order)",
        ];
        assert_eq!(told(&routes), every);
    }

    #[test]
    fn a_stop_that_was_moved_is_an_adjustment_and_a_cancel_is_none() {
        let day = TestLedger::new();
        let run = day.run("risk-monitor", 30);
        let (symbol, broker_order_id) = ("AAPL".parse().unwrap(), "b-3".to_owned());
        let intents = [
            Action::ReplaceStop { symbol, broker_order_id: broker_order_id.clone(), stop: Price::from_cents(10_120) },
            Action::Cancel { symbol, broker_order_id },
        ];
        let intents = (0..).zip(intents).map(|(leg, action)| Intent {
            leg,
            purpose: Purpose::Adjust,
            action,
            valid_until: None,
            reason: "trailing".to_owned(),
        });
        let written = day.decide(&run, &Decision { intents: intents.collect(), ..Decision::default() });
        let told = |stored: &StoredIntent| alert_of_intent(stored, IntentEvent::Ended, None);
        let moved = told(&written.intents[0]).unwrap();
        assert_eq!(moved.event, "position.adjusted");
        assert_eq!(moved.subject, "AAPL: the stop was moved to 101.20 (trailing)");
        assert_eq!(told(&written.intents[1]), None);
    }

    #[test]
    fn an_order_that_ends_unfilled_says_how() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let order = order_of(&enter(&day, &run, 0, "AAPL", 100).ticket, "b-1", 10);
        for (status, event, end) in [
            (OrderStatus::Canceled, "order.canceled", "was canceled"),
            (OrderStatus::Expired, "order.canceled", "has expired"),
            (OrderStatus::Rejected, "order.rejected", "was rejected by the broker after it had taken it"),
        ] {
            let told = alert_of_unfilled(&Order { status, ..order.clone() });
            assert_eq!((told.event.as_str(), told.subject), (event, format!("AAPL: the order to buy 100 {end}")));
        }
    }
}
