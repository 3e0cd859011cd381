use super::*;
use crate::money::Quantity;
use crate::order::{Action, ClientOrderId, Intent, OrderStatus, OrderType};
use crate::risk::PastTrade;
use crate::risk::testing::{at_broker, cents, entry, legs, mark, minute, order, origin, position, session, symbol};

fn quiet() -> MonitorFacts {
    MonitorFacts {
        origin: origin("risk-monitor", minute(60)),
        as_of: minute(60),
        session: session(),
        halts: vec![],
        opening_equity: Money::whole(100_000),
        peak_equity: Money::whole(100_000),
        realised: Money::ZERO,
        fees: Money::ZERO,
        broker_equity: None,
        positions: vec![],
        broker_positions: vec![],
        open_orders: vec![],
        in_flight: vec![],
        marks: vec![],
        prior: None,
        warned: false,
        flatten_begun: false,
        closed_trades: vec![],
        last_safe_mode: None,
        failures_in_a_row: 0,
        trade_record: TradeRecord::default(),
    }
}

/// An account that holds `positions`, each with its bracket's legs at the broker and a mark of 50.10.
fn holding(positions: Vec<Position>) -> MonitorFacts {
    MonitorFacts {
        broker_positions: positions.iter().map(at_broker).collect(),
        open_orders: positions.iter().flat_map(legs).collect(),
        marks: positions.iter().map(|held| mark(held.symbol.as_str(), 50_10, minute(59))).collect(),
        positions,
        ..quiet()
    }
}

fn long() -> MonitorFacts {
    holding(vec![position("AAPL", Direction::Long)])
}

fn short() -> MonitorFacts {
    holding(vec![position("AAPL", Direction::Short)])
}

fn decide(facts: &MonitorFacts) -> Decision {
    monitor(facts, &RiskSettings::default())
}

fn events(decision: &Decision) -> Vec<&str> {
    decision.alerts.iter().map(|alert| alert.event.as_str()).collect()
}

fn purposes(decision: &Decision) -> Vec<(Purpose, &str)> {
    decision.intents.iter().map(|intent| (intent.purpose, intent.reason.as_str())).collect()
}

fn changes(decision: &Decision) -> Vec<&PositionEvent> {
    decision.positions.iter().map(|change| &change.event).collect()
}

fn halt(kind: HaltKind) -> Halt {
    Halt { kind, reason: "test".to_owned(), numbers: vec![], since: minute(50), until: None }
}

/// The facts of the next minute, in which the monitor sees what its last run saw.
fn next(facts: &MonitorFacts, decision: &Decision) -> MonitorFacts {
    MonitorFacts {
        as_of: facts.as_of.after(Span::minutes(1).as_duration()),
        prior: decision.look.clone(),
        halts: facts.halts.iter().chain(&decision.halts).cloned().collect(),
        ..facts.clone()
    }
}

#[test]
fn a_quiet_minute_decides_nothing_but_its_figures() {
    let mut facts = long();
    facts.positions[0].best_price = cents(50_20);
    let decision = decide(&facts);
    assert_eq!(decision.summary, "1 position, day P&L 10.00 (limit -2000.00)");
    assert_eq!((decision.intents.len(), decision.alerts.len(), decision.positions.len()), (0, 0, 0));
    let equity = decision.equity.unwrap();
    assert_eq!(equity.equity, Money::whole(100_010));
    assert_eq!(equity.exposure, Money::whole(5_010));
    assert_eq!(equity.day_pnl(), Money::whole(10));
    let look = decision.look.unwrap();
    assert_eq!((look.level, look.exposed), (DayLevel::Ok, true));
    assert_eq!(look.marks[0].trusted, Some(facts.marks[0]));
    assert_eq!(decide(&quiet()).summary, "flat, day P&L 0.00 (limit -2000.00)");
}

#[test]
fn what_a_stranger_has_opened_counts_and_is_left_alone() {
    // It has no stop, is held for too long, and the session's flatten has begun.
    let mut facts = MonitorFacts { open_orders: vec![], flatten_begun: true, ..long() };
    facts.positions[0].opened_at = minute(0).before(Span::days(1).as_duration());
    assert_eq!(purposes(&decide(&facts)), [(Purpose::Exit, "market close")]);
    (facts.positions[0].strategy, facts.positions[0].stop) = (None, None);
    let decision = decide(&facts);
    assert_eq!((decision.intents.len(), decision.alerts.len(), decision.positions.len()), (0, 0, 0));
    assert_eq!(decision.equity.as_ref().unwrap().day_pnl(), Money::whole(10));
    let stopping = MonitorFacts { halts: vec![halt(HaltKind::EmergencyStop)], ..facts };
    assert_eq!(purposes(&decide(&stopping)), [(Purpose::Exit, "emergency stop")]);
}

