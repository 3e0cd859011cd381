use serde::{Deserialize, Serialize};

use super::Problem;
use crate::decision::PaceChoice;
use crate::money::Bps;
use crate::schedule::Pace;
use crate::strategy::Reason;

/// When a market counts as volatile or quiet, which sets how often it is analysed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegimeSettings {
    /// Annualised volatility from which a market is volatile, and analysed at the fast pace.
    pub volatile_above: Bps,
    /// Annualised volatility up to which a market is quiet, and analysed at the slow pace.
    pub quiet_below: Bps,
    /// How far past its threshold, as a share of it, the volatility must return before a regime is left.
    pub hysteresis: Bps,
    /// How many of the latest five-minute bars the volatility is measured over.
    pub bars: u32,
    /// With fewer five-minute bars than this the pace is normal.
    pub bars_min: u32,
}

impl Default for RegimeSettings {
    fn default() -> Self {
        Self { volatile_above: Bps(3_000), quiet_below: Bps(1_000), hysteresis: Bps(1_000), bars: 12, bars_min: 4 }
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

/// Chooses the pace from the annualised volatilities of the watched symbols (1.0 is 100 %).
///
/// Their median is what counts, so that one symbol in the news does not set the pace for all. A regime
/// is entered at its threshold and left a margin beyond it: a volatility that hovers there does not
/// make the pace flutter. Without a measured symbol the pace is normal.
#[must_use]
pub fn choose_pace(before: Pace, volatilities: &[f64], settings: &RegimeSettings) -> PaceChoice {
    let Some(volatility) = median(volatilities).and_then(|median| Bps::from_f64(median).ok()) else {
        return PaceChoice { pace: Pace::Normal, reasons: vec![Reason::new("symbols with a measured volatility", 0)] };
    };
    let margin = settings.hysteresis.0;
    let volatile_from = match before {
        Pace::Fast => moved(settings.volatile_above, -margin),
        Pace::Normal | Pace::Slow => settings.volatile_above,
    };
    let quiet_to = match before {
        Pace::Slow => moved(settings.quiet_below, margin),
        Pace::Normal | Pace::Fast => settings.quiet_below,
    };
    let pace = if volatility >= volatile_from {
        Pace::Fast
    } else if volatility <= quiet_to {
        Pace::Slow
    } else {
        Pace::Normal
    };
    let reasons = vec![
        Reason::new("median volatility a year", volatility),
        Reason::new("symbols with a measured volatility", volatilities.len()),
        Reason::new("volatile from", volatile_from),
        Reason::new("quiet up to", quiet_to),
    ];
    PaceChoice { pace, reasons }
}

/// A threshold moved by a share of itself; saturates.
fn moved(threshold: Bps, share: i64) -> Bps {
    Bps(threshold.0.saturating_mul(Bps::ONE.0.saturating_add(share)) / Bps::ONE.0)
}

/// The middle value, the lower of the two where their number is even.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> RegimeSettings {
        RegimeSettings { volatile_above: Bps(4_000), quiet_below: Bps(1_000), ..RegimeSettings::default() }
    }

    #[test]
    fn the_pace_follows_the_median_and_holds_on_to_its_regime() {
        let table = [
            (Pace::Normal, vec![0.39], Pace::Normal),
            (Pace::Normal, vec![0.40], Pace::Fast),
            (Pace::Fast, vec![0.37], Pace::Fast),
            (Pace::Fast, vec![0.355], Pace::Normal),
            (Pace::Normal, vec![0.11], Pace::Normal),
            (Pace::Normal, vec![0.10], Pace::Slow),
            (Pace::Slow, vec![0.105], Pace::Slow),
            (Pace::Slow, vec![0.12], Pace::Normal),
            (Pace::Slow, vec![0.50], Pace::Fast),
            (Pace::Fast, vec![0.05], Pace::Slow),
            (Pace::Normal, vec![0.20, 3.0, 0.15], Pace::Normal),
            (Pace::Slow, vec![], Pace::Normal),
            (Pace::Slow, vec![f64::NAN], Pace::Normal),
        ];
        for (before, volatilities, expected) in table {
            let choice = choose_pace(before, &volatilities, &settings());
            assert_eq!(choice.pace, expected, "{before:?} at {volatilities:?}");
            assert!(!choice.reasons.is_empty());
        }
    }

    #[test]
    fn the_reasons_carry_the_numbers() {
        let choice = choose_pace(Pace::Fast, &[0.3721], &settings());
        let text: Vec<String> = choice.reasons.iter().map(|r| format!("{} {}", r.measure, r.value)).collect();
        assert_eq!(
            text,
            [
                "median volatility a year 37.21%",
                "symbols with a measured volatility 1",
                "volatile from 36%",
                "quiet up to 10%"
            ]
        );
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(RegimeSettings::default().problems().is_empty());
        let wrong = RegimeSettings { volatile_above: Bps(1_000), hysteresis: Bps(10_000), bars: 1, ..settings() };
        let fields: Vec<&str> = wrong.problems().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["volatile_above", "hysteresis", "bars"]);
    }

    proptest! {
        /// Asked again with the same volatility, the pace stays.
        #[test]
        fn a_choice_is_stable(volatility in 0.0..2.0_f64, before in prop_oneof![Just(Pace::Fast), Just(Pace::Normal), Just(Pace::Slow)]) {
            let once = choose_pace(before, &[volatility], &settings()).pace;
            prop_assert_eq!(choose_pace(once, &[volatility], &settings()).pace, once);
        }
    }
}
