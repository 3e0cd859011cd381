//! What the market is like: its volatility against thresholds, which are levels or percentiles of its own history.

use serde::{Deserialize, Serialize};

use super::{Problem, VolatilityMeasure};
use crate::money::Bps;
use crate::schedule::Pace;

/// Fewest measurements that percentiles may be taken of.
const OBSERVATIONS_LEAST: u32 = 10;

/// Most sessions that a history may go back: a year's.
const SESSIONS_MOST: u32 = 252;

/// What a market is like, by its volatility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regime {
    /// It moves much.
    Volatile,
    /// It moves as usual, or nobody knows.
    Normal,
    /// It hardly moves.
    Quiet,
}

impl Regime {
    /// `volatile`, `normal` or `quiet`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Volatile => "volatile",
            Self::Normal => "normal",
            Self::Quiet => "quiet",
        }
    }

    /// How often such a market is looked at.
    #[must_use]
    pub const fn pace(self) -> Pace {
        match self {
            Self::Volatile => Pace::Fast,
            Self::Normal => Pace::Normal,
            Self::Quiet => Pace::Slow,
        }
    }

    /// The regime that asks for a pace.
    #[must_use]
    pub const fn asking_for(pace: Pace) -> Self {
        match pace {
            Pace::Fast => Self::Volatile,
            Pace::Normal => Self::Normal,
            Pace::Slow => Self::Quiet,
        }
    }
}

/// When a market counts as volatile or quiet, which sets how often it is analysed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegimeSettings {
    /// What the volatility is measured by.
    pub measure: VolatilityMeasure,
    /// Whether the thresholds are the levels below or percentiles of what was measured before.
    pub thresholds: ThresholdSource,
    /// Annualised volatility from which a market is volatile, and analysed at the fast pace.
    pub volatile_above: Bps,
    /// Annualised volatility up to which a market is quiet, and analysed at the slow pace.
    pub quiet_below: Bps,
    /// Which percentiles, and of what.
    pub percentiles: PercentileSettings,
    /// How far past its threshold, as a share of it, the volatility must return before a regime is left.
    pub hysteresis: Bps,
    /// How many of the latest five-minute bars the volatility is measured over.
    pub bars: u32,
    /// With fewer five-minute bars than this the pace is normal.
    pub bars_min: u32,
    /// After so many looks in a row that have seen nothing new the pace is slow; 0: never.
    pub back_off_after: u32,
}

/// Where the thresholds of a regime come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSource {
    /// Volatilities that the settings name.
    #[default]
    Levels,
    /// Percentiles of the volatilities that were measured in the sessions before.
    Percentiles,
}

/// Thresholds by rank in the history. A rank is a whole number of hundredths, and no percentage: it cannot be taken
/// for a volatility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PercentileSettings {
    /// The percentile from which a market is volatile: of 100 measurements in order, the 80th.
    pub volatile_rank: u32,
    /// The percentile up to which a market is quiet.
    pub quiet_rank: u32,
    /// How many sessions the history goes back; the session in progress is no part of it.
    pub sessions: u32,
    /// With fewer measurements than this in them the levels hold.
    pub observations_min: u32,
}

impl Default for RegimeSettings {
    fn default() -> Self {
        Self {
            measure: VolatilityMeasure::default(),
            thresholds: ThresholdSource::default(),
            volatile_above: Bps(3_000),
            quiet_below: Bps(1_000),
            percentiles: PercentileSettings::default(),
            hysteresis: Bps(1_000),
            bars: 12,
            bars_min: 4,
            back_off_after: 3,
        }
    }
}

impl Default for PercentileSettings {
    fn default() -> Self {
        Self { volatile_rank: 80, quiet_rank: 20, sessions: 20, observations_min: 100 }
    }
}