#[test]
fn the_warning_is_told_once_and_the_stop_follows_it() {
    let warned = MonitorFacts { realised: Money::whole(-1_490), fees: Money::whole(20), ..long() };
    let decision = decide(&warned);
    assert_eq!(decision.look.as_ref().unwrap().level, DayLevel::Warning);
    assert_eq!(events(&decision), ["risk.warned"]);
    assert!(decision.halts.is_empty());
    assert_eq!(events(&decide(&MonitorFacts { warned: true, ..warned.clone() })), Vec::<&str>::new());

    let breached = MonitorFacts { realised: Money::whole(-2_010), warned: true, ..warned };
    let decision = decide(&breached);
    assert_eq!(decision.halts[0].kind, HaltKind::EmergencyStop);
    assert_eq!(decision.halts[0].until, None);
    assert_eq!(decision.halts[0].reason, "day P&L -2020.00 is beyond the limit of -2000.00");
    assert_eq!(purposes(&decision), [(Purpose::Exit, "emergency stop")]);
    assert_eq!(changes(&decision), [&PositionEvent::ExitBegun { reason: "emergency stop".to_owned() }]);
    assert_eq!(events(&decision), ["risk.breached"]);
}

#[test]
fn the_emergency_stop_closes_until_the_broker_shows_nothing() {
    let mut facts = holding(vec![position("AAPL", Direction::Long), position("MSFT", Direction::Short)]);
    facts.realised = Money::whole(-2_500);
    facts.open_orders.push(entry(&position("IBM", Direction::Long)));
    let first = decide(&facts);
    let closes: Vec<&Intent> = first.intents.iter().filter(|intent| intent.purpose == Purpose::Exit).collect();
    assert_eq!(closes.len(), 2);
    let id = ClientOrderId::derive("1f3a9c2e", "risk-monitor", minute(60), 0, 0);
    assert_eq!(closes[0].action, Action::Close { symbol: symbol("AAPL"), client_order_id: id, quantity: None });
    assert_eq!(closes[0].valid_until, Some(session().close));
    assert_eq!(
        first.intents[2].action,
        Action::Cancel { symbol: symbol("IBM"), broker_order_id: "IBM-entry".to_owned() }
    );

    // A minute later AAPL's close is on its way, MSFT's order works, the entry is gone: nothing to send.
    let mut second = next(&facts, &first);
    second.open_orders.retain(|order| order.symbol != symbol("IBM"));
    second.open_orders.push(order(&facts.positions[1], OrderType::Market));
    second.in_flight.push(InFlight { symbol: symbol("AAPL"), purpose: Purpose::Exit });
    let decision = decide(&second);
    assert_eq!(purposes(&decision), []);
    assert_eq!(events(&decision), ["risk.closing"]);

    // The effects were lost: everything is closed again, under new names.
    let lost =
        MonitorFacts { in_flight: vec![], open_orders: vec![], origin: origin("risk-monitor", minute(61)), ..second };
    let again = decide(&lost);
    assert_eq!(purposes(&again), [(Purpose::Exit, "emergency stop"); 2]);
    assert_ne!(again.intents[0].action, first.intents[0].action);

    // The broker is flat: a person is told once, and the stop stands.
    let flat = MonitorFacts { positions: vec![], broker_positions: vec![], ..next(&lost, &again) };
    let decision = decide(&flat);
    assert_eq!((events(&decision), decision.intents.len()), (vec!["risk.flat"], 0));
    assert!(decision.cleared_halts.is_empty());
    assert_eq!(events(&decide(&next(&flat, &decision))), Vec::<&str>::new());
}

