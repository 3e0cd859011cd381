//! `trade scan --bars`: a universe in files, ranked by what its last bars say.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use chrono_tz::Tz;
use daybook_core::analysis::{TechnicalScan, Technicals};
use daybook_core::calendar::Calendar;
use daybook_core::indicators::Candle;
use daybook_core::market::{Bar, Jump, JumpFault, Symbol, adjust, split_like};
use daybook_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Context;
use super::bars::SymbolJump;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Table, say};
use crate::adapters::feeds::files::{ColumnSeries, History, Series, read_columns};
use crate::process;

const DAY_MS: i64 = 24 * 60 * 60_000;

/// Bars that are further apart have a night between them: from eight in the evening to four in the morning nothing trades.
const NIGHT_MS: i64 = 4 * 60 * 60_000;

/// What a scan of files found.
#[derive(Debug, Serialize)]
struct UniverseScan {
    symbols: usize,
    bars: usize,
    /// Symbols with too few bars, whose price stands still, or jumps like a split that no row tells of.
    unranked: usize,
    patterns_on_last_bar: usize,
    /// The strongest first; ties stand by symbol.
    ranking: Vec<Ranked>,
    load_cpu_s: f64,
    scan_cpu_s: f64,
    peak_rss_mib: f64,
}

#[derive(Debug, Serialize)]
struct Ranked {
    rank: usize,
    symbol: Symbol,
    score: f64,
    factors: Map<String, Value>,
}

/// Measures every symbol in the files and prints the strongest, `top` of them.
///
/// # Errors
/// If a file cannot be used.
pub fn scan(context: &Context, files: &[PathBuf], top: usize, format: FormatArg) -> anyhow::Result<()> {
    let begun = process::cpu_ms();
    let calendar = context.configuration()?.settings.calendar();
    let series = adjusted(read(files)?, &calendar)?;
    let loaded = process::cpu_ms();
    let universe: Vec<(Symbol, &[Bar])> = series.iter().map(|(symbol, bars)| (*symbol, bars.as_slice())).collect();
    let whole = without_jumps(&universe, &calendar);
    let measured = measure(&whole, &beginnings(&whole, &calendar))?;
    let scanned = process::cpu_ms();

    let patterns_on_last_bar = measured.iter().map(|(_, technicals)| technicals.pattern_count()).sum();
    let ranking = rank(&measured);
    let scan = UniverseScan {
        symbols: universe.len(),
        bars: universe.iter().map(|(_, bars)| bars.len()).sum(),
        unranked: universe.len() - ranking.len(),
        patterns_on_last_bar,
        ranking: ranking.into_iter().take(top).collect(),
        load_cpu_s: seconds(begun, loaded),
        scan_cpu_s: seconds(loaded, scanned),
        peak_rss_mib: process::peak_resident_kib() as f64 / 1024.0,
    };
    if context.output.is_json() {
        return context.output.json(&scan);
    }
    context.output.table(&scan.table(), format)
}

fn seconds(from_ms: u64, until_ms: u64) -> f64 {
    until_ms.saturating_sub(from_ms) as f64 / 1000.0
}

/// Reads every file; a bad row is an error, for a bar that is missing is missed in every figure after it.
fn read(files: &[PathBuf]) -> Result<History, CommandError> {
    let mut history = History::<ColumnSeries>::default();
    for path in files {
        let read = read_columns(path, None).map_err(|error| CommandError::Usage(error.to_string()))?;
        if let Some(row) = read.bad_rows.first() {
            let (path, count) = (path.display(), read.bad_row_count);
            return Err(CommandError::Usage(format!("{path} has {count} bad rows, the first on {row}")));
        }
        let added = history.add(read.series, read.actions);
        added.map_err(|conflict| CommandError::Usage(format!("{} {conflict}", path.display())))?;
    }
    Ok(history.into_bars())
}

