//! A script as a strategy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use daybook_core::strategy::{
    Directions, NextLook, Proposal, Reasons, ScriptFault, ScriptSettings, Signal, Strategy, SymbolView,
};
use mlua::Table;

use super::ScriptError;
use super::sandbox::Sandbox;

/// Characters of a hash that people read.
const HASH_SHOWN: usize = 12;

/// A strategy that is a script. It is read when it is asked first, and after a fault it is not asked again.
pub struct Script {
    name: String,
    settings: ScriptSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The script, and the parameters that it is given.
    sandbox: Option<(Sandbox, Table)>,
    fault: Option<ScriptFault>,
}

impl Script {
    /// The strategy of this name; its settings have been checked, and hold the script's text.
    #[must_use]
    pub fn new(name: &str, settings: ScriptSettings) -> Self {
        Self { name: name.to_owned(), settings, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the sandbox leaves no half of an answer behind: each begins anew.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        &self,
        state: &mut State,
        view: &SymbolView<'_>,
        reasons: &mut Reasons,
    ) -> Result<Option<Proposal>, ScriptError> {
        let (sandbox, params) = match &mut state.sandbox {
            Some(read) => read,
            None => {
                let sandbox = Sandbox::open(&self.settings.script, &self.settings.text)?;
                let params = sandbox.params(&self.settings)?;
                state.sandbox.insert((sandbox, params))
            }
        };
        sandbox.ask(view, params, reasons)
    }

    fn find(
        &self,
        state: &mut State,
        view: &SymbolView<'_>,
        reasons: &mut Reasons,
    ) -> Result<Option<Signal>, ScriptError> {
        let ScriptSettings { script, sha256, .. } = &self.settings;
        let hash = sha256.as_deref().unwrap_or_default();
        reasons.note("script", format_args!("{script} {}", hash.get(..HASH_SHOWN).unwrap_or(hash)));
        let Some(proposal) = self.ask(state, view, reasons)? else { return Ok(None) };
        self.settings
            .signal(&self.name, view, &proposal, reasons)
            .map_err(|nonsense| ScriptError { message: format!("{script}: propose: {nonsense}") })
    }
}

impl Strategy for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn idea(&self) -> &str {
        &self.settings.script
    }

    fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    fn directions(&self) -> Directions {
        self.settings.direction
    }

    fn max_entries(&self) -> u32 {
        self.settings.max_entries
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new() // they are told with the section that it stands in
    }

    fn wants_news(&self) -> bool {
        // It cannot look at what it does not name.
        self.settings.text.contains("news_score")
    }

    fn wants_model(&self) -> bool {
        self.settings.text.contains("model_score")
    }

    fn fault(&self) -> Option<ScriptFault> {
        self.state().fault.clone()
    }

    fn propose(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> Option<Signal> {
        let mut state = self.state();
        if let Some(fault) = &state.fault {
            reasons.note("stopped", &fault.message);
            return None;
        }
        if !self.settings.is_open(view, reasons) {
            return None;
        }
        match self.find(&mut state, view, reasons) {
            Ok(signal) => signal,
            Err(ScriptError { message }) => {
                reasons.note("stopped", &message);
                state.fault = Some(ScriptFault {
                    strategy: self.name.clone(),
                    sha256: self.settings.sha256.clone().unwrap_or_default(),
                    params: self.settings.params.clone(),
                    symbol: view.symbol,
                    message,
                });
                None
            }
        }
    }

    fn next_look(&self, view: &SymbolView<'_>) -> NextLook {
        if self.fault().is_some() { NextLook::NextSession } else { self.settings.next_look(view) }
    }
}
