//! Who is asked what he makes of a symbol.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::Simulation;
use crate::adapters::models::{CommandScorer, ScorerSettings};
use crate::config::{ModelSettings, Settings};
use crate::engine::models::Models;
use crate::ledger::{Ledger, LedgerError, OpenOptions, model, resolved};
use crate::ports::{Clock, Scorer};

/// The models of the configuration.
#[must_use]
pub fn models(settings: &ModelSettings, clock: &Arc<dyn Clock>) -> Models {
    let scorer = |own: &ScorerSettings| -> Arc<dyn Scorer> { Arc::new(CommandScorer::new(own.clone())) };
    Models::asking(settings.chain.iter().map(scorer).collect(), settings, clock.clone())
}

/// The models of a simulation that writes the ledger at `path`: what another ledger has recorded of its sessions, and
/// after that those who are asked, if the settings want it.
pub(super) fn of_simulation(
    settings: &Settings,
    simulation: &Simulation,
    path: &Path,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Models> {
    let ModelSettings { chain, simulated, recorded, .. } = &settings.models;
    if chain.is_empty() && recorded.is_none() {
        return Ok(Models::default());
    }
    let asked = if *simulated { models(&settings.models, clock) } else { Models::default() };
    let source = resolved(recorded.as_deref().unwrap_or(&settings.ledger.path));
    if source == path {
        return Ok(asked.after_recorded(model::RecordedAnswers::new()));
    }
    let answers = match Ledger::open(&source, &OpenOptions::existing()) {
        Ok(ledger) => ledger.read(|conn| model::answers(conn, simulation.from, simulation.to))?,
        // Nobody has named it.
        Err(LedgerError::NotFound { .. } | LedgerError::MissingFolder { .. }) if recorded.is_none() => {
            model::RecordedAnswers::new()
        }
        Err(error) => return Err(error).context("reading the recorded answers of models"),
    };
    Ok(asked.after_recorded(answers))
}
