use proptest::prelude::*;

use super::*;
use crate::decision::Decision;
use crate::money::Price;
use crate::order::{Action, OrderClass, OrderStatus, OrderType, Purpose, Side};
use crate::portfolio::{FillOrigin, book};
use crate::risk::testing::{
    LEDGER_ID, at_broker, cents, entry, legs, mark, minute, order, origin, position, session, symbol,
};
use crate::risk::{HaltKind, RiskSettings, approve_protection};
use crate::strategy::Direction;

/// Two views that agree: `positions` with their brackets' legs.
fn agreeing(positions: Vec<Position>) -> ReconcileFacts {
    let orders: Vec<Order> = positions.iter().flat_map(legs).collect();
    ReconcileFacts {
        origin: origin("reconcile", minute(60)),
        as_of: minute(60),
        session: session(),
        orders: orders.clone(),
        intents: vec![],
        in_flight: vec![],
        broker_positions: positions.iter().map(at_broker).collect(),
        open_orders: orders,
        looked_up: vec![],
        marks: positions.iter().map(|held| mark(held.symbol.as_str(), 50_10, minute(59))).collect(),
        positions,
        halts: vec![],
        prior: Some(PriorReconcile { at: minute(55), differences: vec![] }),
    }
}

fn long() -> ReconcileFacts {
    agreeing(vec![position("AAPL", Direction::Long)])
}

fn decide(facts: &ReconcileFacts, on_difference: DifferencePolicy) -> Decision {
    reconcile(facts, &ReconcileSettings { on_difference }, &RiskSettings::default())
}

fn key(text: &str) -> ClientOrderId {
    text.parse().unwrap()
}

#[test]
fn a_difference_that_no_longer_halts_is_looser() {
    use DifferencePolicy::{Adopt, Close, Halt};
    for (before, after, held, stays) in [
        (Halt, Adopt, Some("on_difference"), Halt),
        (Halt, Close, Some("on_difference"), Halt),
        (Adopt, Halt, None, Halt),
    ] {
        let mut settings = ReconcileSettings { on_difference: after };
        assert_eq!(ReconcileSettings { on_difference: before }.hold_loosened(&mut settings), held);
        assert_eq!(settings.on_difference, stays);
    }
}

fn events(decision: &Decision) -> Vec<&str> {
    decision.alerts.iter().map(|alert| alert.event.as_str()).collect()
}

#[test]
fn views_that_agree_give_an_empty_decision() {
    let decision = decide(&long(), DifferencePolicy::Halt);
    let summary = "agrees: 1 positions, 2 open orders".to_owned();
    assert_eq!(decision, Decision { summary, ..Decision::default() });
}

#[test]
fn an_order_of_ours_that_the_ledger_does_not_know_is_adopted() {
    let mut facts = long();
    let mut found = entry(&position("IBM", Direction::Long));
    found.submitted_at = minute(58);
    facts.open_orders.push(found.clone());
    let decision = decide(&facts, DifferencePolicy::Halt);
    assert_eq!(decision.repairs, [Repair::Record(found)]);
    assert_eq!(events(&decision), ["order.adopted"]);
    assert!(decision.intents.is_empty());
    // The next look, five minutes later, does not tell it again.
    facts.prior = Some(PriorReconcile { at: minute(60), differences: vec![] });
    assert_eq!(events(&decide(&facts, DifferencePolicy::Halt)), Vec::<&str>::new());
}

#[test]
fn a_strangers_order_is_recorded_reported_and_left_alone() {
    let mut facts = long();
    let mut foreign = entry(&position("IBM", Direction::Long));
    foreign.client_order_id = key("by-hand-7");
    foreign.class = OrderClass::Simple;
    foreign.submitted_at = minute(58);
    facts.open_orders.push(foreign.clone());
    let decision = decide(&facts, DifferencePolicy::Close);
    assert_eq!(decision.repairs, [Repair::Record(foreign)]);
    assert_eq!(events(&decision), ["order.stranger"]);
    assert!(decision.intents.is_empty());
    assert_eq!(decision.summary, "1 orders recorded, 1 orders of strangers");
}

#[test]
fn a_strangers_entry_in_a_symbol_of_ours_is_not_taken_back_with_ours() {
    let mut facts = long();
    let ours = entry(&facts.positions[0]);
    let foreign = Order { broker_order_id: "foreign".to_owned(), client_order_id: key("by-hand-7"), ..ours.clone() };
    facts.open_orders = vec![ours, foreign];
    let decision = decide(&facts, DifferencePolicy::Halt);
    let canceled: Vec<&Action> = decision.intents[..1].iter().map(|intent| &intent.action).collect();
    assert_eq!(canceled, [&Action::Cancel { symbol: symbol("AAPL"), broker_order_id: "AAPL-entry".to_owned() }]);
}