#[test]
fn an_absurd_price_fires_only_when_it_is_seen_again() {
    let facts = long();
    let calm = decide(&facts);
    // 100 shares from 50 to 25 are 2,500: beyond the limit, if it were true.
    let mut jumped = next(&facts, &calm);
    jumped.marks = vec![mark("AAPL", 25_00, minute(60))];
    let decision = decide(&jumped);
    let look = decision.look.as_ref().unwrap();
    assert_eq!(look.level, DayLevel::SecondLook);
    assert_eq!(look.marks[0].trusted, Some(facts.marks[0]), "the last believed price still counts");
    assert_eq!(events(&decision), ["risk.second_look"]);
    assert!(decision.halts.is_empty() && decision.intents.is_empty());

    // The very same mark again is no second look.
    let same = next(&jumped, &decision);
    let decision = decide(&same);
    assert_eq!(decision.look.as_ref().unwrap().level, DayLevel::SecondLook);
    assert_eq!(events(&decision), Vec::<&str>::new());

    // A newer one near it is; a newer one near the old price shows that it was an error.
    let mut confirmed = next(&same, &decision);
    confirmed.marks = vec![mark("AAPL", 25_50, minute(61))];
    assert_eq!(decide(&confirmed).halts[0].kind, HaltKind::EmergencyStop);
    let mut refuted = confirmed;
    refuted.marks = vec![mark("AAPL", 50_05, minute(61))];
    let decision = decide(&refuted);
    assert_eq!((decision.look.unwrap().level, decision.halts.len()), (DayLevel::Ok, 0));
}

#[test]
fn the_brokers_own_equity_is_a_second_source() {
    let mut facts = long();
    facts.marks = vec![mark("AAPL", 25_00, minute(59))];
    facts.broker_equity = Some(Money::whole(97_500));
    assert_eq!(decide(&facts).halts[0].kind, HaltKind::EmergencyStop);
    facts.broker_equity = Some(Money::whole(100_010));
    assert_eq!(decide(&facts).look.unwrap().level, DayLevel::SecondLook);
}

#[test]
fn stale_marks_fire_nothing_alone_and_have_a_limit_of_their_own() {
    let mut facts = long();
    facts.positions[0].cost = Money::whole(8_000); // 2,990 lost at the mark
    facts.marks = vec![mark("AAPL", 50_10, minute(56))];
    let decision = decide(&facts);
    assert_eq!(decision.look.as_ref().unwrap().level, DayLevel::SecondLook);
    assert!(decision.halts.is_empty());

    // What is certain fires whatever the stale position is worth.
    let certain = MonitorFacts { realised: Money::whole(-2_000), ..facts.clone() };
    assert_eq!(decide(&certain).halts[0].kind, HaltKind::EmergencyStop);

    facts.as_of = minute(67);
    let decision = decide(&facts);
    assert_eq!(decision.halts[0].kind, HaltKind::StaleMarks);
    assert_eq!(decision.halts[0].numbers, [Reason::new("AAPL", "11m")]);
    assert!(decision.intents.is_empty(), "nothing is sold on a price that nobody knows");

    let mut fresh = long();
    fresh.halts = vec![halt(HaltKind::StaleMarks)];
    let decision = decide(&fresh);
    assert_eq!(
        (decision.cleared_halts.as_slice(), events(&decision)),
        (&[HaltKind::StaleMarks][..], vec!["marks.fresh"])
    );
}

#[test]
fn a_market_that_does_not_trade_makes_nothing_stale() {
    let mut facts = long();
    facts.as_of = session().close.after(Span::hours(2).as_duration());
    let decision = decide(&facts);
    assert!(decision.halts.is_empty());
    assert_eq!(purposes(&decision), [], "max hold is over, but nothing can be sold");
    facts.positions[0].stop = None;
    facts.open_orders.clear();
    assert_eq!(purposes(&decide(&facts)), [(Purpose::Protect, "no stop rested")], "a stop rests at any time");
}

#[test]
fn drawdown_stops_entries_until_a_person_resumes() {
    let fallen = MonitorFacts { peak_equity: Money::whole(112_000), ..long() };
    let decision = decide(&fallen);
    assert_eq!(decision.halts[0].kind, HaltKind::MaxDrawdown);
    assert!(decision.halts[0].reason.starts_with("equity 100010.00 is 10.7% below its peak of 112000.00"));
    assert!(decision.intents.is_empty());
    assert!(decide(&next(&fallen, &decision)).halts.is_empty());
}

