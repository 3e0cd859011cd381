//! `trade strategies check`: a script, read and asked over made-up sessions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use daybook_core::analysis::latest_atr;
use daybook_core::calendar::{Calendar, Session};
use daybook_core::indicators::Period;
use daybook_core::report::words::{counted, instant, price};
use daybook_core::strategy::{
    Directions, Param, ScriptFault, ScriptSettings, Signal, Strategy, StrategySettings, SymbolView, Wording,
};
use daybook_core::time::{Span, Timestamp};
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, Paint, Table};
use crate::adapters::feeds::simulated::SimulatedMarket;
use crate::ports::{FeedError, MarketFeed};
use crate::scripting::{self, Declared};

/// Minutes between two looks, as a job of every five minutes has them.
const LOOK_EVERY: Span = Span::minutes(5);

/// Sessions before a day whose average range is the daily one, and the bars that are asked for.
const ATR_SESSIONS: Period = Period::of::<14>();
const DAILY_BARS: usize = 30;

/// Symbols that it is asked about at most: the first of the market.
const SYMBOLS_MAX: usize = 20;

/// Signals that are shown on a terminal.
const SHOWN: usize = 20;

/// `trade strategies check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The script
    file: PathBuf,
    /// A parameter that the script declares
    #[arg(long, value_name = "NAME=VALUE", value_parser = param)]
    set: Vec<(String, Param)>,
    /// Sessions that it is asked over, the last ones before today
    #[arg(long, value_name = "N", default_value_t = 5)]
    sessions: u32,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Checked {
    file: PathBuf,
    idea: String,
    parameters: BTreeMap<String, Param>,
    sessions: u32,
    symbols: usize,
    looks: usize,
    signals: Vec<Dated>,
}

#[derive(Debug, Serialize)]
struct Dated {
    at: Timestamp,
    #[serde(flatten)]
    signal: Signal,
}

impl Check {
    /// Tries the script.
    ///
    /// # Errors
    /// If the script cannot be read, is wrong, or fails while it is asked.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { file, set, sessions } = self;
        let settings = context.configuration()?.settings;
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.display().to_string();
        let wrong = |message: String| CommandError::Usage(message);
        let Declared { idea, mut parameters } =
            scripting::declared(&name, &text).map_err(|error| wrong(error.to_string()))?;
        let params: BTreeMap<String, Param> = set.into_iter().collect();
        let declared = Declared { idea, parameters: parameters.clone() };
        if let Some((key, message)) = scripting::problems_of_params(&declared, &params).first() {
            return Err(wrong(format!("--set {key}: {message}")).into());
        }
        parameters.extend(params.clone());
        let script = ScriptSettings {
            script: name,
            params,
            direction: Directions::Both,
            earliest_entry: Span::ZERO,
            latest_entry: Span::hours(24),
            text,
            ..ScriptSettings::default()
        };
        let strategies =
            StrategySettings { scripts: BTreeMap::from([(stem(&file), script)]), ..StrategySettings::default() };
        let strategies = scripting::strategies(&strategies);
        let strategy = strategies.last().context("a script makes a strategy")?.as_ref();
        let calendar = settings.calendar();
        let market = SimulatedMarket::new(&settings.market.simulated, calendar.clone());
        let asked = Asked { strategy, market: &market };
        let found = context.block_on(asked.over(&past_sessions(&calendar, context.now(), sessions)))??;
        let (looks, symbols, signals) = found;
        if let Some(ScriptFault { symbol, message, .. }) = strategy.fault() {
            return Err(CommandError::Failed(format!("{message} (asked about {symbol})")).into());
        }
        let checked = Checked { file, idea: declared.idea, parameters, sessions, symbols, looks, signals };
        context.output.document(&checked, Checked::text)
    }
}

/// A strategy's name as a file's is.
fn stem(file: &std::path::Path) -> String {
    file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// `closes=3`, as what it looks like.
fn param(text: &str) -> Result<(String, Param), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "expected NAME=VALUE, such as closes=3".to_owned())?;
    let number = || value.parse().ok().filter(|number: &f64| number.is_finite()).map(Param::Number);
    let value = match (value.parse(), value.parse()) {
        (Ok(flag), _) => Param::Flag(flag),
        (_, Ok(number)) => Param::Integer(number),
        _ => number().unwrap_or_else(|| Param::Text(value.to_owned())),
    };
    Ok((name.to_owned(), value))
}

