//! The store of bars: a folder with a Parquet file for each symbol and year, `AAPL/2026.parquet`.
//!
//! - What is there stays: a bar that is added again changes nothing, one that differs is told and left out. So an
//!   import can be repeated, or go on where another was killed.
//! - A file is replaced as a whole: written under another name, forced to the disk, renamed. A reader sees the old
//!   one or the new one.
//! - Who adds holds a lock on the folder; who reads needs none.
//! - Splits and dividends stand in `actions.csv` beside the symbols, and are no part of the bars.
//!
//! Years are those of UTC. Prices are `DECIMAL(18, 8)` and volumes `DECIMAL(18, 9)`, exact as they are here; each file has
//! its symbol as a column, so that other programs can read all of them as one table.

mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use chrono::{Datelike, NaiveDate};
use daybook_core::market::{ActionAdded, Bar, BarColumns, CorporateAction, CorporateActions, Symbol};
use daybook_core::time::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;

use super::parquet_file;
use super::read::{BarFile, ColumnSeries, ReadError, read_columns};

/// What is locked while bars are added.
const LOCK: &str = ".lock";

/// The file of the corporate actions.
const ACTIONS: &str = "actions.csv";

/// How the files of bars end.
const ENDING: &str = "parquet";

const DAY_MS: i64 = 86_400_000;

/// What may go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum BarStoreError {
    /// The folder or a file of it cannot be read or written.
    #[error("{}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A file cannot be written as Parquet.
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: ParquetError },
    /// A file of it cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file of it has rows that are no bars: nothing here writes such.
    #[error("{} has {bad} bad rows, the first on {first}: remove the file, and import its bars again", path.display())]
    BadRows { path: PathBuf, bad: u64, first: String },
    /// The file of corporate actions has rows that are none.
    #[error("{} has {bad} bad rows, the first on {first}: mend the file, it is plain text", path.display())]
    BadActions { path: PathBuf, bad: u64, first: String },
    /// Somebody else adds bars.
    #[error("another import writes to {}: wait until it is done", path.display())]
    Locked { path: PathBuf },
}

/// What became of bars that were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// Bars that are new.
    pub new: usize,
    /// Bars that were there already, the same.
    pub repeated: usize,
    /// Bars that were there already, otherwise: the first ones stay.
    pub different: Vec<Different>,
}

/// A bar that differs from the one that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Different {
    /// The symbol.
    pub symbol: Symbol,
    /// What is stored, and stays.
    pub kept: Bar,
    /// What was offered.
    pub offered: Bar,
}

/// What became of corporate actions that were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionsAdded {
    /// Actions that are new.
    pub new: usize,
    /// Actions that were there already, the same.
    pub repeated: usize,
    /// Actions of a kind and an ex-date that were there already, otherwise: the first ones stay.
    pub different: Vec<DifferentAction>,
}

/// A corporate action that differs from the one that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DifferentAction {
    /// The symbol.
    pub symbol: Symbol,
    /// What is stored, and stays.
    pub kept: CorporateAction,
    /// What was offered.
    pub offered: CorporateAction,
}

/// What is stored of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSeries {
    /// The symbol.
    pub symbol: Symbol,
    /// How many bars.
    pub bars: i64,
    /// The start of the first.
    pub first: Timestamp,
    /// The start of the last.
    pub last: Timestamp,
}

/// A folder of bars by symbol and year.
#[derive(Debug, Clone)]
pub struct BarStore {
    root: PathBuf,
}

impl BarStore {
    /// The store in a folder, which need not be there yet.
    #[must_use]
    pub const fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The symbols that have bars, in order.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn symbols(&self) -> Result<Vec<Symbol>, BarStoreError> {
        let names = names_in(&self.root)?;
        let mut symbols: Vec<Symbol> = names.iter().filter_map(|name| symbol_of(name)).collect();
        symbols.sort_unstable();
        Ok(symbols)
    }

