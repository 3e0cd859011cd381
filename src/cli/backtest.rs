//! `trade backtest`: a strategy over files of bars.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::Args;
use daybook_core::backtest::{self, Outcome, Pace, Terms, Trade};
use daybook_core::calendar::Calendar;
use daybook_core::market::{CorporateActions, jumps};
use daybook_core::money::Money;
use daybook_core::report::words::{self, counted, instant};
use daybook_core::risk::{CheckName, Halt};
use daybook_core::strategy::{ScriptFault, Strategy, StrategySettings};
use serde::Serialize;

use super::Context;
use super::bars::{SymbolJump, days_of};
use super::exit::CommandError;
use super::look_ahead::{self, Checked};
use super::output::{Paint, pairs, say};
use crate::adapters::feeds::files::{ColumnSeries, History, read_columns};
use crate::config::{self, Setting, Settings};
use crate::process;
use crate::scripting::strategies;

/// The columns of the file of trades.
const TRADE_COLUMNS: [&str; 8] =
    ["symbol", "entry_ts_utc", "entry_price", "exit_ts_utc", "exit_price", "quantity", "pnl", "exit_reason"];

/// `trade backtest`.
#[derive(Debug, Args)]
pub struct BacktestCommand {
    #[command(flatten)]
    subject: Subject,
    /// A file for the trades (CSV), made anew: the instants are the starts of the bars in which they filled
    #[arg(long, value_name = "FILE")]
    trades: Option<PathBuf>,
    /// A file for the equity at each session's end (CSV), made anew, as `trade report stats` reads it
    #[arg(long, value_name = "FILE")]
    equity: Option<PathBuf>,
    /// Decides everything again with the future cut off, at so many instants; ends with 1 if a decision is another one
    #[arg(long, value_name = "CUTS", num_args = 0..=1, require_equals = true, default_missing_value = look_ahead::CUTS)]
    check_look_ahead: Option<NonZeroUsize>,
}

/// What is traded: strategies under their settings, and bars.
#[derive(Debug, Args)]
pub struct Subject {
    /// The strategy [default: all that are enabled]
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// Minute bars (CSV, .gz, .zst, Parquet, or the folder of a store), and splits and dividends
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    bars: Vec<PathBuf>,
    /// Sets a key of the strategy, or of the configuration by its whole path
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The strategies of the configuration that are scripts.
    #[arg(skip)]
    scripts: OnceLock<Vec<String>>,
}

/// What a back-test came to.
#[derive(Debug, Serialize)]
struct Report {
    strategies: Vec<String>,
    symbols: usize,
    bars: usize,
    sessions: usize,
    trades: usize,
    won: usize,
    /// Dollars, less fees.
    pnl: f64,
    fees: f64,
    /// The deepest fall of the sessions' closing equity from the highest before, in dollars.
    max_drawdown: f64,
    closing_equity: f64,
    signals: u64,
    refused: u64,
    /// How many each check was the first to refuse.
    refused_by: BTreeMap<CheckName, u64>,
    expired: u64,
    rejected: u64,
    left_open: usize,
    left_unmet: usize,
    halts: Vec<Halt>,
    load_cpu_s: f64,
    engine_cpu_s: f64,
    peak_rss_mib: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    look_ahead: Option<Checked>,
}

impl BacktestCommand {
    /// Runs the strategies over the bars.
    ///
    /// # Errors
    /// If a file, a setting or an amount is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = self.subject.settings(context, &[])?;
        for output in [&self.trades, &self.equity].into_iter().flatten() {
            self.subject.refuse_as_output(output)?;
        }
        let begun = process::cpu_us();
        let market = self.subject.market(&settings.calendar())?;
        let loaded = process::cpu_us();
        let strategies = strategies(&settings.strategies);
        let outcome = trade(&market, &settings, &strategies)?;
        let done = process::cpu_us();
        if let Some(path) = &self.trades {
            write_trades(path, &outcome.trades).with_context(|| format!("writing {}", path.display()))?;
        }
        if let Some(path) = &self.equity {
            let written = write_equity(path, &outcome, &settings);
            written.with_context(|| format!("writing {}", path.display()))?;
        }
        let checked = self.check_look_ahead.map(|cuts| Checked::of(&market, &settings, cuts)).transpose()?;
        let report = Report {
            load_cpu_s: seconds(begun, loaded),
            engine_cpu_s: seconds(loaded, done),
            look_ahead: checked,
            ..Report::of(&outcome, &market, &settings, &strategies)
        };
        context.output.document(&report, |report, paint| report.text(&outcome, paint))?;
        report.look_ahead.as_ref().map_or(Ok(()), Checked::verdict)
    }
}

