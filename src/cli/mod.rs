//! The operator's command line, `trade`.
//!
//! Each file is one group of commands: what is typed, what is read or asked for, and a pure function
//! from that to what is shown. `output` prints every table and document in one way, and [`exit`] gives
//! every error its exit code. A command reads the ledger beside a running scheduler; what it changes it
//! asks the scheduler for, through the ledger.

mod alerts;
mod analyse;
mod ask;
mod backtest;
mod bars;
mod calendar;
mod config;
mod days;
mod doctor;
mod drill;
pub mod exit;
mod job;
mod ledger;
mod look_ahead;
mod lookup;
mod models;
mod notify;
mod operate;
mod optimize;
mod output;
mod paper;
mod plan;
mod report;
mod script_check;
mod setup;
mod shell;
mod simulate;
mod stats;
mod status;
mod strategies;
mod time;
mod universe;
mod versions;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use daybook_core::time::Timestamp;

use crate::adapters::clocks::SystemClock;
use crate::config::{self as settings, ConfigError, Configuration, Environment, Origin};
use crate::ledger::view::View;
use crate::ledger::{Ledger, LedgerError, OpenOptions, meta};
use crate::ports::Clock;
use crate::wiring;

use self::exit::Exit;
use self::output::{Output, say};

/// The level of the log of a single command.
const QUIET: &str = "warn";

/// Runs `trade` with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    match Trade::parse().run() {
        Ok(()) => Exit::Done.into(),
        Err(error) => exit::report(&error),
    }
}

/// Looks at Daybook's ledger, and asks its scheduler for things
///
/// Everything that Daybook saw, decided and did is a row in the ledger. `trade` shows it, tells why, and
/// asks the running scheduler to halt, resume, trade, close or run something; where none runs, it does so itself.
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
    /// The profile that is laid over it: NAME of profiles/NAME.yaml beside it [default: $DAYBOOK_PROFILE]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Everywhere")]
    profile: Option<String>,
    /// One key of the configuration, over all else; may be repeated
    #[arg(long = "setting", global = true, value_name = "KEY=VALUE", help_heading = "Everywhere")]
    settings: Vec<settings::Setting>,
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
    /// Checks everything that a trading day needs, and says what to do; ends with 1 if something is wrong
    Doctor,
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
    /// What people were told, and that they have taken note of it
    #[command(after_help = "Examples:
  trade alerts
  trade alerts ack 17 --note \"on it\"
  trade alerts ack --all")]
    Alerts(alerts::AlertsCommand),
    /// Why it was bought, and why not: each time a symbol was considered, with the facts and numbers
    #[command(after_help = "Examples:
  trade why AAPL
  trade why AAPL --session 2026-11-16
  trade why AAPL --at 2026-11-16T09:45")]
    Why(why::WhyCommand),
    /// An ended session as its mail tells it, and what daily returns come to
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// What people were sent, and trying it again
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// The file itself: questions in SQL, checks, backups
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Minute bars by symbol and year: import, list, show, export
    #[command(subcommand)]
    Bars(bars::BarsCommand),
    /// Indicators of a file's bars, one row a bar; an empty cell is undefined
    #[command(after_help = analyse::columns_help())]
    Indicators(analyse::IndicatorsCommand),
    /// Candlestick patterns of a file's bars, one row a bar: TA-Lib's names and values
    #[command(after_help = "Examples:
  trade patterns SPY.csv --format csv")]
    Patterns(analyse::PatternsCommand),
    /// Sessions, holidays and the slots of a day
    #[command(subcommand)]
    Calendar(calendar::CalendarCommand),
    /// Runs the jobs over past or made-up sessions on a simulated clock, into a ledger of its own
    #[command(after_help = "Examples:
  trade replay --from 2013-10-07 --to 2013-10-11 --bars us_minute_2013-10.csv
  trade replay --from 2026-11-16 --to 2026-11-20 --seed 7

