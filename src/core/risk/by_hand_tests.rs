use super::*;
use crate::decision::{EquityPoint, Mark};
use crate::risk::testing::{cents, minute, origin, position, session, symbol};
use crate::risk::{CheckName, Commitment, Halt, HaltKind, SymbolFacts, approve_entry};
use crate::time::Timestamp;

/// Half an hour into the session an account of 100,000 that holds nothing; AAPL trades at 50.00.
fn facts() -> RiskFacts {
    let mark = |name: &str| Mark { symbol: symbol(name), price: cents(50_00), at: minute(30) };
    let known = |name: &str| SymbolFacts { symbol: symbol(name), mark: Some(mark(name)), bars: 0, daily_atr: None };
    RiskFacts {
        as_of: minute(30),
        session: session(),
        halts: vec![],
        pauses: vec![],
        equity: EquityPoint {
            session: session().date,
            at: minute(30),
            equity: Money::whole(100_000),
            opening_equity: Money::whole(100_000),
            exposure: Money::ZERO,
            realised: Money::ZERO,
            unrealised: Money::ZERO,
            fees: Money::ZERO,
        },
        buying_power: Money::whole(200_000),
        positions: vec![],
        working_entries: vec![],
        entered_today: vec![],
        symbols: vec![known("AAPL")],
        analysis_cycles: 0,
        latest_results: vec![],
    }
}

fn buy(shares: i64) -> HandOrder {
    HandOrder {
        symbol: symbol("AAPL"),
        side: Side::Buy,
        size: HandSize::Shares(Quantity::whole(shares)),
        short: false,
        limit: None,
        stop: None,
        target: None,
    }
}

fn sell(shares: i64) -> HandOrder {
    HandOrder { side: Side::Sell, ..buy(shares) }
}

fn traded(order: &HandOrder, risk: &RiskFacts) -> Decision {
    traded_with(order, risk, Quantity::ZERO, None, None)
}

fn traded_with(
    order: &HandOrder,
    risk: &RiskFacts,
    held: Quantity,
    recorded: Option<&Position>,
    approval_above: Option<Money>,
) -> Decision {
    let facts = HandFacts { held, recorded, risk, approval_above };
    trade_by_hand(order, &facts, &RiskSettings::default(), &origin("operator", minute(30))).unwrap()
}

/// The order of an entry that the gate has let pass, approved against its verdict.
fn ticket(decision: &Decision) -> OrderTicket {
    let [Intent { purpose: Purpose::Enter, action: Action::Submit(ticket), .. }] = &decision.intents[..] else {
        panic!("{decision:?}");
    };
    assert_eq!((decision.refused.as_deref(), decision.reviews[0].leg), (None, Some(0)));
    approve_entry(ticket.clone(), &decision.reviews[0].verdict).unwrap().get().clone()
}

fn bracket(stop: i64, target: i64) -> OrderClass {
    OrderClass::Bracket { take_profit: cents(target), stop_loss: cents(stop) }
}

#[test]
fn an_entry_has_its_stop_and_its_target_whether_they_are_named_or_not() {
    let market = OrderType::Market;
    let limit = OrderType::Limit { limit: cents(49_80) };
    let named = HandOrder { stop: Some(cents(49_50)), target: Some(cents(52_00)), ..buy(10) };
    let short = HandOrder { short: true, ..sell(10) };
    let table = [
        (buy(10), market, bracket(49_00, 51_50), "buy 10 AAPL at the market, stop 49.00, target 51.50"),
        (named, market, bracket(49_50, 52_00), "buy 10 AAPL at the market, stop 49.50, target 52.00"),
        (
            HandOrder { stop: Some(cents(45_00)), ..buy(10) },
            market,
            bracket(49_00, 51_50),
            "buy 10 AAPL at the market, stop 49.00, target 51.50 (risk.stop_loss allows no stop further than 2% away)",
        ),
        (
            HandOrder { limit: Some(cents(49_80)), ..buy(10) },
            limit,
            bracket(48_81, 51_29),
            "buy 10 AAPL at 49.80 or better, stop 48.81, target 51.29",
        ),
        (short, market, bracket(51_00, 48_50), "sell 10 AAPL at the market, stop 51.00, target 48.50"),
        (
            HandOrder { size: HandSize::Worth(Money::whole(1_020)), ..buy(0) },
            market,
            bracket(49_00, 51_50),
            "buy 20 AAPL at the market, stop 49.00, target 51.50",
        ),
    ];
    for (order, order_type, class, summary) in table {
        let decision = traded(&order, &facts());
        let ticket = ticket(&decision);
        assert_eq!((ticket.order_type, ticket.class, decision.summary.as_str()), (order_type, class, summary));
        assert_eq!((ticket.side, decision.intents[0].reason.as_str()), (order.side, BY_HAND));
    }
}

