//! `trade status`: how it stands, on one screen.

use std::fmt::Write as _;

use daybook_core::alert::{Alert, AlertLevel};
use daybook_core::calendar::{Calendar, MarketPhase, Session};
use daybook_core::decision::EquityPoint;
use daybook_core::money::{Bps, Money};
use daybook_core::phase::Phase;
use daybook_core::report::words::{self, clock, dollars, instant, price, shares, signed_dollars};
use daybook_core::report::{DAY_ENDED, WEEK_ENDED};
use daybook_core::risk::{Halt, Pause};
use daybook_core::schedule::JobDefinition;
use daybook_core::strategy::ScriptFault;
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;

use super::Context;
use super::output::{Cell, Column, Paint, Table, pairs};
use super::plan::Planned;
use crate::config::{Configuration, Settings};
use crate::ledger::approval::{self, Waiting};
use crate::ledger::intent::StoredIntent;
use crate::ledger::phase::PhaseChange;
use crate::ledger::position::StoredPosition;
use crate::ledger::regime::StoredReading;
use crate::ledger::{
    Ledger, LedgerError, LedgerKind, LedgerLock, alert, equity, event, halt, meta, pause, phase, position, regime,
    script, settings as versions,
};

/// Jobs whose next slot is shown.
const NEXT_SHOWN: usize = 8;
/// Faults shown.
const FAULTS_SHOWN: usize = 5;
/// Alerts looked through for those that are faults.
const ALERTS_LOOKED_AT: u32 = 50;
/// What is told instead of slots where the jobs are not known.
const JOBS_UNKNOWN: &str =
    "  not known here: the configuration cannot be used; a scheduler that runs goes on under the one in force\n";
/// Cells of the bar that shows how much of the loss limit is used.
const BAR_CELLS: i64 = 20;

/// Everything that a person wants to know first.
#[derive(Debug, Serialize)]
struct Status {
    as_of: Timestamp,
    ledger: LedgerStatus,
    /// Who holds the ledger's lock; absent where no scheduler runs.
    scheduler: Option<String>,
    phase: Option<PhaseStatus>,
    /// The session in progress, or else the next one.
    session: Option<SessionStatus>,
    /// What the last look found the market to be like.
    market: Option<StoredReading>,
    halts: Vec<Halt>,
    pauses: Vec<Pause>,
    /// Scripts that have failed, as they are now: they propose nothing.
    stopped: Vec<ScriptFault>,
    day: Option<DayStatus>,
    /// Entries that wait for a person.
    approvals: Vec<Waiting>,
    positions: Vec<StoredPosition>,
    /// The next slot of each job; absent where the jobs are not known, because the configuration cannot be used.
    next_slots: Option<Vec<NextSlot>>,
    faults: Vec<FaultLine>,
}

#[derive(Debug, Serialize)]
struct LedgerStatus {
    path: String,
    kind: LedgerKind,
    account: String,
}

#[derive(Debug, Serialize)]
struct PhaseStatus {
    phase: Phase,
    since: Timestamp,
    reason: String,
}

#[derive(Debug, Serialize)]
struct SessionStatus {
    #[serde(flatten)]
    session: Session,
    market: MarketPhase,
}

#[derive(Debug, Serialize)]
struct DayStatus {
    session: SessionDate,
    at: Timestamp,
    pnl: Money,
    equity: Money,
    exposure: Money,
    loss_limit: Money,
    /// The part of the loss limit that is used, in basis points.
    loss_used_bps: i64,
}

#[derive(Debug, Serialize)]
struct NextSlot {
    job: String,
    slot: Timestamp,
}

#[derive(Debug, Serialize)]
struct FaultLine {
    at: Timestamp,
    level: String,
    message: String,
}

/// Prints how it stands.
///
/// # Errors
/// If the configuration or the ledger is unusable.
pub fn run(context: &Context) -> anyhow::Result<()> {
    let (configuration, ledger) = (context.usable_configuration()?, context.ledger()?);
    let planned = Planned::of(context, &configuration)?;
    let status = gather(&ledger, &configuration, &planned, context.now())?;
    context.output.document(&status, Status::text)
}

