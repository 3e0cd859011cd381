//! One script in one state of Lua, and the bounds of what it takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daybook_core::analysis::ModelAnswer;
use daybook_core::strategy::{Param, Proposal, Proposed, Reasons, ScriptSettings, SymbolView, Wording};
use daybook_core::time::Timestamp;
use mlua::chunk::ChunkMode;
use mlua::debug::Debug;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};

use crate::process;

use super::seen::{Eyes, direction_of};
use super::{Declared, ScriptError};

/// Operations of Lua that one answer may take: some hundred times what a strategy over a session's minutes takes, and a
/// millisecond.
pub const OPERATIONS_MAX: u64 = 100_000;

/// Memory that one answer may take, in bytes, whether or not it is free again: all minutes of a session with all their
/// columns take a tenth.
pub const MEMORY_MAX: usize = 512 * 1024;

/// The time of a processor that one answer may take. What the other bounds let through takes a millisecond, but for a few
/// operations on the longest of texts: this is for those, and so large that it falls nowhere else.
const TIME_MAX: Duration = Duration::from_millis(100);

/// Operations between two looks at what has been taken. [`OPERATIONS_MAX`] is a multiple of it.
const LOOK_EVERY: u32 = 1_000;

/// What answers may leave behind until it is collected, between two answers.
const GARBAGE_MAX: usize = 4 * 1024 * 1024;

/// Functions of the prelude that call one another, at most, with those of Lua between them.
const CALLERS_MAX: usize = 16;

/// Its own code stands under this name in what Lua tells of an error.
const PRELUDE: &str = "prelude";

/// The longest name of a file that Lua tells in full, in characters.
const NAME_MAX: usize = 50;

/// A script that has been read, ready to be asked.
pub(super) struct Sandbox {
    lua: Lua,
    /// The script as a function of its globals.
    script: Function,
    /// Runs the script as far as what it declares.
    load: Function,
    /// Asks it.
    propose: Function,
    /// Makes a table that cannot be changed.
    frozen: Function,
    /// Holds one value that nobody else does: it is gone once memory has run out and was collected.
    canary: Table,
    eyes: Eyes,
    /// The script's name in what Lua tells.
    name: String,
    /// Memory in use when nothing was asked yet.
    at_rest: usize,
}

impl Sandbox {
    /// Reads a script.
    pub(super) fn open(file: &str, text: &str) -> Result<Self, ScriptError> {
        let surplus = file.chars().count().saturating_sub(NAME_MAX);
        let name: String = file.chars().skip(surplus).collect();
        if text.starts_with('\u{1b}') {
            return Err(ScriptError { message: format!("{name}: is compiled Lua; expected its source") });
        }
        Self::made(&name, text).map_err(|error| ScriptError { message: told(&name, &error) })
    }