/// Each symbol's bars in the shares of its last one: the figures run through all sessions.
fn adjusted(history: History, calendar: &Calendar) -> anyhow::Result<Series> {
    let History { mut series, actions } = history;
    if !actions.is_empty() {
        for (symbol, bars) in &mut series {
            adjust(bars, actions.of(*symbol), calendar)?;
        }
    }
    Ok(series)
}

/// The symbols without those whose price jumps overnight like a split that no row tells of: a person is told of them.
fn without_jumps<'b>(universe: &[(Symbol, &'b [Bar])], calendar: &Calendar) -> Vec<(Symbol, &'b [Bar])> {
    let jump = |bars: &[Bar]| {
        bars.iter().zip(bars.iter().skip(1)).find_map(|(before, bar)| {
            // The usual splits are further than that, and nearly all pairs of bars are not.
            let is_far = bar.open.0 < before.close.0 / 8 * 5 || before.close.0 < bar.open.0 / 3;
            if !is_far || !is_overnight(before, bar) {
                return None;
            }
            let ratio = split_like(before.close, bar.open)?;
            // A bar of a day begins with its date in UTC.
            let is_daily = before.start.0 % DAY_MS == 0 && bar.start.0 % DAY_MS == 0;
            let session = bar.start.date_in(if is_daily { Tz::UTC } else { calendar.zone() });
            let fault = JumpFault::Untold(ratio);
            Some(Jump { session, close: before.close, open: bar.open, fault })
        })
    };
    let mut whole = Vec::with_capacity(universe.len());
    for (symbol, bars) in universe {
        match jump(bars) {
            Some(jump) => say(&format!("{}. It is left out.", SymbolJump::of(*symbol, jump).text())),
            None => whole.push((*symbol, *bars)),
        }
    }
    whole
}

/// Whether a session lies between two bars, or they are sessions.
const fn is_overnight(before: &Bar, bar: &Bar) -> bool {
    bar.start.0 - before.start.0 >= NIGHT_MS
}

/// The instants at which sessions begin, each with its first minutes and again with its regular hours.
fn beginnings(universe: &[(Symbol, &[Bar])], calendar: &Calendar) -> Vec<Timestamp> {
    let first = universe.iter().filter_map(|(_, bars)| bars.first()).map(|bar| bar.start).min();
    let last = universe.iter().filter_map(|(_, bars)| bars.last()).map(|bar| bar.start).max();
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    let sessions = calendar.sessions(first.date_in(calendar.zone()), last.date_in(calendar.zone()));
    sessions.flat_map(|session| [session.pre_open, session.open]).collect()
}

/// Measures the symbols, on as many threads as there are processors; those with too few bars are left out.
fn measure(universe: &[(Symbol, &[Bar])], beginnings: &[Timestamp]) -> anyhow::Result<Vec<(Symbol, Technicals)>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = universe.len().div_ceil(threads).max(1);
    let of_share = |share: &[(Symbol, &[Bar])]| -> Vec<(Symbol, Technicals)> {
        let last = |bars: &[Bar]| {
            let mut scan = TechnicalScan::new();
            // Bars that are sessions, or more, have no session of their own.
            let is_of_minutes = bars.iter().zip(bars.iter().skip(1)).any(|(before, bar)| !is_overnight(before, bar));
            let mut ahead = if is_of_minutes { beginnings } else { &[] };
            for bar in bars {
                while let Some((_, behind)) = ahead.split_first().filter(|(begins, _)| **begins <= bar.start) {
                    ahead = behind;
                    scan.begin_session();
                }
                scan.push(&Candle::from(bar));
            }
            scan.measure()
        };
        share.iter().filter_map(|(symbol, bars)| Some((*symbol, last(bars)?))).collect()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = universe.chunks(share).map(|share| scope.spawn(move || of_share(share))).collect();
        let mut measured = Vec::with_capacity(universe.len());
        for worker in workers {
            measured.extend(worker.join().map_err(|_| anyhow::anyhow!("measuring the symbols failed"))?);
        }
        Ok(measured)
    })
}