impl RegimeSettings {
    /// What is wrong with the settings, field by field.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.quiet_below <= Bps::ZERO {
            problems.push(("quiet_below", format!("is {}: expected more than 0%, such as 10%", self.quiet_below)));
        }
        if self.volatile_above <= self.quiet_below {
            let (volatile, quiet) = (self.volatile_above, self.quiet_below);
            problems.push(("volatile_above", format!("is {volatile}: expected more than quiet_below, {quiet}")));
        }
        problems.extend(self.percentiles.problems());
        if self.hysteresis < Bps::ZERO || self.hysteresis >= Bps::ONE {
            problems.push(("hysteresis", format!("is {}: expected at least 0% and below 100%", self.hysteresis)));
        }
        if self.bars_min < 2 {
            let expected = "expected at least 2, a volatility needs a change";
            problems.push(("bars_min", format!("is {}: {expected}", self.bars_min)));
        }
        if self.bars < self.bars_min {
            problems.push(("bars", format!("is {}: expected at least bars_min, {}", self.bars, self.bars_min)));
        }
        problems
    }
}

impl PercentileSettings {
    fn problems(&self) -> Vec<Problem> {
        let Self { volatile_rank, quiet_rank, sessions, observations_min } = *self;
        let mut problems = Vec::new();
        let mut out_of_range = |key, value: u32, least: u32, most: u32| {
            if !(least..=most).contains(&value) {
                problems.push((key, format!("is {value}: expected {least} to {most}")));
            }
        };
        out_of_range("percentiles.quiet_rank", quiet_rank, 1, 98);
        out_of_range("percentiles.volatile_rank", volatile_rank, 2, 99);
        out_of_range("percentiles.sessions", sessions, 1, SESSIONS_MOST);
        if volatile_rank <= quiet_rank {
            let expected = format!("expected more than percentiles.quiet_rank, {quiet_rank}");
            problems.push(("percentiles.volatile_rank", format!("is {volatile_rank}: {expected}")));
        }
        if observations_min < OBSERVATIONS_LEAST {
            let expected = format!("expected at least {OBSERVATIONS_LEAST}: a rank among fewer says little");
            problems.push(("percentiles.observations_min", format!("is {observations_min}: {expected}")));
        }
        problems
    }
}

/// Annualised volatilities between which a market is normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// It is volatile from here on.
    pub volatile_from: Bps,
    /// It is quiet up to here.
    pub quiet_to: Bps,
}

impl Thresholds {
    /// Those that hold in a regime: a regime is left a margin beyond the threshold at which it was entered, so that a
    /// volatility that hovers there does not make it flutter.
    pub(super) fn within(self, regime: Regime, hysteresis: Bps) -> Self {
        let margin = hysteresis.0;
        let Self { volatile_from, quiet_to } = self;
        match regime {
            Regime::Volatile => Self { volatile_from: moved(volatile_from, -margin), quiet_to },
            Regime::Normal => self,
            Regime::Quiet => Self { volatile_from, quiet_to: moved(quiet_to, margin) },
        }
    }

    /// What a market of this volatility is.
    pub(super) fn regime_of(self, volatility: Bps) -> Regime {
        if volatility >= self.volatile_from {
            Regime::Volatile
        } else if volatility <= self.quiet_to {
            Regime::Quiet
        } else {
            Regime::Normal
        }
    }
}

/// A threshold moved by a share of itself; saturates.
fn moved(threshold: Bps, share: i64) -> Bps {
    Bps(threshold.0.saturating_mul(Bps::ONE.0.saturating_add(share)) / Bps::ONE.0)
}

/// What was measured in the sessions before, as far as thresholds follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolatilityHistory {
    /// How many measurements there are.
    pub observations: u32,
    /// Their percentiles; `None` where there is no measurement.
    pub thresholds: Option<Thresholds>,
}

impl VolatilityHistory {
    /// The history that measurements make, which are in ascending order.
    #[must_use]
    pub fn of(ascending: &[Bps], settings: &PercentileSettings) -> Self {
        let rank = |rank| percentile(ascending, rank);
        let thresholds = rank(settings.volatile_rank).zip(rank(settings.quiet_rank));
        Self {
            observations: u32::try_from(ascending.len()).unwrap_or(u32::MAX),
            thresholds: thresholds.map(|(volatile_from, quiet_to)| Thresholds { volatile_from, quiet_to }),
        }
    }
}

