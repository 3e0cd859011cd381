//! `trade replay`, `verify` and `scan`: whole days, gone through again.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use daybook_core::decision::Candidate;
use daybook_core::report::words;
use daybook_core::schedule::JobKind;
use daybook_core::time::SessionDate;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Paint, Table, progress, say};
use super::time::{date, session_of};
use super::universe;
use crate::adapters::clocks::Speed;
use crate::engine::driver::Ended;
use crate::engine::verify::{Difference, Verified, verify};
use crate::ledger::view::{Rows, View};
use crate::ledger::{history, signal};
use crate::wiring::{self, Simulation, Wired};
use crate::{jobs, terminal};

/// `trade replay`.
#[derive(Debug, Args)]
pub struct ReplayCommand {
    /// The first session
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: SessionDate,
    /// The last session
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: SessionDate,
    /// Minute bars to replay (CSV, .gz, .zst, Parquet, or the folder of a store) [default: the simulated market]
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "seed")]
    bars: Vec<PathBuf>,
    /// Leave bad rows of the bars out instead of refusing them
    #[arg(long, requires = "bars")]
    skip_bad: bool,
    /// The seed of the simulated market
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What a replay left behind.
#[derive(Serialize)]
struct Replayed {
    ledger: String,
    days: Table,
    mails: Vec<PathBuf>,
    #[serde(skip)]
    summary: String,
}

impl ReplayCommand {
    /// Runs the jobs over the sessions, on the simulated clock.
    ///
    /// # Errors
    /// If the sessions or the bars are unusable, or the ledger holds something else.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let sources = context.sources();
        let sources = match self.seed {
            Some(seed) => sources.with_option("--seed", "market.simulated.seed", seed.to_string()),
            None => sources,
        };
        let configuration = crate::config::load(&sources)?;
        let Self { from, to, .. } = *self;
        if to < from {
            return Err(CommandError::Usage(format!("--to {to} is before --from {from}: swap them")).into());
        }
        context.begin_logging(&configuration)?;
        let bars = match self.bars.as_slice() {
            [] => None,
            files => Some(Arc::new(wiring::read_history(files, self.skip_bad)?)),
        };
        let simulation = Simulation { from, to, speed: Speed::Max, bars };
        let path = wiring::simulation_ledger(&configuration, &simulation, context.ledger.as_deref())?;
        let wired = context.block_on(async {
            let wired = wiring::simulated(&configuration, &path, &simulation).await?;
            let ended = terminal::show(&wired, stop_on_interrupt()).await?;
            anyhow::Ok((ended == Ended::Finished).then_some(wired))
        })??;
        let Some(wired) = wired else {
            return Err(CommandError::Failed("stopped: the same command goes on from here".to_owned()).into());
        };
        context.output.document(&self.outcome(&wired)?, Replayed::text)
    }

    fn outcome(&self, wired: &Wired) -> anyhow::Result<Replayed> {
        let ledger = &wired.parts.sources.ledger;
        Ok(Replayed {
            ledger: ledger.path().display().to_string(),
            days: super::ledger::table(&ledger.view(View::Day, Rows::All)?),
            mails: wired.digests()?,
            summary: terminal::summary(ledger, self.from, self.to)?,
        })
    }
}

/// A token that is canceled when the person presses Ctrl-C: what is at work then finishes first.
fn stop_on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let canceled = stop.clone();
    tokio::spawn(async move {
        // Without signals there is no Ctrl-C either.
        if tokio::signal::ctrl_c().await.is_ok() {
            canceled.cancel();
        }
    });
    stop
}

impl Replayed {
    fn text(&self, _: Paint) -> String {
        let Self { ledger, mails, summary, .. } = self;
        let mails: String = mails.iter().map(|mail| format!("mail    {}\n", mail.display())).collect();
        format!("{summary}\nledger  {ledger}\n{mails}\nlook    trade status --ledger {ledger}\n")
    }
}