/// The last sessions that ended before now, the earliest first.
fn past_sessions(calendar: &Calendar, now: Timestamp, wanted: u32) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut before = calendar.session_date_at(now);
    for _ in 0..wanted {
        let Some(session) = before.and_then(|date| calendar.session_before(date)) else { break };
        before = Some(session.date);
        sessions.push(session);
    }
    sessions.reverse();
    sessions
}

/// A strategy that is asked, and what about.
struct Asked<'a> {
    strategy: &'a dyn Strategy,
    market: &'a SimulatedMarket,
}

impl Asked<'_> {
    /// Asks about each symbol, until the first signal of each session; or until it fails. The answer is how often it
    /// was asked, about how many symbols, and the signals.
    async fn over(&self, sessions: &[Session]) -> Result<(usize, usize, Vec<Dated>), FeedError> {
        let mut symbols = self.market.universe().await?;
        symbols.truncate(SYMBOLS_MAX);
        let (mut looks, mut signals) = (0, Vec::new());
        for session in sessions {
            for info in &symbols {
                let symbol = info.symbol;
                let bars = self.market.minute_bars(symbol, session.pre_open, session.close).await?;
                let daily = self.market.daily_bars(symbol, DAILY_BARS, session.date).await?;
                let mut as_of = session.open;
                while as_of < session.close && self.strategy.fault().is_none() {
                    as_of = as_of.after(LOOK_EVERY.as_duration());
                    let known = bars.partition_point(|bar| bar.minute_end() <= as_of);
                    let view = SymbolView {
                        symbol,
                        session: *session,
                        as_of,
                        bars: bars.get(..known).unwrap_or_default(),
                        quote: self.market.quote(symbol, as_of).await?,
                        previous_close: daily.last().map(|bar| bar.close),
                        daily_atr: latest_atr(&daily, ATR_SESSIONS),
                        relative_volume: None,
                        news_score: None,
                        model: None,
                        entries_today: 0,
                    };
                    looks += 1;
                    if let Some(signal) = self.strategy.signal(&view, Wording::Told) {
                        signals.push(Dated { at: as_of, signal });
                        break;
                    }
                }
            }
        }
        signals.sort_by_key(|found| (found.at, found.signal.symbol));
        Ok((looks, symbols.len(), signals))
    }
}

impl Checked {
    fn text(&self, paint: Paint) -> String {
        let Self { file, idea, parameters, sessions, symbols, looks, signals } = self;
        let written = |value: &Param| serde_json::to_string(value).unwrap_or_default(); // numbers, words and text alone
        let params: Vec<String> = parameters.iter().map(|(name, value)| format!("{name} {}", written(value))).collect();
        let params = if params.is_empty() { "none".to_owned() } else { params.join(", ") };
        let head = format!(
            "{}: {idea}\nparameters: {params}\nasked {looks} times, about {} in {}: {}\n",
            file.display(),
            counted(*symbols, "symbol", "symbols"),
            counted(*sessions as usize, "session", "sessions"),
            counted(signals.len(), "signal", "signals"),
        );
        let more = signals.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("and {}\n", counted(more, "more", "more")) } else { String::new() };
        format!("{head}{}{more}", table(signals).to_text(paint, None))
    }
}

fn table(signals: &[Dated]) -> Table {
    let columns = vec![
        Column::text("at", "AT"),
        Column::text("symbol", "SYMBOL"),
        Column::text("direction", "SIDE"),
        Column::number("entry", "ENTRY"),
        Column::number("stop", "STOP"),
        Column::number("target", "TARGET"),
        Column::number("confidence", "SURE"),
    ];
    let mut table = Table::new(columns, "no signal");
    for Dated { at, signal } in signals.iter().take(SHOWN) {
        table.push(vec![
            Cell::text(instant(*at)),
            Cell::text(signal.symbol),
            Cell::text(signal.direction.as_str()),
            Cell::text(price(signal.entry)),
            Cell::text(price(signal.stop)),
            Cell::text(price(signal.target)),
            Cell::text(signal.confidence),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_what_it_looks_like() {
        let table = [
            ("a=true", Param::Flag(true)),
            ("a=3", Param::Integer(3)),
            ("a=0.5", Param::Number(0.5)),
            ("a=inf", Param::Text("inf".to_owned())),
            ("a=x=y", Param::Text("x=y".to_owned())),
        ];
        for (text, expected) in table {
            assert_eq!(param(text), Ok(("a".to_owned(), expected)), "{text}");
        }
        assert!(param("a").is_err());
    }
}
