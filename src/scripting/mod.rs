//! Strategies of the user's own: scripts in Lua, in a sandbox.
//!
//! A script is asked like a strategy that is built in, sees what that sees, and answers with a signal or with none. It
//! is a function of what it sees: it has no clock, no random number, no file, no order by hash, and nothing is left
//! over from one answer to the next. So a run is decided again byte for byte, by the text that decided it.
//!
//! What one answer may take is bounded by operations and by memory, whose bounds fall at the same place on every machine,
//! and at last by the time of the processor, for the few operations that take long. A script that goes beyond it, fails or answers nonsense has a [fault](daybook_core::strategy::ScriptFault), and proposes
//! nothing more until its text or its parameters are others.
//!
//! Lua 5.4 is compiled in, by the C compiler that SQLite needs, too. Luau is made for sandboxes, and was not chosen
//! because it wants a C++ compiler; what its sandbox would do is in `prelude.lua`.

#[cfg(feature = "scripting")]
mod sandbox;
#[cfg(feature = "scripting")]
mod script;
#[cfg(feature = "scripting")]
mod seen;
#[cfg(all(test, feature = "scripting"))]
mod tests;

use std::collections::BTreeMap;

use daybook_core::strategy::{self, Param, ScriptSettings, Strategy, StrategySettings};

#[cfg(feature = "scripting")]
pub use sandbox::{MEMORY_MAX, OPERATIONS_MAX};
#[cfg(feature = "scripting")]
pub use script::Script;

/// The largest script, in bytes.
pub const TEXT_MAX: u64 = 64 * 1024;

/// What a script says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// What it trades, in a few words.
    pub idea: String,
    /// Its parameters with their defaults.
    pub parameters: BTreeMap<String, Param>,
}

/// A script that cannot be asked, with the place in its file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// What is wrong.
    pub message: String,
}

/// Reads a script and runs it as far as its first answer: what it declares. `file` is its name for people.
///
/// # Errors
/// If it is no Lua, goes beyond its bounds, has no function `propose`, or declares what are no parameters.
pub fn declared(file: &str, text: &str) -> Result<Declared, ScriptError> {
    #[cfg(feature = "scripting")]
    return sandbox::Sandbox::open(file, text)?.declared();
    #[cfg(not(feature = "scripting"))]
    {
        let message =
            format!("{file} cannot be run ({} bytes): this program was built without `scripting`", text.len());
        Err(ScriptError { message })
    }
}

/// What is wrong with the parameters that a script is given: the key, and what is wrong and expected.
#[must_use]
pub fn problems_of_params(declared: &Declared, given: &BTreeMap<String, Param>) -> Vec<(String, String)> {
    let expected = |default: &Param, value: &Param| match (default, value) {
        (Param::Flag(_), Param::Flag(_))
        | (Param::Integer(_), Param::Integer(_))
        | (Param::Number(_), Param::Number(_) | Param::Integer(_))
        | (Param::Text(_), Param::Text(_)) => None,
        (Param::Flag(_), _) => Some("true or false"),
        (Param::Integer(_), _) => Some("a whole number"),
        (Param::Number(_), _) => Some("a number"),
        (Param::Text(_), _) => Some("text"),
    };
    let known = || match declared.parameters.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let problem = |(name, value): (&String, &Param)| {
        let told = match declared.parameters.get(name) {
            None => format!("the script declares no such parameter; expected {}", known()),
            Some(default) => format!("expected {}, as the script declares it", expected(default, value)?),
        };
        Some((name.clone(), told))
    };
    given.iter().filter_map(problem).collect()
}

/// The strategies that may propose under these settings: the built-in ones, then the scripts by their names.
#[must_use]
pub fn strategies(settings: &StrategySettings) -> Vec<Box<dyn Strategy>> {
    let scripts = settings.scripts.iter().filter(|(_, script)| script.enabled);
    strategy::strategies(settings)
        .into_iter()
        .chain(scripts.filter_map(|(name, script)| scripted(name, script)))
        .collect()
}

/// The names of all strategies, enabled or not: the built-in ones, then the scripts.
#[must_use]
pub fn names(settings: &StrategySettings) -> Vec<&str> {
    StrategySettings::NAMES.iter().copied().chain(settings.scripts.keys().map(String::as_str)).collect()
}

/// A strategy that is a script; a program without scripts has refused its configuration already.
fn scripted(name: &str, settings: &ScriptSettings) -> Option<Box<dyn Strategy>> {
    #[cfg(feature = "scripting")]
    return Some(Box::new(Script::new(name, settings.clone())));
    #[cfg(not(feature = "scripting"))]
    {
        let _ = (name, settings);
        None
    }
}
