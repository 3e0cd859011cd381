use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::calendar::Calendar;
use crate::order::{Action, OrderClass, OrderType, Origin, Purpose};
use crate::risk::{EntryOrder, HaltKind, PauseKind, Sizing, approve_entry, enter};
use crate::strategy::Reason;
use crate::time::SessionDate;

fn session() -> Session {
    Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap()
}

fn minutes_after_open(minutes: u32) -> Timestamp {
    session().open.after(Span::minutes(minutes).as_duration())
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn signal(symbol: &str, confidence: i64) -> Signal {
    Signal {
        symbol: symbol.parse().unwrap(),
        strategy: "opening_range_breakout".to_owned(),
        direction: Direction::Long,
        entry: Price::from_cents(50_00),
        stop: Price::from_cents(49_50),
        target: Price::from_cents(51_00),
        confidence: Bps(confidence),
        reasons: vec![],
        valid_until: minutes_after_open(35),
    }
}

/// An account of 100,000 that holds nothing, half an hour into the session, with every symbol at 50.
fn facts() -> RiskFacts {
    let symbols = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"].map(|name| {
        let symbol = name.parse().unwrap();
        let mark = Mark { symbol, price: Price::from_cents(50_00), at: minutes_after_open(30) };
        SymbolFacts { symbol, mark: Some(mark), bars: 30, daily_atr: None }
    });
    RiskFacts {
        as_of: minutes_after_open(30),
        session: session(),
        halts: vec![],
        pauses: vec![],
        equity: EquityPoint {
            session: session().date,
            at: minutes_after_open(30),
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
        symbols: symbols.to_vec(),
        analysis_cycles: 5,
        latest_results: vec![],
    }
}

fn verdict(signal: &Signal, facts: &RiskFacts) -> Verdict {
    review(std::slice::from_ref(signal), facts, &RiskSettings::default(), Wording::Told).remove(0)
}

fn check(verdict: &Verdict, name: CheckName) -> &Check {
    verdict.checks.iter().find(|check| check.name == name).unwrap()
}

#[test]
fn a_sound_signal_is_sized_by_risk_and_by_value() {
    // 0.5 % of 100,000 is 500; over 0.50 that is 1,000 shares; 10,000 at 50 is 200: the value cap binds.
    let verdict = verdict(&signal("AAA", 7_000), &facts());
    assert_eq!(verdict.refused_by, None);
    assert_eq!(verdict.quantity, Some(Quantity::whole(200)));
    assert_eq!(check(&verdict, CheckName::PositionValue).value, "10000.00");
    assert_eq!(verdict.checks.len(), 16, "every check is made");

    let poor = RiskFacts { equity: EquityPoint { equity: Money::whole(10_000), ..facts().equity }, ..facts() };
    // 50 at risk over 0.50 is 100 shares: the risk budget binds.
    let verdict = self::verdict(&signal("AAA", 7_000), &poor);
    assert_eq!(verdict.quantity, Some(Quantity::whole(100)));
    assert_eq!(check(&verdict, CheckName::Size).value, "100 shares: 50.00 at risk over 0.50 to the stop at 49.50");
}

#[test]
fn a_pause_refuses_its_symbol_and_no_other() {
    let pause = |symbol: Option<&str>, until| Pause {
        kind: PauseKind::LossCooldown,
        symbol: symbol.map(|name| name.parse().unwrap()),
        numbers: vec![Reason::new("result", "-10.00")],
        since: minutes_after_open(1),
        until: minutes_after_open(until),
    };
    let verdict_under = |pause: Pause| verdict(&signal("AAA", 7_000), &RiskFacts { pauses: vec![pause], ..facts() });
    let refused = verdict_under(pause(Some("AAA"), 60));
    assert_eq!((refused.refused_by, refused.quantity), (Some(CheckName::Protections), None));
    assert_eq!(check(&refused, CheckName::Protections).value, "AAA: cooldown after a loss (result -10.00)");
    assert_eq!(verdict_under(pause(None, 60)).refused_by, Some(CheckName::Protections));
    assert_eq!(verdict_under(pause(Some("BBB"), 60)).refused_by, None);
    assert_eq!(verdict_under(pause(Some("AAA"), 30)).refused_by, None, "it is over");
}

#[test]
fn a_fixed_size_is_bounded_by_value_too() {
    let sized = |shares| {
        let settings = RiskSettings { sizing: Sizing::Fixed(Quantity::whole(shares)), ..RiskSettings::default() };
        review(&[signal("AAA", 7_000)], &facts(), &settings, Wording::Told).remove(0)
    };
    assert_eq!(sized(100).quantity, Some(Quantity::whole(100)));
    assert_eq!(check(&sized(100), CheckName::Size).value, "100 shares: 100 wanted, stop at 49.50");
    assert_eq!(sized(300).quantity, Some(Quantity::whole(200)), "10,000 at 50 is 200");
}