    fn made(name: &str, text: &str) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::default())?;
        // Between two answers it is collected by hand: while one is worked out, nothing that it took is free again.
        lua.gc_stop();
        let eyes = Eyes::new();
        let prelude = lua.load(include_str!("prelude.lua")).set_name(format!("={PRELUDE}"));
        let (load, propose, frozen): (Function, Function, Function) =
            prelude.set_mode(ChunkMode::Text).call(eyes.functions(&lua)?)?;
        // On the first line, so that lines keep their numbers.
        let script = lua
            .load(format!("local _ENV = ...; {text}"))
            .set_name(format!("@{name}"))
            .set_mode(ChunkMode::Text)
            .into_function()?;
        let canary = lua.create_table()?;
        let weak = lua.create_table()?;
        weak.raw_set("__mode", "v")?;
        canary.set_metatable(Some(weak))?;
        lua.gc_collect()?;
        let at_rest = lua.used_memory();
        Ok(Self { lua, script, load, propose, frozen, canary, eyes, name: name.to_owned(), at_rest })
    }

    /// What the script declares.
    pub(super) fn declared(&self) -> Result<Declared, ScriptError> {
        let own = self.globals().map_err(|error| self.fault(&error))?;
        let globals: Table = self.bounded(|| self.load.call((&self.script, own)))?;
        let read = |key: &str| globals.raw_get::<Value>(key).map_err(|error| self.fault(&error));
        if !matches!(read("propose")?, Value::Function(_)) {
            return Err(self.wrong("has no function `propose`; expected `function propose(view, params) ... end`"));
        }
        let idea = match read("idea")? {
            Value::Nil => "a script of your own".to_owned(),
            Value::String(text) => text.to_string_lossy(),
            other => return Err(self.wrong(&format!("has a {} as `idea`; expected text", other.type_name()))),
        };
        let mut parameters = BTreeMap::new();
        match read("parameters")? {
            Value::Nil => {}
            Value::Table(declared) => {
                for pair in declared.pairs::<Value, Value>() {
                    let (name, value) = pair.map_err(|error| self.fault(&error))?;
                    let Value::String(name) = name else {
                        return Err(
                            self.wrong("has a parameter without a name; expected parameters = { name = value }")
                        );
                    };
                    let name = name.to_string_lossy();
                    let Some(value) = param(&value) else {
                        let message = format!(
                            "has a {} as the parameter {name}; expected true, false, a number or text",
                            value.type_name()
                        );
                        return Err(self.wrong(&message));
                    };
                    parameters.insert(name, value);
                }
            }
            other => return Err(self.wrong(&format!("has a {} as `parameters`; expected a table", other.type_name()))),
        }
        Ok(Declared { idea, parameters })
    }

    /// The parameters that the script is given: its own, with what the settings say over them.
    pub(super) fn params(&self, settings: &ScriptSettings) -> Result<Table, ScriptError> {
        let mut params = self.declared()?.parameters;
        for (name, given) in &settings.params {
            let given = match (params.get(name), given) {
                // A number stays one, whether or not somebody writes its point.
                (Some(Param::Number(_)), Param::Integer(whole)) => Param::Number(*whole as f64),
                _ => given.clone(),
            };
            params.insert(name.clone(), given);
        }
        let made = || -> mlua::Result<Table> {
            let table = self.lua.create_table()?;
            for (name, value) in params {
                match value {
                    Param::Flag(flag) => table.raw_set(name, flag)?,
                    Param::Integer(number) => table.raw_set(name, number)?,
                    Param::Number(number) => table.raw_set(name, number)?,
                    Param::Text(text) => table.raw_set(name, text)?,
                }
            }
            self.frozen.call(table)
        };
        made().map_err(|error| self.fault(&error))
    }

    /// Asks the script about a symbol. What it notes goes to `reasons`.
    pub(super) fn ask(
        &self,
        view: &SymbolView<'_>,
        params: &Table,
        reasons: &mut Reasons,
    ) -> Result<Option<Proposal>, ScriptError> {
        let noted = std::mem::replace(reasons, Reasons::new(Wording::Untold));
        self.eyes.open(view, noted);
        let answer = self.answer(view, params);
        *reasons = self.eyes.close();
        answer
    }

    fn answer(&self, view: &SymbolView<'_>, params: &Table) -> Result<Option<Proposal>, ScriptError> {
        let own = self.globals().map_err(|error| self.fault(&error))?;
        let seen = self.seen(view).map_err(|error| self.fault(&error))?;
        match self.bounded(|| self.propose.call((&self.script, own, seen, params)))? {
            Value::Nil => Ok(None),
            Value::Table(answer) => self.proposal(&answer).map(Some),
            other => Err(self.wrong(&format!("propose returned a {}; expected a table or nil", other.type_name()))),
        }
    }

    /// A table for the globals of the script.
    fn globals(&self) -> mlua::Result<Table> {
        self.lua.create_table_with_capacity(0, 16)
    }

    /// The view as a table; what takes work is a method of the prelude.
    fn seen(&self, view: &SymbolView<'_>) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(0, 16)?;
        let minutes = |from: Timestamp, to: Timestamp| to.since(from).as_secs_f64() / 60.0;
        table.raw_set("symbol", view.symbol.as_str())?;
        table.raw_set("minute", minutes(view.session.open, view.as_of))?;
        table.raw_set("session_minutes", minutes(view.session.open, view.session.close))?;
        table.raw_set("entries_today", view.entries_today)?;
        if let Some(quote) = view.quote {
            table.raw_set("bid", quote.bid.to_f64())?;
            table.raw_set("ask", quote.ask.to_f64())?;
        }
        for (name, price) in [
            ("open", view.regular_bars().first().map(|bar| bar.open)),
            ("last", view.last_price()),
            ("previous_close", view.previous_close),
            ("daily_atr", view.daily_atr),
        ] {
            if let Some(price) = price {
                table.raw_set(name, price.to_f64())?;
            }
        }
        for (name, ratio) in [
            ("relative_volume", view.relative_volume),
            ("news_score", view.news_score),
            ("model_score", view.model.and_then(ModelAnswer::score)),
        ] {
            if let Some(ratio) = ratio {
                table.raw_set(name, ratio.to_f64())?;
            }
        }
        Ok(table)
    }

    fn proposal(&self, answer: &Table) -> Result<Proposal, ScriptError> {
        const KEYS: &str = "direction, stop, target and confidence";
        // In order, so that what is told first is always the same.
        let mut given = BTreeMap::new();
        for pair in answer.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|error| self.fault(&error))?;
            given.insert(key.to_string().unwrap_or_default(), value);
        }
        let mut take = |key: &str| {
            given.remove(key).ok_or_else(|| self.wrong(&format!("propose returned no {key}; expected {KEYS}")))
        };
        let number = |key: &str, value: Value| {
            number(&value).ok_or_else(|| {
                self.wrong(&format!("propose returned a {} as {key}; expected a number", value.type_name()))
            })
        };
        let direction = match take("direction")? {
            Value::String(word) => direction_of(&word.to_string_lossy()),
            other => Err(format!("direction is a {}; expected \"long\" or \"short\"", other.type_name())),
        };
        let direction = direction.map_err(|message| self.wrong(&format!("propose: {message}")))?;
        let (stop, target) = (number("stop", take("stop")?)?, number("target", take("target")?)?);
        let confidence = number("confidence", take("confidence")?)?;
        if let Some(key) = given.keys().next() {
            return Err(self.wrong(&format!("propose returned a key \"{key}\"; expected {KEYS}")));
        }
        Proposal::new(&Proposed { direction, stop, target, confidence })
            .map_err(|error| self.wrong(&format!("propose: {error}")))
    }

    /// Lets the script work, within its bounds.
    fn bounded<T>(&self, work: impl FnOnce() -> mlua::Result<T>) -> Result<T, ScriptError> {
        self.begin().map_err(|error| self.fault(&error))?;
        let answer = work();
        let ended = self.lua.set_memory_limit(0).map(|_| self.lua.remove_global_hook());
        let ran_out = self.canary.raw_len() == 0;
        if self.lua.used_memory() > self.at_rest.saturating_add(GARBAGE_MAX) {
            self.lua.gc_collect().map_err(|error| self.fault(&error))?;
        }
        ended.map_err(|error| self.fault(&error))?;
        if ran_out || answer.as_ref().is_err_and(is_of_memory) {
            return Err(self.wrong(&format!("took more than {} KiB of memory", MEMORY_MAX / 1024)));
        }
        answer.map_err(|error| self.fault(&error))
    }

    /// Counts from here on.
    fn begin(&self) -> mlua::Result<()> {
        self.canary.raw_set(1, self.lua.create_table()?)?;
        let (looks, canary, name) = (AtomicU64::new(0), self.canary.clone(), self.name.clone());
        let begun = process::thread_cpu();
        let every = HookTriggers::new().every_nth_instruction(LOOK_EVERY);
        self.lua.set_global_hook(every, move |lua, _| {
            let taken = (looks.fetch_add(1, Ordering::Relaxed) + 1) * u64::from(LOOK_EVERY);
            if taken >= OPERATIONS_MAX {
                return Err(too_much(lua, &name, &format!("{OPERATIONS_MAX} operations")));
            }
            if canary.raw_len() == 0 {
                return Err(mlua::Error::runtime("memory has run out"));
            }
            if process::thread_cpu().saturating_sub(begun) > TIME_MAX {
                return Err(too_much(lua, &name, &format!("{} ms", TIME_MAX.as_millis())));
            }
            Ok(VmState::Continue)
        })?;
        self.lua.set_memory_limit(self.lua.used_memory().saturating_add(MEMORY_MAX))?;
        Ok(())
    }

    fn fault(&self, error: &mlua::Error) -> ScriptError {
        ScriptError { message: told(&self.name, error) }
    }

    fn wrong(&self, what: &str) -> ScriptError {
        ScriptError { message: format!("{}: {what}", self.name) }
    }
}