fn gather(
    ledger: &Ledger,
    configuration: &Configuration,
    planned: &Planned<'_>,
    wall: Timestamp,
) -> Result<Status, LedgerError> {
    let calendar = configuration.settings.calendar();
    let scheduler = LedgerLock::holder(ledger.path())?;
    let account = ledger.meta().account.clone();
    ledger.read(|conn| {
        let as_of = meta::simulated_now(conn)?.unwrap_or(wall);
        // The scheduler may have been started with other settings than this command.
        let decided_under = versions::latest(conn)?.and_then(|version| Settings::from_version(&version.body).ok());
        let in_force = decided_under.unwrap_or_else(|| configuration.settings.clone());
        Ok(Status {
            as_of,
            ledger: LedgerStatus {
                path: ledger.path().display().to_string(),
                kind: ledger.meta().kind,
                account: account.clone(),
            },
            scheduler,
            phase: phase::current(conn)?.map(|PhaseChange { at, to, reason, .. }| PhaseStatus {
                phase: to,
                since: at,
                reason,
            }),
            session: session_at(&calendar, as_of),
            market: regime::last(conn)?,
            halts: halt::in_force(conn, as_of)?,
            pauses: pause::in_force(conn, as_of)?,
            stopped: stopped(conn, &configuration.settings)?,
            day: equity::last(conn)?.map(|point| DayStatus::of(&point, in_force.risk.max_daily_loss)),
            approvals: approval::waiting(conn, as_of)?,
            positions: position::open(conn, &account)?,
            next_slots: next_slots(planned, as_of),
            faults: faults(conn)?,
        })
    })
}

/// The faults of scripts that are still as they were when they failed.
fn stopped(conn: &crate::ledger::Connection, settings: &Settings) -> Result<Vec<ScriptFault>, LedgerError> {
    let scripts = &settings.strategies.scripts;
    let is_of_now = |fault: &ScriptFault| {
        let script = scripts.get(&fault.strategy).filter(|script| script.enabled);
        script.is_some_and(|script| fault.concerns(&fault.strategy, script))
    };
    Ok(script::faults(conn)?.into_iter().map(|stored| stored.fault).filter(is_of_now).collect())
}

fn session_at(calendar: &Calendar, at: Timestamp) -> Option<SessionStatus> {
    let session = calendar.session_date_at(at).and_then(|date| calendar.session(date))?;
    Some(SessionStatus { session, market: session.phase_at(at) })
}

/// The next slot of each job, the soonest first; `None` where no job is known.
fn next_slots(planned: &Planned<'_>, as_of: Timestamp) -> Option<Vec<NextSlot>> {
    if planned.jobs().is_empty() {
        return None;
    }
    let of_job = |job: &JobDefinition| Some(NextSlot { job: job.name.clone(), slot: planned.next_of(job, as_of)? });
    let mut next: Vec<NextSlot> = planned.jobs().iter().filter_map(of_job).collect();
    next.sort_by_key(|next| next.slot);
    next.truncate(NEXT_SHOWN);
    Some(next)
}

/// What went wrong last: events of the program and alerts that a person should have seen.
fn faults(conn: &crate::ledger::Connection) -> Result<Vec<FaultLine>, LedgerError> {
    let events = event::last_faults(conn, ALERTS_LOOKED_AT)?.into_iter().map(|stored| FaultLine {
        at: stored.event.at,
        level: stored.event.level.as_str().to_owned(),
        message: stored.event.message,
    });
    let alerts = alert::last(conn, ALERTS_LOOKED_AT)?;
    // The digest of a bad day tells of faults, and is none.
    let is_fault =
        |told: &Alert| told.level >= AlertLevel::Warning && ![DAY_ENDED, WEEK_ENDED].contains(&told.event.as_str());
    let alerts = alerts.into_iter().filter(|stored| is_fault(&stored.alert));
    let alerts = alerts.map(|stored| FaultLine {
        at: stored.at,
        level: stored.alert.level.as_str().to_owned(),
        message: stored.alert.subject,
    });
    let mut faults: Vec<FaultLine> = events.chain(alerts).collect();
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.at));
    faults.truncate(FAULTS_SHOWN);
    Ok(faults)
}

impl DayStatus {
    fn of(point: &EquityPoint, loss_limit: Money) -> Self {
        let pnl = point.day_pnl();
        let lost = pnl.negated().max(Money::ZERO);
        Self {
            session: point.session,
            at: point.at,
            pnl,
            equity: point.equity,
            exposure: point.exposure,
            loss_limit,
            // A limit of zero is used up by definition.
            loss_used_bps: lost.ratio_of(loss_limit).unwrap_or(Bps::ONE).0,
        }
    }

