//! Sums up an ended session, and has it mailed.
//!
//! Gathers: the session's equity, trades, signals, latches, faults. Decides:
//! [`DayReport::build`](daybook_core::report::DayReport::build). The mail is rendered from the stored
//! report when it is sent.

use anyhow::Context;
use async_trait::async_trait;
use daybook_core::decision::Decision;
use daybook_core::report::{DayFacts, DayLimits, DayReport};

use crate::engine::job::{Job, Sources, Terms};
use crate::ledger::day::{self, DayFrame};

/// The job of kind `daily-summary`.
#[derive(Debug)]
pub struct DailySummary;

#[async_trait]
impl Job for DailySummary {
    type Facts = DayFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<DayFacts> {
        let session = terms.session()?;
        let view = sources.broker.look().await?;
        let risk = &terms.settings.risk;
        let limits = DayLimits {
            day_loss: risk.max_daily_loss,
            positions: risk.max_positions,
            position_value: risk.max_position_value,
            exposure: Some(risk.max_exposure),
            adjustments: risk.max_adjustments,
        };
        let next_session = sources.calendar.session_after(session.date);
        let frame = DayFrame { as_of: view.as_of, session, next_session, limits };
        Ok(sources.ledger.read(|conn| day::facts(conn, &sources.ledger.meta().account, frame))?)
    }

    fn decide(&self, facts: &DayFacts, _terms: &Terms) -> anyhow::Result<Decision> {
        let report = DayReport::build(facts.clone()).context("adding up the session")?;
        let alert = report.alert();
        Ok(Decision { summary: alert.subject.clone(), alerts: vec![alert], day: Some(report), ..Decision::default() })
    }
}