#[test]
fn losses_in_a_row_begin_safe_mode_and_its_time_ends_it() {
    let trade = |minutes, net| ClosedTrade { closed_at: minute(minutes), net: Money::whole(net) };
    let mut facts = quiet();
    facts.closed_trades = vec![trade(5, -1), trade(10, 9), trade(20, -1), trade(30, -1), trade(40, -1)];
    assert!(decide(&facts).halts.is_empty(), "three, after a gain");
    facts.closed_trades.push(trade(50, -1));
    let decision = decide(&facts);
    assert_eq!((decision.halts[0].kind, decision.halts[0].until), (HaltKind::SafeMode, Some(minute(120))));
    assert_eq!(events(&decision), ["safe_mode.begun"]);

    let mut during = next(&facts, &decision);
    during.last_safe_mode = Some(minute(60));
    let decision = decide(&during);
    assert_eq!((decision.halts.len(), decision.cleared_halts.len(), decision.alerts.len()), (0, 0, 0));
    let after = MonitorFacts { as_of: minute(120), ..during };
    let decision = decide(&after);
    assert_eq!(decision.cleared_halts, [HaltKind::SafeMode]);
    assert!(decision.halts.is_empty(), "the same losses do not begin it again");

    let failing = MonitorFacts { failures_in_a_row: 5, ..quiet() };
    assert_eq!(decide(&failing).halts[0].reason, "5 failed runs in a row (limit 5)");
}

#[test]
fn a_loss_makes_its_symbol_pause_and_a_person_is_told() {
    let mut settings = RiskSettings::default();
    settings.protections.loss_cooldown = Span::hours(1);
    let mut facts = quiet();
    let trade = PastTrade {
        symbol: symbol("AAA"),
        closed_at: minute(50),
        net: Money::whole(-120),
        cost: Money::whole(5_000),
        stopped: true,
    };
    facts.trade_record.trades = vec![trade];
    let decision = monitor(&facts, &settings);
    assert_eq!(events(&decision), ["entries.paused"]);
    assert_eq!((decision.pauses[0].symbol, decision.pauses[0].until), (Some(symbol("AAA")), minute(110)));
    assert!(decision.halts.is_empty());
    facts.trade_record.pauses = decision.pauses;
    let again = monitor(&facts, &settings);
    assert!(again.pauses.is_empty() && again.alerts.is_empty(), "it is told once");
}

#[test]
fn a_position_is_left_after_max_hold() {
    let mut facts = short();
    facts.as_of = minute(210);
    facts.marks[0].at = minute(209);
    let decision = decide(&facts);
    assert_eq!(purposes(&decision), [(Purpose::Exit, "max hold")]);
    assert_eq!(decision.alerts[0].subject, "AAPL: closing 100 shares short: max hold");
    assert_eq!(changes(&decision), [&PositionEvent::ExitBegun { reason: "max hold".to_owned() }]);

    // Decided, but nothing is on its way: decided again, and the reason stays.
    let mut closing = next(&facts, &decision);
    closing.positions[0] = facts.positions[0].clone().apply(changes(&decision)[0]).unwrap();
    let again = decide(&closing);
    assert_eq!(purposes(&again), [(Purpose::Exit, "max hold")]);
    assert_eq!((changes(&again).len(), events(&again)), (0, vec!["position.exit"]));
    closing.in_flight = vec![InFlight { symbol: symbol("AAPL"), purpose: Purpose::Exit }];
    assert_eq!(purposes(&decide(&closing)), []);
}

#[test]
fn after_the_flatten_what_is_left_is_closed_again() {
    let facts = MonitorFacts { flatten_begun: true, ..long() };
    assert_eq!(purposes(&decide(&facts)), [(Purpose::Exit, "market close")]);
}

#[test]
fn a_price_beyond_its_stop_in_two_looks_means_that_the_stop_did_not_work() {
    let mut facts = long();
    facts.marks[0].price = cents(48_90);
    let decision = decide(&facts);
    assert_eq!(purposes(&decision), [], "the stop may be filling");
    let mut second = next(&facts, &decision);
    second.marks[0] = mark("AAPL", 48_80, minute(60));
    assert_eq!(purposes(&decide(&second)), [(Purpose::Exit, "stop did not work")]);
}

