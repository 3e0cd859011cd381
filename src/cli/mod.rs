//! The operator's command line, `trade`.
//!
//! Each file is one group of commands: what is typed, what is read or asked for, and a pure function
//! from that to what is shown. [`output`] prints every table and document in one way, and [`exit`] gives
//! every error its exit code. A command reads the ledger beside a running scheduler; what it changes it
//! asks the scheduler for, through the ledger.

mod bars;
mod calendar;
mod config;
pub mod exit;
mod job;
mod ledger;
mod lookup;
mod output;
mod plan;
mod setup;
mod shell;
mod status;
mod time;
mod why;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use daybook_core::time::Timestamp;

use crate::adapters::clocks::SystemClock;
use crate::config::{self as settings, ConfigError, Configuration, Environment};
use crate::ledger::view::View;
use crate::ledger::{Ledger, LedgerError, OpenOptions, meta};
use crate::ports::Clock;

use self::exit::Exit;
use self::output::{Output, Paint, say};

/// Runs `trade` with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let trade = Trade::parse();
    let ended = trade.run();
    let Err(error) = ended else { return Exit::Done.into() };
    if !exit::is_broken_pipe(&error) {
        say(&told(&error, Paint::for_stream(&io::stderr())));
    }
    exit::of(&error).into()
}

/// An error and its causes, one a line.
fn told(error: &anyhow::Error, paint: Paint) -> String {
    let mut text = format!("{} {error}", paint.red("error:"));
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  because: {cause}"));
    }
    text
}

/// Looks at Daybook's ledger, and asks its scheduler for things
///
/// Everything that Daybook saw, decided and did is a row in the ledger. `trade` shows it, tells why, and
/// asks the running scheduler to halt, resume, close or run something; where none runs, it does so itself.
///
/// Times without a zone are New York time; JSON and CSV have UTC.
#[derive(Debug, Parser)]
#[command(name = "trade", version, max_term_width = 100, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Trade {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  wrong usage, bad input or a bad configuration
  3  refused: risk, a halt, or already done under other terms
  4  another scheduler holds the ledger
  5  the broker or the feed cannot be reached";

/// What every command takes.
#[derive(Debug, Args)]
struct Global {
    /// The configuration [default: config/daybook.yaml, if it is there]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Everywhere")]
    config: Option<PathBuf>,
    /// The ledger [default: `ledger.path` of the configuration]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Everywhere")]
    ledger: Option<PathBuf>,
    /// One JSON document on standard output, and nothing else there
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a documented configuration and job files to start from; changes no file that is there
    #[command(after_help = "Examples:
  trade init
  trade init /etc/daybook")]
    Init(setup::InitCommand),
    /// How it stands: phase, session, halts, day P&L against its limit, positions, next slots, faults
    Status,
    /// Jobs and their runs: what is scheduled, what ran, what to run, pause or resume
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Positions: held now, and those of the last session
    Positions(lookup::Lookup),
    /// Orders as the broker showed them last
    Orders(lookup::Lookup),
    /// Executions
    Fills(lookup::Lookup),
    /// What strategies proposed, and what risk said
    Signals(lookup::Lookup),
    /// Slots of jobs and what came of each
    Runs(lookup::Lookup),
    /// What people were told
    Alerts(lookup::Lookup),
    /// Why it was bought, and why not: each time a symbol was considered, with the facts and numbers
    #[command(after_help = "Examples:
  trade why AAPL
  trade why AAPL --session 2026-11-16
  trade why AAPL --at 2026-11-16T09:45")]
    Why(why::WhyCommand),
    /// The file itself: questions in SQL, checks, backups
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Minute bars in the ledger: import, list, show, export
    #[command(subcommand)]
    Bars(bars::BarsCommand),
    /// Sessions, holidays and the slots of a day
    #[command(subcommand)]
    Calendar(calendar::CalendarCommand),
    /// The configuration: is it right, what holds, and where from
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Prints the script that completes `trade` in a shell
    #[command(after_help = "Examples:
  trade completions bash > ~/.local/share/bash-completion/completions/trade
  trade completions fish > ~/.config/fish/completions/trade.fish")]
    Completions(shell::CompletionsCommand),
    /// Writes the manual's pages, one for each command
    #[command(after_help = "Examples:
  trade man ~/.local/share/man/man1 && man trade")]
    Man(shell::ManCommand),
}

impl Trade {
    fn run(self) -> anyhow::Result<()> {
        let context = Context {
            config: self.global.config,
            ledger: self.global.ledger,
            output: Output::of_process(self.global.json),
            clock: SystemClock::new(),
        };
        match self.command {
            Command::Init(command) => command.run(&context),
            Command::Status => status::run(&context),
            Command::Job(command) => command.run(&context),
            Command::Positions(lookup) => lookup.run(View::Position, &context),
            Command::Orders(lookup) => lookup.run(View::Order, &context),
            Command::Fills(lookup) => lookup.run(View::Fill, &context),
            Command::Signals(lookup) => lookup.run(View::Signal, &context),
            Command::Runs(lookup) => lookup.run(View::Run, &context),
            Command::Alerts(lookup) => lookup.run(View::Alert, &context),
            Command::Why(command) => command.run(&context),
            Command::Ledger(command) => command.run(&context),
            Command::Bars(command) => command.run(&context),
            Command::Calendar(command) => command.run(&context),
            Command::Config(command) => command.run(&context),
            Command::Completions(command) => command.run(&context),
            Command::Man(command) => command.run(&context),
        }
    }
}

/// What every command works with.
struct Context {
    config: Option<PathBuf>,
    ledger: Option<PathBuf>,
    output: Output,
    clock: SystemClock,
}

impl Context {
    fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// The instant at which the ledger stands: that of a simulation's own clock, where it is one's.
    fn now_in(&self, configuration: &Configuration) -> Result<Timestamp, LedgerError> {
        let simulated = match self.ledger_if_there(configuration)? {
            Some(ledger) => ledger.read(meta::simulated_now)?,
            None => None,
        };
        Ok(simulated.unwrap_or_else(|| self.now()))
    }

    /// The configuration that was named, with what the command line says over it.
    fn configuration(&self) -> Result<Configuration, ConfigError> {
        let mut sources = settings::Sources::new(self.config.clone(), Environment::of_process());
        if let Some(ledger) = &self.ledger {
            sources = sources.with_option("--ledger", "ledger.path", ledger.to_string_lossy());
        }
        settings::load(&sources)
    }

    /// The ledger that is meant, which must be there.
    fn ledger(&self) -> anyhow::Result<Ledger> {
        Ok(Ledger::open(&self.configuration()?.settings.ledger.path, &OpenOptions::existing())?)
    }

    /// The ledger that is meant, if it is there.
    fn ledger_if_there(&self, configuration: &Configuration) -> Result<Option<Ledger>, LedgerError> {
        match Ledger::open(&configuration.settings.ledger.path, &OpenOptions::existing()) {
            Err(LedgerError::NotFound { .. } | LedgerError::MissingFolder { .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Trade::command().debug_assert();
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = anyhow::anyhow!("the disk said no").context("writing day.db");
        assert_eq!(told(&error, Paint::PLAIN), "error: writing day.db\n  because: the disk said no");
    }
}