fn rank(measured: &[(Symbol, Technicals)]) -> Vec<Ranked> {
    let mut scored: Vec<(f64, Symbol, &Technicals)> =
        measured.iter().filter_map(|(symbol, technicals)| Some((technicals.score()?, *symbol, technicals))).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let ranked = |(place, (score, symbol, technicals)): (usize, (f64, Symbol, &Technicals))| {
        let factors = technicals.factors().into_iter().map(|(name, factor)| (name.to_owned(), Value::from(factor)));
        Ranked { rank: place + 1, symbol, score, factors: factors.collect() }
    };
    scored.into_iter().enumerate().map(ranked).collect()
}

impl UniverseScan {
    fn table(&self) -> Table {
        let columns = vec![
            Column::number("rank", "RANK"),
            Column::text("symbol", "SYMBOL"),
            Column::number("score", "SCORE"),
            Column::text("factors", "FACTORS"),
        ];
        let mut table = Table::new(columns, "no symbol has the 50 bars that the figures need");
        for Ranked { rank, symbol, score, factors } in &self.ranking {
            let shown: Vec<String> =
                factors.iter().map(|(name, value)| format!("{name} {:.2}", value.as_f64().unwrap_or(0.0))).collect();
            table.push(vec![
                Cell::count(*rank),
                Cell::text(symbol),
                Cell::real_if(Some(*score)).shown_as(format!("{score:.2}")),
                Cell::json(factors).shown_as(shown.join(", ")),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::money::{Price, Quantity};

    use super::*;

    fn bars(slope: i64, count: i64) -> Vec<Bar> {
        let bar = |place: i64| {
            let close = Price::from_cents(10_000 + slope * place + 3 * (place % 5));
            let (high, low) = (Price(close.0 + 10_000_000), Price(close.0 - 10_000_000));
            Bar { start: Timestamp(60_000 * place), open: low, high, low, close, volume: Quantity::whole(100) }
        };
        (0..count).map(bar).collect()
    }

    #[test]
    fn a_price_that_jumps_like_a_split_overnight_is_not_ranked() {
        let calendar = Calendar::xnys();
        // A session's minutes, and the first of the next at a price like that of one share for seven.
        let mut split = bars(0, 60);
        let start = Timestamp(split[59].start.0 + NIGHT_MS);
        split.push(Bar { start, open: Price::from_cents(1_430), close: Price::from_cents(1_430), ..split[59] });
        let mut fallen = bars(0, 60);
        fallen.push(Bar { start: Timestamp(split[59].start.0 + 60_000), open: Price::from_cents(1_430), ..split[59] });
        let universe: Vec<(Symbol, &[Bar])> = [("SPLIT", &split), ("FALLEN", &fallen)]
            .map(|(name, bars)| (name.parse().unwrap(), bars.as_slice()))
            .to_vec();
        let left: Vec<String> =
            without_jumps(&universe, &calendar).iter().map(|(symbol, _)| symbol.to_string()).collect();
        assert_eq!(left, ["FALLEN"], "within a session it is no split");
    }

    #[test]
    fn the_stronger_comes_first_and_what_cannot_be_measured_is_left_out() {
        let (rising, falling, short, still) = (bars(10, 60), bars(-10, 60), bars(10, 49), bars(10, 1));
        let universe: Vec<(Symbol, &[Bar])> =
            [("FALL", &falling), ("RISE", &rising), ("SHORT", &short), ("ONE", &still)]
                .map(|(name, bars)| (name.parse().unwrap(), bars.as_slice()))
                .to_vec();
        let measured = measure(&universe, &[]).unwrap();
        let order: Vec<(usize, String)> =
            rank(&measured).iter().map(|ranked| (ranked.rank, ranked.symbol.to_string())).collect();
        assert_eq!(order, [(1, "RISE".to_owned()), (2, "FALL".to_owned())]);
        assert!(measure(&[], &[]).unwrap().is_empty());
    }
}