#[test]
fn a_part_of_the_equity_is_sized_by_the_price() {
    let sized = |part| {
        let settings = RiskSettings { sizing: Sizing::Equity(Bps(part)), ..RiskSettings::default() };
        review(&[signal("AAA", 7_000)], &facts(), &settings, Wording::Told).remove(0)
    };
    // 5 % of 100,000 at 50.
    assert_eq!(sized(500).quantity, Some(Quantity::whole(100)));
    let numbers = "100 shares: 5% of an equity of 100000.00 at 50.00, stop at 49.50";
    assert_eq!(check(&sized(500), CheckName::Size).value, numbers);
    assert_eq!(sized(2_000).quantity, Some(Quantity::whole(200)), "the value cap binds");
}

#[test]
fn a_stop_beyond_the_cap_is_moved_before_the_size_is_taken() {
    let wide = Signal { stop: Price::from_cents(40_00), ..signal("AAA", 7_000) };
    let settings = RiskSettings::default();
    assert_eq!(protective_stop(&wide, &settings), Ok(Price::from_cents(49_00)));
    let short = Signal {
        direction: Direction::Short,
        stop: Price::from_cents(60_00),
        target: Price::from_cents(45_00),
        ..wide
    };
    assert_eq!(protective_stop(&short, &settings), Ok(Price::from_cents(51_00)));
    let odd = Signal { entry: Price::from_cents(33_33), stop: Price::from_cents(20_00), ..signal("AAA", 7_000) };
    assert_eq!(protective_stop(&odd, &settings), Ok(Price::from_cents(32_67)), "32.6634 rounds toward the entry");
}

type Change = fn(&mut Signal, &mut RiskFacts);

#[test]
fn each_check_refuses_by_its_name_and_numbers() {
    let cases: [(CheckName, Change, &str, &str); 18] = [
        (CheckName::Halted, |_, facts| facts.halts.push(halt(HaltKind::Manual, None)), "manual: lunch", "no halt"),
        (CheckName::DayLoss, |_, facts| facts.equity.realised = money("-2000"), "-2000.00", "above -2000.00"),
        (
            CheckName::Validity,
            |signal, _| signal.valid_until = minutes_after_open(29),
            "2026-11-16T15:00:00Z",
            "until 2026-11-16T14:59:00Z",
        ),
        (CheckName::SessionTime, |signal, facts| at_minute(signal, facts, 346), "44m left", "45m"),
        (CheckName::SessionTime, |signal, facts| at_minute(signal, facts, 391), "0s left", "45m"),
        (
            CheckName::PriceSanity,
            |signal, _| signal.stop = Price::from_cents(50_50),
            "long stop 50.50, price 50.00, target 51.00",
            "stop, price, target in order; within 20% of 50.00",
        ),
        (
            CheckName::PriceSanity,
            |_, facts| mark(facts).price = Price::from_cents(51_00),
            "long stop 49.50, price 51.00, target 51.00",
            "stop, price, target in order; within 20% of 50.00",
        ),
        (CheckName::PriceAge, |_, facts| mark(facts).at = minutes_after_open(27), "3m", "2m"),
        (CheckName::PriceAge, |_, facts| facts.symbols.clear(), "no price", "2m"),
        (CheckName::WarmUp, |_, facts| facts.analysis_cycles = 4, "30 bars, 4 analyses", "20 bars, 5 analyses"),
        (CheckName::WarmUp, |_, facts| facts.symbols[0].bars = 19, "19 bars, 5 analyses", "20 bars, 5 analyses"),
        (CheckName::Confidence, |signal, _| signal.confidence = Bps(6_000), "60%", "above 60%"),
        (
            CheckName::DuplicateSymbol,
            |_, facts| facts.entered_today.push("AAA".parse().unwrap()),
            "entered today",
            "one entry a symbol and day",
        ),
        (
            CheckName::DuplicateSymbol,
            |_, facts| facts.positions.push(commitment("AAA", 1)),
            "held or ordered",
            "one entry a symbol and day",
        ),
        (
            CheckName::Positions,
            |_, facts| {
                let others = ["V", "W", "X", "Y", "Z"].map(|name| commitment(name, 1));
                facts.positions = others[..3].to_vec();
                facts.working_entries = others[3..].to_vec();
            },
            "5 held or ordered",
            "5",
        ),
        (
            CheckName::Size,
            |_, facts| facts.equity.equity = Money::whole(50),
            "0 shares: 0.25 at risk over 0.50 to the stop at 49.50",
            "at least one lot of 1",
        ),
        (CheckName::Exposure, |_, facts| facts.positions.push(commitment("Z", 40_001)), "50001.00", "50000.00"),
        (CheckName::BuyingPower, |_, facts| facts.buying_power = Money::whole(9_999), "10000.00", "9999.00"),
    ];
    for (name, change, value, limit) in cases {
        let (mut signal, mut facts) = (signal("AAA", 7_000), facts());
        change(&mut signal, &mut facts);
        let verdict = verdict(&signal, &facts);
        let first = verdict.checks.iter().find(|check| !check.passed).unwrap();
        assert_eq!((first.name, first.value.as_str(), first.limit.as_str()), (name, value, limit));
        assert_eq!((verdict.refused_by, verdict.quantity), (Some(name), None));
    }
}