#[test]
fn what_the_gate_refuses_is_said_with_its_numbers() {
    let halt =
        Halt { kind: HaltKind::Manual, reason: "lunch".to_owned(), numbers: vec![], since: minute(1), until: None };
    let held = Commitment { symbol: symbol("AAPL"), value: Money::whole(500) };
    let stale = SymbolFacts {
        symbol: symbol("AAPL"),
        mark: Some(Mark { symbol: symbol("AAPL"), price: cents(50_00), at: minute(20) }),
        bars: 0,
        daily_atr: None,
    };
    let late = RiskFacts { as_of: Timestamp(session().close.0 - 60_000), ..facts() };
    let table = [
        (
            buy(10),
            RiskFacts { halts: vec![halt], ..facts() },
            CheckName::Halted,
            "halted: manual: lunch, against no halt",
        ),
        (
            buy(201),
            facts(),
            CheckName::Size,
            "size: 201 shares asked for, 200 allowed: 500.00 at risk over 1.00 to the stop at 49.00, against at most 200, \
             in lots of 1; position value: 10050.00, against 10000.00",
        ),
        (buy(0), facts(), CheckName::Size, "size: 0 shares asked for, 200 allowed"),
        (
            buy(10),
            RiskFacts { positions: vec![held], ..facts() },
            CheckName::DuplicateSymbol,
            "symbol already traded: held or ordered, against one entry a symbol and day",
        ),
        (buy(10), RiskFacts { symbols: vec![stale], ..facts() }, CheckName::PriceAge, "price age: 10m, against 2m"),
        (
            HandOrder { stop: Some(cents(50_50)), ..buy(10) },
            facts(),
            CheckName::PriceSanity,
            "price sanity: long stop 50.50, price 50.00",
        ),
        (
            buy(10),
            RiskFacts { buying_power: Money::whole(499), ..facts() },
            CheckName::BuyingPower,
            "buying power: 500.00",
        ),
        (buy(10), late, CheckName::SessionTime, "time left in the session: 1m left, against 45m"),
        (
            buy(10),
            RiskFacts { as_of: session().pre_open, ..facts() },
            CheckName::SessionTime,
            "the market is closed: the session is from 2026-11-16 09:30:00 EST to 16:00, and nothing is entered",
        ),
    ];
    for (order, facts, check, why) in table {
        let decision = traded(&order, &facts);
        let refused = decision.refused.unwrap();
        assert!(refused.contains(why), "{refused}");
        let verdict = &decision.reviews[0].verdict;
        assert!(verdict.checks.iter().any(|made| made.name == check && !made.passed), "{verdict:?}");
        assert_eq!((decision.intents, verdict.quantity), (vec![], None));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_without_a_check() {
    let unknown = RiskFacts { symbols: vec![], ..facts() };
    let long = position("AAPL", Direction::Long);
    let of = |order: &HandOrder, risk: &RiskFacts, held: i64| {
        let decision = traded_with(order, risk, Quantity::whole(held), Some(&long), None);
        assert_eq!((decision.intents.len(), decision.reviews.len()), (0, 0));
        decision.refused.unwrap()
    };
    assert!(of(&buy(10), &unknown, 0).starts_with("there is no price of AAPL"));
    assert!(
        of(&HandOrder { size: HandSize::Worth(Money::whole(9)), ..buy(0) }, &unknown, 0)
            .starts_with("there is no price")
    );
    assert_eq!(of(&sell(10), &facts(), 0), "no shares of AAPL are held: --short sells what is not");
    assert_eq!(
        of(&sell(101), &facts(), 100),
        "100 shares of AAPL are held, not 101: `trade close AAPL` leaves them all"
    );
    assert!(of(&HandOrder { limit: Some(cents(55_00)), ..sell(10) }, &facts(), 100).contains("are for an entry"));
    let less = HandOrder { size: HandSize::Worth(Money::whole(9)), ..sell(0) };
    assert_eq!(of(&less, &facts(), 100), "that is less than one share");
}

#[test]
fn a_part_that_is_left_leaves_a_stop_behind_the_rest_and_halts_do_not_matter() {
    let halt = Halt {
        kind: HaltKind::EmergencyStop,
        reason: "loss".to_owned(),
        numbers: vec![],
        since: minute(1),
        until: None,
    };
    let halted = RiskFacts { halts: vec![halt], ..facts() };
    for (direction, order, held, rest) in [(Direction::Long, sell(40), 100, 60), (Direction::Short, buy(40), -100, -60)]
    {
        let position = position("AAPL", direction);
        let decision = traded_with(&order, &halted, Quantity::whole(held), Some(&position), None);
        let origin = origin("operator", minute(30));
        let part = Some(Quantity::whole(40));
        let close =
            Action::Close { symbol: symbol("AAPL"), client_order_id: origin.client_order_id(0), quantity: part };
        let stop = position.stop.unwrap();
        let stop = protection_ticket(symbol("AAPL"), Quantity::whole(rest), stop, origin.client_order_id(1));
        let actions: Vec<&Action> = decision.intents.iter().map(|intent| &intent.action).collect();
        assert_eq!(actions, [&close, &Action::Submit(stop)]);
        assert_eq!(decision.positions, [], "the position goes on");
    }
    let position = position("AAPL", Direction::Long);
    let whole = traded_with(&sell(100), &facts(), Quantity::whole(100), Some(&position), None);
    assert!(matches!(whole.intents[..], [Intent { action: Action::Close { quantity: None, .. }, .. }]), "{whole:?}");
    assert!(matches!(whole.positions[..], [PositionChange { event: PositionEvent::ExitBegun { .. }, .. }]));
    let strangers = traded_with(&sell(40), &facts(), Quantity::whole(100), None, None);
    assert_eq!(strangers.intents.len(), 1, "a position that is not ours had no stop of ours");
}

#[test]
fn above_its_size_an_entry_waits_for_a_second_person() {
    let of = |above| traded_with(&buy(10), &facts(), Quantity::ZERO, None, above);
    assert_eq!(of(Some(Money::whole(500))).approvals, []);
    let waits = of(Some(Money::whole(499)));
    assert_eq!((waits.approvals.len(), waits.alerts.len()), (1, 1));
    assert!(waits.alerts[0].subject.starts_with("AAPL: to buy 10 waits for you"), "{}", waits.alerts[0].subject);
}
