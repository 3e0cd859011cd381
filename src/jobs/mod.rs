//! The jobs: each file reads what its job gathers, which core function decides, and nothing else.

mod account;
mod analysis;
mod command;
mod daily_summary;
mod housekeeping;
mod market_close_flatten;
mod operator;
mod premarket_scan;
mod reconcile;
mod risk_monitor;
pub mod weekly_summary;

use std::sync::Arc;

use daybook_core::schedule::JobKind;

use crate::engine::JobTable;
use crate::engine::job::AnyJob;

pub use analysis::question_about;

/// What each kind of job does.
#[must_use]
pub fn table() -> JobTable {
    let job = |kind: JobKind| -> Arc<dyn AnyJob> {
        match kind {
            JobKind::Reconcile => Arc::new(reconcile::Reconcile),
            JobKind::PremarketScan => Arc::new(premarket_scan::PremarketScan),
            JobKind::Analysis => Arc::new(analysis::Analysis),
            JobKind::RiskMonitor => Arc::new(risk_monitor::RiskMonitor),
            JobKind::MarketCloseFlatten => Arc::new(market_close_flatten::MarketCloseFlatten),
            JobKind::DailySummary => Arc::new(daily_summary::DailySummary),
            JobKind::WeeklySummary => Arc::new(weekly_summary::WeeklySummary),
            JobKind::Housekeeping => Arc::new(housekeeping::Housekeeping),
            JobKind::Command => Arc::new(command::CommandJob),
            JobKind::Operator => Arc::new(operator::Operator),
        }
    };
    JobKind::ALL.into_iter().map(|kind| (kind, job(kind))).collect()
}