    fn words(&self, paint: Paint) -> String {
        let used = self.loss_used_bps;
        let filled = (used * BAR_CELLS / Bps::ONE.0).clamp(0, BAR_CELLS);
        let bar: String = (0..BAR_CELLS).map(|cell| if cell < filled { '█' } else { '░' }).collect();
        let pnl = signed_dollars(self.pnl);
        let painted = if self.pnl.is_negative() { paint.red(&pnl) } else { paint.green(&pnl) };
        let allowed = words::whole_percent(Bps(used));
        format!("{painted}  {bar}  {allowed} of the loss limit {}", dollars(self.loss_limit))
    }
}

impl Status {
    fn text(&self, paint: Paint) -> String {
        let mut text = format!("{}\n", self.headline(paint));
        let LedgerStatus { path, kind, account } = &self.ledger;
        let kind = match kind {
            LedgerKind::Live => "live",
            LedgerKind::Simulation => "simulation",
            LedgerKind::Replay => "replay",
        };
        let mut lines = vec![
            ("ledger", format!("{path} ({kind}, account {account})")),
            ("as of", instant(self.as_of)),
            (
                "session",
                self.session.as_ref().map_or_else(|| "the calendar ends here".to_owned(), SessionStatus::words),
            ),
        ];
        if let Some(market) = &self.market {
            lines.push(("market", format!("{}, at {}", market.words(), instant(market.at))));
        }
        if self.halts.is_empty() {
            lines.push(("halts", paint.green("none")));
        }
        for halt in &self.halts {
            lines.push(("halt", paint.red(&halt_words(halt))));
        }
        for pause in &self.pauses {
            lines.push(("paused", paint.yellow(&format!("{}, until {}", pause.words(), instant(pause.until)))));
        }
        for ScriptFault { strategy, message, .. } in &self.stopped {
            lines.push(("stopped", paint.red(&format!("the strategy {strategy}: {message}"))));
        }
        match &self.day {
            Some(day) => {
                lines.push(("day P&L", day.words(paint)));
                let (equity, exposure) = (dollars(day.equity), dollars(day.exposure));
                lines.push(("equity", format!("{equity}, {exposure} of it in positions, at {}", instant(day.at))));
            }
            None => lines.push(("day P&L", "nothing measured yet".to_owned())),
        }
        text.push_str(&pairs(&lines));
        if !self.approvals.is_empty() {
            let _ = writeln!(text, "\n{}", paint.yellow("Wait for you (trade approve, trade reject)"));
        }
        for waiting in &self.approvals {
            let _ = writeln!(text, "  {}", waiting_words(waiting));
        }
        let _ = writeln!(text, "\n{}", paint.bold("Positions")); // writing to a `String` cannot fail; so below
        text.push_str(&position_table(&self.positions).to_text(paint, None));
        let _ = writeln!(text, "\n{}", paint.bold("Next"));
        match &self.next_slots {
            Some(next) => {
                for NextSlot { job, slot } in next {
                    let _ = writeln!(text, "  {}  {job}", instant(*slot));
                }
            }
            None => text.push_str(JOBS_UNKNOWN),
        }
        let _ = writeln!(text, "\n{}", paint.bold("Last faults"));
        if self.faults.is_empty() {
            text.push_str("  none\n");
        }
        for FaultLine { at, level, message } in &self.faults {
            let _ = writeln!(text, "  {}  {} {message}", instant(*at), paint.yellow(&format!("{level}:")));
        }
        text
    }

    fn headline(&self, paint: Paint) -> String {
        let phase = self.phase.as_ref().map_or(Phase::Stopped, |phase| phase.phase);
        let since = self.phase.as_ref().map_or_else(String::new, |phase| format!(" since {}", instant(phase.since)));
        match &self.scheduler {
            Some(holder) => {
                let shown = match phase {
                    Phase::Error | Phase::SafeMode => paint.red(phase.as_str()),
                    Phase::Trading => paint.green(phase.as_str()),
                    Phase::Stopped | Phase::PreMarket | Phase::PostMarket => paint.bold(phase.as_str()),
                };
                format!("{shown}{since}; the scheduler runs ({holder})")
            }
            None if phase == Phase::Stopped => format!("{}{since}; no scheduler runs", paint.bold("STOPPED")),
            None => {
                let last = format!("its last phase was {phase}{since}");
                format!("{}: no scheduler runs; {last}", paint.red("STOPPED"))
            }
        }
    }
}