#[test]
fn a_row_moves_on_and_a_late_answer_does_not_take_it_back() {
    let mut facts = long();
    facts.looked_up = vec![Order { status: OrderStatus::Canceled, updated_at: minute(59), ..facts.orders[0].clone() }];
    let recorded = decide(&facts, DifferencePolicy::Halt).repairs;
    assert_eq!(recorded, [Repair::Record(facts.looked_up[0].clone())]);
    facts.orders[0] = facts.looked_up[0].clone();
    facts.looked_up.clear();
    assert_eq!(decide(&facts, DifferencePolicy::Halt).repairs, []);
}

#[test]
fn intents_follow_their_orders() {
    use IntentEvent::{Acknowledged, Ended};
    use IntentState::{Abandoned, Acked, Conflict, Pending, Submitting, Terminal, Unknown};
    let table: [(IntentState, &[IntentEvent], &[IntentEvent]); 7] = [
        // State, events while its order works, events once its order has ended.
        (Pending, &[], &[]),
        (Submitting, &[Acknowledged], &[Ended]),
        (Unknown, &[Acknowledged], &[Ended]),
        (Acked, &[], &[Ended]),
        (Abandoned, &[Acknowledged], &[Acknowledged, Ended]),
        (Terminal, &[], &[]),
        (Conflict, &[], &[]),
    ];
    for (state, while_working, once_ended) in table {
        for (status, expected) in [(OrderStatus::New, while_working), (OrderStatus::Filled, once_ended)] {
            let mut facts = long();
            let shown = Order { status, ..entry(&facts.positions[0]) };
            facts.intents = vec![KnownIntent { client_order_id: shown.client_order_id.clone(), state }];
            facts.orders.push(shown.clone());
            facts.looked_up.push(shown.clone());
            let settled: Vec<Repair> = expected
                .iter()
                .map(|event| Repair::Settle { client_order_id: shown.client_order_id.clone(), event: *event })
                .collect();
            assert_eq!(decide(&facts, DifferencePolicy::Halt).repairs, settled, "{state:?}, {status:?}");
            let mut moved = state;
            for event in expected {
                moved = moved.apply(*event).unwrap();
            }
        }
    }
}

#[test]
fn an_order_that_was_replaced_has_not_ended() {
    let mut facts = long();
    let moved = order(&facts.positions[0], OrderType::Stop { stop: cents(49_00) });
    let old = Order { status: OrderStatus::Replaced, ..moved.clone() };
    let new = Order { broker_order_id: "AAPL-moved".to_owned(), ..moved };
    facts.intents = vec![KnownIntent { client_order_id: old.client_order_id.clone(), state: IntentState::Acked }];
    facts.orders = vec![old.clone(), new.clone()];
    facts.open_orders = vec![new];
    facts.looked_up = vec![old];
    assert_eq!(decide(&facts, DifferencePolicy::Halt).repairs, []);
}

/// The ledger holds 100 shares, the broker as many as given.
fn differing(at_broker: i64) -> ReconcileFacts {
    let mut facts = long();
    facts.broker_positions[0].quantity = Quantity::whole(at_broker);
    facts
}

/// The next look, in which nothing has changed at the broker.
fn again(facts: &ReconcileFacts, decision: &Decision) -> ReconcileFacts {
    let prior = PriorReconcile { at: facts.as_of, differences: decision.differences.clone() };
    ReconcileFacts { prior: Some(prior), as_of: minute(65), origin: origin("reconcile", minute(65)), ..facts.clone() }
}

