//! What stands on standard output, in one way for every command: a table for people, CSV, or one JSON
//! document.
//!
//! A command builds a [`Table`] or a document and hands it over; only [`Output`] writes, and what it writes for people has
//! nothing in it that a terminal would obey but our colours. What is said
//! beside the data (an echoed time, a hint) goes to standard error.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement};
use daybook_core::report::words::instant;
use daybook_core::time::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::time::ZONE;
use crate::ledger::query;
use crate::terminal::{TABLE_STYLE, painted, shown, visible};

/// The form of the data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people: New York time.
    #[default]
    Table,
    /// Comma-separated values with a header: UTC.
    Csv,
    /// One JSON document: UTC.
    Json,
}

/// The option of every command that prints a table.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct FormatArg {
    /// As a table with New York time, or as CSV or JSON with UTC [default: table]
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "table|csv|json",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub format: Format,
}

/// Colours, on a terminal that wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub const PLAIN: Self = Self { colours: false };

    /// Colours where `stream` is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn for_stream(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: stream.is_terminal() && !refused }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colours { painted(code, text) } else { text.to_owned() }
    }

    /// What the eye should find first.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What may be overlooked.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Good news.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// A warning.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Bad news.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in CSV and JSON.
    name: Cow<'static, str>,
    /// Its heading on the terminal; `None`: it is not shown there.
    title: Option<Cow<'static, str>>,
    numeric: bool,
}

impl Column {
    /// A column of words.
    pub fn text(name: impl Into<Cow<'static, str>>, title: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), title: Some(title.into()), numeric: false }
    }

    /// A column of numbers, which stand to the right.
    pub fn number(name: impl Into<Cow<'static, str>>, title: impl Into<Cow<'static, str>>) -> Self {
        Self { numeric: true, ..Self::text(name, title) }
    }

    /// A column of CSV and JSON that a terminal has no room for.
    pub fn unseen(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), title: None, numeric: false }
    }
}

/// One value: what programs read, and what people see of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    value: Value,
    shown: String,
}

impl Cell {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { value: Value::Null, shown: String::new() }
    }

    /// Words.
    pub fn text(text: impl ToString) -> Self {
        let text = text.to_string();
        Self { value: Value::String(text.clone()), shown: text }
    }

    /// A whole number.
    pub fn count(number: impl Into<serde_json::Number> + std::fmt::Display) -> Self {
        let shown = number.to_string();
        Self { value: Value::Number(number.into()), shown }
    }

    /// A figure, if there is one and it is finite.
    #[must_use]
    pub fn real_if(number: Option<f64>) -> Self {
        let value = number.and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number);
        Self { shown: plain(&value), value }
    }

    /// An instant: UTC for programs, New York time for people.
    #[must_use]
    pub fn time(at: Timestamp) -> Self {
        Self { value: Value::String(at.to_string()), shown: instant(at) }
    }

    /// An instant, shown to people without its year and zone where there is little room.
    #[must_use]
    pub fn time_short(at: Option<Timestamp>) -> Self {
        let shown = at.map_or_else(String::new, |at| at.in_zone(ZONE).format("%m-%d %H:%M:%S").to_string());
        Self::time_if(at).shown_as(shown)
    }

    /// An instant, if there is one.
    #[must_use]
    pub fn time_if(at: Option<Timestamp>) -> Self {
        at.map_or_else(Self::empty, Self::time)
    }

    /// Words, if there are any.
    pub fn text_if(text: Option<impl ToString>) -> Self {
        text.map_or_else(Self::empty, Self::text)
    }

    /// A value as the ledger holds it.
    #[must_use]
    pub fn value(value: &query::Cell) -> Self {
        let shown = value.to_string();
        let value = match value {
            query::Cell::Null => Value::Null,
            query::Cell::Integer(number) => Value::from(*number),
            // No number of JSON's is infinite; SQLite has no other that JSON has not.
            query::Cell::Real(number) => Value::from(*number),
            query::Cell::Text(_) | query::Cell::Blob(_) => Value::String(shown.clone()),
        };
        Self { value, shown }
    }

    /// A value of several parts, which programs read as JSON.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        // Everything that is shown here is a value of the core, and has a JSON form.
        let value = serde_json::to_value(value).unwrap_or_default();
        Self { shown: plain(&value), value }
    }

    /// The same value, shown to people in other words.
    #[must_use]
    pub fn shown_as(self, shown: impl ToString) -> Self {
        Self { shown: shown.to_string(), ..self }
    }
}

