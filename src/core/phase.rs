//! The phase of the whole program, as its owner sees it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar::MarketPhase;

/// What the program is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Nothing trades: the market is closed, or the program is not running.
    Stopped,
    /// Before the open: it scans.
    PreMarket,
    /// The regular session: it analyses, enters and watches.
    Trading,
    /// After the close: it reports.
    PostMarket,
    /// A latch stops new entries; what is open is still watched and closed.
    SafeMode,
    /// A part of the program failed too often; it is tried again after a cool-down.
    Error,
}

impl Phase {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::PreMarket => "PRE_MARKET",
            Self::Trading => "TRADING",
            Self::PostMarket => "POST_MARKET",
            Self::SafeMode => "SAFE_MODE",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the phase follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseInputs {
    /// What the exchange is doing.
    pub market: MarketPhase,
    /// Whether a latch stops new entries.
    pub halted: bool,
    /// Whether a part of the program has failed for good, until its cool-down is over.
    pub failed: bool,
    /// Whether the program is on its way out.
    pub stopping: bool,
}

/// The phase that follows from the inputs: the first that holds of stopping, failed, halted while
/// the market can be traded, and the market's own phase.
///
/// It is a function of the present alone, so a restart finds the same phase as a run without one.
#[must_use]
pub const fn phase(inputs: PhaseInputs) -> Phase {
    if inputs.stopping {
        return Phase::Stopped;
    }
    if inputs.failed {
        return Phase::Error;
    }
    match (inputs.market, inputs.halted) {
        (MarketPhase::Closed, _) => Phase::Stopped,
        (MarketPhase::PreMarket | MarketPhase::Trading | MarketPhase::PostMarket, true) => Phase::SafeMode,
        (MarketPhase::PreMarket, false) => Phase::PreMarket,
        (MarketPhase::Trading, false) => Phase::Trading,
        (MarketPhase::PostMarket, false) => Phase::PostMarket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_from_the_inputs_alone() {
        let table = [
            (MarketPhase::Trading, false, false, false, Phase::Trading),
            (MarketPhase::PreMarket, false, false, false, Phase::PreMarket),
            (MarketPhase::PostMarket, false, false, false, Phase::PostMarket),
            (MarketPhase::Closed, false, false, false, Phase::Stopped),
            (MarketPhase::Closed, true, false, false, Phase::Stopped),
            (MarketPhase::Trading, true, false, false, Phase::SafeMode),
            (MarketPhase::Trading, true, true, false, Phase::Error),
            (MarketPhase::Closed, false, true, false, Phase::Error),
            (MarketPhase::Trading, true, true, true, Phase::Stopped),
        ];
        for (market, halted, failed, stopping, expected) in table {
            assert_eq!(
                phase(PhaseInputs { market, halted, failed, stopping }),
                expected,
                "{market:?} {halted} {failed}"
            );
        }
    }
}
