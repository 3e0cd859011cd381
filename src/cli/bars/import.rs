use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, BarColumns, Gaps, Symbol, gaps, jumps};
use daybook_core::report::words::{counted, instant};
use daybook_core::time::SessionDate;
use serde::Serialize;

use super::check::SymbolJump;
use super::{StoreArg, days_of};
use crate::adapters::feeds::files::{
    ActionsAdded, Added, BadRow, BarStore, ColumnSeries, Different, DifferentAction, History, Unordered, read_columns,
};
use crate::cli::Context;
use crate::cli::exit::CommandError;
use crate::cli::output::{Paint, progress};

/// Findings of a kind that are named one by one; the rest are counted, and JSON has more of them.
const SHOWN: usize = 20;

/// What is imported.
#[derive(Debug, Args)]
pub struct Import {
    /// Files of minute bars: CSV, Parquet, or LEAN's zip archives; or of splits and dividends: CSV, LEAN's factor files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose bars they are, for files without the column `symbol`
    #[arg(long)]
    symbol: Option<Symbol>,
    /// Leave bad rows out and end with 0
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    store: StoreArg,
}

/// What an import did.
#[derive(Debug, Default, Serialize)]
struct Imported {
    store: PathBuf,
    symbols: usize,
    new: usize,
    repeated: usize,
    /// Splits and dividends that are new.
    new_actions: usize,
    repeated_actions: usize,
    /// Bars, splits and dividends that differ from those that are stored, which stay.
    different: Vec<String>,
    files: Vec<ImportedFile>,
    /// What is missing of the symbols in these files.
    gaps: Vec<SymbolGaps>,
    /// Where their prices and the stored splits do not agree.
    jumps: Vec<SymbolJump>,
}

#[derive(Debug, Serialize)]
struct ImportedFile {
    file: String,
    rows: u64,
    bad_row_count: u64,
    bad_rows: Vec<ImportedBadRow>,
    unordered: Vec<Unordered>,
}

#[derive(Debug, Serialize)]
struct ImportedBadRow {
    line: u64,
    symbol: Option<Symbol>,
    reason: String,
    #[serde(skip)]
    told: String,
}

impl From<&BadRow> for ImportedBadRow {
    fn from(row: &BadRow) -> Self {
        Self { line: row.line, symbol: row.symbol, reason: row.fault.to_string(), told: row.to_string() }
    }
}

#[derive(Debug, Serialize)]
struct SymbolGaps {
    symbol: Symbol,
    #[serde(flatten)]
    gaps: Gaps,
}

impl Import {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<()> {
        let (history, files) = read_all(&self.files, self.symbol)?;
        let settings = context.configuration()?.settings;
        let store = self.store.open(&settings);
        let calendar = settings.calendar();
        // Before anything is stored: who reads the store could do nothing with a session that cannot be summed.
        let series = history.series.iter();
        let days: BTreeMap<Symbol, Vec<(SessionDate, Bar)>> = series
            .map(|(symbol, bars)| Ok((*symbol, days_of(*symbol, bars, &calendar)?)))
            .collect::<anyhow::Result<_>>()?;
        let added = (store.add(&history.series)?, store.add_actions(&history.actions)?);
        let actions = store.actions()?;
        let mut imported = Imported::of(&store, &history.series, files, added, &calendar);
        for (symbol, days) in &days {
            let found = jumps(days, actions.of(*symbol))?;
            imported.jumps.extend(found.into_iter().map(|jump| SymbolJump::of(*symbol, jump)));
        }
        context.output.document(&imported, |imported, paint| imported.text(paint))?;
        imported.fault(self.skip_bad).map_or(Ok(()), |fault| Err(fault.into()))
    }
}

/// Reads every file before anything is written: a wrong file leaves the store as it was.
fn read_all(
    paths: &[PathBuf],
    symbol: Option<Symbol>,
) -> Result<(History<ColumnSeries>, Vec<ImportedFile>), CommandError> {
    let bar = progress(paths.len() as u64, "reading");
    let mut history = History::<ColumnSeries>::default();
    let mut files = Vec::new();
    for path in paths {
        let read = read_columns(path, symbol).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            CommandError::Usage(format!("{error}{cause}"))
        })?;
        files.push(ImportedFile {
            file: path.display().to_string(),
            rows: read.rows,
            bad_row_count: read.bad_row_count,
            bad_rows: read.bad_rows.iter().map(ImportedBadRow::from).collect(),
            unordered: read.unordered,
        });
        let added = history.add(read.series, read.actions);
        added.map_err(|conflict| CommandError::Usage(format!("{} {conflict}", path.display())))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((history, files))
}