Without --ledger the replay writes a file of its own beside the configured ledger, and says which.")]
    Replay(days::ReplayCommand),
    /// Trades a strategy over files of bars, with the code that trades: in seconds, and without a ledger
    ///
    /// Every symbol in the files is a candidate. The section `backtest` of the configuration says how orders are
    /// sent, `execution.paper` how they fill and what that costs, `risk` what may be risked.
    #[command(after_help = "Examples:
  trade backtest --bars us_minute_2013-10.csv
  trade backtest --bars data/bars
  trade backtest --strategy opening_range_breakout --bars bars.csv.gz --set range_minutes=10 --trades trades.csv
  trade backtest --bars bars.csv --set risk.max_positions=20 --set backtest.fills=last_close --json
  trade backtest --bars bars.csv --check-look-ahead")]
    Backtest(backtest::BacktestCommand),
    /// Trades a strategy under many settings, on all cores, and says how much of the best is luck
    #[command(after_help = "Examples:
  trade optimize --strategy opening_range_breakout --bars bars.csv --grid range_minutes=5,10,15 confirmation.closes=1,2
  trade optimize --bars bars.csv --grid risk.max_positions=3,5,8 --walk-forward 60/20 --out trials.csv
  trade optimize --strategy opening_range_breakout --bars bars.csv --grid range_minutes=5,10,15 --shard 1/3 --out share-1.csv
  trade optimize merge share-*.csv --out all.csv")]
    Optimize(Box<optimize::OptimizeCommand>),
    /// Decides recorded runs again from their facts, and prints what differs; ends with 1 if anything does
    Verify(days::VerifyCommand),
    /// Lives seeded trading days in which everything goes wrong that may, and audits after every turn
    ///
    /// The whole program on a simulated clock, market, broker and channel, in a scratch folder. It ends with 1 if a promise
    /// was broken: then the seed is told, the shortest life that fails in the same way, and the command that lives it again.
    #[command(after_help = "Examples:
  trade simulate --seed 7
  trade simulate --seed 1 --seeds 1000 --days 5
  trade simulate --seed 7 --days 1 --faults crash --keep")]
    Simulate(simulate::SimulateCommand),
    /// Tries the emergency stop, the flatten and a number of kills on this configuration, in a scratch folder
    ///
    /// A simulated session with a paper account of its own: what was tried, what held, and how long it took until the account
    /// was flat. It ends with 1 if anything did not hold. The configured ledger and account are not touched.
    #[command(after_help = "Examples:
  trade drill
  trade drill --kills 50 --json")]
    Drill(drill::DrillCommand),
    /// What the scan before the open has chosen, best first; with --bars: the strongest symbols in files
    #[command(after_help = "Examples:
  trade scan
  trade scan --bars universe.csv --top 20

With --bars each symbol is measured by its bars: averages, momentum, volatility, the opening range and the
candlestick patterns; the score is the sum of the factors that are shown.")]
    Scan(days::ScanCommand),
    /// What may propose trades, and whether it does; with --json: with its settings
    #[command(after_help = "Examples:
  trade strategies
  DAYBOOK__STRATEGIES__GAP_AND_GO__ENABLED=true trade strategies --json")]
    Strategies(strategies::StrategiesCommand),
    /// Models of your own: asks them about a symbol, and shows what they are asked
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Stops new entries; what is open is still watched and closed
    Halt(operate::ReasonArg),
    /// Clears every latch: entries are open again
    Resume(operate::ReasonArg),
    /// Sends an entry that waits for a person: all do in a supervised session, large ones by `execution.approval_above`
    #[command(after_help = "Examples:
  trade approve AAPL
  trade approve --all --reason \"looked at each\"")]
    Approve(operate::AnswerCommand),
    /// Refuses an entry that waits for a person; its symbol is not entered in this session any more
    #[command(after_help = "Examples:
  trade reject AAPL --reason \"earnings tonight\"")]
    Reject(operate::AnswerCommand),
    /// The emergency stop: halts, cancels every order, closes every position; asks first
    StopEverything(operate::StopCommand),
    /// Buys: enters a position with its stop and its target, or buys back what was sold short
    ///
    /// By the gate that every signal passes: halts, the day's loss, the places left, exposure, buying power, the price's age,
    /// the size. The answer shows each check with its numbers. Stop and target go to the broker with the order, so there is
    /// no position without them. Where a position is short, it is bought back, in whole or in part.
    #[command(after_help = "Examples:
  trade buy AAPL 10
  trade buy AAPL 10 --limit 221.50 --stop 218 --target 230
  trade buy AAPL --notional 2500

