//! `trade simulate`: a seeded trading life with faults.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daybook_core::time::SessionDate;
use indicatif::ProgressBar;
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, Paint, Table, pairs, progress};
use super::time::date;
use crate::config::Configuration;
use crate::ports::Clock;
use crate::simulation::{self, Failure, FaultId, Figures, Life, Outcome, Profile, Shrunk};

/// The simulated market's companies, as many as a person watches.
const SYMBOLS: u32 = 20;

/// `trade simulate`.
#[derive(Debug, Args)]
pub struct SimulateCommand {
    /// What everything is drawn from: the same seed is the same life
    #[arg(long, value_name = "N")]
    seed: u64,
    /// So many seeds, from that one on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Sessions of each life
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    days: u64,
    /// What may go wrong
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = Profile::All)]
    faults: Profile,
    /// The first session [default: drawn; often before a clock change or a half day]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<SessionDate>,
    /// Only these of the faults, such as 2026-11-16.3,2026-11-17.1; or none
    #[arg(long, value_name = "FAULTS", value_parser = only)]
    only: Option<Only>,
    /// Companies of the simulated market
    #[arg(long, value_name = "N", default_value_t = SYMBOLS)]
    symbols: u32,
    /// Keep the ledgers of lives that went well, too
    #[arg(long)]
    keep: bool,
}

/// The faults that are left in.
#[derive(Debug, Clone)]
struct Only(Vec<FaultId>);

fn only(text: &str) -> Result<Only, String> {
    if text == "none" {
        return Ok(Only(Vec::new()));
    }
    text.split(',').map(str::parse).collect::<Result<_, _>>().map(Only)
}

/// What came of all lives.
#[derive(Serialize)]
struct Simulated {
    seed: u64,
    seeds: u64,
    days: u64,
    faults_profile: &'static str,
    #[serde(flatten)]
    figures: Figures,
    sessions_per_minute: f64,
    /// The faults of the one life that was asked for, in words.
    faults_drawn: Vec<String>,
    /// Where ledgers were kept.
    kept: Vec<PathBuf>,
    failure: Option<Failed>,
}

/// A life that failed.
#[derive(Serialize)]
struct Failed {
    seed: u64,
    #[serde(flatten)]
    failure: Failure,
    /// The faults that it needs.
    needs: Vec<String>,
    /// The command that lives the shortest life that fails in this way.
    replay: String,
    /// Where its ledger is.
    ledger: PathBuf,
}

impl SimulateCommand {
    /// Lives the lives, up to the first that fails.
    ///
    /// # Errors
    /// If a promise was broken; also if there are no such sessions or faults.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let root = scratch("simulate", context)?;
        let began = context.clock.monotonic();
        if self.seed.checked_add(self.seeds).is_none() {
            let message = format!(
                "--seed {} is too near the largest number for {} seeds: expected a smaller one",
                self.seed, self.seeds
            );
            return Err(CommandError::Usage(message).into());
        }
        let bar = progress(self.seeds * self.days, "sessions");
        let mut figures = Figures::default();
        let (mut faults_drawn, mut kept, mut failed) = (Vec::new(), Vec::new(), None);
        for seed in self.seed..self.seed + self.seeds {
            let life = self.life(seed);
            let configuration = self.configuration(context, seed)?;
            let folder = root.join(format!("seed-{seed}"));
            let step = bar.clone();
            let outcome = simulation::live(&configuration, &life, &folder, &(Arc::new(move |_| step.inc(1)) as _))?;
            figures.add(&outcome.figures);
            faults_drawn.clone_from(&outcome.faults);
            if outcome.failure.is_some() {
                failed = Some(self.failed(&configuration, &life, outcome, &folder, &bar)?);
                break;
            }
            if self.keep {
                kept.push(simulation::ledger_in(&folder));
            } else {
                std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
            }
        }
        bar.finish_and_clear();
        if kept.is_empty() && failed.is_none() {
            std::fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
        }
        let took = context.clock.monotonic().saturating_sub(began);
        let simulated = Simulated {
            seed: self.seed,
            seeds: self.seeds,
            days: self.days,
            faults_profile: self.faults.as_str(),
            sessions_per_minute: per_minute(figures.sessions, took),
            figures,
            faults_drawn: if self.seeds == 1 { faults_drawn } else { Vec::new() },
            kept,
            failure: failed,
        };
        context.output.document(&simulated, Simulated::text)?;
        match simulated.failure {
            None => Ok(()),
            Some(failed) => Err(CommandError::Failed(format!("seed {} broke a promise", failed.seed)).into()),
        }
    }

    fn life(&self, seed: u64) -> Life {
        let only = self.only.as_ref().map(|only| only.0.clone());
        // At most 2,000, as its parser holds.
        let days = usize::try_from(self.days).unwrap_or(usize::MAX);
        Life { seed, days, profile: self.faults, from: self.from, only }
    }

    /// The person's configuration, on a simulated market of this seed.
    fn configuration(&self, context: &Context, seed: u64) -> anyhow::Result<Configuration> {
        let sources = context.sources();
        let sources = sources.with_option("--seed", "market.simulated.seed", seed.to_string());
        Ok(crate::config::load(&sources.with_option(
            "--symbols",
            "market.simulated.symbols",
            self.symbols.to_string(),
        ))?)
    }

    /// Finds the shortest life that fails in the same way, and keeps its ledger.
    fn failed(
        &self,
        configuration: &Configuration,
        life: &Life,
        outcome: Outcome,
        folder: &Path,
        bar: &ProgressBar,
    ) -> anyhow::Result<Failed> {
        bar.println(format!("seed {} broke a promise; looking for the shortest life that does", life.seed));
        let tries = folder.join("tries");
        let shrunk = simulation::shrink(configuration, life, &outcome, &tries, &|tried| {
            bar.set_message(format!("shrinking: life {tried}"));
        })?;
        let Shrunk { life: shortest, outcome, .. } = shrunk;
        let failure =
            outcome.failure.with_context(|| format!("the shortest life of seed {} does not fail", life.seed))?;
        let replay = shortest.command(self.symbols);
        Ok(Failed { seed: life.seed, failure, needs: outcome.faults, replay, ledger: simulation::ledger_in(folder) })
    }
}

