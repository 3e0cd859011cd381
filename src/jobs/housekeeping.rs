//! Keeps the ledger sound and small: a check, a backup, and the removal of old records.
//!
//! Gathers: nothing but the time. Decides: three chores.

use std::time::Duration;

use async_trait::async_trait;
use daybook_core::decision::{Chore, Decision};
use daybook_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::HousekeepingParameters;
use crate::engine::job::{Job, Sources, Terms};

/// The job of kind `housekeeping`.
#[derive(Debug)]
pub struct Housekeeping;

/// When the house is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HousekeepingFacts {
    as_of: Timestamp,
}

#[async_trait]
impl Job for Housekeeping {
    type Facts = HousekeepingFacts;

    async fn gather(&self, sources: &Sources, _terms: &Terms) -> anyhow::Result<HousekeepingFacts> {
        Ok(HousekeepingFacts { as_of: sources.clock.wall() })
    }

    fn decide(&self, facts: &HousekeepingFacts, terms: &Terms) -> anyhow::Result<Decision> {
        let parameters: HousekeepingParameters = terms.parameters()?;
        let kept = Duration::from_secs(u64::from(parameters.keep_records_days) * 86_400);
        let keep = terms.settings.ledger.backup.keep;
        Ok(Decision {
            summary: "check, back up and prune the ledger".to_owned(),
            chores: vec![Chore::Check, Chore::Backup { keep }, Chore::Prune { before: facts.as_of.before(kept) }],
            ..Decision::default()
        })
    }
}