Ends with 3 if risk or the broker refuses it; then nothing was bought. Entries worth more than
execution.approval_above wait for `trade approve`.")]
    Buy(operate::OrderCommand),
    /// Sells what is held, in whole or in part; with --short, what is not
    ///
    /// What is held is sold at the market, whatever is halted: its stop and target are canceled first, and what is left of it
    /// has its stop again at once. --short enters a short position, through the gate as `trade buy` does.
    #[command(after_help = "Examples:
  trade sell AAPL 5
  trade sell AAPL --notional 1000
  trade sell TSLA 10 --short --stop 412 --target 380

`trade close AAPL` sells all of it. Ends with 3 if it is refused; then nothing was sold.")]
    Sell(operate::SellCommand),
    /// Closes a position at the market, or all of them
    #[command(after_help = "Examples:
  trade close AAPL
  trade close --all")]
    Close(operate::CloseCommand),
    /// Cancels an open order, or all of them
    #[command(after_help = "Examples:
  trade cancel --all")]
    Cancel(operate::CancelCommand),
    /// An Alpaca-compatible exchange of your own, to trade against offline
    #[command(subcommand)]
    Paper(paper::PaperCommand),
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
            profile: self.global.profile,
            settings: self.global.settings,
            ledger: self.global.ledger,
            output: Output::of_process(self.global.json),
            clock: SystemClock::new(),
            has_told: AtomicBool::new(false),
        };
        match self.command {
            Command::Init(command) => command.run(&context),
            Command::Doctor => doctor::run(&context),
            Command::Status => status::run(&context),
            Command::Job(command) => command.run(&context),
            Command::Positions(lookup) => lookup.run(View::Position, &context),
            Command::Orders(lookup) => lookup.run(View::Order, &context),
            Command::Fills(lookup) => lookup.run(View::Fill, &context),
            Command::Signals(lookup) => lookup.run(View::Signal, &context),
            Command::Runs(lookup) => lookup.run(View::Run, &context),
            Command::Alerts(command) => command.run(&context),
            Command::Why(command) => command.run(&context),
            Command::Report(command) => command.run(&context),
            Command::Notify(command) => command.run(&context),
            Command::Ledger(command) => command.run(&context),
            Command::Bars(command) => command.run(&context),
            Command::Indicators(command) => command.run(&context),
            Command::Patterns(command) => command.run(&context),
            Command::Calendar(command) => command.run(&context),
            Command::Replay(command) => command.run(&context),
            Command::Backtest(command) => command.run(&context),
            Command::Optimize(command) => command.run(&context),
            Command::Verify(command) => command.run(&context),
            Command::Simulate(command) => command.run(&context),
            Command::Drill(command) => command.run(&context),
            Command::Scan(command) => command.run(&context),
            Command::Strategies(command) => command.run(&context),
            Command::Models(command) => command.run(&context),
            Command::Halt(reason) => reason.halt(&context),
            Command::Resume(reason) => reason.resume(&context),
            Command::Approve(command) => command.approve(&context),
            Command::Reject(command) => command.reject(&context),
            Command::StopEverything(command) => command.run(&context),
            Command::Buy(order) => order.buy(&context),
            Command::Sell(command) => command.run(&context),
            Command::Close(command) => command.run(&context),
            Command::Cancel(command) => command.run(&context),
            Command::Paper(command) => command.run(&context),
            Command::Config(command) => command.run(&context),
            Command::Completions(command) => command.run(&context),
            Command::Man(command) => command.run(&context),
        }
    }
}

/// What every command works with.
struct Context {
    config: Option<PathBuf>,
    profile: Option<String>,
    settings: Vec<settings::Setting>,
    ledger: Option<PathBuf>,
    output: Output,
    clock: SystemClock,
    /// Whether the person knows that the configuration cannot be used.
    has_told: AtomicBool,
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