/// A folder of its own for what is written and removed again.
pub(super) fn scratch(what: &str, context: &Context) -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("daybook-{what}-{}-{}", std::process::id(), context.now().0));
    std::fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    Ok(folder)
}

fn per_minute(sessions: u64, took: Duration) -> f64 {
    let seconds = took.as_secs_f64().max(0.001);
    // Far below 2^52.
    (sessions as f64 * 600.0 / seconds).round() / 10.0
}

impl Simulated {
    fn text(&self, paint: Paint) -> String {
        let Figures { sessions, runs, crashes, restarts, orders, fills, trades, messages, audits, faults } =
            &self.figures;
        let seeds = match self.seeds {
            1 => format!("seed {}", self.seed),
            many => format!("seeds {} to {}", self.seed, self.seed + many - 1),
        };
        let mut text = format!("{seeds}, faults: {}\n\n", self.faults_profile);
        text.push_str(&pairs(&[
            ("sessions", format!("{sessions} ({} a minute)", self.sessions_per_minute)),
            ("runs of jobs", runs.to_string()),
            ("crashes", crashes.to_string()),
            ("restarts", restarts.to_string()),
            ("orders", orders.to_string()),
            ("fills", fills.to_string()),
            ("trades", trades.to_string()),
            ("messages", messages.to_string()),
            ("audits", audits.to_string()),
            ("violations", self.failure.as_ref().map_or(0, |failed| failed.failure.found.len()).to_string()),
        ]));
        let columns = vec![Column::text("fault", "FAULT"), Column::number("count", "STRUCK")];
        let mut table = Table::new(columns, "no fault struck");
        for (name, count) in faults {
            table.push(vec![Cell::text(name), Cell::count(*count)]);
        }
        text.push_str(&format!("\n{}", table.to_text(paint, None)));
        for ledger in &self.kept {
            text.push_str(&format!("\nledger  {}", ledger.display()));
        }
        if let Some(Failed { seed, failure, needs, replay, ledger }) = &self.failure {
            text.push_str(&format!("\n{} at {}\n", paint.red(&format!("seed {seed}: {}", failure.kind)), failure.at));
            for line in failure.found.iter().take(FOUND_TOLD) {
                text.push_str(&format!("  {line}\n"));
            }
            if failure.found.len() > FOUND_TOLD {
                text.push_str(&format!("  and {} more\n", failure.found.len() - FOUND_TOLD));
            }
            text.push_str(&format!("needs {} faults\n", needs.len()));
            for fault in needs {
                text.push_str(&format!("  {fault}\n"));
            }
            text.push_str(&format!("ledger  {}\nreplay  {replay}", ledger.display()));
        }
        text.push('\n');
        text
    }
}

/// Findings that are told one by one.
const FOUND_TOLD: usize = 12;