/// The nearest-rank percentile: the smallest value that at least `rank` hundredths of all values do not exceed. It is
/// one of the values, and needs no interpolation.
///
/// Source: the inverse of the empirical distribution function, definition 1 of Hyndman and Fan, *Sample Quantiles in
/// Statistical Packages* (1996).
fn percentile(ascending: &[Bps], rank: u32) -> Option<Bps> {
    let rank = usize::try_from(rank.clamp(1, 100)).ok()?;
    let place = ascending.len().saturating_mul(rank).div_ceil(100);
    ascending.get(place.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrong_settings_are_named() {
        assert!(RegimeSettings::default().problems().is_empty());
        let wrong = RegimeSettings {
            volatile_above: Bps(1_000),
            hysteresis: Bps(10_000),
            bars: 1,
            percentiles: PercentileSettings { volatile_rank: 20, quiet_rank: 20, sessions: 0, observations_min: 9 },
            ..RegimeSettings::default()
        };
        let fields: Vec<&str> = wrong.problems().into_iter().map(|(field, _)| field).collect();
        assert_eq!(
            fields,
            [
                "volatile_above",
                "percentiles.sessions",
                "percentiles.volatile_rank",
                "percentiles.observations_min",
                "hysteresis",
                "bars"
            ]
        );
        let of_ranks = |volatile_rank, quiet_rank| {
            let percentiles = PercentileSettings { volatile_rank, quiet_rank, ..PercentileSettings::default() };
            RegimeSettings { percentiles, ..RegimeSettings::default() }.problems()
        };
        assert_eq!(of_ranks(100, 20), [("percentiles.volatile_rank", "is 100: expected 2 to 99".to_owned())]);
        assert_eq!(of_ranks(80, 0), [("percentiles.quiet_rank", "is 0: expected 1 to 98".to_owned())]);
    }

    #[test]
    fn a_regime_and_its_pace_name_each_other() {
        for regime in [Regime::Volatile, Regime::Normal, Regime::Quiet] {
            assert_eq!(Regime::asking_for(regime.pace()), regime);
            assert_eq!(serde_json::to_value(regime).unwrap(), regime.as_str());
        }
    }

    #[test]
    fn a_percentile_is_the_value_of_the_nearest_rank() {
        let values = [15, 20, 35, 40, 50].map(Bps);
        let table = [(1, 15), (20, 15), (21, 20), (40, 20), (50, 35), (80, 40), (81, 50), (99, 50)];
        for (rank, expected) in table {
            assert_eq!(percentile(&values, rank), Some(Bps(expected)), "{rank}");
        }
        assert_eq!(percentile(&[], 50), None);
        let history = VolatilityHistory::of(&values, &PercentileSettings::default());
        let thresholds = Thresholds { volatile_from: Bps(40), quiet_to: Bps(15) };
        assert_eq!(history, VolatilityHistory { observations: 5, thresholds: Some(thresholds) });
        let none = VolatilityHistory { observations: 0, thresholds: None };
        assert_eq!(VolatilityHistory::of(&[], &PercentileSettings::default()), none);
    }

    proptest! {
        /// As many values as the rank says are not above it, as many as the rest are not below it, and a higher rank
        /// has no lower value.
        #[test]
        fn a_percentile_parts_the_values_and_rises_with_its_rank(
            mut values in prop::collection::vec((0_i64..5_000).prop_map(Bps), 1..200),
            rank in 1_u32..99,
        ) {
            values.sort_unstable();
            let found = percentile(&values, rank).unwrap();
            let up_to = values.partition_point(|value| *value <= found);
            let below = values.partition_point(|value| *value < found);
            prop_assert!(up_to * 100 >= values.len() * rank as usize);
            prop_assert!(below * 100 < values.len() * rank as usize);
            prop_assert!(percentile(&values, rank + 1).unwrap() >= found);
        }
    }
}