/// Rows under named columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    /// The places of the columns that are shown on a terminal, in the order of that.
    seen: Vec<usize>,
    rows: Vec<Vec<Cell>>,
    /// What a person reads in place of an empty table.
    nothing: Cow<'static, str>,
}

impl Table {
    /// A table without rows yet; `nothing` is what a person reads if there never are any.
    pub fn new(columns: Vec<Column>, nothing: impl Into<Cow<'static, str>>) -> Self {
        let seen = columns.iter().enumerate().filter(|(_, column)| column.title.is_some()).map(|(place, _)| place);
        Self { seen: seen.collect(), columns, rows: Vec::new(), nothing: nothing.into() }
    }

    /// The same table with its columns in this order on a terminal, by their names.
    #[must_use]
    pub fn seen_as<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let place = |name| self.columns.iter().position(|column| column.name == name && column.title.is_some());
        self.seen = names.into_iter().filter_map(place).collect();
        self
    }

    /// Adds a row, one cell for each column.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// The table as people see it, at most `width` wide where that is known.
    #[must_use]
    pub fn to_text(&self, paint: Paint, width: Option<u16>) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", visible(&self.nothing));
        }
        let mut table = comfy_table::Table::new();
        table.load_style(TABLE_STYLE);
        match width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        let titles = self.seen.iter().filter_map(|i| self.columns.get(*i)).filter_map(|column| column.title.clone());
        table.set_header(titles.map(|title| visible(&title).into_owned()).collect::<Vec<_>>());
        for row in &self.rows {
            table.add_row(
                self.seen.iter().filter_map(|i| row.get(*i)).map(|cell| visible(&cell.shown)).collect::<Vec<_>>(),
            );
        }
        for (place, column) in self.seen.iter().filter_map(|i| self.columns.get(*i)).enumerate() {
            if let Some(shown) = table.column_mut(place) {
                shown.set_padding((0, 1));
                if column.numeric {
                    shown.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let mut text = String::new();
        for (number, line) in table.lines().enumerate() {
            let line = line.trim_end();
            text.push_str(&if number < 2 { paint.dim(line) } else { line.to_owned() });
            text.push('\n');
        }
        text
    }

    /// The table as CSV with a header.
    ///
    /// # Errors
    /// None that memory does not run out of; the writer's signature has them.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| column.name.as_bytes()))?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| plain(&cell.value)))?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

/// A value as text: nothing for null, a string without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An array of objects, keys in the order of the columns.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Record<'a>(&'a [Column], &'a [Cell]);
        impl Serialize for Record<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (column, cell) in self.0.iter().zip(self.1) {
                    map.serialize_entry(&column.name, &cell.value)?;
                }
                map.end()
            }
        }
        let mut sequence = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            sequence.serialize_element(&Record(&self.columns, row))?;
        }
        sequence.end()
    }
}

/// Standard output, as the person wants it.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    /// Colours of standard output.
    pub paint: Paint,
    width: Option<u16>,
}

impl Output {
    /// Standard output of this process; `json`: everything is one JSON document. A table is as wide as
    /// the terminal; where there is none, as wide as its content.
    #[must_use]
    pub fn of_process(json: bool) -> Self {
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0);
        Self { json, paint: Paint::for_stream(&io::stdout()), width }
    }

    /// Whether the person wants JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a table in the form that was asked for.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn table(&self, table: &Table, FormatArg { format }: FormatArg) -> anyhow::Result<()> {
        match if self.json { Format::Json } else { format } {
            Format::Table => self.text(&table.to_text(self.paint, self.width)),
            Format::Csv => self.raw(&table.to_csv()?),
            Format::Json => self.json(table),
        }
    }

    /// Prints rows in the form that was asked for; as CSV each one as it comes, however many there are.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn rows(
        &self,
        columns: Vec<Column>,
        rows: impl Iterator<Item = Vec<Cell>>,
        format: FormatArg,
    ) -> anyhow::Result<()> {
        if self.json || format.format != Format::Csv {
            let mut table = Table::new(columns, "no rows");
            rows.for_each(|row| table.push(row));
            return self.table(&table, format);
        }
        let mut writer = csv::Writer::from_writer(stream());
        writer.write_record(columns.iter().map(|column| column.name.as_bytes()))?;
        for row in rows {
            writer.write_record(row.iter().map(|cell| plain(&cell.value)))?;
        }
        Ok(writer.flush()?)
    }

    /// Prints a document: as JSON, or as the text that `text` makes of it.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn document<T: Serialize>(&self, document: &T, text: impl FnOnce(&T, Paint) -> String) -> anyhow::Result<()> {
        if self.json { self.json(document) } else { self.text(&text(document, self.paint)) }
    }

    /// Prints a document as JSON.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn json<T: Serialize>(&self, document: &T) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(document)?;
        bytes.push(b'\n');
        self.raw(&bytes)
    }

    /// Writes text for people.
    fn text(&self, text: &str) -> anyhow::Result<()> {
        self.raw(shown(text).as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }
}