#[test]
fn a_difference_is_acted_on_when_it_is_seen_again() {
    for policy in [DifferencePolicy::Adopt, DifferencePolicy::Close, DifferencePolicy::Halt] {
        let facts = differing(160);
        let first = decide(&facts, policy);
        let difference =
            Difference { symbol: symbol("AAPL"), ledger: Quantity::whole(100), broker: Quantity::whole(160) };
        assert_eq!(first.differences, [difference]);
        assert_eq!(first.summary, "1 positions differ");
        assert_eq!((first.repairs.len(), first.intents.len(), first.halts.len()), (0, 0, 0), "{policy:?}");

        let mut other = again(&facts, &first);
        other.broker_positions[0].quantity = Quantity::whole(130);
        let moving = decide(&other, policy);
        assert_eq!((moving.repairs.len(), moving.halts.len()), (0, 0), "another difference: a fill was under way");

        let second = decide(&again(&facts, &first), policy);
        match policy {
            DifferencePolicy::Halt => {
                assert_eq!(second.halts[0].kind, HaltKind::Conflict);
                assert_eq!(second.halts[0].reason, "AAPL: the ledger holds 100 shares, the broker 160");
                assert_eq!((events(&second), second.repairs.len()), (vec!["position.differs"], 0));
                let standing = ReconcileFacts { halts: second.halts.clone(), ..again(&facts, &second) };
                assert!(decide(&standing, policy).halts.is_empty(), "the latch stands already");
            }
            DifferencePolicy::Adopt | DifferencePolicy::Close => {
                let [Repair::Correct(fill)] = &second.repairs[..] else { panic!("one correction") };
                assert_eq!((fill.side, fill.quantity, fill.price), (Side::Buy, Quantity::whole(60), cents(50_10)));
                assert_eq!(fill.execution_id, "correction-1794843300000-AAPL");
                let closes = second.intents.iter().filter(|intent| intent.purpose == Purpose::Exit).count();
                assert_eq!(closes, usize::from(policy == DifferencePolicy::Close));
            }
        }
    }
}

#[test]
fn a_position_that_only_one_side_knows() {
    // The broker holds nothing: the ledger's position is booked away at the mark, and nothing is sold.
    let mut gone = differing(0);
    gone.broker_positions.clear();
    gone.open_orders.clear();
    gone.orders.clear();
    let decision = decide(&again(&gone, &decide(&gone, DifferencePolicy::Close)), DifferencePolicy::Close);
    let [Repair::Correct(fill)] = &decision.repairs[..] else { panic!("one correction") };
    assert_eq!((fill.side, fill.quantity, fill.price), (Side::Sell, Quantity::whole(100), cents(50_10)));
    assert!(decision.intents.is_empty());

    // The ledger holds nothing: what is there is taken over at the broker's own price.
    let mut unknown = agreeing(vec![]);
    unknown.broker_positions = vec![at_broker(&position("KO", Direction::Short))];
    unknown.marks = vec![mark("KO", 49_00, minute(59))];
    let decision = decide(&again(&unknown, &decide(&unknown, DifferencePolicy::Adopt)), DifferencePolicy::Adopt);
    let [Repair::Correct(fill)] = &decision.repairs[..] else { panic!("one correction") };
    assert_eq!((fill.side, fill.quantity, fill.price), (Side::Sell, Quantity::whole(100), cents(50_00)));

    // No price at all: a person has to look.
    unknown.marks.clear();
    unknown.broker_positions[0].average_price = Price::ZERO;
    let decision = decide(&again(&unknown, &decide(&unknown, DifferencePolicy::Adopt)), DifferencePolicy::Adopt);
    assert_eq!(decision.halts[0].kind, HaltKind::Conflict);
}

#[test]
fn a_position_without_a_stop_gets_one_and_an_exit_without_a_position_is_taken_back() {
    let mut facts = long();
    let orphan = order(&position("IBM", Direction::Long), OrderType::Stop { stop: cents(49_00) });
    facts.open_orders = vec![orphan.clone()];
    facts.orders = vec![orphan];
    let decision = decide(&facts, DifferencePolicy::Halt);
    let cancel = Action::Cancel { symbol: symbol("IBM"), broker_order_id: "IBM-simple".to_owned() };
    assert_eq!(decision.intents[0].action, cancel);
    let Action::Submit(ticket) = &decision.intents[1].action else { panic!("a stop is submitted") };
    assert_eq!(ticket.order_type, OrderType::Stop { stop: cents(49_00) });
    assert!(approve_protection(ticket.clone(), Quantity::whole(100)).is_ok());

    // Where the views differ nobody knows how many shares there are: nothing is placed.
    facts.broker_positions[0].quantity = Quantity::whole(150);
    assert!(
        decide(&facts, DifferencePolicy::Halt).intents.iter().all(|intent| intent.action.symbol() == symbol("IBM"))
    );
}

#[test]
fn a_position_that_cannot_be_protected_is_left_or_a_person_is_called() {
    let mut facts = long();
    facts.open_orders.clear();
    facts.orders.clear();
    facts.marks[0].price = cents(48_00);
    let decision = decide(&facts, DifferencePolicy::Halt);
    assert_eq!((decision.intents[0].purpose, events(&decision)), (Purpose::Exit, vec!["position.exit"]));
    facts.as_of = session().close;
    let decision = decide(&facts, DifferencePolicy::Halt);
    assert_eq!((decision.intents.len(), events(&decision)), (0, vec!["position.unprotected"]));
}

