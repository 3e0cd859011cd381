//! The file of a search's trials: what a share of it leaves behind, and what shares are taken together from. It is CSV, or
//! Parquet under a name that ends so; which one is read its first bytes tell.

mod parquet_file;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::StringRecord;
use daybook_core::statistics::Returns;
use parquet::errors::ParquetError;

use super::results::{Results, Trial, Verdict, Whole};

/// Columns before the searched keys.
const FIRST: [&str; 3] = ["trial", "search", "of"];
/// Columns after them; behind these the returns, under a name that has the sessions.
const AFTER: [&str; 12] = [
    "trades",
    "won",
    "pnl",
    "fees",
    "total_return",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "profit_factor",
    "sign_test",
    "deflated_sharpe",
];
/// How the name of a file in Parquet ends.
const PARQUET: &str = "parquet";
/// What the last column's name begins with.
const RETURNS: &str = "returns ";
const BETWEEN: &str = ";";

/// Why a file is no share of a search.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// It cannot be read or written.
    #[error("{} cannot be read as results of a search", path.display())]
    Csv { path: PathBuf, source: csv::Error },
    /// It cannot be opened.
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// It is no sound Parquet file, though it begins like one.
    #[error("{} cannot be read as Parquet: it is damaged or cut short, expected a whole file", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    /// It cannot be written.
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Its columns are not those of results.
    #[error("{}:1: these are no results of `trade optimize --out`", path.display())]
    Columns { path: PathBuf },
    /// A row is wrong.
    #[error("{}:{line}: {column} is \"{text}\", which no result has", path.display())]
    Cell { path: PathBuf, line: u64, column: String, text: String },
    /// The files are of different searches.
    #[error("{} is of another search than {}: other bars, settings, keys or values", path.display(), first.display())]
    Different { path: PathBuf, first: PathBuf },
    /// Two files disagree.
    #[error("trial {trial} came out otherwise in {}: one of the files was changed", path.display())]
    Contradiction { path: PathBuf, trial: usize },
    /// Not every share is there.
    #[error("the files have {found} of the {of} trials of their search: name every share of it")]
    Incomplete { found: usize, of: usize },
    /// There is nothing in them.
    #[error("no trials in the files")]
    Nothing,
}

