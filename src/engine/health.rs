//! Whether the process is well: a look every minute, and figures every five.

use std::time::Duration;

use daybook_core::time::Timestamp;
use serde::Serialize;

use super::Parts;
use super::bus;
use super::supervisor::Failures;
use crate::ledger::event::{self, Event, EventLevel};
use crate::ledger::{LedgerError, run_facts};

/// Free space below which a person is warned: a busy day writes a few megabytes, a backup doubles the
/// ledger.
const DISK_FREE_MIN: u64 = 500 << 20;

/// The state of the regular checks.
pub struct Health {
    every: Duration,
    heartbeat_every: Duration,
    checked_at: Option<Timestamp>,
    beat_at: Option<Timestamp>,
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

impl Health {
    pub fn new(parts: &Parts) -> Self {
        Self {
            every: parts.settings.scheduler.health_check.as_duration(),
            heartbeat_every: parts.settings.scheduler.heartbeat.as_duration(),
            checked_at: None,
            beat_at: None,
            failures: parts.failures.clone(),
        }
    }

    /// Whether a part of the process has failed for good.
    pub fn failed(&self, now: Timestamp) -> bool {
        self.failures.holds_at(now)
    }

    /// Checks and beats if it is time to.
    pub async fn check(&mut self, parts: &Parts, now: Timestamp, live_runs: usize) -> Result<(), LedgerError> {
        if self.checked_at.is_none_or(|at| now.since(at) >= self.every) {
            self.checked_at = Some(now);
            if !parts.simulated {
                check_disk(parts);
            }
        }
        let Some(last) = self.beat_at else {
            self.beat_at = Some(now);
            return Ok(());
        };
        if now.since(last) < self.heartbeat_every {
            return Ok(());
        }
        self.beat_at = Some(now);
        let process = (!parts.simulated).then(|| process_figures(parts));
        let failures = self.failures.holds_at(now);
        parts
            .sources
            .ledger
            .write(move |tx| {
                let figures = Figures { live_runs, runs: run_facts::figures_since(tx, last)?, process };
                let data = serde_json::to_value(&figures)?;
                let (level, message) =
                    if failures { (EventLevel::Warning, "a part has failed") } else { (EventLevel::Info, "well") };
                event::record(tx, &Event::new(now, level, "scheduler.heartbeat", message).with_data(data))?;
                Ok(())
            })
            .await?;
        parts.bus.publish(bus::Event::Heartbeat { at: now });
        Ok(())
    }
}

fn check_disk(parts: &Parts) {
    let path = parts.sources.ledger.path();
    match free_space(path) {
        Ok(free) if free < DISK_FREE_MIN => {
            tracing::error!(free_mib = free >> 20, path = %path.display(), "disk.low");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, path = %path.display(), "disk.unknown"),
    }
}

/// Bytes that this process may still write beside `path`.
pub fn free_space(path: &std::path::Path) -> std::io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let folder = path.parent().unwrap_or(path);
    let name = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    let mut facts = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` is a NUL-terminated path and `facts` has room for what statvfs writes.
    if unsafe { libc::statvfs(name.as_ptr(), facts.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: statvfs succeeded, so it has written all of `facts`.
    let facts = unsafe { facts.assume_init() };
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

fn process_figures(parts: &Parts) -> ProcessFigures {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` has room for what getrusage writes, and zeroes are a valid value of it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let ms = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_usec).unwrap_or(0) / 1000
    };
    ProcessFigures {
        rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime),
        disk_free_mib: free_space(parts.sources.ledger.path()).unwrap_or(0) >> 20,
    }
}
