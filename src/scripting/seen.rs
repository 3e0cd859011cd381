//! What a script sees of a symbol: the view of all strategies, and what is worked out from it when it is asked for.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daybook_core::analysis::OpeningRange;
use daybook_core::indicators::{Candle, Column};
use daybook_core::market::{Bar, Timeframe};
use daybook_core::money::{MoneyError, Price};
use daybook_core::strategy::{Direction, Reasons, SymbolView, Wording, average_range, complete_bars, entry_price};
use daybook_core::time::{Span, Timestamp};
use mlua::{Lua, Table, Value, Variadic};

/// Notes that one answer may make, and the longest text in them, in bytes.
const NOTES_MAX: usize = 64;
const NOTE_LENGTH_MAX: usize = 200;

/// The name under which a script asks for the minutes before the open.
const PREMARKET: &str = "premarket";

const MINUTE_MS: f64 = 60_000.0;

/// The length that most notes are not longer than, in bytes.
const NOTE_LENGTH: usize = 64;

/// What a script looks for in bars: their frame, a name of theirs, a relation, a value, and from which bar on.
type Search = (String, String, String, f64, usize);

/// What is seen now. A script's functions are made once, and look here.
#[derive(Clone)]
pub(super) struct Eyes(Arc<Mutex<Seen>>);

struct Seen {
    /// The view without what it borrows: functions of Lua hold no borrows.
    view: Option<SymbolView<'static>>,
    bars: Vec<Bar>,
    /// The bars of the frames that were asked for.
    frames: Vec<(String, Vec<Bar>)>,
    reasons: Reasons,
    notes: usize,
}

