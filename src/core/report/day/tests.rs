use super::*;
use crate::calendar::Calendar;
use crate::decision::Review;
use crate::portfolio::PositionState;
use crate::report::{FaultKind, RangeSummary};
use crate::risk::{Check, Verdict};
use crate::strategy::Signal;

fn at(time: &str) -> Timestamp {
    format!("2026-11-16T{time}:00Z").parse().unwrap()
}

fn dollars(text: &str) -> Money {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

fn point(time: &str, realised: &str, unrealised: &str, fees: &str, exposure: &str) -> EquityPoint {
    let (realised, unrealised, fees) = (dollars(realised), dollars(unrealised), dollars(fees));
    let pnl = realised.plus(unrealised).unwrap().minus(fees).unwrap();
    EquityPoint {
        session: SessionDate::of(2026, 11, 16).unwrap(),
        at: at(time),
        equity: Money::whole(100_000).plus(pnl).unwrap(),
        opening_equity: Money::whole(100_000),
        exposure: dollars(exposure),
        realised,
        unrealised,
        fees,
    }
}

fn position(name: &str, from: &str, to: Option<&str>, entry: &str, exit: &str, realised: &str) -> Position {
    Position {
        symbol: symbol(name),
        direction: Direction::Long,
        state: if to.is_some() { PositionState::Closed } else { PositionState::Monitoring },
        strategy: Some("orb".to_owned()),
        quantity: if to.is_some() { Quantity::ZERO } else { Quantity::whole(100) },
        quantity_max: Quantity::whole(100),
        entered: Quantity::whole(100),
        entry_value: dollars(entry).scaled(100).unwrap(),
        exit_value: if to.is_some() { dollars(exit).scaled(100).unwrap() } else { Money::ZERO },
        cost: if to.is_some() { Money::ZERO } else { dollars(entry).scaled(100).unwrap() },
        entry_price: price(entry),
        exit_price: to.map(|_| price(exit)),
        initial_stop: Some(price("48")),
        stop: Some(price(entry)), // moved to break-even since
        target: None,
        adjustments: 1,
        best_price: price(exit),
        opened_at: at(from),
        closed_at: to.map(at),
        realised: dollars(realised),
        fees: dollars("1.00"),
        exit_reason: to.map(|_| "target".to_owned()),
    }
}

fn review(time: &str, name: &str, stop: &str, refused_by: Option<CheckName>) -> DatedReview {
    let check = |name| Check { name, passed: Some(name) != refused_by, value: "7".to_owned(), limit: "5".to_owned() };
    DatedReview {
        at: at(time),
        review: Review {
            signal: Signal {
                symbol: symbol(name),
                strategy: "orb".to_owned(),
                direction: Direction::Long,
                entry: price("50"),
                stop: price(stop),
                target: price("60"),
                confidence: Bps(7_000),
                reasons: vec![],
                valid_until: at("20:00"),
            },
            verdict: Verdict {
                quantity: refused_by.is_none().then(|| Quantity::whole(100)),
                refused_by,
                checks: vec![check(CheckName::Halted), check(CheckName::Positions)],
            },
            leg: None,
        },
    }
}

fn quiet_day() -> DayFacts {
    let session = Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap();
    DayFacts {
        as_of: at("21:15"),
        session,
        next_session: Calendar::xnys().session_after(session.date),
        opening_equity: Money::whole(100_000),
        equity: vec![],
        booked: None,
        reported: None,
        positions: vec![],
        reviews: vec![],
        candidates: vec![],
        limits: DayLimits {
            day_loss: Money::whole(2_000),
            positions: 5,
            position_value: Money::whole(10_000),
            exposure: Some(Money::whole(50_000)),
            adjustments: 3,
        },
        halts: vec![],
        faults: vec![],
        counts: DayCounts::default(),
    }
}

fn busy_day() -> DayFacts {
    DayFacts {
        equity: vec![
            point("14:35", "0", "0", "0", "0"),
            point("15:00", "0", "-500", "2", "10000"),
            point("16:00", "300", "0", "4", "5000"),
            point("21:15", "214.40", "0", "4", "0"),
        ],
        positions: vec![
            position("AAPL", "14:50", Some("15:30"), "50", "53", "300"),
            position("MSFT", "14:55", Some("16:10"), "50", "49.144", "-85.60"),
        ],
        reviews: vec![
            review("14:49", "AAPL", "48", None),
            review("14:54", "MSFT", "49", None),
            review("15:00", "TSLA", "49", Some(CheckName::Positions)),
            review("15:05", "TSLA", "49", Some(CheckName::Positions)),
            review("15:05", "NVDA", "49", Some(CheckName::Halted)),
        ],
        ..quiet_day()
    }
}

#[test]
fn the_figures_of_a_day_follow_from_its_rows() {
    let day = DayReport::build(busy_day()).unwrap();
    assert_eq!(day.pnl, dollars("210.40"));
    assert_eq!(day.pnl_ratio, Bps(21));
    assert_eq!(day.closing_equity, dollars("100210.40"));
    assert_eq!(day.unexplained, Money::ZERO);
    assert_eq!((day.max_drawdown, day.max_drawdown_ratio), (dollars("502"), Bps(50)));
    assert_eq!(day.win_rate, Some(Bps(5_000)));
    assert_eq!(day.profit_factor, Some(Bps(34_527)), "299.00 won against 86.60 lost");
    assert!(day.is_flat());
    assert_eq!(day.taken.len(), 2);
}

#[test]
fn the_result_of_a_trade_is_measured_against_its_first_stop_and_after_fees() {
    let day = DayReport::build(busy_day()).unwrap();
    let [aapl, msft] = day.trades.as_slice() else { panic!("two trades") };
    assert_eq!((aapl.pnl, aapl.r_multiple), (dollars("299"), Some(Bps(14_950))), "200 dollars were at risk");
    assert_eq!((msft.pnl, msft.r_multiple), (dollars("-86.60"), Some(Bps(-4_330))));
    assert_eq!(aapl.held(), Duration::from_secs(40 * 60));
}

#[test]
fn a_repeated_refusal_is_one_line_with_its_count_and_the_numbers_of_the_check() {
    let day = DayReport::build(busy_day()).unwrap();
    let lines: Vec<_> = day.refused.iter().map(|r| (r.symbol.as_str(), r.check, r.value.as_str(), r.times)).collect();
    assert_eq!(lines, [("TSLA", CheckName::Positions, "7", 2), ("NVDA", CheckName::Halted, "7", 1)]);
    assert_eq!(day.refusals(), 3);
}

#[test]
fn limits_are_measured_at_the_days_worst_instant() {
    let day = DayReport::build(busy_day()).unwrap();
    let uses: Vec<_> = day.limits.iter().map(|usage| (usage.limit, usage.used, usage.share)).collect();
    assert_eq!(
        uses,
        [
            (Limit::DayLoss, Figure::Money(dollars("502")), Bps(2_510)),
            (Limit::Positions, Figure::Count(2), Bps(4_000)),
            (Limit::PositionValue, Figure::Money(dollars("5000")), Bps(5_000)),
            (Limit::Exposure, Figure::Money(dollars("10000")), Bps(2_000)),
            (Limit::Adjustments, Figure::Count(1), Bps(3_333)),
        ]
    );
}

#[test]
fn a_day_without_anything_has_figures_all_the_same() {
    let day = DayReport::build(quiet_day()).unwrap();
    assert_eq!((day.pnl, day.closing_equity), (Money::ZERO, Money::whole(100_000)));
    assert_eq!((day.win_rate, day.profit_factor), (None, None));
    assert!(day.limits.iter().all(|usage| usage.share == Bps::ZERO));
}

#[test]
fn a_limit_of_zero_is_reached_by_the_first_thing_that_counts_against_it() {
    let mut facts = busy_day();
    facts.limits.positions = 0;
    let day = DayReport::build(facts).unwrap();
    assert!(day.limits[1].is_reached());
}

#[test]
fn what_is_left_open_and_what_trading_does_not_explain_is_shown() {
    let mut facts = busy_day();
    facts.positions.push(position("AMD", "19:00", None, "50", "50", "0"));
    facts.equity[3].equity = dollars("100200.40");
    let day = DayReport::build(facts).unwrap();
    assert!(!day.is_flat());
    assert_eq!(day.open_positions[0].quantity, Quantity::whole(100));
    assert_eq!(day.unexplained, dollars("-10"));
}

#[test]
fn an_execution_that_came_after_the_last_point_counts_and_the_report_says_what_it_corrects() {
    let as_seen = SessionResult { realised: dollars("214.40"), fees: dollars("4") };
    let first = DayReport::build(DayFacts { booked: Some(as_seen), ..busy_day() }).unwrap();
    assert_eq!(first, DayReport::build(busy_day()).unwrap(), "nothing came late");

    let booked = Some(SessionResult { realised: dollars("204.40"), fees: dollars("5") });
    let again = DayReport::build(DayFacts { booked, reported: Some(first.pnl), ..busy_day() }).unwrap();
    assert_eq!((again.realised, again.fees, again.unrealised), (dollars("204.40"), dollars("5"), Money::ZERO));
    assert_eq!((again.pnl, again.closing_equity), (dollars("199.40"), dollars("100199.40")));
    assert_eq!(again.corrects, Some(dollars("210.40")));
    let told = again.alert();
    assert_eq!(told.subject, "Daybook 2026-11-16: corrected, +$199.40 (+0.20 %), 2 trades, flat");
    assert!(told.body.contains("an earlier report, which told +$210.40"), "{}", told.body);

    let same = DayReport::build(DayFacts { booked, reported: Some(again.pnl), ..busy_day() }).unwrap();
    assert_eq!(same.corrects, None);
}

#[test]
fn the_same_fault_is_counted_at_its_first_time() {
    let fault = |time, subject: &str| Fault {
        at: at(time),
        kind: FaultKind::Feed,
        subject: subject.to_owned(),
        detail: "no bar for 90 s".to_owned(),
        times: 1,
    };
    let facts = DayFacts {
        faults: vec![fault("15:00", "AAPL"), fault("15:01", "MSFT"), fault("15:02", "AAPL")],
        ..quiet_day()
    };
    let day = DayReport::build(facts).unwrap();
    assert_eq!(day.faults, [Fault { times: 2, ..fault("15:00", "AAPL") }, fault("15:01", "MSFT")]);
}

#[test]
fn a_day_that_needs_a_person_says_so_in_its_alert() {
    let alert = DayReport::build(busy_day()).unwrap().alert();
    assert_eq!((alert.level, alert.event.as_str()), (AlertLevel::Info, DAY_ENDED));
    assert_eq!(alert.subject, "Daybook 2026-11-16: +$210.40 (+0.21 %), 2 trades, flat");
    assert_eq!(alert.body, "Up $210.40 (+0.21 %) in 2 trades. Flat by the close. No limit was reached.");
    let mut facts = busy_day();
    facts.positions.push(position("AMD", "19:00", None, "50", "50", "0"));
    assert_eq!(DayReport::build(facts).unwrap().alert().level, AlertLevel::Critical);
}

#[test]
fn a_stored_report_reads_back_as_it_was() {
    let day = DayReport::build(busy_day()).unwrap();
    let json = serde_json::to_string(&day).unwrap();
    assert_eq!(serde_json::from_str::<DayReport>(&json).unwrap(), day);
}

#[test]
fn several_days_are_summed_and_their_worst_is_named() {
    let first = DayReport::build(busy_day()).unwrap();
    let mut facts = quiet_day();
    facts.session.date = SessionDate::of(2026, 11, 17).unwrap();
    facts.opening_equity = first.closing_equity;
    let second = DayReport::build(facts).unwrap();
    let summary = RangeSummary::build(&[first, second]).unwrap();
    assert_eq!((summary.pnl, summary.trades, summary.win_rate), (dollars("210.40"), 2, Some(Bps(5_000))));
    assert_eq!(summary.max_drawdown, dollars("502"));
    assert_eq!(summary.worst_day, Some((SessionDate::of(2026, 11, 17).unwrap(), Money::ZERO)));
    assert_eq!(summary.best_day, Some((SessionDate::of(2026, 11, 16).unwrap(), dollars("210.40"))));
    assert_eq!(RangeSummary::build(&[]).unwrap().worst_day, None);
}