    /// How many bars of each symbol there are, and from when to when; told by the files' own summaries.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn series(&self) -> Result<Vec<StoredSeries>, BarStoreError> {
        let mut series = Vec::new();
        for symbol in self.symbols()? {
            let mut known: Option<StoredSeries> = None;
            for (_, path) in self.years(symbol)? {
                let (bars, first, last) = summary(&path, symbol)?;
                known = Some(match known {
                    None => StoredSeries { symbol, bars, first, last },
                    Some(so_far) => StoredSeries {
                        bars: so_far.bars.saturating_add(bars),
                        first: so_far.first.min(first),
                        last: so_far.last.max(last),
                        ..so_far
                    },
                });
            }
            series.extend(known);
        }
        Ok(series)
    }

    /// All bars of a symbol, in order.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(&self, symbol: Symbol) -> Result<BarColumns, BarStoreError> {
        self.read_years(symbol, i32::MIN..=i32::MAX)
    }

    /// The bars of a symbol that start in `[from, until)`, in order.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn range(&self, symbol: Symbol, from: Timestamp, until: Timestamp) -> Result<Vec<Bar>, BarStoreError> {
        let years = year_of(from).unwrap_or(i32::MIN)..=year_of(until).unwrap_or(i32::MAX);
        let bars = self.read_years(symbol, years)?;
        let (first, end) = (bars.place_of(from, 0), bars.place_of(until, 0));
        Ok(bars.bars(first..end).collect())
    }

    /// The file of the corporate actions, which need not be there. A person may mend it.
    #[must_use]
    pub fn actions_path(&self) -> PathBuf {
        self.root.join(ACTIONS)
    }

    /// The splits and dividends of all symbols.
    ///
    /// # Errors
    /// If their file cannot be read, or has a bad row.
    pub fn actions(&self) -> Result<CorporateActions, BarStoreError> {
        let path = self.actions_path();
        if !path.exists() {
            return Ok(CorporateActions::new());
        }
        let file = read_columns(&path, None)?;
        match file.bad_rows.first() {
            Some(row) => Err(BarStoreError::BadActions { path, bad: file.bad_row_count, first: row.to_string() }),
            None => Ok(file.actions),
        }
    }

    /// Adds splits and dividends.
    ///
    /// # Errors
    /// If their file cannot be read or written, or somebody else adds to the store.
    pub fn add_actions(&self, actions: &CorporateActions) -> Result<ActionsAdded, BarStoreError> {
        let mut added = ActionsAdded::default();
        if actions.is_empty() {
            return Ok(added);
        }
        let _lock = self.lock()?;
        let mut known = self.actions()?;
        for (symbol, offered) in actions.iter() {
            match known.add(symbol, offered) {
                ActionAdded::New => added.new += 1,
                ActionAdded::Repeated => added.repeated += 1,
                ActionAdded::Different(kept) => added.different.push(DifferentAction { symbol, kept, offered }),
            }
        }
        if added.new > 0 {
            write::replace_actions(&self.actions_path(), &known)?;
        }
        Ok(added)
    }

    /// The start of a symbol's last bar.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn last(&self, symbol: Symbol) -> Result<Option<Timestamp>, BarStoreError> {
        let last_year = self.years(symbol)?.pop();
        last_year.map(|(_, path)| summary(&path, symbol).map(|(_, _, last)| last)).transpose()
    }

    fn read_years(&self, symbol: Symbol, years: RangeInclusive<i32>) -> Result<BarColumns, BarStoreError> {
        let mut bars = BarColumns::default();
        for (year, path) in self.years(symbol)? {
            if years.contains(&year) {
                bars.merge(read_file(&path, symbol)?);
            }
        }
        Ok(bars)
    }

    /// The years of a symbol with their files, in order.
    fn years(&self, symbol: Symbol) -> Result<Vec<(i32, PathBuf)>, BarStoreError> {
        let folder = self.root.join(folder_of(symbol));
        let mut years: Vec<(i32, PathBuf)> =
            names_in(&folder)?.iter().filter_map(|name| Some((year_in(name)?, folder.join(name)))).collect();
        years.sort_unstable();
        Ok(years)
    }

    /// Adds bars, each symbol's in order. A year is written only if it has a new one.
    ///
    /// # Errors
    /// If a file cannot be read or written, or somebody else adds bars. What was added before that stays.
    pub fn add(&self, series: &ColumnSeries) -> Result<Added, BarStoreError> {
        let _lock = self.lock()?;
        let mut added = Added::default();
        for (symbol, bars) in series {
            let folder = self.root.join(folder_of(*symbol));
            create_folder(&folder)?;
            for (year, places) in years_of(bars) {
                let path = folder.join(format!("{year:04}.{ENDING}"));
                let offered: BarColumns = bars.bars(places).collect();
                let kept = if path.exists() { read_file(&path, *symbol)? } else { BarColumns::default() };
                let before = added.new;
                let merged = merged(*symbol, kept, offered, &mut added);
                if added.new > before {
                    write::replace(&path, *symbol, &merged)?;
                }
            }
        }
        Ok(added)
    }

    /// Keeps others from adding, as long as the answer lives.
    fn lock(&self) -> Result<File, BarStoreError> {
        create_folder(&self.root)?;
        let path = self.root.join(LOCK);
        let failed = |source| BarStoreError::Io { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(BarStoreError::Locked { path: self.root.clone() }),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Reads all bars of a store, as if its folder were one file of bars.
///
/// # Errors
/// If a file of it cannot be read, or there is none.
pub(super) fn read_folder(root: &Path) -> Result<BarFile<ColumnSeries>, ReadError> {
    let store = BarStore::at(root.to_owned());
    let unreadable = |error: BarStoreError| match error {
        BarStoreError::Read(error) => error,
        other => ReadError::Io { path: root.to_owned(), source: io::Error::other(other) },
    };
    let mut file = BarFile::<ColumnSeries> { actions: store.actions().map_err(unreadable)?, ..BarFile::default() };
    for symbol in store.symbols().map_err(unreadable)? {
        let bars = store.read(symbol).map_err(unreadable)?;
        file.rows += bars.len() as u64;
        if !bars.is_empty() {
            file.series.insert(symbol, bars);
        }
    }
    if file.series.is_empty() {
        return Err(ReadError::NoStore { path: root.to_owned() });
    }
    Ok(file)
}

fn read_file(path: &Path, symbol: Symbol) -> Result<BarColumns, BarStoreError> {
    let file = File::open(path).map_err(|source| BarStoreError::Io { path: path.to_owned(), source })?;
    let BarFile { mut series, bad_rows, bad_row_count: bad, .. } = parquet_file::read_as(path, file, symbol)?;
    match bad_rows.first() {
        Some(row) => Err(BarStoreError::BadRows { path: path.to_owned(), bad, first: row.to_string() }),
        None => Ok(series.remove(&symbol).unwrap_or_default()),
    }
}

/// How many bars a file has, and where the first and the last begin.
fn summary(path: &Path, symbol: Symbol) -> Result<(i64, Timestamp, Timestamp), BarStoreError> {
    let failed = |source| ReadError::Parquet { path: path.to_owned(), column: None, source };
    let file = File::open(path).map_err(|source| BarStoreError::Io { path: path.to_owned(), source })?;
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let (mut bars, mut first, mut last) = (0, i64::MAX, i64::MIN);
    for group in reader.metadata().row_groups() {
        bars += group.num_rows();
        let starts = group.columns().iter().find(|column| column.column_path().string() == write::STARTS);
        if let Some(Statistics::Int64(starts)) = starts.and_then(|column| column.statistics()) {
            first = starts.min_opt().map_or(first, |start| first.min(*start));
            last = starts.max_opt().map_or(last, |start| last.max(*start));
        }
    }
    if first > last {
        // Somebody else's file may have no such summary.
        let bars = read_file(path, symbol)?;
        let ends = bars.starts().first().zip(bars.starts().last());
        (first, last) = ends.map_or((0, 0), |(first, last)| (first.0, last.0));
    }
    Ok((bars, Timestamp(first), Timestamp(last)))
}

/// The names in a folder; none if it is not there.
fn names_in(folder: &Path) -> Result<Vec<String>, BarStoreError> {
    let failed = |source| BarStoreError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(failed));
    // What is not text was not written here.
    names.filter_map(|name| name.map(|name| name.into_string().ok()).transpose()).collect()
}

fn create_folder(folder: &Path) -> Result<(), BarStoreError> {
    fs::create_dir_all(folder).map_err(|source| BarStoreError::Io { path: folder.to_owned(), source })
}

/// The folder of a symbol. A slash is written `%2F`, and so is a dot at the beginning: `..` is a symbol, too.
fn folder_of(symbol: Symbol) -> String {
    let name = symbol.as_str().replace('/', "%2F");
    match name.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => name,
    }
}