impl Subject {
    /// The configuration with what the command line says over it; `grid` are keys and values like those of `--set`.
    ///
    /// # Errors
    /// If a setting is unusable, or no strategy is enabled.
    pub fn settings(&self, context: &Context, grid: &[String]) -> anyhow::Result<Settings> {
        let mut enabled = Vec::new();
        if let Some(name) = &self.strategy {
            let scripts = self.scripts(context)?;
            let names: Vec<&str> =
                StrategySettings::NAMES.iter().copied().chain(scripts.iter().map(String::as_str)).collect();
            if !names.contains(&name.as_str()) {
                let known = names.join(", ");
                return Err(CommandError::Usage(format!("there is no strategy {name}: expected one of {known}")).into());
            }
            enabled.extend(names.iter().map(|each| format!("{}.enabled={}", section_of(each), each == name)));
        }
        let mut sources = context.sources();
        for (option, texts) in [("--strategy", enabled.as_slice()), ("--set", self.set.as_slice()), ("--grid", grid)] {
            let settings: Result<Vec<Setting>, String> =
                texts.iter().map(|text| self.whole_path(text).parse()).collect();
            let settings = settings.map_err(|expected| CommandError::Usage(format!("{option}: {expected}")))?;
            sources = sources.with_settings_of(option, &settings);
        }
        let settings = config::load(&sources)?.settings;
        if strategies(&settings.strategies).is_empty() {
            let message = "no strategy is enabled: name one with --strategy".to_owned();
            return Err(CommandError::Usage(message).into());
        }
        Ok(settings)
    }

    /// The names of the configuration's scripts. They are the same in each trial of a search.
    fn scripts(&self, context: &Context) -> anyhow::Result<&[String]> {
        if self.scripts.get().is_none() {
            let settings = config::load(&context.sources())?.settings;
            let names = settings.strategies.scripts.into_keys().collect();
            // Whoever was first has found the same.
            let _ = self.scripts.set(names);
        }
        Ok(self.scripts.get().map_or(&[], Vec::as_slice))
    }

    /// A key and its value by the key's whole path: one of the strategy that is named may be given without.
    fn whole_path(&self, setting: &str) -> String {
        match &self.strategy {
            Some(name) if !is_whole_path(setting) => format!("{}.{setting}", section_of(name)),
            Some(_) | None => setting.to_owned(),
        }
    }

    /// Refuses to write to a file that is read.
    ///
    /// # Errors
    /// If the output is one of the files of bars.
    pub fn refuse_as_output(&self, output: &Path) -> Result<(), CommandError> {
        let Ok(there) = output.canonicalize() else { return Ok(()) };
        match self.bars.iter().find(|path| path.canonicalize().is_ok_and(|path| path == there)) {
            Some(path) => {
                Err(CommandError::Usage(format!("{} is read, and would be overwritten: name another", path.display())))
            }
            None => Ok(()),
        }
    }

    /// The bars of all files, and the splits and dividends. Where they do not agree on a split, a person is told.
    ///
    /// # Errors
    /// If a file is unusable, or a volume overflows.
    pub fn market(&self, calendar: &Calendar) -> anyhow::Result<History<ColumnSeries>> {
        let market = read(&self.bars)?;
        let mut sessions = 0;
        for (symbol, bars) in &market.series {
            let days = days_of(*symbol, bars, calendar)?;
            sessions += days.len();
            for jump in jumps(&days, market.actions.of(*symbol))? {
                say(&SymbolJump::of(*symbol, jump).text());
            }
        }
        if sessions == 0 {
            let message = format!(
                "no bar lies between the open and the close of a session of {}: expected minutes of sessions, not days",
                calendar.name()
            );
            return Err(CommandError::Usage(message).into());
        }
        Ok(market)
    }
}

