use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::Direction;
use super::entries::Entries;
use crate::market::Timeframe;
use crate::money::{Bps, Factor, MoneyError, Price};

/// The directions that a strategy trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directions {
    /// Rises only.
    Long,
    /// Falls only.
    Short,
    /// Either.
    Both,
}

impl Directions {
    /// `long`, `short` or `both`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
            Self::Both => "both",
        }
    }

    /// Whether `direction` is among them.
    #[must_use]
    pub const fn allow(self, direction: Direction) -> bool {
        match (self, direction) {
            (Self::Both, _) | (Self::Long, Direction::Long) | (Self::Short, Direction::Short) => true,
            (Self::Long, Direction::Short) | (Self::Short, Direction::Long) => false,
        }
    }
}

/// A distance between prices: `{atr: 2}`, `{range: 1}` or `{percent: 2%}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// A multiple of the average true range.
    Atr(Factor),
    /// A multiple of the opening range's width.
    Range(Factor),
    /// A percentage of the price.
    Percent(Bps),
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atr(factor) => write!(f, "{{atr: {factor}}}"),
            Self::Range(factor) => write!(f, "{{range: {factor}}}"),
            Self::Percent(ratio) => write!(f, "{{percent: {ratio}}}"),
        }
    }
}

impl Distance {
    pub(super) const fn sign(self) -> i64 {
        match self {
            Self::Atr(factor) | Self::Range(factor) => factor.0.signum(),
            Self::Percent(ratio) => ratio.0.signum(),
        }
    }

    /// Whether it is the longer one, as far as that can be told without a price: in the same words.
    pub(super) const fn is_wider_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Atr(factor), Self::Atr(other)) | (Self::Range(factor), Self::Range(other)) => factor.0 > other.0,
            (Self::Percent(ratio), Self::Percent(other)) => ratio.0 > other.0,
            (Self::Atr(_) | Self::Range(_) | Self::Percent(_), _) => false,
        }
    }

    /// The distance in price; `None` where it is measured in an ATR or a range that is not known.
    pub(super) fn at(
        self,
        price: Price,
        range: Option<Price>,
        atr: Option<Price>,
    ) -> Result<Option<Price>, MoneyError> {
        match self {
            Self::Atr(factor) => atr.map(|atr| atr.multiplied(factor)).transpose(),
            Self::Range(factor) => range.map(|range| range.multiplied(factor)).transpose(),
            Self::Percent(ratio) => price.moved_by(ratio)?.minus(price).map(Some),
        }
    }
}

/// The settings that strategies have in common: whether they propose, which trades, when, and where they end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) enabled: bool,
    pub(super) entries: Entries,
    pub(super) timeframe: Timeframe,
    pub(super) stop: Distance,
    pub(super) target: Distance,
}

/// The [`Terms`] of a strategy whose settings name them so.
macro_rules! terms {
    ($settings:expr) => {
        $crate::strategy::terms::Terms {
            enabled: $settings.enabled,
            entries: $crate::strategy::entries::entries!($settings),
            timeframe: $settings.timeframe,
            stop: $settings.stop,
            target: $settings.target,
        }
    };
}
pub(super) use terms;

impl Terms {
    /// What is wrong with them; a strategy adds what is wrong with its own.
    pub(super) fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        let frame = self.timeframe;
        problems.require("timeframe", frame != Timeframe::D1, frame, "bars of the session, such as 1m or 5m");
        for (key, distance) in [("stop", self.stop), ("target", self.target)] {
            let holds = distance.sign() > 0 && !matches!(distance, Distance::Range(_));
            problems.require(key, holds, distance, "{atr: ...} or {percent: ...%} above zero, such as {atr: 2}");
        }
        problems.require(
            "stop",
            !self.stop.is_wider_than(self.target),
            self.stop,
            &format!("at most target ({}): less can be earned than lost", self.target),
        );
        self.entries.check(&mut problems);
        problems
    }
}

/// What is wrong with a strategy's settings: the key, and what is wrong and expected.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<(&'static str, String)>);

impl Problems {
    pub(super) fn require(&mut self, key: &'static str, holds: bool, value: impl Display, expected: &str) {
        if !holds {
            self.0.push((key, format!("is {value}: expected {expected}")));
        }
    }
}