impl Results {
    /// Writes every trial, by its number: a share of these is read back by [`Results::read`].
    ///
    /// The file is there whole or not at all, whenever the process is killed.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path, verdicts: &[Verdict]) -> Result<(), ShareError> {
        let mut beside = OsString::from(path);
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let rows = self.rows(verdicts);
        let written = match path.extension() {
            Some(ending) if ending == OsStr::new(PARQUET) => parquet_file::write(self, &rows, &beside),
            Some(_) | None => self.write_lines(&rows, &beside),
        };
        let written = written.and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|source| {
            // What is left of it says nothing; the next attempt would overwrite it.
            let _ = std::fs::remove_file(&beside);
            ShareError::Write { path: path.to_owned(), source }
        })
    }

    /// Every trial beside its verdict, by its number.
    fn rows<'a>(&'a self, verdicts: &'a [Verdict]) -> Vec<(&'a Verdict, &'a Trial)> {
        let mut verdicts: Vec<&Verdict> = verdicts.iter().collect();
        verdicts.sort_by_key(|verdict| verdict.trial);
        verdicts.into_iter().zip(&self.trials).collect()
    }

    fn write_lines(&self, rows: &[(&Verdict, &Trial)], path: &Path) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(BufWriter::new(File::create(path)?));
        writer.write_record(self.header())?;
        for (verdict, trial) in rows {
            writer.write_record(self.row(verdict, trial))?;
        }
        let mut file = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        file.flush()?;
        file.get_ref().sync_all()
    }

    fn row(&self, verdict: &Verdict, trial: &Trial) -> Vec<String> {
        let mut cells = vec![trial.number.to_string(), self.whole.id.clone(), self.whole.trials.to_string()];
        cells.extend(trial.values.iter().cloned());
        cells.extend([trial.trades.to_string(), trial.won.to_string(), trial.pnl.to_string(), trial.fees.to_string()]);
        cells.extend(verdict.figures().map(|figure| figure.map_or_else(String::new, |value| value.to_string())));
        let returns: Vec<String> = trial.returns.values().iter().map(ToString::to_string).collect();
        cells.push(returns.join(BETWEEN));
        cells
    }

    fn header(&self) -> Vec<String> {
        let sessions: Vec<String> = self.sessions.iter().map(ToString::to_string).collect();
        let keys = self.keys.iter().cloned();
        let named = FIRST.into_iter().map(str::to_owned).chain(keys).chain(AFTER.into_iter().map(str::to_owned));
        named.chain([format!("{RETURNS}{}", sessions.join(BETWEEN))]).collect()
    }

    /// Reads all shares of a search. A trial that is in two of them the same is one.
    ///
    /// # Errors
    /// [`ShareError`] if a file is no share, they are not of one search, or not all of it.
    pub fn read(paths: &[PathBuf]) -> Result<Self, ShareError> {
        let mut all: Option<(&PathBuf, Self)> = None;
        for path in paths {
            let Some(share) = read_share(path)? else { continue };
            match &mut all {
                None => all = Some((path, share)),
                Some((first, known)) => known.add(share, path, first)?,
            }
        }
        let (_, results) = all.ok_or(ShareError::Nothing)?;
        match results.trials.len() {
            all if all == results.whole.trials => Ok(results),
            found => Err(ShareError::Incomplete { found, of: results.whole.trials }),
        }
    }

    fn add(&mut self, share: Self, path: &Path, first: &Path) -> Result<(), ShareError> {
        if (&self.keys, &self.sessions, &self.whole) != (&share.keys, &share.sessions, &share.whole) {
            return Err(ShareError::Different { path: path.to_owned(), first: first.to_owned() });
        }
        for trial in share.trials {
            match self.trials.binary_search_by_key(&trial.number, |known| known.number) {
                Ok(place) if self.trials.get(place) == Some(&trial) => {}
                Ok(_) => return Err(ShareError::Contradiction { path: path.to_owned(), trial: trial.number }),
                Err(place) => self.trials.insert(place, trial),
            }
        }
        Ok(())
    }
}

/// Reads a share; `None` if it has no trials, as that of a machine too many.
fn read_share(path: &Path) -> Result<Option<Results>, ShareError> {
    let failed = |source| ShareError::Csv { path: path.to_owned(), source };
    let unreadable = |source| ShareError::Io { path: path.to_owned(), source };
    let columns = || ShareError::Columns { path: path.to_owned() };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut first = Vec::new();
    (&file).take(parquet_file::MAGIC.len() as u64).read_to_end(&mut first).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if first == parquet_file::MAGIC {
        return parquet_file::read(path, file);
    }
    let mut reader = csv::Reader::from_reader(BufReader::new(file));
    let header: Vec<String> = reader.headers().map_err(failed)?.iter().map(str::to_owned).collect();
    let (last, named) = header.split_last().ok_or_else(columns)?;
    let keys = named.len().checked_sub(FIRST.len() + AFTER.len()).ok_or_else(columns)?;
    let sessions = last.strip_prefix(RETURNS).ok_or_else(columns)?;
    let sessions = sessions.split(BETWEEN).filter(|text| !text.is_empty()).map(str::parse).collect::<Result<_, _>>();
    let mut results = Results {
        keys: named.iter().skip(FIRST.len()).take(keys).cloned().collect(),
        sessions: sessions.map_err(|_| columns())?,
        whole: Whole { id: String::new(), trials: 0 },
        trials: Vec::new(),
    };
    if results.header() != header {
        return Err(columns());
    }
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let row = Row { record: &record, keys };
        let cell = |place: usize| {
            let line = record.position().map_or(0, csv::Position::line);
            // The last column's name goes on with the sessions.
            let column = header.get(place).and_then(|name| name.split(' ').next()).unwrap_or_default().to_owned();
            let text = record.get(place).unwrap_or_default().chars().take(40).collect();
            ShareError::Cell { path: path.to_owned(), line, column, text }
        };
        let whole = row.whole().map_err(cell)?;
        if results.trials.is_empty() {
            results.whole = whole;
        } else if results.whole != whole {
            return Err(cell(1));
        }
        results.trials.push(row.trial(results.sessions.len()).map_err(cell)?);
    }
    results.trials.sort_by_key(|trial| trial.number);
    Ok((!results.trials.is_empty()).then_some(results))
}