impl SessionStatus {
    fn words(&self) -> String {
        let Session { date, kind, open, close, .. } = self.session;
        let hours = format!("{date}, {kind}: {} to {} New York time", clock(open), clock(close));
        match self.market {
            MarketPhase::Closed => format!("the next is {hours}"),
            MarketPhase::PreMarket | MarketPhase::Trading | MarketPhase::PostMarket => {
                format!("{hours} ({})", self.market)
            }
        }
    }
}

fn halt_words(halt: &Halt) -> String {
    let until =
        halt.until.map_or_else(|| "until a person resumes".to_owned(), |until| format!("until {}", instant(until)));
    let numbers = if halt.numbers.is_empty() { String::new() } else { format!(" ({})", words::reasons(&halt.numbers)) };
    format!("{}: {}{numbers}; since {}, {until}", words::halt(halt.kind), halt.reason, instant(halt.since))
}

/// An entry that waits: what, until when, and why.
fn waiting_words(waiting: &Waiting) -> String {
    let Waiting { approval, intent: StoredIntent { intent_id, intent, .. } } = waiting;
    let until = intent.valid_until.map_or_else(String::new, |until| format!(", until {}", instant(until)));
    let (symbol, what) = (intent.action.symbol(), super::why::action_words(&intent.action));
    format!("{symbol} (number {intent_id}): {what}{until}: {}", approval.reason)
}

