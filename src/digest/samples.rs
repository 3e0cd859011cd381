//! Three days to look at: a busy one, an empty one, and one that was stopped; and the weeks that they make.

use daybook_core::calendar::Calendar;
use daybook_core::decision::{Candidate, EquityPoint, Review};
use daybook_core::money::{Bps, Money, Price, Quantity};
use daybook_core::portfolio::{Position, PositionState};
use daybook_core::report::{
    ConfigChange, DatedReview, DayCounts, DayFacts, DayHalt, DayLimits, DayReport, Fault, FaultKind, FilledEntry,
    Watch, WeekFacts, WeekReport,
};
use daybook_core::risk::{Check, CheckName, Halt, HaltKind, Verdict};
use daybook_core::strategy::{Direction, Reason, Signal};
use daybook_core::time::{SessionDate, Timestamp};

const SESSION: (i32, u32, u32) = (2026, 11, 16);

/// An instant of the session, New York time.
fn at(clock: &str) -> Timestamp {
    format!("2026-11-16T{clock}:00-05:00").parse().unwrap()
}

fn dollars(text: &str) -> Money {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn signal(name: &str, direction: Direction, entry: &str, stop: &str, target: &str) -> Signal {
    Signal {
        symbol: name.parse().unwrap(),
        strategy: "orb".to_owned(),
        direction,
        entry: price(entry),
        stop: price(stop),
        target: price(target),
        confidence: Bps(7_200),
        reasons: vec![Reason::new("range high", entry)],
        valid_until: at("10:30"),
    }
}

fn taken(clock: &str, signal: Signal, quantity: i64) -> DatedReview {
    let verdict = Verdict { quantity: Some(Quantity::whole(quantity)), refused_by: None, checks: vec![] };
    DatedReview { at: at(clock), review: Review { signal, verdict, leg: Some(0) } }
}

fn refused(clock: &str, name: &str, check: CheckName, value: &str, limit: &str) -> DatedReview {
    let checks = vec![Check { name: check, passed: false, value: value.to_owned(), limit: limit.to_owned() }];
    let verdict = Verdict { quantity: None, refused_by: Some(check), checks };
    let signal = signal(name, Direction::Long, "50", "49", "52");
    DatedReview { at: at(clock), review: Review { signal, verdict, leg: None } }
}

struct Sample {
    name: &'static str,
    direction: Direction,
    quantity: i64,
    entry: (&'static str, &'static str),
    exit: (&'static str, &'static str),
    stop: &'static str,
    realised: &'static str,
    reason: &'static str,
}

impl Sample {
    fn position(&self) -> Position {
        Position {
            symbol: self.name.parse().unwrap(),
            direction: self.direction,
            state: PositionState::Closed,
            strategy: Some("orb".to_owned()),
            quantity: Quantity::ZERO,
            quantity_max: Quantity::whole(self.quantity),
            entered: Quantity::whole(self.quantity),
            entry_value: price(self.entry.1).times(Quantity::whole(self.quantity)).unwrap(),
            exit_value: price(self.exit.1).times(Quantity::whole(self.quantity)).unwrap(),
            cost: Money::ZERO,
            entry_price: price(self.entry.1),
            exit_price: Some(price(self.exit.1)),
            initial_stop: Some(price(self.stop)),
            stop: None,
            target: None,
            adjustments: 1,
            best_price: price(self.exit.1),
            opened_at: at(self.entry.0),
            closed_at: Some(at(self.exit.0)),
            realised: dollars(self.realised),
            fees: dollars("1.00"),
            exit_reason: Some(self.reason.to_owned()),
        }
    }
}

/// A minute's figures from a walk that is the same every time.
fn equity(path: &[(&str, i64)], fees: &str) -> Vec<EquityPoint> {
    let mut points = Vec::new();
    let mut noise: i64 = 7;
    for pair in path.windows(2) {
        let ((from, before), (to, after)) = (pair[0], pair[1]);
        let minutes = (at(to).0 - at(from).0) / 60_000;
        for minute in 0..minutes {
            noise = (noise * 1_103 + 12_345) % 65_537;
            let wiggle = if before == 0 && after == 0 { 0 } else { (noise % 41 - 20) * 60_000_000 };
            let cents = before * Money::UNIT + (after - before) * Money::UNIT * minute / minutes + wiggle;
            points.push(point(Timestamp(at(from).0 + minute * 60_000), Money::ZERO, Money(cents), Money::ZERO));
        }
    }
    let &(last, result) = path.last().unwrap();
    let fees = dollars(fees);
    points.push(point(at(last), Money::whole(result).plus(fees).unwrap(), Money::ZERO, fees));
    points
}

fn point(at: Timestamp, realised: Money, unrealised: Money, fees: Money) -> EquityPoint {
    let opening_equity = Money::whole(100_000);
    let pnl = realised.plus(unrealised).unwrap().minus(fees).unwrap();
    EquityPoint {
        session: session(),
        at,
        equity: opening_equity.plus(pnl).unwrap(),
        opening_equity,
        exposure: if unrealised.is_zero() { Money::ZERO } else { Money::whole(18_000) },
        realised,
        unrealised,
        fees,
    }
}

fn session() -> SessionDate {
    let (year, month, day) = SESSION;
    SessionDate::of(year, month, day).unwrap()
}

fn candidate(rank: u32, name: &str, gap: &str, volume: &str) -> Candidate {
    Candidate {
        symbol: name.parse().unwrap(),
        rank,
        score: 0,
        factors: vec![Reason::new("gap", gap), Reason::new("relative volume", volume)],
    }
}

fn empty_facts() -> DayFacts {
    let calendar = Calendar::xnys();
    DayFacts {
        as_of: at("16:15"),
        session: calendar.session(session()).unwrap(),
        next_session: calendar.session_after(session()),
        opening_equity: Money::whole(100_000),
        equity: equity(&[("09:30", 0), ("16:15", 0)], "0"),
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
        counts: DayCounts { slots: 1_214, runs: 1_214, orders: 0, fills: 0 },
    }
}

/// Nothing was traded and nothing went wrong.
pub fn empty_day() -> DayReport {
    DayReport::build(empty_facts()).unwrap()
}

/// Six trades, refusals of every sort, a fault or two.
pub fn rich_day() -> DayReport {
    use Direction::{Long, Short};
    let trades = [
        Sample {
            name: "NVDA",
            direction: Long,
            quantity: 47,
            entry: ("09:51", "212.34"),
            exit: ("10:32", "215.61"),
            stop: "210.65",
            realised: "153.69",
            reason: "target",
        },
        Sample {
            name: "AAPL",
            direction: Long,
            quantity: 36,
            entry: ("09:51", "271.10"),
            exit: ("10:14", "269.04"),
            stop: "269.05",
            realised: "-74.16",
            reason: "stop",
        },
        Sample {
            name: "TSLA",
            direction: Short,
            quantity: 22,
            entry: ("10:06", "441.80"),
            exit: ("13:06", "438.11"),
            stop: "446.30",
            realised: "81.18",
            reason: "max hold",
        },
        Sample {
            name: "AMD",
            direction: Long,
            quantity: 60,
            entry: ("10:36", "164.02"),
            exit: ("12:41", "166.77"),
            stop: "162.35",
            realised: "165.00",
            reason: "target",
        },
        Sample {
            name: "BRK.B",
            direction: Long,
            quantity: 19,
            entry: ("13:21", "502.75"),
            exit: ("14:02", "500.20"),
            stop: "500.25",
            realised: "-48.45",
            reason: "stop",
        },
        Sample {
            name: "MSFT",
            direction: Long,
            quantity: 24,
            entry: ("14:06", "411.50"),
            exit: ("15:50", "409.78"),
            stop: "409.10",
            realised: "-41.28",
            reason: "flatten",
        },
    ];
    let facts = DayFacts {
        equity: equity(
            &[
                ("09:30", 0),
                ("09:51", 0),
                ("10:14", -70),
                ("10:32", 80),
                ("11:20", 40),
                ("12:41", 260),
                ("13:06", 321),
                ("14:02", 276),
                ("15:50", 230),
                ("16:15", 230),
            ],
            "6.00",
        ),
        positions: trades.iter().map(Sample::position).collect(),
        reviews: vec![
            taken("09:50", signal("NVDA", Long, "212.30", "210.65", "215.60"), 47),
            taken("09:50", signal("AAPL", Long, "271.05", "269.05", "275.00"), 36),
            taken("10:05", signal("TSLA", Short, "441.90", "446.30", "434.00"), 22),
            refused("10:20", "META", CheckName::Confidence, "54 %", "above 60 %"),
            refused("10:20", "NFLX", CheckName::Rank, "4th of its run", "the best 3"),
            taken("10:35", signal("AMD", Long, "164.00", "162.35", "166.75"), 60),
            refused("10:35", "NVDA", CheckName::DuplicateSymbol, "entered 09:51", "one entry a day"),
            refused("10:50", "NVDA", CheckName::DuplicateSymbol, "entered 09:51", "one entry a day"),
            refused("11:05", "PLTR", CheckName::PositionValue, "$11,204.00", "$10,000.00"),
            taken("13:20", signal("BRK.B", Long, "502.70", "500.25", "508.00"), 19),
            taken("14:05", signal("MSFT", Long, "411.40", "409.10", "416.00"), 24),
            refused("15:35", "COIN", CheckName::SessionTime, "15 min", "at least 30 min"),
        ],
        candidates: vec![
            candidate(1, "NVDA", "+3.12 %", "4.1 x"),
            candidate(2, "TSLA", "-2.40 %", "3.3 x"),
            candidate(3, "AAPL", "+1.05 %", "2.2 x"),
            candidate(4, "AMD", "+2.80 %", "1.9 x"),
        ],
        faults: vec![
            Fault {
                at: at("10:41"),
                kind: FaultKind::Feed,
                subject: "simulated".to_owned(),
                detail: "no bar of META for 90 s".to_owned(),
                times: 3,
            },
            Fault {
                at: at("12:15"),
                kind: FaultKind::RunFailed,
                subject: "analysis".to_owned(),
                detail: "timed out after 30 s; the next attempt finished".to_owned(),
                times: 1,
            },
        ],
        counts: DayCounts { slots: 1_231, runs: 1_229, orders: 19, fills: 14 },
        ..empty_facts()
    };
    DayReport::build(facts).unwrap()
}

/// The day's loss reached its limit at 11:42; one position could not be closed.
pub fn emergency_stop_day() -> DayReport {
    use Direction::Long;
    let trades = [
        Sample {
            name: "NVDA",
            direction: Long,
            quantity: 470,
            entry: ("09:51", "212.34"),
            exit: ("11:43", "210.08"),
            stop: "210.65",
            realised: "-1062.20",
            reason: "emergency stop",
        },
        Sample {
            name: "AMD",
            direction: Long,
            quantity: 600,
            entry: ("10:36", "164.02"),
            exit: ("11:43", "162.41"),
            stop: "162.35",
            realised: "-966.00",
            reason: "emergency stop",
        },
    ];
    let mut held = trades[0].position();
    held.symbol = "GME".parse().unwrap();
    (held.quantity, held.quantity_max) = (Quantity::whole(40), Quantity::whole(40));
    held.entry_price = price("24.10");
    held.stop = Some(price("23.50"));
    held.state = PositionState::Closing;
    (held.closed_at, held.exit_price, held.exit_reason) = (None, None, None);
    let mut positions: Vec<Position> = trades.iter().map(Sample::position).collect();
    positions.push(held);
    let names =
        ["AAPL", "MSFT", "META", "NFLX", "TSLA", "PLTR", "COIN", "ORCL", "INTC", "QCOM", "UBER", "SHOP", "BA", "DIS"];
    let mut reviews = vec![
        taken("09:50", signal("NVDA", Long, "212.30", "210.65", "215.60"), 470),
        taken("10:35", signal("AMD", Long, "164.00", "162.35", "166.75"), 600),
    ];
    reviews.extend(
        names.iter().map(|name| refused("11:50", name, CheckName::Halted, "emergency stop since 11:42", "no halt")),
    );
    reviews.push(refused("11:20", "SPY", CheckName::DayLoss, "$1,611.00", "$1,500.00 (75 % of $2,000.00)"));
    let facts = DayFacts {
        equity: equity(
            &[
                ("09:30", 0),
                ("09:51", 0),
                ("10:30", -400),
                ("11:10", -900),
                ("11:42", -2_012),
                ("11:44", -2_030),
                ("16:15", -2_030),
            ],
            "2.00",
        ),
        positions,
        reviews,
        halts: vec![DayHalt {
            halt: Halt {
                kind: HaltKind::EmergencyStop,
                reason: "the day's loss reached its limit".to_owned(),
                numbers: vec![Reason::new("day loss", "$2,012.00"), Reason::new("limit", "$2,000.00")],
                since: at("11:42"),
                until: None,
            },
            cleared_at: None,
            cleared_by: None,
        }],
        faults: vec![Fault {
            at: at("11:43"),
            kind: FaultKind::Broker,
            subject: "GME".to_owned(),
            detail: "the exit was refused: \"<halted> & locked\"".to_owned(),
            times: 12,
        }],
        // An account with room for such positions.
        limits: DayLimits {
            position_value: Money::whole(120_000),
            exposure: Some(Money::whole(250_000)),
            ..empty_facts().limits
        },
        counts: DayCounts { slots: 1_230, runs: 1_230, orders: 8, fills: 6 },
        ..empty_facts()
    };
    DayReport::build(facts).unwrap()
}

/// A day's report as that of another session: everything happens at the same time of day.
pub fn on(date: &str, mut day: DayReport) -> DayReport {
    let session = Calendar::xnys().session(date.parse().unwrap()).unwrap();
    let from = std::mem::replace(&mut day.opened_at, session.open);
    (day.session, day.kind, day.closed_at) = (session.date, session.kind, session.close);
    let moved = |at: Timestamp| session.open.after(at.since(from));
    day.faults.iter_mut().for_each(|fault| fault.at = moved(fault.at));
    day.curve.iter_mut().for_each(|point| point.at = moved(point.at));
    day
}

/// The week of these days, with two entries, a change of the configuration and a look that is missing.
pub fn week(days: &[DayReport]) -> WeekReport {
    let entry = |name: &str, direction, seen: &str, paid: &str| FilledEntry {
        symbol: name.parse().unwrap(),
        direction,
        seen: price(seen),
        paid: price(paid),
        quantity: Quantity::whole(40),
    };
    let change = ConfigChange {
        version: 8,
        at: days[0].opened_at.after(std::time::Duration::from_secs(3_600)),
        what: vec!["risk.max_positions 5 -> 3".to_owned(), "risk.execute_top_n 3 -> 2".to_owned()],
        note: Some("confirmed by owner".to_owned()),
    };
    let facts = WeekFacts {
        as_of: days[days.len() - 1].closed_at.after(std::time::Duration::from_secs(1_800)),
        unreported: WeekReport::unreported(days, days[0].session, &Calendar::xnys()),
        days: days.to_vec(),
        entries: vec![
            entry("AAPL", Direction::Long, "212.30", "212.41"),
            entry("TSLA", Direction::Short, "241.10", "241.02"),
        ],
        changes: vec![change],
        watch: Watch { due: 1_170, done: 1_169, starts: 2 },
    };
    WeekReport::build(facts).unwrap().unwrap()
}

/// A week with a good day, an empty one and one that was stopped, and two that nobody summed up.
pub fn busy_week() -> WeekReport {
    week(&[on("2026-11-16", rich_day()), on("2026-11-17", empty_day()), on("2026-11-18", emergency_stop_day())])
}

/// A week with a holiday and an early close, in which nothing was changed and nothing filled.
pub fn holiday_week() -> WeekReport {
    let mut week = week(&[on("2026-11-24", empty_day()), on("2026-11-27", rich_day())]);
    (week.slippage, week.watch) = (None, Watch { due: 600, done: 600, starts: 1 });
    week.changes.clear();
    week
}
