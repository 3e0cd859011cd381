//! When jobs are due.

use serde::{Deserialize, Serialize};

/// How often an adaptive job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// In a volatile market.
    Fast,
    /// In an ordinary one.
    #[default]
    Normal,
    /// In a quiet one.
    Slow,
}