#[test]
fn every_share_gets_a_stop_or_is_left() {
    type Case = (&'static str, fn(&mut MonitorFacts), &'static [(Purpose, &'static str)]);
    let cases: [Case; 9] = [
        ("no stop rests", |facts| facts.open_orders.clear(), &[(Purpose::Protect, "no stop rested")]),
        (
            "it is being placed",
            |facts| {
                facts.open_orders.clear();
                facts.in_flight = vec![InFlight { symbol: symbol("AAPL"), purpose: Purpose::Protect }];
            },
            &[],
        ),
        (
            "the stop is being canceled and the target holds the shares",
            |facts| facts.open_orders[0].status = OrderStatus::PendingCancel,
            &[(Purpose::Exit, "unprotected")],
        ),
        (
            "the price is beyond where the stop would be",
            |facts| {
                facts.open_orders.clear();
                facts.marks[0].price = cents(49_00);
            },
            &[(Purpose::Exit, "unprotected")],
        ),
        (
            "more is held than is stopped",
            |facts| {
                facts.positions[0].quantity = Quantity::whole(150);
                facts.broker_positions[0].quantity = Quantity::whole(150);
            },
            &[(Purpose::Protect, "no stop rested")],
        ),
        (
            "the entry filled in part and its legs wait",
            |facts| {
                facts.open_orders.iter_mut().for_each(|leg| leg.status = OrderStatus::Held);
                facts.open_orders.push(entry(&facts.positions[0]));
            },
            &[(Purpose::CancelEntry, "filled in part, its stop waits"), (Purpose::Protect, "no stop rested")],
        ),
        (
            "a stop of ours stands beside the bracket's",
            |facts| {
                let extra = order(&facts.positions[0], OrderType::Stop { stop: cents(49_00) });
                facts.open_orders.push(extra);
            },
            &[(Purpose::CancelEntry, "more stopped than held")],
        ),
        ("the broker does not show the position yet", |facts| facts.broker_positions.clear(), &[]),
        (
            "the position is gone in both views and its stop is still there",
            |facts| {
                facts.open_orders = vec![order(&facts.positions[0], OrderType::Stop { stop: cents(49_00) })];
                facts.broker_positions.clear();
                facts.positions.clear();
            },
            &[(Purpose::CancelEntry, "no position is left for it")],
        ),
    ];
    for (name, change, expected) in cases {
        let mut facts = long();
        change(&mut facts);
        assert_eq!(purposes(&decide(&facts)), expected, "{name}");
    }
}

#[test]
fn a_missing_stop_is_placed_for_the_shares_that_miss_it() {
    let mut facts = short();
    facts.open_orders[0].quantity = Quantity::whole(60);
    facts.open_orders[1].quantity = Quantity::whole(60);
    let decision = decide(&facts);
    let Action::Submit(ticket) = &decision.intents[0].action else { panic!("a stop is submitted") };
    assert_eq!((ticket.side.as_str(), ticket.quantity), ("buy", Quantity::whole(40)));
    assert_eq!(ticket.order_type, OrderType::Stop { stop: cents(51_00) });
    assert!(crate::risk::approve_protection(ticket.clone(), facts.broker_positions[0].quantity).is_ok());
    assert_eq!(decision.intents[0].valid_until, Some(minute(62)));

    // A position that came without a stop gets the one of the settings: 2 %.
    facts.positions[0].stop = None;
    facts.open_orders.clear();
    let Action::Submit(ticket) = &decide(&facts).intents[0].action else { panic!("a stop is submitted") };
    assert_eq!(ticket.order_type, OrderType::Stop { stop: cents(51_00) });
}

#[test]
fn a_new_position_is_watched_once_it_is_protected() {
    let mut facts = long();
    facts.positions[0].state = PositionState::Open;
    let events = decide(&facts).positions;
    assert_eq!(
        events.iter().map(|change| &change.event).collect::<Vec<_>>(),
        [&PositionEvent::NewBest { price: cents(50_10) }, &PositionEvent::Watched]
    );
    facts.open_orders.clear();
    assert!(!changes(&decide(&facts)).contains(&&PositionEvent::Watched));
}

/// The stop that a position is moved to at this mark, after this best price and so many adjustments.
fn followed(direction: Direction, best: i64, price: i64, stop: i64, adjustments: u32) -> Option<Price> {
    let mut facts = holding(vec![position("AAPL", direction)]);
    facts.positions[0].best_price = cents(best);
    facts.positions[0].adjustments = adjustments;
    facts.positions[0].stop = Some(cents(stop));
    facts.open_orders = legs(&facts.positions[0]).to_vec();
    facts.marks[0].price = cents(price);
    let decision = decide(&facts);
    let moved = decision.intents.iter().find_map(|intent| match &intent.action {
        Action::ReplaceStop { stop, broker_order_id, .. } => {
            assert_eq!(broker_order_id, "AAPL-stop");
            Some(*stop)
        }
        Action::Submit(_) | Action::Cancel { .. } | Action::Close { .. } => None,
    });
    let noted = decision.positions.iter().find_map(|change| match change.event {
        PositionEvent::AdjustBegun { stop } => Some(stop),
        PositionEvent::Watched
        | PositionEvent::NewBest { .. }
        | PositionEvent::AdjustEnded
        | PositionEvent::ExitBegun { .. } => None,
    });
    assert_eq!(moved, noted);
    moved
}

#[test]
fn a_stop_follows_a_position_that_earns() {
    use Direction::{Long, Short};
    // R is one dollar: entry 50, first stop 49 (long) or 51 (short).
    assert_eq!(followed(Long, 50_00, 50_99, 49_00, 0), None, "less than 1 R");
    assert_eq!(followed(Long, 50_00, 51_00, 49_00, 0), Some(cents(50_00)), "break-even");
    assert_eq!(followed(Long, 51_20, 50_40, 49_00, 0), Some(cents(50_20)), "behind the best price, not this one");
    assert_eq!(followed(Long, 51_20, 50_10, 49_00, 0), None, "it would trade at once");
    assert_eq!(followed(Long, 51_40, 51_40, 50_00, 1), None, "0.40 is less than a step of half R");
    assert_eq!(followed(Long, 51_50, 51_50, 50_00, 1), Some(cents(50_50)));
    assert_eq!(followed(Long, 51_50, 51_50, 50_00, 3), None, "three adjustments are all");
    assert_eq!(followed(Short, 50_00, 49_00, 51_00, 0), Some(cents(50_00)));
    assert_eq!(followed(Short, 48_25, 48_30, 50_00, 1), Some(cents(49_25)));
}

#[test]
fn an_adjustment_ends_when_the_broker_shows_it_and_is_sent_again_if_it_was_lost() {
    let mut facts = long();
    facts.marks[0].price = cents(51_00);
    let decision = decide(&facts);
    let mut adjusting = next(&facts, &decision);
    adjusting.positions[0] =
        facts.positions[0].clone().apply(&PositionEvent::AdjustBegun { stop: cents(50_00) }).unwrap();
    assert_eq!(purposes(&decide(&adjusting)), [(Purpose::Adjust, "stop follows")]);
    adjusting.in_flight = vec![InFlight { symbol: symbol("AAPL"), purpose: Purpose::Adjust }];
    assert_eq!(purposes(&decide(&adjusting)), []);
    adjusting.in_flight.clear();
    adjusting.open_orders[0].order_type = OrderType::Stop { stop: cents(50_00) };
    assert!(changes(&decide(&adjusting)).contains(&&PositionEvent::AdjustEnded));
}

#[test]
fn the_urgent_comes_first_and_the_same_facts_give_the_same_decision() {
    let mut facts = holding(["A", "B", "C", "D"].map(|name| position(name, Direction::Long)).to_vec());
    facts.marks[0].price = cents(51_00); // A: the stop follows
    facts.positions[3].opened_at = minute(0); // D: held too long, by these settings
    facts.open_orders.retain(|order| order.symbol != symbol("C")); // C: no stop
    let settings = RiskSettings { max_hold: Span::minutes(60), ..RiskSettings::default() };
    let decision = monitor(&facts, &settings);
    let order: Vec<(u32, Purpose)> = decision.intents.iter().map(|intent| (intent.leg, intent.purpose)).collect();
    assert_eq!(order, [(0, Purpose::Exit), (1, Purpose::Protect), (2, Purpose::Adjust)]);
    assert_eq!(monitor(&facts, &settings), decision);
    let stored = serde_json::to_string(&facts).unwrap();
    let read: MonitorFacts = serde_json::from_str(&stored).unwrap();
    assert_eq!(serde_json::to_string(&monitor(&read, &settings)).unwrap(), serde_json::to_string(&decision).unwrap());
}

#[test]
fn numbers_beyond_all_bounds_do_not_stop_the_monitor() {
    let mut facts = long();
    facts.opening_equity = Money::MAX;
    facts.realised = Money(i64::MIN);
    facts.fees = Money::MAX;
    facts.positions[0].quantity = Quantity::MAX;
    facts.positions[0].cost = Money(i64::MIN);
    facts.positions[0].initial_stop = Some(Price(i64::MIN));
    facts.marks[0].price = Price::MAX;
    facts.broker_positions[0].quantity = Quantity(i64::MIN);
    let decision = decide(&facts);
    assert_eq!(decision.halts[0].kind, HaltKind::EmergencyStop);
}