    /// Where the configuration is read from.
    fn sources(&self) -> settings::Sources {
        self.sources_in(self.config.clone())
    }

    fn sources_in(&self, file: Option<PathBuf>) -> settings::Sources {
        let sources = settings::Sources::new(file, Environment::of_process())
            .with_profile(self.profile.clone())
            .with_settings(&self.settings);
        match &self.ledger {
            Some(ledger) => sources.with_option("--ledger", "ledger.path", ledger.to_string_lossy()),
            None => sources,
        }
    }

    /// The configuration in another file than the one that was named.
    fn configuration_in(&self, file: &std::path::Path) -> Result<Configuration, ConfigError> {
        settings::load(&self.sources_in(Some(file.to_owned())))
    }

    /// The configuration that was named, with what the command line says over it.
    fn configuration(&self) -> Result<Configuration, ConfigError> {
        settings::load(&self.sources())
    }

    /// The configuration, or what of it can be used here, and then the person is told: a typing error, or a secret that
    /// only the service has, keeps nobody from looking.
    fn usable_configuration(&self) -> Result<Configuration, ConfigError> {
        let (configuration, unusable) = settings::load_usable(&self.sources())?;
        if let Some(error) = unusable
            && !self.has_told.swap(true, Ordering::Relaxed)
        {
            say(&unusable_here(&error));
        }
        Ok(configuration)
    }

    /// Begins to log to standard error, for a command that runs the engine: warnings, unless the settings
    /// say otherwise. What a person wants to know is printed anyway.
    fn begin_logging(&self, configuration: &Configuration) -> anyhow::Result<()> {
        let mut logging = configuration.settings.logging.clone();
        if configuration.origin("logging.level") == Origin::Default {
            logging.level = QUIET.to_owned();
        }
        crate::logging::init(&logging).context("beginning to log")
    }

    /// Runs what waits, to its end.
    fn block_on<T>(&self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("starting the runtime")?;
        let done = runtime.block_on(work);
        // A task that hangs must not keep the command from ending.
        runtime.shutdown_background();
        Ok(done)
    }

    /// The ledger that is meant, which must be there. Where none is named and the configured one was never
    /// made, it is that of the last simulation, and the person is told.
    fn ledger(&self) -> anyhow::Result<Ledger> {
        let settings = self.usable_configuration()?.settings;
        let opened = Ledger::open(&settings.ledger.path, &OpenOptions::existing());
        if let Err(LedgerError::NotFound { .. } | LedgerError::MissingFolder { .. }) = opened
            && self.ledger.is_none()
            && let Some(path) = wiring::latest_simulation(&settings)
        {
            say(&format!("(the last simulation: --ledger {})", path.display()));
            return Ok(Ledger::open(&path, &OpenOptions::existing())?);
        }
        Ok(opened?)
    }

    /// The ledger that is meant, if it is there.
    fn ledger_if_there(&self, configuration: &Configuration) -> Result<Option<Ledger>, LedgerError> {
        match Ledger::open(&configuration.settings.ledger.path, &OpenOptions::existing()) {
            Err(LedgerError::NotFound { .. } | LedgerError::MissingFolder { .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }
}

/// That a configuration cannot be used here, and the first reason.
fn unusable_here(error: &ConfigError) -> String {
    let told = error.to_string();
    let reason = told.lines().next().unwrap_or_default().to_owned();
    format!("(the configuration cannot be used here, `trade config validate` says why: {reason})")
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
    fn an_answer_is_to_one_entry_or_to_all_with_or_without_a_reason() {
        let is_taken = |line: &str| Trade::try_parse_from(line.split(' ')).is_ok();
        for line in ["trade reject AAPL --reason late", "trade approve --all --reason seen", "trade reject AAPL"] {
            assert!(is_taken(line), "{line}");
        }
        for line in ["trade reject", "trade reject --reason late", "trade approve AAPL --all"] {
            assert!(!is_taken(line), "{line}");
        }
    }
}