/// The section of a strategy's settings.
fn section_of(name: &str) -> String {
    let is_built_in = StrategySettings::NAMES.contains(&name);
    if is_built_in { format!("strategies.{name}") } else { format!("strategies.scripts.{name}") }
}

/// Whether a key begins with a section of the configuration, and not with a key of a strategy.
fn is_whole_path(key: &str) -> bool {
    const SECTIONS: [&str; 6] = ["backtest.", "execution.", "market.", "risk.", "strategies.", "exchange_calendar"];
    SECTIONS.iter().any(|section| key.starts_with(section))
}

/// Reads every file; a bad row is an error: a bar that is missing may be the one that mattered.
fn read(files: &[PathBuf]) -> Result<History<ColumnSeries>, CommandError> {
    let mut market = History::<ColumnSeries>::default();
    for path in files {
        let read = read_columns(path, None).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            CommandError::Usage(format!("{error}{cause}"))
        })?;
        if let Some(row) = read.bad_rows.first() {
            let (path, count) = (path.display(), read.bad_row_count);
            return Err(CommandError::Usage(format!("{path} has {count} bad rows, the first on {row}")));
        }
        let added = market.add(read.series, read.actions);
        added.map_err(|conflict| CommandError::Usage(format!("{} {conflict}", path.display())))?;
    }
    if market.series.is_empty() {
        let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        return Err(CommandError::Usage(format!("there is no bar in {}", names.join(", "))));
    }
    Ok(market)
}

/// Trades the strategies over the market's bars, under the settings.
///
/// # Errors
/// If an amount overflows, or a script fails.
pub fn trade(
    market: &History<ColumnSeries>,
    settings: &Settings,
    strategies: &[Box<dyn Strategy>],
) -> anyhow::Result<Outcome> {
    let calendar = settings.calendar();
    let terms = terms(settings, &calendar, &market.actions, strategies);
    let outcome = backtest::run(&market.series, &terms, Pace::Skipping)?;
    match strategies.iter().find_map(|strategy| strategy.fault()) {
        Some(ScriptFault { strategy, symbol, message, .. }) => {
            Err(CommandError::Failed(format!("the strategy {strategy} failed on {symbol}: {message}")).into())
        }
        None => Ok(outcome),
    }
}

/// What a back-test is made under.
pub fn terms<'a>(
    settings: &'a Settings,
    calendar: &'a Calendar,
    actions: &'a CorporateActions,
    strategies: &'a [Box<dyn Strategy>],
) -> Terms<'a> {
    Terms {
        calendar,
        actions,
        backtest: &settings.backtest,
        risk: &settings.risk,
        exchange: &settings.execution.paper,
        half_spread: settings.market.files.quotes.half_spread,
        strategies,
    }
}

fn write_trades(path: &Path, trades: &[Trade]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "{}", TRADE_COLUMNS.join(","))?;
    for trade in trades {
        let Trade { symbol, entry_at, entry_price, exit_at, exit_price, quantity, pnl, exit_reason, .. } = trade;
        writeln!(out, "{symbol},{entry_at},{entry_price},{exit_at},{exit_price},{quantity},{pnl},{exit_reason}")?;
    }
    out.flush()
}

/// Writes the equity of each session, and before them what it began with.
fn write_equity(path: &Path, outcome: &Outcome, settings: &Settings) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "date,equity")?;
    let first = outcome.equity.first().and_then(|(date, _)| settings.calendar().session_before(*date));
    let opening = first.map(|before| (before.date, settings.execution.paper.starting_cash));
    for (date, equity) in opening.iter().chain(&outcome.equity) {
        writeln!(out, "{date},{equity}")?;
    }
    out.flush()
}

