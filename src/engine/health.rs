//! Whether the process is well: a look every minute, and figures every five.

use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::report::words;
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use serde::Serialize;

use super::Parts;
use super::bus;
use super::supervisor::Failures;
use crate::ledger::event::{self, Event, EventLevel};
use crate::ledger::{LedgerError, alert, run_facts};
use crate::process;

/// Free space below which a person is warned: a busy day writes a few megabytes, a backup doubles the
/// ledger.
const DISK_FREE_MIN: u64 = 500 << 20;

/// How late a look at the account's risk may be: its job runs every minute and may take half of one.
const RISK_OVERDUE: Duration = Duration::from_secs(150);

/// What a start takes before it is over: from then on the process is idle most of the time.
const SETTLING: Duration = Duration::from_secs(3);

/// The state of the regular checks.
pub struct Health {
    checked_at: Option<Timestamp>,
    beat_at: Option<Timestamp>,
    settle_at: Option<Timestamp>,
    disk_is_low: bool,
    failures: Failures,
}

/// What a heartbeat says.
#[derive(Debug, Serialize)]
struct Figures {
    /// Runs that this process executes right now.
    live_runs: usize,
    /// What the ledger tells of the runs since the last heartbeat.
    #[serde(flatten)]
    runs: run_facts::RunFigures,
    /// The process's own; absent on a simulated clock, where two runs must write the same rows.
    #[serde(flatten)]
    process: Option<ProcessFigures>,
}

#[derive(Debug, Serialize)]
struct ProcessFigures {
    rss_kib: u64,
    cpu_ms: u64,
    disk_free_mib: u64,
}

/// How the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// All of it works.
    Well,
    /// A part is in its cool-down: it may be the one that tells people.
    PartFailed,
    /// A look at the account's risk has not ended that should have long since.
    RiskUnwatched,
}

impl Condition {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::PartFailed => "a part has failed",
            Self::RiskUnwatched => "the risk monitor is overdue",
        }
    }

    const fn level(self) -> EventLevel {
        match self {
            Self::Well => EventLevel::Info,
            Self::PartFailed | Self::RiskUnwatched => EventLevel::Warning,
        }
    }

    fn subject(self) -> String {
        match self {
            Self::Well => "the scheduler is at work, and well".to_owned(),
            Self::PartFailed | Self::RiskUnwatched => format!("the scheduler is at work, but {}", self.as_str()),
        }
    }
}

impl Figures {
    /// The figures in words.
    fn told(&self) -> String {
        let runs = &self.runs;
        let mut lines = vec![format!(
            "{} ended since the last heartbeat, {} failed, {} under way",
            words::counted(runs.done as usize, "run", "runs"),
            runs.failed,
            self.live_runs
        )];
        if let (Some(median), Some(late)) = (runs.lateness_p50_us, runs.lateness_p99_us) {
            let ms = |us: i64| us.div_euclid(1_000);
            lines.push(format!("started {} ms late in the median, {} ms at the 99th percentile", ms(median), ms(late)));
        }
        if let Some(process) = &self.process {
            let memory = process.rss_kib >> 10;
            let seconds = process.cpu_ms / 1_000;
            lines.push(format!(
                "{memory} MiB of memory, {seconds} s of CPU, {} MiB of disk left",
                process.disk_free_mib
            ));
        }
        lines.join("\n")
    }
}

impl Health {
    pub fn new(parts: &Parts) -> Self {
        Self { checked_at: None, beat_at: None, settle_at: None, disk_is_low: false, failures: parts.failures.clone() }
    }

    /// Whether a part of the process has failed for good.
    pub fn failed(&self, now: Timestamp) -> bool {
        self.failures.holds_at(now)
    }

