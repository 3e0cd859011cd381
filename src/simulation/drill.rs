//! Tries the emergency stop, the flatten and a number of kills on a person's own configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook_core::calendar::{Calendar, Session};
use daybook_core::risk::HaltKind;
use daybook_core::schedule::{JobDefinition, JobKind, Pace, next_slot_after};
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;

use super::plan::{Asked, Fault, FaultId, FaultKind, Plan};
use super::world::{self, Lived};
use super::{OnDay, ledger_in};
use crate::adapters::clocks::SystemClock;
use crate::adapters::faulty::{Side, Site};
use crate::config::Configuration;
use crate::engine::commands::{Command, Trade};
use crate::ledger::{Ledger, OpenOptions, halt, position};
use crate::ports::Clock;

/// Sessions that are looked at for one in which a position is opened.
const SESSIONS_TRIED: usize = 10;

/// From when on the emergency stop or the flatten is asked for, once anything is held.
const ASKED_FROM: Duration = Duration::from_secs(1_800);

const STOP: &str = "the emergency stop, asked for by hand";
const FLATTEN: &str = "the flatten, asked for by hand";

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// What was tried.
    pub tried: String,
    /// The session it was tried in.
    pub session: SessionDate,
    /// How often the process was killed and started again.
    pub kills: u64,
    /// Positions that were held when it began.
    pub held: usize,
    /// How long it took until the account was flat, in simulated milliseconds; absent if nothing was held.
    pub flat_after_ms: Option<u64>,
    /// How long the whole session took, in milliseconds.
    pub took_ms: u64,
    /// What did not hold; empty if all did.
    pub broken: Vec<String>,
}

/// Why there is nothing to try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrillError {
    /// Nothing was bought.
    #[error(
        "this configuration opens no position in the {SESSIONS_TRIED} sessions from {from} on, so there is nothing to close: \
         loosen `scan` and `strategies`, or try another market with market.simulated.seed"
    )]
    NothingHeld { from: SessionDate },
    /// There is no job that closes positions.
    #[error(
        "no enabled job is of kind market-close-flatten: positions are held overnight, and there is no flatten to try"
    )]
    NoFlatten,
}

/// Tries everything in `folder`; `tell` hears of each trial as it begins.
///
/// # Errors
/// [`DrillError`] if there is nothing to try; also if the folder cannot be used. What does not hold is part of the answer.
pub fn drill(
    configuration: &Configuration,
    from: SessionDate,
    kills: u32,
    folder: &Path,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Vec<Trial>> {
    let calendar = configuration.settings.calendar();
    let desk = Desk { configuration, calendar: &calendar, folder, tell };
    let flatten = desk.flatten_job().ok_or(DrillError::NoFlatten)?;
    let stop = Command::Trade(Trade::StopEverything { reason: "a drill".to_owned() });
    let flat = Command::Run { job: flatten.name.clone(), as_slot: None, session: None };
    let (session, first, asked_at) = desk.first_to_stop(from, &stop)?;
    let mut trials = vec![first];
    let meanwhile = kills_from(&session, asked_at, kills);
    for (tried, command, faults) in [
        (format!("{STOP}, killed {kills} times meanwhile"), &stop, meanwhile.clone()),
        (FLATTEN.to_owned(), &flat, Vec::new()),
        (format!("{FLATTEN}, killed {kills} times meanwhile"), &flat, meanwhile),
    ] {
        trials.push(desk.trial(&session, &tried, asking(&session, command, faults), asked_at)?.0);
    }
    let slot = next_slot_after(&flatten.schedule, &calendar, Pace::default(), session.open);
    let spread = plan_of(&session, spread_over(&session, kills));
    let tried = format!("the session, killed {kills} times");
    trials.push(desk.trial(&session, &tried, spread, slot.map_or(session.close, |slot| slot.at))?.0);
    Ok(trials)
}

struct Desk<'a> {
    configuration: &'a Configuration,
    calendar: &'a Calendar,
    folder: &'a Path,
    tell: &'a dyn Fn(&str),
}

