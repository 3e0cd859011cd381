//! Which simulation is meant, which file it writes, and where an unfinished one goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use daybook_core::calendar::Calendar;
use daybook_core::time::{SessionDate, Timestamp};

use super::WiringError;
use crate::adapters::clocks::Speed;
use crate::adapters::feeds::files::{History, write_actions};
use crate::config::{Configuration, Settings};
use crate::ledger::{Ledger, LedgerError, LedgerKind, LedgerLock, OpenOptions, meta};

/// Sessions on the simulated clock.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The first session.
    pub from: SessionDate,
    /// The last session.
    pub to: SessionDate,
    /// Simulated seconds a second, or as fast as it goes.
    pub speed: Speed,
    /// The bars that are replayed; `None`: the simulated market.
    pub bars: Option<Arc<History>>,
}

impl Simulation {
    /// What makes this simulation the same as another: they go on with each other's ledger.
    #[must_use]
    pub fn arguments(&self, settings: &Settings) -> String {
        let market = match &self.bars {
            Some(history) => format!("bars={}", fingerprint(history)),
            None => format!("seed={}", settings.market.simulated.seed),
        };
        format!("{}..{} {market}", self.from, self.to)
    }

    /// The file that this simulation writes where none is named.
    #[must_use]
    pub fn ledger_name(&self, settings: &Settings) -> String {
        let market = match &self.bars {
            Some(history) => format!("bars-{}", &fingerprint(history)[..8]),
            None => format!("seed-{}", settings.market.simulated.seed),
        };
        format!("{}_{}_{market}.db", self.from, self.to)
    }
}

/// The file that a simulation writes: the one that is named, or one of its own beside the configured
/// ledger. A simulation of its own file that was finished is made anew.
///
/// # Errors
/// If the finished file cannot be removed.
pub fn simulation_ledger(
    configuration: &Configuration,
    simulation: &Simulation,
    named: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let path = simulations(&configuration.settings).join(simulation.ledger_name(&configuration.settings));
    let (_, until) = bounds(&configuration.settings.calendar(), simulation)?;
    let arguments = simulation.arguments(&configuration.settings);
    if reached(&path, &arguments)?.is_some_and(|reached| reached >= until) {
        let lock = LedgerLock::acquire(&path)?;
        for extension in ["db", "db-wal", "db-shm", "paper.db", "paper.db-wal", "paper.db-shm"] {
            match std::fs::remove_file(path.with_extension(extension)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("making {} anew", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        for extension in ["mail", "backups"] {
            match std::fs::remove_dir_all(path.with_extension(extension)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("making {} anew", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        drop(lock);
    }
    Ok(path)
}

/// The folder of the ledgers that simulations make where none is named.
fn simulations(settings: &Settings) -> PathBuf {
    settings.ledger.path.with_file_name("simulations")
}

/// The ledger of the simulation that was written last, of those that named none.
#[must_use]
pub fn latest_simulation(settings: &Settings) -> Option<PathBuf> {
    let entries = std::fs::read_dir(simulations(settings)).ok()?;
    let ledgers = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let is_ledger = path.extension()? == "db" && !path.to_string_lossy().ends_with(".paper.db");
        is_ledger.then_some(())?;
        Some((path.metadata().ok()?.modified().ok()?, path))
    });
    ledgers.max().map(|(_, path)| path)
}

/// A hash of bars and of what was done to their shares: the same rows in whatever files give the same.
fn fingerprint(history: &History) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (symbol, bars) in &history.series {
        hash.update(symbol.as_str());
        for bar in bars {
            for number in [bar.start.0, bar.open.0, bar.high.0, bar.low.0, bar.close.0, bar.volume.0] {
                hash.update(number.to_le_bytes());
            }
        }
    }
    if !history.actions.is_empty() {
        let mut rows = Vec::new();
        // Memory takes everything.
        let _ = write_actions(&mut rows, &history.actions);
        hash.update(rows);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The instants between which a simulation runs: local midnight before its first session, so that a
/// night's jobs are part of it, to the one after its last.
pub(super) fn bounds(calendar: &Calendar, simulation: &Simulation) -> Result<(Timestamp, Timestamp), WiringError> {
    let Simulation { from, to, .. } = *simulation;
    let name = || calendar.name().to_owned();
    for date in [from, to] {
        if !calendar.knows(date) {
            let (first, last) = (calendar.first_date(), calendar.last_date());
            return Err(WiringError::UnknownDate { date, calendar: name(), first, last });
        }
    }
    if calendar.sessions(from, to).next().is_none() {
        let why = calendar.closed(from, to).first().map_or_else(String::new, |(_, holiday)| format!(" ({holiday})"));
        let next =
            calendar.session_after(to).map_or_else(|| "beyond the calendar".to_owned(), |next| next.date.to_string());
        return Err(WiringError::NoSession { from, to, calendar: name(), why, next });
    }
    let midnight = |date: SessionDate| Timestamp::from_wall(date.0.and_time(chrono::NaiveTime::MIN), calendar.zone());
    Ok((midnight(from), midnight(to.plus_days(1))))
}

/// Where the simulated clock of an existing ledger stands, if it is the same simulation.
pub(super) fn reached(path: &Path, arguments: &str) -> anyhow::Result<Option<Timestamp>> {
    if !path.exists() {
        return Ok(None);
    }
    let ledger = match Ledger::open(path, &OpenOptions::existing()) {
        // A file whose making was interrupted has nothing to go on with.
        Err(LedgerError::NotALedger { what: "its making was interrupted" | "it is empty", .. }) => return Ok(None),
        opened => opened?,
    };
    if ledger.meta().kind == LedgerKind::Live {
        return Ok(None); // opening it as a simulation says what is wrong
    }
    if ledger.meta().arguments.as_deref() != Some(arguments) {
        let held = ledger.meta().arguments.clone().unwrap_or_default();
        return Err(WiringError::OtherSimulation { path: path.to_owned(), held }.into());
    }
    Ok(ledger.read(meta::simulated_now)?)
}