/// The end of an answer that goes beyond a bound, with the line of the script.
fn too_much(lua: &Lua, name: &str, bound: &str) -> mlua::Error {
    let place = line_of(lua, name).map_or_else(String::new, |line| format!(":{line}"));
    mlua::Error::runtime(format!("{name}{place}: took more than {bound}"))
}

/// The line of the script that is worked on, which may be in a function of the prelude.
fn line_of(lua: &Lua, name: &str) -> Option<usize> {
    let of_script = |debug: &Debug<'_>| {
        let is_ours = debug.source().short_src.is_some_and(|source| source == name);
        debug.current_line().filter(|_| is_ours)
    };
    (0..CALLERS_MAX).find_map(|level| lua.inspect_stack(level, of_script).flatten())
}

/// Whether memory could not be had.
fn is_of_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_of_memory(cause),
        _ => false,
    }
}

/// A number of Lua, whole or not.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A value as a parameter.
fn param(value: &Value) -> Option<Param> {
    match value {
        Value::Boolean(flag) => Some(Param::Flag(*flag)),
        Value::Integer(number) => Some(Param::Integer(*number)),
        Value::Number(number) => number.is_finite().then_some(Param::Number(*number)),
        Value::String(text) => Some(Param::Text(text.to_string_lossy())),
        _ => None,
    }
}