fn prices(bar: &Bar) -> String {
    format!("{}/{}/{}/{} x {}", bar.open, bar.high, bar.low, bar.close, bar.volume)
}

impl Imported {
    fn of(
        store: &BarStore,
        series: &ColumnSeries,
        files: Vec<ImportedFile>,
        (added, actions_added): (Added, ActionsAdded),
        calendar: &Calendar,
    ) -> Self {
        let Added { new, repeated, different } = added;
        let told = |Different { symbol, kept, offered }: &Different| {
            format!("{symbol} {}: stored {}, offered {}", kept.start, prices(kept), prices(offered))
        };
        let told_action = |DifferentAction { symbol, kept, offered }: &DifferentAction| {
            format!("{symbol} {}: stored {}, offered {}", kept.ex_date, kept.kind, offered.kind)
        };
        let mut told_different: Vec<String> = different.iter().map(told).collect();
        told_different.extend(actions_added.different.iter().map(told_action));
        let missing = |(symbol, bars): (&Symbol, &BarColumns)| {
            let gaps = gaps(bars.starts(), calendar);
            (!gaps.is_none()).then_some(SymbolGaps { symbol: *symbol, gaps })
        };
        Self {
            store: store.root().to_owned(),
            symbols: series.len(),
            new,
            repeated,
            new_actions: actions_added.new,
            repeated_actions: actions_added.repeated,
            different: told_different,
            files,
            gaps: series.iter().filter_map(missing).collect(),
            jumps: Vec::new(),
        }
    }

    /// What keeps the import from being a full success.
    fn fault(&self, skip_bad: bool) -> Option<CommandError> {
        let bad: u64 = self.files.iter().map(|file| file.bad_row_count).sum();
        let different = self.different.len();
        let mut faults = Vec::new();
        if bad > 0 {
            faults.push(if bad == 1 {
                "1 bad row was left out".to_owned()
            } else {
                format!("{bad} bad rows were left out")
            });
        }
        if different > 0 {
            let rows = counted(different, "row differs", "rows differ");
            faults.push(format!("{rows} from what was stored before, which stays"));
        }
        let told = format!("{}; the rest is imported (--skip-bad accepts that)", faults.join(", and "));
        (!skip_bad && !faults.is_empty()).then_some(CommandError::Failed(told))
    }

    fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        for ImportedFile { file, rows, bad_row_count, bad_rows, unordered } in &self.files {
            text.push_str(&format!("{file}: {rows} good rows, {bad_row_count} bad\n"));
            let known = bad_rows.len() as u64;
            let bad = bad_rows.iter().map(|row| row.told.as_str());
            list(&mut text, bad, bad_row_count.saturating_sub(known), |told| yellow_head(paint, told));
            list(&mut text, unordered, 0, |unordered| yellow_head(paint, &unordered.to_string()));
        }
        list(&mut text, &self.different, 0, |different| format!("{} {different}", paint.yellow("differs:")));
        list(&mut text, &self.gaps, 0, |gaps| format!("{} {}", paint.yellow("missing:"), gaps.text()));
        list(&mut text, &self.jumps, 0, |jump| format!("{} {}", paint.yellow("jump:"), jump.text()));
        let Self { store, symbols, new, repeated, new_actions, repeated_actions, .. } = self;
        let symbols = counted(*symbols, "symbol", "symbols");
        text.push_str(&format!("{}: {new} new bars of {symbols}, {repeated} were there already\n", store.display()));
        if new_actions + repeated_actions > 0 {
            let path = BarStore::at(store.clone()).actions_path();
            let new = counted(*new_actions, "new split or dividend", "new splits and dividends");
            text.push_str(&format!("{}: {new}, {repeated_actions} were there already\n", path.display()));
        }
        text
    }
}

/// Adds a line for each of the first findings, and the number of the others: `unknown` are not among `all`.
fn list<T>(text: &mut String, all: impl IntoIterator<Item = T>, unknown: u64, line: impl Fn(T) -> String) {
    let mut all = all.into_iter();
    for finding in all.by_ref().take(SHOWN) {
        text.push_str(&format!("  {}\n", line(finding)));
    }
    let more = all.count() as u64 + unknown;
    if more > 0 {
        text.push_str(&format!("  and {more} more; --json has more of them\n"));
    }
}