impl Eyes {
    pub(super) fn new() -> Self {
        let reasons = Reasons::new(Wording::Untold);
        Self(Arc::new(Mutex::new(Seen { view: None, bars: Vec::new(), frames: Vec::new(), reasons, notes: 0 })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // What a panic has left behind is set anew before it is looked at.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a symbol. What is noted goes to `reasons`, which [`Self::close`] gives back.
    pub(super) fn open(&self, view: &SymbolView<'_>, reasons: Reasons) {
        let mut seen = self.seen();
        seen.bars.clear();
        seen.bars.extend_from_slice(view.bars);
        seen.frames.clear();
        seen.view = Some(without_borrows(view));
        seen.reasons = reasons;
        seen.notes = 0;
    }

    /// Looks away.
    pub(super) fn close(&self) -> Reasons {
        let mut seen = self.seen();
        seen.view = None;
        std::mem::replace(&mut seen.reasons, Reasons::new(Wording::Untold))
    }

    /// The functions that the prelude gives to scripts.
    pub(super) fn functions(&self, lua: &Lua) -> mlua::Result<Table> {
        let functions = lua.create_table()?;
        let eyes = self.clone();
        functions.raw_set(
            "note",
            lua.create_function(move |lua, (measure, values): (Value, Variadic<Value>)| {
                let name = text_of(lua, &[measure])?;
                let text = text_of(lua, &values)?;
                eyes.seen().note(name, &text).map_err(mlua::Error::runtime)
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "length",
            lua.create_function(move |_, frame: String| {
                eyes.seen().frame(&frame).map(<[Bar]>::len).map_err(mlua::Error::runtime)
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "first",
            lua.create_function(move |_, (frame, name, relation, value, from): Search| {
                eyes.seen().first(&frame, &name, &relation, value, from).map_err(mlua::Error::runtime)
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "count",
            lua.create_function(move |_, (frame, name, relation, value, from): Search| {
                eyes.seen().count(&frame, &name, &relation, value, from).map_err(mlua::Error::runtime)
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "column",
            lua.create_function(move |_, (frame, name): (String, String)| {
                let column = eyes.seen().column(&frame, &name).map_err(mlua::Error::runtime)?;
                // One by one, for a table that Lua makes: made here, each of its values would be set with a guard.
                Ok((column.is_some(), column.into_iter().flatten().collect::<Variadic<f64>>()))
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "opening_range",
            lua.create_function(move |_, minutes: u32| {
                let range = eyes.seen().opening_range(minutes).map_err(mlua::Error::runtime)?;
                Ok(match range {
                    Some(range) => (Some(range.high.to_f64()), Some(range.low.to_f64()), Some(range.minutes)),
                    None => (None, None, None),
                })
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "average_range",
            lua.create_function(move |_, frame: String| {
                let mut seen = eyes.seen();
                let range = seen.frame(&frame).and_then(|bars| average_range(bars).map_err(|error| error.to_string()));
                range.map(|range| range.map(Price::to_f64)).map_err(mlua::Error::runtime)
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "entry",
            lua.create_function(move |_, direction: String| {
                let direction = direction_of(&direction).map_err(mlua::Error::runtime)?;
                let seen = eyes.seen();
                Ok(seen.view().and_then(|view| entry_price(&view, direction)).map(Price::to_f64))
            })?,
        )?;
        let eyes = self.clone();
        functions.raw_set(
            "indicator",
            lua.create_function(move |_, (name, frame, bars_ago): (String, String, usize)| {
                eyes.seen().indicator(&name, &frame, bars_ago).map_err(mlua::Error::runtime)
            })?,
        )?;
        Ok(functions)
    }
}

/// What a bar has.
#[derive(Clone, Copy)]
enum Field {
    Open,
    High,
    Low,
    Close,
    Volume,
    Minute,
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "open" => Self::Open,
            "high" => Self::High,
            "low" => Self::Low,
            "close" => Self::Close,
            "volume" => Self::Volume,
            "minute" => Self::Minute,
            _ => return None,
        })
    }

    /// In dollars, shares, or minutes from the session's open to the bar's start.
    fn read(self, bar: &Bar, open: Timestamp) -> f64 {
        match self {
            Self::Open => bar.open.to_f64(),
            Self::High => bar.high.to_f64(),
            Self::Low => bar.low.to_f64(),
            Self::Close => bar.close.to_f64(),
            Self::Volume => bar.volume.to_f64(),
            Self::Minute => (bar.start.0 as f64 - open.0 as f64) / MINUTE_MS,
        }
    }
}

/// Whether the one is in a relation to the other.
type Holds = fn(&f64, &f64) -> bool;

/// What is looked for: something of a bar, its relation to a value, and how many bars are left out before.
fn search(name: &str, relation: &str, from: usize) -> Result<(Field, Holds, usize), String> {
    let field = Field::of(name);
    let field =
        field.ok_or_else(|| format!("\"{name}\" is none of open, high, low, close, volume and minute of a bar"))?;
    let holds: Holds = match relation {
        "<" => f64::lt,
        "<=" => f64::le,
        ">" => f64::gt,
        ">=" => f64::ge,
        _ => return Err(format!("\"{relation}\" is no relation: expected <, <=, > or >=")),
    };
    let before = from.checked_sub(1).ok_or("the first bar is bar 1, not 0")?;
    Ok((field, holds, before))
}

/// Values as one text of a note; no value is nil.
fn text_of(lua: &Lua, values: &[Value]) -> mlua::Result<String> {
    let mut text = String::with_capacity(NOTE_LENGTH);
    for value in if values.is_empty() { &[Value::Nil] } else { values } {
        write_value(lua, value, &mut text)?;
        if text.len() > NOTE_LENGTH_MAX {
            return Err(mlua::Error::runtime(format!("note takes texts of at most {NOTE_LENGTH_MAX} bytes")));
        }
    }
    Ok(text)
}

/// Writes a value as Lua does, and of what it would write the address of, its kind.
fn write_value(lua: &Lua, value: &Value, text: &mut String) -> mlua::Result<()> {
    match value {
        Value::String(said) => text.push_str(&said.to_str()?),
        Value::Boolean(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Integer(number) => push(text, format_args!("{number}")),
        Value::Number(number) if write_short(*number, text) => {}
        Value::Number(_) => {
            text.push_str(&lua.coerce_string(value.clone())?.map_or_else(String::new, |it| it.to_string_lossy()));
        }
        other => text.push_str(other.type_name()),
    }
    Ok(())
}

/// Writes a number in the digits that are enough to tell it, if Lua writes the same ones: no more than fourteen, with a
/// point and without an exponent. Otherwise nothing is written.
fn write_short(number: f64, text: &mut String) -> bool {
    let size = number.abs();
    if !(1e-3..1e14).contains(&size) && size > 0.0 || number.is_nan() {
        return false;
    }
    let before = text.len();
    push(text, format_args!("{number:?}"));
    let is_short = text.len() - before <= 15; // it has only grown
    if !is_short {
        text.truncate(before);
    }
    is_short
}

fn push(text: &mut String, written: fmt::Arguments<'_>) {
    // A string takes whatever is written to it.
    let _ = text.write_fmt(written);
}

/// `long` or `short`.
pub(super) fn direction_of(word: &str) -> Result<Direction, String> {
    match word {
        "long" => Ok(Direction::Long),
        "short" => Ok(Direction::Short),
        other => Err(format!("\"{other}\" is no direction: expected \"long\" or \"short\"")),
    }
}

fn without_borrows(view: &SymbolView<'_>) -> SymbolView<'static> {
    SymbolView {
        symbol: view.symbol,
        session: view.session,
        as_of: view.as_of,
        bars: &[],
        quote: view.quote,
        previous_close: view.previous_close,
        daily_atr: view.daily_atr,
        relative_volume: view.relative_volume,
        news_score: view.news_score,
        model: None,
        entries_today: view.entries_today,
    }
}

impl Seen {
    fn view(&self) -> Option<SymbolView<'_>> {
        self.view.map(|view| SymbolView { bars: &self.bars, ..view })
    }

    fn note(&mut self, measure: String, value: &str) -> Result<(), String> {
        if self.notes == NOTES_MAX {
            return Err(format!("note was called more than {NOTES_MAX} times"));
        }
        self.notes += 1;
        self.reasons.note(measure, value);
        Ok(())
    }

    /// The complete bars of a frame, of the session so far.
    fn frame(&mut self, name: &str) -> Result<&[Bar], String> {
        let place = match self.frames.iter().position(|(known, _)| known == name) {
            Some(place) => place,
            None => {
                let bars = self.bars_of(name)?;
                self.frames.push((name.to_owned(), bars));
                self.frames.len() - 1
            }
        };
        Ok(self.frames.get(place).map_or(&[], |(_, bars)| bars.as_slice()))
    }

    fn bars_of(&self, name: &str) -> Result<Vec<Bar>, String> {
        let Some(view) = self.view() else { return Ok(Vec::new()) };
        match name.parse::<Timeframe>() {
            _ if name == PREMARKET => Ok(view.premarket_bars().to_vec()),
            Ok(Timeframe::M1) => Ok(view.regular_bars().to_vec()),
            Ok(Timeframe::D1) | Err(_) => {
                Err(format!("\"{name}\" is no timeframe of a session: expected 1m, 5m, 15m, 30m, 1h or 4h"))
            }
            Ok(timeframe) => complete_bars(&view, timeframe).map_err(|error| error.to_string()),
        }
    }

    /// A column of a frame's bars, the oldest first; `None` if no column is called that.
    fn column(&mut self, frame: &str, name: &str) -> Result<Option<Vec<f64>>, String> {
        let Some(field) = Field::of(name) else { return Ok(None) };
        Ok(Some(self.values(frame, field)?.collect()))
    }

    /// The place of the first bar from one on, counted from 1, of which something is in a relation to a value.
    fn first(
        &mut self,
        frame: &str,
        name: &str,
        relation: &str,
        value: f64,
        from: usize,
    ) -> Result<Option<usize>, String> {
        let (field, holds, before) = search(name, relation, from)?;
        let place = self.values(frame, field)?.skip(before).position(|found| holds(&found, &value));
        Ok(place.map(|place| before + place + 1)) // both are places in memory
    }

    /// How many bars from one on there are, of which something is in a relation to a value.
    fn count(&mut self, frame: &str, name: &str, relation: &str, value: f64, from: usize) -> Result<usize, String> {
        let (field, holds, before) = search(name, relation, from)?;
        Ok(self.values(frame, field)?.skip(before).filter(|found| holds(found, &value)).count())
    }

    /// What a frame's bars have of something, the oldest first.
    fn values(&mut self, frame: &str, field: Field) -> Result<impl Iterator<Item = f64>, String> {
        let open = self.view.map_or(Timestamp(0), |view| view.session.open);
        Ok(self.frame(frame)?.iter().map(move |bar| field.read(bar, open)))
    }

    /// The range of the session's first minutes, if it is complete.
    fn opening_range(&self, minutes: u32) -> Result<Option<OpeningRange>, String> {
        let Some(view) = self.view() else { return Ok(None) };
        let range = OpeningRange::of(view.regular_bars(), &view.session, Span::minutes(minutes).as_duration());
        let range = range.map_err(|error: MoneyError| error.to_string())?;
        Ok(range.filter(|range| range.is_complete(view.as_of)))
    }

    /// An indicator over a frame's bars, as it stood so many bars ago.
    fn indicator(&mut self, name: &str, frame: &str, bars_ago: usize) -> Result<Option<f64>, String> {
        let mut column: Column = name.parse().map_err(|error| format!("{error}"))?;
        let bars = self.frame(frame)?;
        let looked_at = bars.len().saturating_sub(bars_ago);
        let mut value = None;
        for (place, bar) in bars.iter().take(looked_at).enumerate() {
            value = column.update(&Candle::from(bar), place == 0);
        }
        Ok(value)
    }
}