fn at_minute(signal: &mut Signal, facts: &mut RiskFacts, minutes: u32) {
    facts.as_of = minutes_after_open(minutes);
    signal.valid_until = minutes_after_open(minutes + 5);
    mark(facts).at = facts.as_of;
}

fn mark(facts: &mut RiskFacts) -> &mut Mark {
    facts.symbols[0].mark.as_mut().unwrap()
}

fn commitment(symbol: &str, value: i64) -> Commitment {
    Commitment { symbol: symbol.parse().unwrap(), value: Money::whole(value) }
}

fn halt(kind: HaltKind, until: Option<Timestamp>) -> Halt {
    Halt { kind, reason: "lunch".to_owned(), numbers: vec![Reason::new("x", 1)], since: minutes_after_open(0), until }
}

#[test]
fn a_latch_whose_time_is_over_does_not_refuse() {
    let mut facts = facts();
    facts.halts.push(halt(HaltKind::SafeMode, Some(facts.as_of)));
    assert_eq!(verdict(&signal("AAA", 7_000), &facts).refused_by, None);
}

#[test]
fn the_surest_signals_get_the_places_whatever_their_order() {
    let signals =
        [signal("AAA", 6_500), signal("BBB", 9_000), signal("CCC", 6_100), signal("DDD", 8_000), signal("EEE", 5_000)];
    let verdicts = review(&signals, &facts(), &RiskSettings::default(), Wording::Told);
    let refused: Vec<Option<CheckName>> = verdicts.iter().map(|verdict| verdict.refused_by).collect();
    assert_eq!(refused, [None, None, Some(CheckName::Rank), None, Some(CheckName::Confidence)]);
    // A signal that another check refuses takes no place from the next.
    let mut facts = facts();
    facts.entered_today.push("BBB".parse().unwrap());
    let verdicts = review(&signals, &facts, &RiskSettings::default(), Wording::Told);
    assert_eq!(verdicts[1].refused_by, Some(CheckName::DuplicateSymbol));
    assert_eq!(verdicts[2].refused_by, None);
}

#[test]
fn a_symbol_is_entered_as_often_as_allowed() {
    let settings = RiskSettings { max_entries: 2, ..RiskSettings::default() };
    let mut facts = facts();
    for (entries, refused_by) in [(0, None), (1, None), (2, Some(CheckName::DuplicateSymbol))] {
        facts.entered_today = vec!["AAA".parse().unwrap(); entries];
        facts.entered_today.push("BBB".parse().unwrap());
        let verdict = review(&[signal("AAA", 7_000)], &facts, &settings, Wording::Told).remove(0);
        assert_eq!(verdict.refused_by, refused_by, "{entries}");
    }
    facts.entered_today.truncate(1);
    facts.positions.push(commitment("AAA", 1));
    let held = review(&[signal("AAA", 7_000)], &facts, &settings, Wording::Told).remove(0);
    assert_eq!(held.refused_by, Some(CheckName::DuplicateSymbol), "one position a symbol");
}

#[test]
fn what_one_signal_is_granted_the_next_cannot_use() {
    let settings = RiskSettings { max_exposure: Money::whole(15_000), ..RiskSettings::default() };
    let signals = [signal("AAA", 7_000), signal("BBB", 8_000), signal("BBB", 7_500)];
    let verdicts = review(&signals, &facts(), &settings, Wording::Told);
    assert_eq!(verdicts[1].quantity, Some(Quantity::whole(200)));
    assert_eq!(verdicts[0].refused_by, Some(CheckName::Exposure));
    assert_eq!(check(&verdicts[0], CheckName::Exposure).value, "20000.00");
    assert_eq!(check(&verdicts[0], CheckName::BuyingPower).limit, "190000.00");
    assert_eq!(verdicts[2].refused_by, Some(CheckName::DuplicateSymbol));
}