const SYMBOLS: [&str; 3] = ["A", "B", "C"];

#[derive(Debug, Clone)]
struct SymbolCase {
    in_ledger: Option<Direction>,
    at_broker: i64,
    orders: Vec<Order>,
    known_orders: usize,
    seen_before: bool,
}

/// Orders of every kind, ours and a stranger's, in every state, for a position of the symbol.
fn any_order(name: &'static str) -> impl Strategy<Value = Order> {
    let status = prop::sample::select(vec![
        OrderStatus::Accepted,
        OrderStatus::Held,
        OrderStatus::New,
        OrderStatus::PartiallyFilled,
        OrderStatus::PendingCancel,
    ]);
    (any::<bool>(), 0..5_usize, status, any::<bool>(), 1..300_i64).prop_map(
        move |(is_long, kind, status, is_ours, shares)| {
            let held = position(name, if is_long { Direction::Long } else { Direction::Short });
            let [stop, target] = legs(&held);
            let alone = order(&held, OrderType::Stop { stop: cents(49_50) });
            let exit = Order { broker_order_id: format!("{name}-exit"), ..order(&held, OrderType::Market) };
            let mut one = [stop, target, alone, exit, entry(&held)][kind].clone();
            one.status = status;
            one.quantity = Quantity::whole(shares);
            one.filled = Quantity::ZERO;
            if !is_ours {
                one.broker_order_id.push_str("-foreign");
                one.client_order_id = key("by-hand");
                one.parent = one.parent.map(|_| key("by-hand"));
            }
            one
        },
    )
}

fn case(name: &'static str) -> impl Strategy<Value = SymbolCase> {
    let direction = prop::option::of(prop::sample::select(vec![Direction::Long, Direction::Short]));
    let shares = prop::sample::select(vec![-200, -100, 0, 60, 100, 100, 100]);
    let orders = prop::collection::vec(any_order(name), 0..4).prop_map(|mut orders| {
        orders.sort_by(|a, b| a.broker_order_id.cmp(&b.broker_order_id));
        orders.dedup_by(|a, b| a.broker_order_id == b.broker_order_id);
        orders
    });
    (direction, shares, orders, 0..4_usize, any::<bool>()).prop_map(
        |(in_ledger, at_broker, orders, known_orders, seen_before)| SymbolCase {
            in_ledger,
            at_broker,
            orders,
            known_orders,
            seen_before,
        },
    )
}

fn views() -> impl Strategy<Value = ReconcileFacts> {
    let intent_states = prop::collection::vec(
        prop::sample::select(vec![
            IntentState::Pending,
            IntentState::Unknown,
            IntentState::Acked,
            IntentState::Abandoned,
            IntentState::Conflict,
        ]),
        1,
    );
    ([case(SYMBOLS[0]), case(SYMBOLS[1]), case(SYMBOLS[2])], intent_states, any::<bool>()).prop_map(
        |(cases, states, has_marks)| {
            let mut facts = agreeing(vec![]);
            let mut differences = vec![];
            for (name, case) in SYMBOLS.into_iter().zip(cases) {
                let held = case.in_ledger.map(|direction| position(name, direction));
                let ledger = held.as_ref().map_or(Quantity::ZERO, Position::signed_quantity);
                let broker = Quantity::whole(case.at_broker);
                if case.seen_before && ledger != broker {
                    differences.push(Difference { symbol: symbol(name), ledger, broker });
                }
                if !broker.is_zero() {
                    let sample = at_broker(&position(name, Direction::Long));
                    facts.broker_positions.push(BrokerPosition { quantity: broker, ..sample });
                }
                facts.positions.extend(held);
                facts.orders.extend(case.orders.iter().take(case.known_orders).cloned());
                facts.open_orders.extend(case.orders);
                facts.marks.extend(has_marks.then(|| mark(name, 50_10, minute(59))));
            }
            let keys: std::collections::BTreeSet<ClientOrderId> =
                facts.open_orders.iter().map(|order| order.client_order_id.clone()).collect();
            facts.intents = keys
                .into_iter()
                .filter(|key| key.belongs_to(LEDGER_ID))
                .zip(states.into_iter().cycle())
                .map(|(client_order_id, state)| KnownIntent { client_order_id, state })
                .collect();
            facts.prior = Some(PriorReconcile { at: minute(55), differences });
            facts
        },
    )
}

