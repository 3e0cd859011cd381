//! Runs a person's own program, on the same terms as every other job.
//!
//! Gathers: nothing. Decides: one chore, whose exit code is the run's outcome.

use anyhow::bail;
use async_trait::async_trait;
use daybook_core::decision::{Chore, Decision};
use serde::{Deserialize, Serialize};

use crate::engine::job::{Job, Sources, Terms};

/// The job of kind `command`.
#[derive(Debug)]
pub struct CommandJob;

/// What a command job runs; the runner takes it from the job's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandParameters {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may take, in seconds.
    pub timeout_s: u32,
}

/// A command needs no facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoFacts {}

#[async_trait]
impl Job for CommandJob {
    type Facts = NoFacts;

    async fn gather(&self, _sources: &Sources, _terms: &Terms) -> anyhow::Result<NoFacts> {
        Ok(NoFacts {})
    }

    fn decide(&self, _facts: &NoFacts, terms: &Terms) -> anyhow::Result<Decision> {
        let CommandParameters { command, timeout_s } = terms.parameters()?;
        let Some((program, arguments)) = command.split_first() else {
            bail!("job {} names no program", terms.job);
        };
        let chore = Chore::Command { program: program.clone(), arguments: arguments.to_vec(), timeout_s };
        Ok(Decision { summary: format!("run {}", command.join(" ")), chores: vec![chore], ..Decision::default() })
    }
}