impl Desk<'_> {
    /// Stops everything in the first session that holds anything: that session, and when it was asked for.
    fn first_to_stop(&self, from: SessionDate, stop: &Command) -> anyhow::Result<(Session, Trial, Timestamp)> {
        for session in self.calendar.sessions(from, self.calendar.last_date()).take(SESSIONS_TRIED) {
            let plan = asking(&session, stop, Vec::new());
            if let (trial, Some(asked_at)) = self.trial(&session, STOP, plan, session.close)? {
                return Ok((session, trial, asked_at));
            }
        }
        Err(DrillError::NothingHeld { from }.into())
    }

    /// The job that closes everything before the close.
    fn flatten_job(&self) -> Option<&JobDefinition> {
        self.configuration.jobs.iter().find(|job| job.kind == JobKind::MarketCloseFlatten && job.enabled)
    }

    /// Lives one session; it is to be flat after `since`, or after the emergency stop was asked for.
    fn trial(
        &self,
        session: &Session,
        tried: &str,
        plan: Plan,
        since: Timestamp,
    ) -> anyhow::Result<(Trial, Option<Timestamp>)> {
        (self.tell)(tried);
        let clock = SystemClock::new();
        let folder = self.folder.join(tried.replace([' ', ','], "-"));
        if folder.exists() {
            // A session in which nothing was held.
            std::fs::remove_dir_all(&folder)?;
        }
        let Lived { figures, failure, asked_at } =
            world::live(self.configuration, &plan, &folder, &(Arc::new(|_| {}) as OnDay))?;
        let ledger = Ledger::open(&ledger_in(&folder), &OpenOptions::existing())?;
        let (positions, standing) =
            ledger.read(|conn| Ok((position::all(conn, &ledger.meta().account)?, halt::standing(conn)?)))?;
        let since = asked_at.unwrap_or(since);
        let held = positions.iter().filter(|stored| {
            stored.position.opened_at <= since && stored.position.closed_at.is_none_or(|closed_at| closed_at > since)
        });
        let flat_at = positions.iter().filter_map(|stored| stored.position.closed_at).filter(|at| *at > since).max();
        let mut broken = failure.map(|failure| failure.found).unwrap_or_default();
        if let Some(open) = positions.iter().find(|stored| stored.position.closed_at.is_none()) {
            broken.push(format!("{} is still held", open.position.symbol));
        }
        let stopped = matches!(plan.asked, Some(Asked { command: Command::Trade(_), .. }));
        if stopped && asked_at.is_some() && standing.iter().all(|halt| halt.kind != HaltKind::EmergencyStop) {
            broken.push("the emergency stop does not hold any more, and nobody has resumed".to_owned());
        }
        let after_it =
            |opened_at: Timestamp| asked_at.is_some_and(|asked_at| opened_at > asked_at.after(ENTRY_ON_ITS_WAY));
        if let Some(entered) = positions.iter().find(|stored| after_it(stored.position.opened_at)) {
            broken.push(format!("{} was entered after it", entered.position.symbol));
        }
        let trial = Trial {
            tried: tried.to_owned(),
            session: session.date,
            kills: figures.crashes,
            held: held.count(),
            flat_after_ms: flat_at.map(|at| u64::try_from(at.since(since).as_millis()).unwrap_or(u64::MAX)),
            took_ms: u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX),
            broken,
        };
        Ok((trial, asked_at))
    }
}

/// An order that was sent right before the stop may fill in the minute after it; it is closed with the rest.
const ENTRY_ON_ITS_WAY: Duration = Duration::from_secs(60);

fn plan_of(session: &Session, faults: Vec<Fault>) -> Plan {
    Plan { name: format!("drill {}", session.date), sessions: vec![*session], faults, asked: None }
}

/// A session in which a person asks for something as soon as anything is held.
fn asking(session: &Session, command: &Command, faults: Vec<Fault>) -> Plan {
    let asked = Asked { from: session.open.after(ASKED_FROM), command: command.clone() };
    Plan { asked: Some(asked), ..plan_of(session, faults) }
}

/// Kills at the commits and the broker's calls that follow an instant, before and after them by turns.
fn kills_from(session: &Session, from: Timestamp, kills: u32) -> Vec<Fault> {
    let kill = |number: u32| {
        let site = if number.is_multiple_of(2) { Site::Commit } else { Site::Broker };
        let side = if number % 4 < 2 { Side::Before } else { Side::After };
        let kind = FaultKind::Crash { site, nth: 1 + number, side, down: Duration::from_secs(u64::from(number % 5)) };
        Fault { id: FaultId { session: session.date, number: number + 1 }, from, until: session.post_close, kind }
    };
    (0..kills).map(kill).collect()
}

/// Kills from before the open to after the close, in equal distances.
fn spread_over(session: &Session, kills: u32) -> Vec<Fault> {
    let (from, until) =
        (session.open.before(Duration::from_secs(5_400)), session.close.after(Duration::from_secs(1_200)));
    let step = until.since(from) / kills.max(1);
    let all = kills_from(session, from, kills);
    (0..).zip(all).map(|(number, fault)| Fault { from: from.after(step * number), ..fault }).collect()
}