fn policies() -> impl Strategy<Value = DifferencePolicy> {
    prop::sample::select(vec![DifferencePolicy::Adopt, DifferencePolicy::Close, DifferencePolicy::Halt])
}

/// The ledger after the repairs of a decision.
fn repaired(facts: &ReconcileFacts, decision: &Decision) -> ReconcileFacts {
    let mut next = again(facts, decision);
    for repair in &decision.repairs {
        match repair {
            Repair::Record(order) => {
                next.orders.retain(|row| row.broker_order_id != order.broker_order_id);
                next.orders.push(order.clone());
            }
            Repair::Settle { client_order_id, event } => {
                let mut intents = next.intents.iter_mut();
                let intent = intents.find(|intent| intent.client_order_id == *client_order_id).unwrap();
                intent.state = intent.state.apply(*event).unwrap();
            }
            Repair::Correct(fill) => {
                let before = next.positions.iter().position(|held| held.symbol == fill.symbol);
                let before = before.map(|place| next.positions.remove(place));
                next.positions.extend(book(before, fill, &FillOrigin::UNPLANNED).unwrap().open);
            }
        }
    }
    next
}

proptest! {
    #[test]
    fn every_open_order_is_in_the_ledger_afterwards((facts, policy) in (views(), policies())) {
        let next = repaired(&facts, &decide(&facts, policy));
        for order in &facts.open_orders {
            prop_assert!(next.orders.contains(order));
        }
    }

    #[test]
    fn nothing_of_a_strangers_is_touched_and_nothing_is_opened((facts, policy) in (views(), policies())) {
        let decision = decide(&facts, policy);
        for intent in &decision.intents {
            prop_assert!(!intent.purpose.opens());
            match &intent.action {
                Action::Cancel { broker_order_id, .. } | Action::ReplaceStop { broker_order_id, .. } => {
                    prop_assert!(!broker_order_id.ends_with("-foreign"), "{}", broker_order_id);
                }
                Action::Close { symbol, .. } => {
                    let is_ours = facts.positions.iter().any(|held| held.symbol == *symbol);
                    let is_taken_over = decision.repairs.iter().any(|repair| {
                        matches!(repair, Repair::Correct(fill) if fill.symbol == *symbol)
                    });
                    prop_assert!(is_ours || is_taken_over);
                }
                Action::Submit(ticket) => {
                    let held = facts.broker_positions.iter().find(|held| held.symbol == ticket.symbol).unwrap();
                    prop_assert!(approve_protection(ticket.clone(), held.quantity).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_difference_is_corrected_or_latched_only_when_seen_twice((facts, policy) in (views(), policies())) {
        let decision = decide(&facts, policy);
        let seen = &facts.prior.as_ref().unwrap().differences;
        for repair in &decision.repairs {
            if let Repair::Correct(fill) = repair {
                prop_assert!(policy != DifferencePolicy::Halt);
                prop_assert!(seen.iter().any(|difference| difference.symbol == fill.symbol));
            }
        }
        if seen.is_empty() {
            prop_assert!(decision.halts.is_empty());
        }
    }

    #[test]
    fn every_share_of_ours_is_protected_or_about_to_be((facts, policy) in (views(), policies())) {
        let decision = decide(&facts, policy);
        let at_broker = crate::risk::resting::by_symbol(&facts.broker_positions, &facts.open_orders, LEDGER_ID);
        for held in &facts.positions {
            let differs = decision.differences.iter().any(|difference| difference.symbol == held.symbol);
            let Some(resting) = at_broker.get(&held.symbol).filter(|_| !differs) else { continue };
            let acts = decision.intents.iter().any(|intent| {
                intent.action.symbol() == held.symbol && matches!(intent.purpose, Purpose::Protect | Purpose::Exit)
            });
            prop_assert!(resting.unprotected().is_zero() || resting.closing || acts);
        }
    }

    #[test]
    fn reconciling_again_after_the_repairs_repairs_nothing((facts, policy) in (views(), policies())) {
        let first = decide(&facts, policy);
        let mut next = repaired(&facts, &first);
        // What the first look noted, the second acts on; after that there is nothing left.
        let second = decide(&next, policy);
        prop_assert!(second.repairs.iter().all(|repair| matches!(repair, Repair::Correct(_))), "{:?}", second.repairs);
        next = repaired(&next, &second);
        next.halts = first.halts.iter().chain(&second.halts).cloned().collect();
        let third = decide(&next, policy);
        prop_assert_eq!(&third.repairs, &vec![]);
        prop_assert_eq!(&third.halts, &vec![]);
        prop_assert_eq!(third, decide(&next, policy));
    }
}
