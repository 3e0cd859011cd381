//! Simulated days: the whole program in this process, on a ledger in a folder of its own.

use std::path::{Path, PathBuf};

use daybook::adapters::clocks::Speed;
use daybook::config::{self, Configuration, Environment, Setting, Sources};
use daybook::engine::driver::Ended;
use daybook::ledger::query::Cell;
use daybook::ledger::{Ledger, OpenOptions};
use daybook::wiring::{self, Simulation, Wired};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Companies of the simulated market: enough for trades, and few enough for a debug build.
pub const SYMBOLS: &str = "60";

/// The views that tell of a finished day. Numbers of runs are left out for the slots that they stand for: a
/// process that was started again has had more runs.
pub const FINISHED: [&str; 6] = ["v_trade", "v_order", "v_fill", "v_position", "v_day", "v_signal"];

/// Sessions that were run to their end.
pub struct Days {
    /// What they were run with; it holds the ledger's lock.
    pub wired: Wired,
    _folder: TempDir,
}

impl Days {
    /// Runs the sessions from one date to another.
    pub async fn run(from: &str, to: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wired = wire(&folder.path().join("day.db"), from, to).await;
        let ended = wiring::run(&wired, CancellationToken::new(), std::sync::Arc::new(|| {})).await.unwrap();
        assert_eq!(ended, Ended::Finished);
        Self { wired, _folder: folder }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.wired.parts.sources.ledger
    }

    /// The rows of a question's answer, a line each, with `|` between the columns.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        rows(self.ledger(), sql)
    }
}

/// Wires the sessions, without running them.
pub async fn wire(path: &Path, from: &str, to: &str) -> Wired {
    wire_with(path, from, to, &[]).await
}

/// The same with keys of the configuration set: `session_mode=supervised`.
pub async fn wire_with(path: &Path, from: &str, to: &str, settings: &[&str]) -> Wired {
    let simulation = Simulation { from: from.parse().unwrap(), to: to.parse().unwrap(), speed: Speed::Max, bars: None };
    wiring::simulated(&configuration(settings), path, &simulation).await.unwrap()
}

/// The documented configuration, with a small market and keys set.
pub fn configuration(settings: &[&str]) -> Configuration {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/daybook.yaml"));
    let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
    let sources = Sources::new(Some(file), Environment::default())
        .with_option("--symbols", "market.simulated.symbols", SYMBOLS)
        .with_settings(&settings);
    config::load(&sources).unwrap()
}

/// The rows of a question's answer, a line each, with `|` between the columns.
pub fn rows(ledger: &Ledger, sql: &str) -> Vec<String> {
    let answer = ledger.query(sql).unwrap();
    let line = |row: &Vec<Cell>| row.iter().map(Cell::to_string).collect::<Vec<_>>().join("|");
    answer.rows.iter().map(line).collect()
}

/// The rows of one of the [`FINISHED`] views.
pub fn finished(ledger: &Ledger, view: &str) -> Vec<String> {
    rows(ledger, &format!("SELECT * FROM {view}"))
}

/// Opens the ledger of sessions that another process has run.
pub fn open(path: &Path) -> Ledger {
    Ledger::open(path, &OpenOptions::existing()).unwrap()
}
