use serde::{Deserialize, Serialize};

/// Whose money an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Nobody's: the broker's own simulation.
    #[default]
    Paper,
    /// The owner's.
    Live,
}

impl Environment {
    /// `paper` or `live`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Live => "live",
        }
    }
}
