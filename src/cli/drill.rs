//! `trade drill`: does this configuration get out when it has to?

use clap::Args;
use daybook_core::time::SessionDate;
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, Paint, Table, progress};
use super::simulate::scratch;
use super::time::date;
use crate::simulation::{Trial, drill};

/// Trials of a drill.
const TRIALS: u64 = 5;

/// `trade drill`.
#[derive(Debug, Args)]
pub struct DrillCommand {
    /// How often the process is killed in each trial with kills
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
    kills: u32,
    /// The first session that may be used [default: today's, or the next]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<SessionDate>,
    /// Keep the ledgers, also if all held
    #[arg(long)]
    keep: bool,
}

/// What was tried, and whether it held.
#[derive(Serialize)]
struct Drilled {
    configuration: String,
    held: bool,
    trials: Vec<Trial>,
    /// Where the ledgers are, if they were kept.
    folder: Option<String>,
}

impl DrillCommand {
    /// Tries the emergency stop, the flatten and kills.
    ///
    /// # Errors
    /// If anything did not hold; also if there is nothing to try.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let configuration = context.configuration()?;
        let from = self.from.unwrap_or_else(|| context.now().date_in(configuration.settings.calendar().zone()));
        let folder = scratch("drill", context)?;
        let bar = progress(TRIALS, "");
        let trials = drill(&configuration, from, self.kills, &folder, &|tried| {
            bar.set_message(tried.to_owned());
            bar.inc(1);
        });
        bar.finish_and_clear();
        let held = trials.as_ref().is_ok_and(|trials| trials.iter().all(|trial| trial.broken.is_empty()));
        let kept = self.keep || (trials.is_ok() && !held);
        if !kept {
            std::fs::remove_dir_all(&folder)?;
        }
        let drilled = Drilled {
            configuration: configuration
                .file
                .as_ref()
                .map_or_else(|| "built in".to_owned(), |file| file.display().to_string()),
            held,
            trials: trials?,
            folder: kept.then(|| folder.display().to_string()),
        };
        context.output.document(&drilled, Drilled::text)?;
        if held { Ok(()) } else { Err(CommandError::Failed("not everything held".to_owned()).into()) }
    }
}

impl Drilled {
    fn text(&self, paint: Paint) -> String {
        let columns = vec![
            Column::text("tried", "TRIED"),
            Column::number("kills", "KILLS"),
            Column::number("held", "HELD"),
            Column::number("flat_after", "FLAT AFTER"),
            Column::number("took", "TOOK"),
            Column::text("result", "RESULT"),
        ];
        let mut table = Table::new(columns, "nothing was tried");
        for trial in &self.trials {
            let result = if trial.broken.is_empty() { "held" } else { "BROKEN" };
            table.push(vec![
                Cell::text(&trial.tried),
                Cell::count(trial.kills),
                Cell::count(trial.held),
                Cell::text(trial.flat_after_ms.map_or_else(|| "-".to_owned(), seconds)),
                Cell::text(seconds(trial.took_ms)),
                Cell::text(result),
            ]);
        }
        let session = self.trials.first().map_or_else(String::new, |trial| trial.session.to_string());
        let mut text = format!(
            "configuration: {}; a simulated session ({session}) on a paper account of its own\n\n{}\n",
            self.configuration,
            table.to_text(paint, None)
        );
        text.push_str(
            "HELD: positions when it began. FLAT AFTER: in the simulation's time. Each trial's ledger was audited after every\n\
             turn and compared with the broker's own record; every message arrived; every decision follows from its facts.\n",
        );
        for trial in self.trials.iter().filter(|trial| !trial.broken.is_empty()) {
            text.push_str(&format!("\n{}\n", paint.red(&trial.tried)));
            for line in &trial.broken {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if let Some(folder) = &self.folder {
            text.push_str(&format!("\nkept    {folder}\n"));
        }
        text
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}