/// An error as a person reads it: `my.lua:12: what went wrong`.
fn told(name: &str, error: &mlua::Error) -> String {
    without_addresses(&words_of(name, error))
}

/// The same text without the addresses that a table or a function which is raised is told by: another process has others,
/// and what a script said is decided again.
fn without_addresses(text: &str) -> String {
    const ADDRESS: &str = ": 0x";
    let mut parts = text.split(ADDRESS);
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        if rest.len() == part.len() {
            told.push_str(ADDRESS);
        }
        told.push_str(rest);
    }
    told
}

fn words_of(name: &str, error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::CallbackError { traceback, cause } => placed(name, &innermost(cause), traceback),
        mlua::Error::RuntimeError(text) => {
            let (message, traceback) = text.split_once("\nstack traceback:").unwrap_or((text, ""));
            placed(name, message, traceback)
        }
        other => placed(name, &other.to_string(), ""),
    }
}

/// What an error of ours says, below those that tell the way it took.
fn innermost(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => innermost(cause),
        mlua::Error::RuntimeError(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A message with its place in the script. What the prelude tells has its own place, which is nobody's business: the
/// script's is where it called.
fn placed(name: &str, message: &str, traceback: &str) -> String {
    let is_placed = message.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    if is_placed {
        return message.to_owned();
    }
    let message = match message.strip_prefix(PRELUDE).and_then(|rest| rest.strip_prefix(':')) {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, message)| message),
        None => message,
    };
    let lines = traceback.match_indices(name).filter_map(|(at, _)| {
        let rest = traceback.get(at + name.len()..)?.strip_prefix(':')?;
        let line: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!line.is_empty()).then_some(line)
    });
    match lines.take(1).next() {
        Some(line) => format!("{name}:{line}: {message}"),
        None => format!("{name}: {message}"),
    }
}
