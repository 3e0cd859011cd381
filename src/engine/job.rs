//! What a job is: it gathers facts, and decides once.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use daybook_core::calendar::{Calendar, Session};
use daybook_core::decision::Decision;
use daybook_core::market::{BarSet, Symbol};
use daybook_core::order::Origin;
use daybook_core::strategy::Evaluation;
use daybook_core::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::broker_link::BrokerLink;
use super::models::Models;
use crate::config::Settings;
use crate::ledger::Ledger;
use crate::ledger::bar::RecentBars;
use crate::ledger::record::Decided;
use crate::ports::{Clock, MarketFeed};

/// Where a job reads its facts.
#[derive(Clone)]
pub struct Sources {
    /// What was recorded.
    pub ledger: Ledger,
    /// The account, through the link that records what it sees.
    pub broker: BrokerLink,
    /// The session's bars that were recorded.
    pub bars: Arc<RecentBars>,
    /// The market's data.
    pub feed: Arc<dyn MarketFeed>,
    /// Who is asked what he makes of a symbol.
    pub models: Arc<Models>,
    /// The exchange's sessions.
    pub calendar: Arc<Calendar>,
    /// The time; a gathered fact carries it as its `as_of`.
    pub clock: Arc<dyn Clock>,
}

/// What is fixed about a run before its facts: decisions follow from these and the facts.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The ledger's identity, part of every order's name.
    pub ledger_id: String,
    /// The job's name.
    pub job: String,
    /// The instant at which the run was due.
    pub slot: Timestamp,
    /// The session that the run serves.
    pub session: Option<Session>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The job's own parameters, from its file or from the command that asked for it.
    pub parameters: serde_json::Value,
}

impl Terms {
    /// The session, for a job that cannot run without one.
    ///
    /// # Errors
    /// If the run is outside every session.
    pub fn session(&self) -> anyhow::Result<Session> {
        self.session.with_context(|| format!("{} at {} is outside every session", self.job, self.slot))
    }

    /// Where the run's orders get their names from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { ledger_id: self.ledger_id.clone(), job: self.job.clone(), slot: self.slot }
    }

    /// The parameters, typed; what is left out has its default.
    ///
    /// # Errors
    /// If they are not of this type.
    pub fn parameters<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let given = match &self.parameters {
            serde_json::Value::Null => serde_json::json!({}),
            given => given.clone(),
        };
        serde_json::from_value(given).with_context(|| format!("the parameters of {}", self.job))
    }
}

/// A job of some kind: its facts, where they come from, and what follows from them.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// What the job needs to know. It is stored with the run, so that the run can be decided again.
    type Facts: Serialize + DeserializeOwned + Send + Sync;

    /// Reads the facts. It may fail or be killed at any point: nothing has happened.
    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<Self::Facts>;

    /// Decides. It does no I/O, reads no clock and draws no random number.
    fn decide(&self, facts: &Self::Facts, terms: &Terms) -> anyhow::Result<Decision>;

    /// Why nothing was decided about a symbol, as far as the facts tell; empty for a job that does not
    /// choose among symbols.
    ///
    /// # Errors
    /// If the parameters are not the job's.
    fn answers(&self, _facts: &Self::Facts, _terms: &Terms, _symbol: Symbol) -> anyhow::Result<Vec<Answer>> {
        Ok(Vec::new())
    }

    /// The bars among the facts, which are recorded as rows and referred to.
    fn bars<'a>(&self, _facts: &'a Self::Facts) -> Option<&'a BarSet> {
        None
    }

    /// Puts the bars that the run referred to back into its facts.
    fn attach_bars(&self, _facts: &mut Self::Facts, _bars: BarSet) {}
}

/// What somebody whom a job asked about a symbol has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Who: a strategy, the scan.
    pub by: String,
    /// Its answer.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

/// A job whose kind of facts is hidden, so that jobs of all kinds stand in one table.
#[async_trait]
pub trait AnyJob: Send + Sync {
    /// Gathers and decides.
    async fn run(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<Decided>;
    /// Decides again on recorded facts.
    fn decide_again(&self, facts: &str, bars: BarSet, terms: &Terms) -> anyhow::Result<Decision>;
    /// Why nothing was decided about a symbol, on recorded facts.
    fn answers_again(&self, facts: &str, bars: BarSet, terms: &Terms, symbol: Symbol) -> anyhow::Result<Vec<Answer>>;
}

#[async_trait]
impl<J: Job> AnyJob for J {
    async fn run(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<Decided> {
        let facts = self.gather(sources, terms).await.context("gathering facts")?;
        let decision = self.decide(&facts, terms).context("deciding")?;
        let bars = self.bars(&facts).cloned().unwrap_or_default();
        let (parameters, feed) = (terms.parameters.clone(), sources.feed.name().to_owned());
        Ok(Decided { parameters, facts: serde_json::to_string(&facts)?, feed, bars, decision })
    }

    fn decide_again(&self, facts: &str, bars: BarSet, terms: &Terms) -> anyhow::Result<Decision> {
        self.decide(&restored(self, facts, bars)?, terms).context("deciding again")
    }

    fn answers_again(&self, facts: &str, bars: BarSet, terms: &Terms, symbol: Symbol) -> anyhow::Result<Vec<Answer>> {
        self.answers(&restored(self, facts, bars)?, terms, symbol)
    }
}

/// Recorded facts, with the bars that they refer to.
fn restored<J: Job>(job: &J, facts: &str, bars: BarSet) -> anyhow::Result<J::Facts> {
    let mut facts = serde_json::from_str(facts).context("reading recorded facts")?;
    job.attach_bars(&mut facts, bars);
    Ok(facts)
}