#[test]
fn approved_signals_become_brackets_that_their_verdicts_approve() {
    let origin = Origin { ledger_id: "1f3a9c2e".to_owned(), job: "analysis".to_owned(), slot: minutes_after_open(30) };
    let settings = RiskSettings { entry_order: EntryOrder::Limit { offset: Bps(10) }, ..RiskSettings::default() };
    let signals = vec![signal("AAA", 6_500), signal("BBB", 9_000), signal("CCC", 100)];
    let entries = enter(signals, &facts(), &settings, &origin, 7, Wording::Told).unwrap();
    let legs: Vec<(&str, Option<u32>)> =
        entries.reviews.iter().map(|review| (review.signal.symbol.as_str(), review.leg)).collect();
    assert_eq!(legs, [("BBB", Some(7)), ("AAA", Some(8)), ("CCC", None)]);
    for (intent, review) in entries.intents.iter().zip(&entries.reviews) {
        assert_eq!((intent.purpose, Some(intent.leg)), (Purpose::Enter, review.leg));
        assert_eq!(intent.valid_until, Some(review.signal.valid_until));
        let Action::Submit(ticket) = &intent.action else { panic!("an entry is submitted") };
        assert_eq!(ticket.order_type, OrderType::Limit { limit: Price::from_cents(50_05) });
        let bracket =
            OrderClass::Bracket { take_profit: Price::from_cents(51_00), stop_loss: Price::from_cents(49_50) };
        assert_eq!(ticket.class, bracket);
        assert!(approve_entry(ticket.clone(), &review.verdict).is_ok());
    }
}

#[test]
fn numbers_beyond_all_bounds_refuse_and_do_not_panic() {
    let mut wild = signal("AAA", 7_000);
    let mut facts = facts();
    wild.entry = Price::MAX;
    wild.target = Price::MAX;
    mark(&mut facts).price = Price(i64::MAX - 1);
    facts.equity.equity = Money::MAX;
    facts.equity.realised = Money(i64::MIN);
    facts.equity.fees = Money::MAX;
    facts.positions.push(Commitment { symbol: "Z".parse().unwrap(), value: Money::MAX });
    facts.working_entries.push(Commitment { symbol: "Y".parse().unwrap(), value: Money::MAX });
    assert!(verdict(&wild, &facts).refused_by.is_some());
}

fn any_signal() -> impl Strategy<Value = Signal> {
    let symbols = prop::sample::select(vec!["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]);
    (symbols, any::<bool>(), 1..900_i64, 1..900_i64, 0..10_000_i64).prop_map(
        |(name, is_long, stop, target, confidence)| {
            let (direction, stop, target) =
                if is_long { (Direction::Long, -stop, target) } else { (Direction::Short, stop, -target) };
            Signal {
                direction,
                stop: Price::from_cents(50_00 + stop),
                target: Price::from_cents(50_00 + target),
                ..signal(name, confidence)
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_approved_stays_within_every_limit(
        signals in prop::collection::vec(any_signal(), 0..12),
        held in 0..6_i64,
        exposure in 0..60_000_i64,
        buying_power in 0..40_000_i64,
        equity in 0..200_000_i64,
    ) {
        let mut facts = facts();
        facts.equity.equity = Money::whole(equity);
        facts.buying_power = Money::whole(buying_power);
        facts.positions = (0..held).map(|n| commitment(&format!("H{n}"), exposure / held)).collect();
        let settings = RiskSettings::default();
        let verdicts = review(&signals, &facts, &settings, Wording::Told);
        prop_assert_eq!(verdicts.len(), signals.len());
        let untold = review(&signals, &facts, &settings, Wording::Untold);
        let silent = |verdict: &Verdict| Verdict { checks: vec![], ..verdict.clone() };
        prop_assert_eq!(untold, verdicts.iter().map(silent).collect::<Vec<_>>());
        let value_held: Money = Money(facts.positions.iter().map(|held| held.value.0).sum());
        let mut bound = Money::ZERO;
        let mut symbols = BTreeSet::new();
        let mut approved = 0;
        for (signal, verdict) in signals.iter().zip(&verdicts) {
            let Some(quantity) = verdict.quantity else {
                prop_assert!(verdict.refused_by.is_some());
                continue;
            };
            let value = Price::from_cents(50_00).times(quantity).unwrap();
            let stop = protective_stop(signal, &settings).unwrap();
            let lost = signal.entry.minus(stop).unwrap().abs().times(quantity).unwrap();
            prop_assert!(lost <= Money::whole(equity).portion(settings.risk_per_trade).unwrap());
            prop_assert!(quantity.is_positive() && quantity == quantity.floor_to_lot(settings.lot_size));
            prop_assert!(value <= settings.max_position_value);
            prop_assert!(signal.confidence > settings.min_confidence);
            prop_assert!(symbols.insert(signal.symbol), "one entry a symbol");
            bound = bound.plus(value).unwrap();
            approved += 1;
        }
        prop_assert!(approved <= settings.execute_top_n);
        prop_assert!(approved == 0 || i64::from(approved) + held <= i64::from(settings.max_positions));
        prop_assert!(approved == 0 || bound.plus(value_held).unwrap() <= settings.max_exposure);
        prop_assert!(bound <= Money::whole(buying_power));
    }
}