/// The symbol of a folder.
fn symbol_of(name: &str) -> Option<Symbol> {
    let symbol: Symbol = name.replace("%2F", "/").replace("%2E", ".").parse().ok()?;
    (folder_of(symbol) == name).then_some(symbol)
}

/// The year of a file.
fn year_in(name: &str) -> Option<i32> {
    let path = Path::new(name);
    let is_bars = path.extension() == Some(OsStr::new(ENDING));
    path.file_stem().filter(|_| is_bars)?.to_str()?.parse().ok()
}

fn year_of(at: Timestamp) -> Option<i32> {
    i32::try_from(at.0.div_euclid(DAY_MS)).ok().and_then(NaiveDate::from_epoch_days).map(|date| date.year())
}

/// The years of bars in order, with the places of each.
fn years_of(bars: &BarColumns) -> BTreeMap<i32, Range<usize>> {
    let mut years = BTreeMap::new();
    let mut place = 0;
    while let Some(year) = bars.starts().get(place).and_then(|start| year_of(*start)) {
        let next = NaiveDate::from_ymd_opt(year + 1, 1, 1).map(|date| i64::from(date.to_epoch_days()) * DAY_MS);
        let end = next.map_or(bars.len(), |next| bars.place_of(Timestamp(next), place));
        years.insert(year, place..end);
        place = end;
    }
    years
}

/// The bars of both, those that are kept before those that are offered; both are in order.
fn merged(symbol: Symbol, kept: BarColumns, offered: BarColumns, added: &mut Added) -> BarColumns {
    if kept.is_empty() {
        added.new += offered.len();
        return offered;
    }
    let mut bars = BarColumns::default();
    let mut known = kept.bars(0..kept.len()).peekable();
    for offered in offered.bars(0..offered.len()) {
        while let Some(earlier) = known.next_if(|bar| bar.start < offered.start) {
            bars.push(&earlier);
        }
        match known.next_if(|bar| bar.start == offered.start) {
            None => {
                added.new += 1;
                bars.push(&offered);
            }
            Some(kept) => {
                if kept == offered {
                    added.repeated += 1;
                } else {
                    added.different.push(Different { symbol, kept, offered });
                }
                bars.push(&kept);
            }
        }
    }
    known.for_each(|later| bars.push(&later));
    bars
}