/// The line's number in a colour of its own.
fn yellow_head(paint: Paint, told: &str) -> String {
    match told.split_once(' ').and_then(|(line, rest)| rest.split_once(' ').map(|(number, rest)| (line, number, rest)))
    {
        Some((line, number, rest)) => format!("{} {rest}", paint.yellow(&format!("{line} {number}"))),
        None => told.to_owned(),
    }
}

impl SymbolGaps {
    fn text(&self) -> String {
        let Self { symbol, gaps: Gaps { sessions, first_session, minutes, longest_minutes, longest_from } } = self;
        let sessions = first_session
            .map(|first| format!("{} without a bar, the first on {first}", counted(*sessions, "session", "sessions")));
        let minutes = longest_from.map(|from| {
            format!(
                "{} without a bar{}, at most {longest_minutes} in a row, from {} on",
                counted(*minutes, "minute", "minutes"),
                if first_session.is_some() { " in other sessions" } else { "" },
                instant(from)
            )
        });
        let told: Vec<String> = [sessions, minutes].into_iter().flatten().collect();
        format!("{symbol}: {}", told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::market::{Jump, JumpFault};
    use daybook_core::money::Price;
    use daybook_core::time::SessionDate;

    use super::*;
    use crate::adapters::feeds::files::Counted;

    fn symbol() -> Symbol {
        "AIG".parse().unwrap()
    }

    fn file(bad_row_count: u64) -> ImportedFile {
        let reason = "high 9.90 is below low 10.10";
        let bad_row = |line| ImportedBadRow {
            line,
            symbol: Some(symbol()),
            reason: reason.to_owned(),
            told: format!("line {line}: AIG: {reason}"),
        };
        ImportedFile {
            file: "bars.csv".to_owned(),
            rows: 390,
            bad_row_count,
            bad_rows: (2..bad_row_count + 2).map(bad_row).collect(),
            unordered: vec![Unordered { symbol: symbol(), rows: 3, first_line: 7, counted: Counted::Lines }],
        }
    }

    #[test]
    fn minutes_are_of_other_sessions_only_where_sessions_are_missing() {
        let longest_from = Some("2013-10-04T14:00:00Z".parse().unwrap());
        let gaps = Gaps { minutes: 2, longest_minutes: 1, longest_from, ..Gaps::default() };
        let told = SymbolGaps { symbol: symbol(), gaps }.text();
        assert_eq!(told, "AIG: 2 minutes without a bar, at most 1 in a row, from 2013-10-04 10:00:00 EDT on");
    }

    #[test]
    fn what_is_wrong_is_told_and_fails_the_import_unless_it_is_expected() {
        let gaps = Gaps {
            sessions: 2,
            first_session: SessionDate::of(2013, 10, 7),
            minutes: 12,
            longest_minutes: 5,
            longest_from: Some("2013-10-04T14:00:00Z".parse().unwrap()),
        };
        let jump = Jump {
            session: SessionDate::of(2009, 7, 1).unwrap(),
            close: Price::from_cents(116),
            open: Price::from_cents(23_10),
            fault: JumpFault::Untold("1:20".parse().unwrap()),
        };
        let imported = Imported {
            store: "data/bars".into(),
            symbols: 1,
            new: 380,
            repeated: 9,
            different: vec!["AIG 2013-10-04T10:59:00Z: stored 1/1/1/1 x 3, offered 1/2/1/1 x 3".to_owned()],
            files: vec![file(2), file(22)],
            gaps: vec![SymbolGaps { symbol: symbol(), gaps }],
            new_actions: 1,
            repeated_actions: 2,
            jumps: vec![SymbolJump::of(symbol(), jump)],
        };
        insta::assert_snapshot!(imported.text(Paint::PLAIN));
        let expected = "24 bad rows were left out, and 1 row differs from what was stored before, which stays; the rest \
            is imported (--skip-bad accepts that)";
        assert_eq!(imported.fault(false), Some(CommandError::Failed(expected.to_owned())));
        assert_eq!(imported.fault(true), None);
        assert_eq!(Imported { files: vec![file(0)], ..Imported::default() }.fault(false), None);
    }
}