/// A row of a share. What is wrong with it is the place of a column.
struct Row<'a> {
    record: &'a StringRecord,
    keys: usize,
}

impl Row<'_> {
    fn cell<T: FromStr>(&self, place: usize) -> Result<T, usize> {
        self.record.get(place).and_then(|text| text.parse().ok()).ok_or(place)
    }

    fn whole(&self) -> Result<Whole, usize> {
        Ok(Whole { id: self.cell(1)?, trials: self.cell(2)? })
    }

    fn trial(&self, sessions: usize) -> Result<Trial, usize> {
        let after = FIRST.len() + self.keys;
        let last = after + AFTER.len();
        let returns = self.record.get(last).unwrap_or_default().split(BETWEEN).filter(|text| !text.is_empty());
        let returns: Vec<f64> = returns.map(str::parse).collect::<Result<_, _>>().map_err(|_| last)?;
        if returns.len() != sessions {
            return Err(last);
        }
        Ok(Trial {
            number: self.cell(0)?,
            values: (FIRST.len()..after).map(|place| self.cell(place)).collect::<Result<_, _>>()?,
            trades: self.cell(after)?,
            won: self.cell(after + 1)?,
            pnl: self.cell(after + 2)?,
            fees: self.cell(after + 3)?,
            returns: Returns::new(returns).map_err(|_| last)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::money::Money;

    use super::super::Measure;
    use super::super::results::tests::results;
    use super::*;

    fn written(folder: &Path, name: &str, results: &Results) -> PathBuf {
        let path = folder.join(name);
        results.write(&path, &results.verdicts(Measure::Sharpe, 50)).unwrap();
        path
    }

    #[test]
    fn shares_taken_together_are_the_whole_search() {
        let folder = tempfile::tempdir().unwrap();
        let whole = results(0..5, 5);
        let shares = [
            ("b", results((1..5).step_by(2), 5)),
            ("a", results((0..5).step_by(2), 5)),
            ("again", results(0..1, 5)),
            ("one too many", results(0..0, 5)),
        ];
        let paths: Vec<PathBuf> = shares.iter().map(|(name, share)| written(folder.path(), name, share)).collect();
        let merged = Results::read(&paths).unwrap();
        assert_eq!(merged, whole);
        let file = |results: &Results| std::fs::read_to_string(written(folder.path(), "c", results)).unwrap();
        assert_eq!(file(&merged), file(&whole));
        assert!(matches!(Results::read(&paths[..1]), Err(ShareError::Incomplete { found: 2, of: 5 })));
        assert!(matches!(Results::read(&paths[3..]), Err(ShareError::Nothing)));
    }

    #[test]
    fn shares_in_parquet_are_the_same_and_mix_with_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = results(0..5, 5);
        // Figures that are not defined, an amount with all its digits, and values that look like something else.
        whole.trials[3].returns = Returns::new(vec![0.0; 6]).unwrap();
        whole.trials[4].pnl = Money(-123_456_789_012_345_678);
        whole.trials[4].values = vec![String::new(), "\u{e9};1,2".to_owned()];
        let share = |numbers: &[usize]| {
            let trials = numbers.iter().map(|number| whole.trials[*number].clone()).collect();
            Results { trials, ..whole.clone() }
        };
        let paths = [
            written(folder.path(), "first.parquet", &share(&[0, 3])),
            written(folder.path(), "second.parquet", &share(&[1, 4])),
            written(folder.path(), "third.csv", &share(&[2])),
            written(folder.path(), "none.parquet", &share(&[])),
        ];
        let merged = Results::read(&paths).unwrap();
        assert_eq!(merged, whole);
        let file = |results: &Results| std::fs::read(written(folder.path(), "all.parquet", results)).unwrap();
        assert_eq!(file(&merged), file(&whole));
        assert!(matches!(Results::read(&paths[3..]), Err(ShareError::Nothing)));
        let mut other = share(&[2]);
        other.trials[0].trades += 1;
        let other = written(folder.path(), "other.parquet", &other);
        let contradiction = Results::read(&[paths[2].clone(), other]);
        assert!(matches!(contradiction, Err(ShareError::Contradiction { trial: 2, .. })));
    }

    #[test]
    fn what_is_no_share_in_parquet_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "share.parquet", &results(0..2, 2));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let told = Results::read(std::slice::from_ref(&path)).unwrap_err();
        assert!(matches!(&told, ShareError::Parquet { .. }), "{told}");
        let mut empty = results(0..1, 1);
        (empty.sessions, empty.trials[0].returns) = (Vec::new(), Returns::new(Vec::new()).unwrap());
        let path = written(folder.path(), "no sessions.parquet", &empty);
        assert_eq!(Results::read(&[path]).unwrap(), empty);
    }

    #[test]
    fn numbers_are_numbers_in_parquet_and_come_back_as_they_were_given() {
        use parquet::basic::Type;
        use parquet::file::reader::{FileReader as _, SerializedFileReader};

        let folder = tempfile::tempdir().unwrap();
        for (values, kind) in [
            (["5", "10", "-3"], Type::INT64),
            (["0.5", "1", "-0.25"], Type::DOUBLE),
            (["05", "10", "15"], Type::BYTE_ARRAY),
            (["0.50", "1", "2"], Type::BYTE_ARRAY),
            (["5m", "10m", "15m"], Type::BYTE_ARRAY),
            (["NaN", "inf", "1"], Type::BYTE_ARRAY),
        ] {
            let mut searched = results(0..3, 3);
            for (trial, value) in searched.trials.iter_mut().zip(values) {
                trial.values[0] = value.to_owned();
            }
            let path = written(folder.path(), "trials.parquet", &searched);
            let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            let schema = reader.metadata().file_metadata().schema_descr();
            assert_eq!(schema.column(FIRST.len()).physical_type(), kind, "{values:?}");
            assert_eq!(Results::read(&[path]).unwrap(), searched, "{values:?}");
        }
    }

    #[test]
    fn shares_of_different_searches_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = written(folder.path(), "first", &results(0..2, 3));
        let mut other = results(2..3, 3);
        other.whole.id = "of other bars".to_owned();
        let of_other_bars = written(folder.path(), "other bars", &other);
        assert!(matches!(Results::read(&[first.clone(), of_other_bars]), Err(ShareError::Different { .. })));
        let mut other = results(1..2, 3);
        other.trials[0].trades = 5;
        let otherwise = written(folder.path(), "otherwise", &other);
        assert!(matches!(Results::read(&[first, otherwise]), Err(ShareError::Contradiction { trial: 1, .. })));
    }

    #[test]
    fn what_is_no_share_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "share", &results(0..2, 2));
        let text = std::fs::read_to_string(&path).unwrap();
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Results::read(std::slice::from_ref(&path))
                .unwrap_err()
                .to_string()
                .replace(&*path.to_string_lossy(), "share")
        };
        assert_eq!(told("date,return\n"), "share:1: these are no results of `trade optimize --out`");
        let cut = text.trim_end().rsplit_once(';').unwrap().0;
        assert!(told(cut).starts_with("share:3: returns is \"-0.0004;"), "{}", told(cut));
        assert_eq!(told(&text.replace("\n1,", "\none,")), "share:3: trial is \"one\", which no result has");
        assert_eq!(told(text.lines().next().unwrap()), "no trials in the files");
    }

    #[test]
    fn what_a_killed_search_left_behind_is_no_share() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("share.part"), "trial,search\n1,ha").unwrap();
        let path = written(folder.path(), "share", &results(0..2, 2));
        assert_eq!(Results::read(&[path]).unwrap(), results(0..2, 2));
        assert!(!folder.path().join("share.part").exists());
    }
}