fn position_table(positions: &[StoredPosition]) -> Table {
    let columns = vec![
        Column::text("symbol", "SYMBOL"),
        Column::text("direction", "SIDE"),
        Column::text("state", "STATE"),
        Column::number("quantity", "QTY"),
        Column::number("entry", "ENTRY"),
        Column::number("stop", "STOP"),
        Column::number("target", "TARGET"),
        Column::text("opened", "OPENED"),
    ];
    let mut table = Table::new(columns, "  none");
    for StoredPosition { position, .. } in positions {
        let level = |level| Cell::text_if(Option::map(level, price));
        table.push(vec![
            Cell::text(position.symbol),
            Cell::text(position.direction.as_str()),
            Cell::text(position.state.as_str()),
            Cell::text(shares(position.quantity)),
            Cell::text(price(position.entry_price)),
            level(position.stop),
            level(position.target),
            Cell::time(position.opened_at),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use daybook_core::analysis::{Regime, RegimeReading, Thresholds, VolatilityMeasure};
    use daybook_core::decision::Decision;
    use daybook_core::risk::{HaltKind, PauseKind};
    use daybook_core::schedule::Pace;
    use daybook_core::strategy::Reason;

    use super::*;
    use crate::config::{Sources, load, load_usable};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn status() -> Status {
        let as_of = at("2026-11-27T15:00:00Z");
        Status {
            as_of,
            ledger: LedgerStatus {
                path: "data/ledger.db".to_owned(),
                kind: LedgerKind::Live,
                account: "paper".to_owned(),
            },
            scheduler: Some("process 4711".to_owned()),
            phase: Some(PhaseStatus {
                phase: Phase::SafeMode,
                since: at("2026-11-27T14:52:00Z"),
                reason: "a latch is set".to_owned(),
            }),
            session: session_at(&Calendar::xnys(), as_of),
            market: Some(StoredReading {
                at: at("2026-11-27T14:55:05Z"),
                pace: Pace::Slow,
                reading: RegimeReading {
                    regime: Regime::Volatile,
                    measure: VolatilityMeasure::Close,
                    volatility: Some(Bps(4_120)),
                    symbols: 9,
                    thresholds: Thresholds { volatile_from: Bps(2_812), quiet_to: Bps(1_240) },
                    observations: Some(1_760),
                    unchanged: 3,
                },
            }),
            halts: vec![Halt {
                kind: HaltKind::SafeMode,
                reason: "3 losses in a row".to_owned(),
                numbers: vec![Reason::new("losses", 3)],
                since: at("2026-11-27T14:52:00Z"),
                until: Some(at("2026-11-27T15:22:00Z")),
            }],
            pauses: vec![Pause {
                kind: PauseKind::LossCooldown,
                symbol: Some("AAPL".parse().unwrap()),
                numbers: vec![Reason::new("result", Money::whole(-120))],
                since: at("2026-11-27T14:40:00Z"),
                until: at("2026-11-29T14:39:30Z"),
            }],
            stopped: vec![ScriptFault {
                strategy: "mine".to_owned(),
                sha256: String::new(),
                params: std::collections::BTreeMap::new(),
                symbol: "AAPL".parse().unwrap(),
                message: "strategies/my.lua:12: attempt to index a nil value".to_owned(),
            }],
            day: Some(DayStatus::of(
                &EquityPoint {
                    session: "2026-11-27".parse().unwrap(),
                    at: at("2026-11-27T14:59:00Z"),
                    equity: Money::whole(98_766),
                    opening_equity: Money::whole(100_000),
                    exposure: Money::whole(9_900),
                    realised: Money::whole(-1_200),
                    unrealised: Money::whole(-30),
                    fees: Money::whole(4),
                },
                Money::whole(2_000),
            )),
            approvals: Vec::new(),
            positions: Vec::new(),
            next_slots: Some(vec![NextSlot { job: "risk-monitor".to_owned(), slot: at("2026-11-27T15:01:00Z") }]),
            faults: vec![FaultLine {
                at: at("2026-11-27T14:52:00Z"),
                level: "warning".to_owned(),
                message: "safe mode: 3 losses in a row".to_owned(),
            }],
        }
    }

    #[test]
    fn a_bad_morning_on_one_screen() {
        insta::assert_snapshot!(status().text(Paint::PLAIN));
    }

    #[test]
    fn a_phase_without_a_scheduler_is_history() {
        let mut status = Status { scheduler: None, ..status() };
        let expected = "STOPPED: no scheduler runs; its last phase was SAFE_MODE since 2026-11-27 09:52:00 EST";
        assert_eq!(status.headline(Paint::PLAIN), expected);
        status.phase = None;
        assert_eq!(status.headline(Paint::PLAIN), "STOPPED; no scheduler runs");
    }

    #[test]
    fn a_fresh_ledger_has_a_status() {
        let day = crate::ledger::testing::TestLedger::new();
        let configuration = load(&Sources::default()).unwrap();
        let planned = Planned::without_ledger(&configuration);
        let status = gather(&day.ledger, &configuration, &planned, at("2026-11-26T15:00:00Z")).unwrap();
        assert!(status.positions.is_empty() && status.halts.is_empty() && status.day.is_none());
        assert_eq!(status.next_slots.unwrap().len(), NEXT_SHOWN);
        let session = status.session.unwrap();
        assert_eq!((session.market, session.session.date.to_string()), (MarketPhase::Closed, "2026-11-27".to_owned()));
    }

    #[test]
    fn what_a_configuration_that_cannot_be_used_leaves_unknown_is_told() {
        let day = crate::ledger::testing::TestLedger::new();
        let broken = Sources::default().with_option("--set", "risk.max_positions", "0".to_owned());
        let (usable, error) = load_usable(&broken).unwrap();
        assert!(error.is_some());
        let planned = Planned::without_ledger(&usable);
        let status = gather(&day.ledger, &usable, &planned, at("2026-11-26T15:00:00Z")).unwrap();
        let text = status.text(Paint::PLAIN);
        assert!(text.contains(&format!("Next\n{JOBS_UNKNOWN}")), "{text}");
    }

    #[test]
    fn the_limit_is_that_under_which_the_scheduler_decides() {
        let day = crate::ledger::testing::TestLedger::new();
        let told = |limit: &str| {
            load(&Sources::default().with_option("--set", "risk.max_daily_loss", limit.to_owned())).unwrap()
        };
        let (ours, in_force) = (told("1500"), told("700"));
        let version = versions::NewConfigVersion {
            hash: in_force.version.hash,
            body: in_force.version.body,
            origin: "a test".to_owned(),
            note: None,
            scripts: Vec::new(),
        };
        let run = day.run("risk-monitor", 5);
        let point = EquityPoint {
            session: "2026-11-16".parse().unwrap(),
            at: at("2026-11-16T15:00:00Z"),
            equity: Money::whole(99_650),
            opening_equity: Money::whole(100_000),
            exposure: Money::ZERO,
            realised: Money::ZERO,
            unrealised: Money::whole(-350),
            fees: Money::ZERO,
        };
        day.decide(&run, &Decision { equity: Some(point), ..Decision::default() });
        let seen = || {
            let status = gather(&day.ledger, &ours, &Planned::without_ledger(&ours), at("2026-11-16T16:00:00Z"));
            let day = status.unwrap().day.unwrap();
            (day.loss_limit, day.loss_used_bps)
        };
        assert_eq!(seen(), (Money::whole(1_500), 2_333));
        day.ledger.write_blocking(move |tx| versions::record(tx, &version, at("2026-11-16T15:00:00Z"))).unwrap();
        assert_eq!(seen(), (Money::whole(700), 5_000));
    }
}
