//! What the kinds of job take beside their schedule: `parameters` in a job's file.

use serde::{Deserialize, Serialize};

/// Of `kind: premarket-scan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanParameters {
    /// How many candidates are kept; `None`: as `scan.top` says.
    pub top: Option<u32>,
}

/// Of `kind: analysis`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalysisParameters {
    /// The names of the strategies to run; empty: all that are enabled.
    pub strategies: Vec<String>,
}

/// Of `kind: housekeeping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HousekeepingParameters {
    /// The facts and decisions of runs are kept for so many days; orders, fills, signals and sessions for ever.
    pub keep_records_days: u32,
}

impl Default for HousekeepingParameters {
    fn default() -> Self {
        Self { keep_records_days: 400 }
    }
}

/// Of the kinds that take none.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NoParameters {}