/// Lines of a name and what stands under it, the names in one column: `  session    2026-11-16`.
#[must_use]
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect()
}

/// Standard output for a command that writes as it reads.
#[must_use]
pub fn stream() -> impl Write {
    BufWriter::new(io::stdout().lock())
}

/// A bar on standard error that moves while something long is done; hidden unless that is a terminal.
#[must_use]
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // The template is a constant; should it ever be wrong, the default style stands in.
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}

/// Says something beside the data, on standard error. Who cannot hear it misses nothing.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = vec![
            Column::text("symbol", "SYMBOL"),
            Column::number("quantity", "QTY"),
            Column::text("at", "AT"),
            Column::unseen("run_id"),
        ];
        let mut table = Table::new(columns, "no fills");
        let at = "2026-11-16T14:35:00Z".parse().unwrap();
        table.push(vec![Cell::text("AAPL"), Cell::count(100), Cell::time(at), Cell::count(7)]);
        table.push(vec![Cell::text("BRK.B"), Cell::count(5), Cell::empty(), Cell::count(8)]);
        table
    }

    #[test]
    fn a_table_is_narrow_and_its_numbers_stand_to_the_right() {
        insta::assert_snapshot!(table().to_text(Paint::PLAIN, None));
        assert_eq!(Table::new(Vec::new(), "no fills").to_text(Paint::PLAIN, Some(80)), "no fills\n");
    }

    #[test]
    fn a_long_text_is_broken_where_the_terminal_ends() {
        let mut long = Table::new(vec![Column::text("a", "A"), Column::text("b", "B")], "");
        long.push(vec![Cell::text("AAPL"), Cell::text("the position's value is above its limit of 10,000 dollars")]);
        let text = long.to_text(Paint::PLAIN, Some(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.lines().count() > 3, "{text}");
    }

    #[test]
    fn csv_has_every_column_and_utc() {
        let csv = String::from_utf8(table().to_csv().unwrap()).unwrap();
        assert_eq!(csv, "symbol,quantity,at,run_id\nAAPL,100,2026-11-16T14:35:00Z,7\nBRK.B,5,,8\n");
    }

    #[test]
    fn json_keeps_the_order_of_the_columns() {
        let json = serde_json::to_string(&table()).unwrap();
        let expected = r#"[{"symbol":"AAPL","quantity":100,"at":"2026-11-16T14:35:00Z","run_id":7},{"symbol":"BRK.B","quantity":5,"at":null,"run_id":8}]"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn colours_are_for_terminals_only() {
        assert_eq!(Paint::PLAIN.red("x"), "x");
        assert_eq!(shown(&Paint { colours: true }.red("x")), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn a_table_shows_what_others_would_have_a_terminal_do_and_data_has_it_as_it_is() {
        let mut table = Table::new(vec![Column::text("\x1b[2J", "\x1b[2J")], "");
        table.push(vec![Cell::text("evil \x1b]0;pwned\x07")]);
        let text = table.to_text(Paint { colours: true }, Some(60));
        assert!(!text.contains(['\x1b', '\x07']) && text.contains("\\u{1b}[2J"), "{text:?}");
        assert!(text.contains("evil \\u{1b}]0;pwned\\u{7}"), "{text:?}");
        assert!(table.to_csv().unwrap().contains(&0x1b));
    }
}
