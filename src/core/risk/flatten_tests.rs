use super::*;
use crate::alert::AlertLevel;
use crate::order::{Action, OrderClass, OrderType};
use crate::risk::testing::{at_broker, entry, legs, minute, order, origin, position, session, symbol};
use crate::strategy::Direction;

fn holding(positions: Vec<Position>) -> FlattenFacts {
    FlattenFacts {
        origin: origin("market-close-flatten", minute(380)),
        as_of: minute(380),
        session: session(),
        broker_positions: positions.iter().map(at_broker).collect(),
        open_orders: positions.iter().flat_map(legs).collect(),
        positions,
        in_flight: vec![],
    }
}

#[test]
fn the_session_ends_flat() {
    let mut facts = holding(vec![position("AAPL", Direction::Long), position("MSFT", Direction::Short)]);
    facts.open_orders.push(entry(&position("IBM", Direction::Long)));
    let decision = flatten(&facts);
    assert_eq!(decision.summary, "2 positions closed, 1 entries taken back");
    let actions: Vec<(Purpose, &str)> =
        decision.intents.iter().map(|intent| (intent.purpose, intent.reason.as_str())).collect();
    assert_eq!(
        actions,
        [(Purpose::Exit, "market close"), (Purpose::Exit, "market close"), (Purpose::CancelEntry, "market close")]
    );
    assert!(decision.intents[..2].iter().all(|intent| intent.valid_until == Some(session().close)));
    assert_eq!(decision.positions.len(), 2);

    // The second slot sees the closes on their way, and one that is working.
    facts.in_flight = vec![
        InFlight { symbol: symbol("AAPL"), purpose: Purpose::Exit },
        InFlight { symbol: symbol("IBM"), purpose: Purpose::CancelEntry },
    ];
    facts.open_orders.push(order(&facts.positions[1], OrderType::Market));
    assert!(flatten(&facts).intents.is_empty());
}

#[test]
fn what_is_not_ours_is_left_alone_and_reported() {
    let mut facts = holding(vec![]);
    let stranger = position("KO", Direction::Long);
    facts.broker_positions.push(at_broker(&stranger));
    let mut foreign = entry(&position("PEP", Direction::Long));
    foreign.client_order_id = "somebody-else".parse().unwrap();
    foreign.class = OrderClass::Simple;
    facts.open_orders.push(foreign);
    let decision = flatten(&facts);
    assert!(decision.intents.is_empty());
    assert_eq!(
        decision.alerts[0].subject,
        "KO: the broker holds 100 shares that were not traded from here; left alone"
    );
    assert_eq!(decision.summary, "flat already");
    // The ledger knows it by now, from its fills: that does not make it ours.
    facts.positions.push(Position { strategy: None, ..stranger });
    assert_eq!(flatten(&facts), decision);
}

#[test]
fn a_position_that_the_broker_does_not_show_yet_is_closed_too() {
    let mut facts = holding(vec![position("AAPL", Direction::Long)]);
    facts.broker_positions.clear();
    let decision = flatten(&facts);
    assert!(matches!(decision.intents[0].action, Action::Close { .. }));
}

#[test]
fn after_the_close_a_person_must_look() {
    let mut facts = holding(vec![position("AAPL", Direction::Long)]);
    facts.as_of = session().close;
    let decision = flatten(&facts);
    assert!(decision.intents.is_empty());
    assert_eq!(decision.alerts[0].level, AlertLevel::Critical);
    assert_eq!(decision.summary, "the session of 2026-11-16 is over: nothing can be closed");
}