    /// Checks and beats if it is time to.
    pub async fn check(&mut self, parts: &Parts, now: Timestamp, live_runs: usize) -> Result<(), LedgerError> {
        let every = parts.settings.scheduler.health_check.as_duration();
        let heartbeat_every = parts.settings.scheduler.heartbeat.as_duration();
        if self.checked_at.is_none_or(|at| now.since(at) >= every) {
            self.checked_at = Some(now);
            check_ledger(parts, now).await?;
            if !parts.simulated {
                self.check_disk(parts, now).await?;
            }
        }
        let Some(last) = self.beat_at else {
            self.beat_at = Some(now);
            self.settle_at = (!parts.simulated).then(|| now.after(SETTLING));
            return Ok(());
        };
        if self.settle_at.is_some_and(|at| now >= at) {
            self.settle_at = Some(now.after(heartbeat_every));
            process::settle();
        }
        if now.since(last) < heartbeat_every {
            return Ok(());
        }
        self.beat_at = Some(now);
        let process = (!parts.simulated).then(|| process_figures(parts));
        let failures = self.failures.holds_at(now);
        let routes = parts.routes.clone();
        let condition = parts
            .sources
            .ledger
            .write(move |tx| {
                let figures = Figures { live_runs, runs: run_facts::figures_since(tx, last)?, process };
                let risk_is_overdue = run_facts::is_overdue(tx, JobKind::RiskMonitor, now.before(RISK_OVERDUE))?;
                let condition = match (failures, risk_is_overdue) {
                    (true, _) => Condition::PartFailed,
                    (false, true) => Condition::RiskUnwatched,
                    (false, false) => Condition::Well,
                };
                let data = serde_json::to_value(&figures)?;
                let told = Alert::new(AlertEvent::HeartbeatRecorded, condition.subject());
                alert::raise_if_wanted(tx, None, &told.with_body(figures.told()), &routes, now)?;
                let beat = Event::new(now, condition.level(), "scheduler.heartbeat", condition.as_str());
                event::record(tx, &beat.with_data(data))?;
                Ok(condition)
            })
            .await?;
        parts.bus.publish(bus::Event::Heartbeat { at: now, is_well: condition == Condition::Well });
        Ok(())
    }

    /// Tells once that the disk is nearly full, and again only after there was room in between.
    async fn check_disk(&mut self, parts: &Parts, now: Timestamp) -> Result<(), LedgerError> {
        let ledger = &parts.sources.ledger;
        let path = ledger.path().display();
        let free = match process::free_space(ledger.path()) {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(%error, %path, "disk.unknown");
                return Ok(());
            }
        };
        let was_low = std::mem::replace(&mut self.disk_is_low, free < DISK_FREE_MIN);
        if !self.disk_is_low {
            return Ok(());
        }
        tracing::error!(free_mib = free >> 20, %path, "disk.low");
        if was_low {
            return Ok(());
        }
        let subject = format!("{} MiB are left for {path}; {} are needed", free >> 20, DISK_FREE_MIN >> 20);
        let (told, routes) = (Alert::new(AlertEvent::DiskLow, subject), parts.routes.clone());
        ledger.write(move |tx| alert::raise(tx, None, &told, &routes, now).map(drop)).await
    }
}

/// Ends the process if its ledger is no longer the file of that name: a start finds it again, and goes on.
///
/// # Errors
/// [`LedgerError::TakenAway`] where it is not, and what keeps it from being put back.
pub(super) async fn check_ledger(parts: &Parts, now: Timestamp) -> Result<(), LedgerError> {
    let ledger = &parts.sources.ledger;
    if ledger.is_in_place() {
        return Ok(());
    }
    let path = ledger.path().to_owned();
    let subject = format!("{} was removed or replaced while it was in use", path.display());
    let (told, routes) = (Alert::new(AlertEvent::LedgerTakenAway, subject), parts.routes.clone());
    ledger.write(move |tx| alert::raise(tx, None, &told, &routes, now).map(drop)).await?;
    let kept = ledger.put_back(now).await?;
    Err(LedgerError::TakenAway { path, kept })
}

fn process_figures(parts: &Parts) -> ProcessFigures {
    ProcessFigures {
        rss_kib: process::resident_kib(),
        cpu_ms: process::cpu_ms(),
        disk_free_mib: process::free_space(parts.sources.ledger.path()).unwrap_or(0) >> 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_tells_its_figures_in_words() {
        let runs =
            run_facts::RunFigures { done: 1, failed: 0, lateness_p50_us: Some(4_200), lateness_p99_us: Some(9_900) };
        let process = Some(ProcessFigures { rss_kib: 40_960, cpu_ms: 12_345, disk_free_mib: 7_000 });
        let told = Figures { live_runs: 2, runs, process }.told();
        assert_eq!(
            told,
            "1 run ended since the last heartbeat, 0 failed, 2 under way\nstarted 4 ms late in the median, 9 ms at the \
             99th percentile\n40 MiB of memory, 12 s of CPU, 7000 MiB of disk left"
        );
        assert_eq!(Condition::Well.subject(), "the scheduler is at work, and well");
        assert_eq!(Condition::RiskUnwatched.subject(), "the scheduler is at work, but the risk monitor is overdue");
    }
}
