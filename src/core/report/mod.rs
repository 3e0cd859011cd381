//! The figures of a day.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::time::SessionDate;

/// An ended session in figures: what the digest and `v_day` show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayReport {
    /// The session.
    pub session: SessionDate,
    /// Equity at the open.
    pub opening_equity: Money,
    /// Equity after the close.
    pub closing_equity: Money,
    /// Realised, before fees.
    pub realised: Money,
    /// Commission and fees.
    pub fees: Money,
}