fn seconds(from_us: u64, until_us: u64) -> f64 {
    until_us.saturating_sub(from_us) as f64 / 1_000_000.0
}

impl Report {
    fn of(
        outcome: &Outcome,
        market: &History<ColumnSeries>,
        settings: &Settings,
        strategies: &[Box<dyn Strategy>],
    ) -> Self {
        let fees = outcome.trades.iter().fold(0, |sum: i64, trade| sum.saturating_add(trade.fees.0));
        let opening = settings.execution.paper.starting_cash;
        let closing = outcome.equity.last().map_or(opening, |(_, equity)| *equity);
        Self {
            strategies: strategies.iter().map(|strategy| strategy.name().to_owned()).collect(),
            symbols: market.series.len(),
            bars: outcome.bars,
            sessions: outcome.equity.len(),
            trades: outcome.trades.len(),
            won: outcome.trades.iter().filter(|trade| trade.pnl.is_positive()).count(),
            pnl: outcome.pnl().to_f64(),
            fees: Money(fees).to_f64(),
            max_drawdown: outcome.max_drawdown(opening).to_f64(),
            closing_equity: closing.to_f64(),
            signals: outcome.signals,
            refused: outcome.refused_by.values().sum(),
            refused_by: outcome.refused_by.clone(),
            expired: outcome.expired,
            rejected: outcome.rejected,
            left_open: outcome.left_open,
            left_unmet: outcome.left_unmet,
            halts: outcome.halts.clone(),
            load_cpu_s: 0.0,
            engine_cpu_s: 0.0,
            peak_rss_mib: process::peak_resident_kib() as f64 / 1024.0,
            look_ahead: None,
        }
    }

    fn text(&self, outcome: &Outcome, paint: Paint) -> String {
        let Self { strategies, trades, won, signals, refused, expired, rejected, .. } = self;
        let symbols = counted(self.symbols, "symbol", "symbols");
        let sessions = counted(self.sessions, "session", "sessions");
        let mut by: Vec<(&CheckName, &u64)> = self.refused_by.iter().collect();
        by.sort_by_key(|(_, count)| Reverse(**count));
        let by: Vec<String> =
            by.into_iter().map(|(check, count)| format!("{count} {}", words::check(*check))).collect();
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
        let money = |amount: f64| format!("{}${:.2}", if amount < 0.0 { "-" } else { "" }, amount.abs());
        let mut lines = vec![
            ("strategies", strategies.join(", ")),
            ("bars", format!("{} of {symbols} in {sessions}", counted(self.bars, "bar", "bars"))),
            ("signals", format!("{signals}, {refused} refused by risk{by}, {expired} expired on their way")),
            ("orders", format!("{rejected} refused by the exchange")),
            ("trades", format!("{trades}, {won} won")),
            ("P&L", format!("{} after {} of fees", money(self.pnl), money(self.fees))),
            ("drawdown", format!("{} at the most, by the sessions' closing equity", money(self.max_drawdown))),
            ("equity", format!("{} at the end", money(self.closing_equity))),
            ("took", format!("{:.3} s to read, {:.3} s to trade (CPU)", self.load_cpu_s, self.engine_cpu_s)),
        ];
        if self.left_open > 0 {
            lines.push(("left open", counted(self.left_open, "position", "positions")));
        }
        if self.left_unmet > 0 {
            let left = counted(self.left_unmet, "position", "positions");
            lines.push(("left over", format!("{left} whose exit met no price: left at the last one, at the close")));
        }
        let halts = outcome
            .halts
            .iter()
            .map(|halt| format!("{}: {} {}\n", paint.yellow(halt.kind.as_str()), instant(halt.since), halt.reason));
        let checked = self.look_ahead.as_ref().map_or_else(String::new, |checked| checked.text(paint));
        format!("{}{}{checked}", pairs(&lines), halts.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_the_strategy_unless_it_begins_with_a_section() {
        assert!(is_whole_path("risk.stop_loss=1%") && is_whole_path("backtest.fills=last_close"));
        assert!(!is_whole_path("range_minutes=30") && !is_whole_path("stop={percent: 2%}"));
    }
}