/// `trade verify`.
#[derive(Debug, Args)]
pub struct VerifyCommand {
    /// Only the runs of this session [default: all]
    #[arg(long, value_name = "DATE", value_parser = date)]
    session: Option<SessionDate>,
}

impl VerifyCommand {
    /// Decides recorded runs again and compares.
    ///
    /// # Errors
    /// If a run came out otherwise, or the ledger is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let calendar = context.configuration()?.settings.calendar();
        if let Some(date) = self.session {
            session_of(&calendar, date)?;
        }
        let ledger = context.ledger()?;
        let bar = progress(0, "deciding again");
        let verified = verify(&ledger, &jobs::table(), &calendar, self.session, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        context.output.document(&verified, verified_text)?;
        match verified.differences.len() {
            0 => Ok(()),
            1 => Err(CommandError::Failed("1 run came out otherwise".to_owned()).into()),
            number => Err(CommandError::Failed(format!("{number} runs came out otherwise")).into()),
        }
    }
}

fn verified_text(verified: &Verified, paint: Paint) -> String {
    let Verified { runs, pruned, differences } = verified;
    let mut text = String::new();
    for Difference { run_id, job, slot, what } in differences {
        let run = paint.red(&format!("run {run_id}"));
        text.push_str(&format!("{run} of {job}, {}: {what}\n", words::instant(*slot)));
    }
    let pruned = if *pruned > 0 { format!(", {pruned} have no record any more") } else { String::new() };
    text.push_str(&format!("{runs} runs decided again{pruned}: {} differences\n", differences.len()));
    text
}

/// `trade scan`.
#[derive(Debug, Args)]
pub struct ScanCommand {
    /// Of which session [default: the last one that was scanned]
    #[arg(long, value_name = "DATE", value_parser = date)]
    session: Option<SessionDate>,
    /// How many at most [default: all that were chosen]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Ranks the symbols of these files (CSV, .gz, .zst, Parquet, or the folder of a store) by what their last bars say
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "session")]
    bars: Vec<PathBuf>,
    #[command(flatten)]
    format: FormatArg,
}

impl ScanCommand {
    /// Prints the choice of a session's last scan, or scans files.
    ///
    /// # Errors
    /// If there is no such session, or a file or the ledger is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = context.configuration()?.settings;
        if !self.bars.is_empty() {
            let most = usize::try_from(settings.scan.top).unwrap_or(usize::MAX);
            return universe::scan(context, &self.bars, self.top.unwrap_or(most), self.format);
        }
        let calendar = settings.calendar();
        let ledger = context.ledger()?;
        let session = match self.session {
            Some(date) => Some(session_of(&calendar, date)?.date),
            None => ledger.read(|conn| history::last_session(conn, JobKind::PremarketScan))?,
        };
        let Some(session) = session else {
            return context.output.table(&scan_table(&[], "nothing was scanned yet".to_owned()), self.format);
        };
        let mut chosen = ledger.read(|conn| signal::candidates(conn, session))?;
        chosen.truncate(self.top.unwrap_or(usize::MAX));
        if !chosen.is_empty() && !context.output.is_json() {
            say(&format!("chosen for the session of {session}"));
        }
        let nothing =
            format!("nothing was chosen for {session}: `trade job run premarket-scan --session {session}` scans again");
        context.output.table(&scan_table(&chosen, nothing), self.format)
    }
}

fn scan_table(chosen: &[Candidate], nothing: String) -> Table {
    let columns = vec![
        Column::number("rank", "RANK"),
        Column::text("symbol", "SYMBOL"),
        Column::number("score", "SCORE"),
        Column::text("factors", "FACTORS"),
    ];
    let mut table = Table::new(columns, nothing);
    for Candidate { symbol, rank, score, factors } in chosen {
        let shown = words::reasons(factors);
        table.push(vec![
            Cell::count(*rank),
            Cell::text(symbol),
            Cell::count(*score),
            Cell::json(factors).shown_as(shown),
        ]);
    }
    table
}
