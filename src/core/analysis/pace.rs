//! How often the market is looked at: its regime asks for a pace, and where nothing changes the pace backs off.

use serde::{Deserialize, Serialize};

use super::VolatilityMeasure;
use super::regime::{Regime, RegimeSettings, ThresholdSource, Thresholds, VolatilityHistory};
use crate::decision::PaceChoice;
use crate::money::Bps;
use crate::schedule::Pace;
use crate::strategy::Reason;
use crate::time::Timestamp;

/// What a job's look at the market has found.
#[derive(Debug, Clone, Copy)]
pub struct MarketLook<'a> {
    /// What the regime before asked for.
    pub pace_before: Pace,
    /// The annualised volatilities of the watched symbols (1.0 is 100 %), as far as they could be measured.
    pub volatilities: &'a [f64],
    /// Whether anything was new, or something could not be looked at.
    pub novelty: Novelty,
    /// The close of the session.
    pub close: Timestamp,
    /// The looks before it; `None` in facts of versions that knew of none.
    pub past: Option<&'a PastLooks>,
}

/// Whether a look has seen what the one before it had not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It has, or cannot tell.
    New,
    /// It has not: every watched symbol was looked at, none has a new bar, and no strategy proposes.
    Nothing,
}

/// What the ledger holds of earlier looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLooks {
    /// The job's looks in a row, up to the last one of this session, that have seen nothing new.
    pub unchanged: u32,
    /// What was measured in the sessions before; `None` where the thresholds are levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<VolatilityHistory>,
}

/// What the market is like, and by which numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegimeReading {
    /// What it is like.
    pub regime: Regime,
    /// What the volatility was measured by.
    pub measure: VolatilityMeasure,
    /// The median of the symbols' annualised volatilities; `None` where none could be measured.
    pub volatility: Option<Bps>,
    /// How many symbols it is the median of.
    pub symbols: u32,
    /// The thresholds that held, with the margin of the regime before.
    pub thresholds: Thresholds,
    /// How many measurements the thresholds are percentiles of; `None`: they are levels of the settings.
    pub observations: Option<u32>,
    /// The looks in a row, this one included, that have seen nothing new.
    pub unchanged: u32,
}

/// Chooses the pace: what the market's regime asks for, or slow where nothing changes.
///
/// The median of the symbols' volatilities is what counts, so that one symbol in the news does not set the pace for
/// all. A regime is entered at its threshold and left a margin beyond it. Without a measured symbol the market is
/// normal.
#[must_use]
pub fn choose_pace(look: &MarketLook<'_>, settings: &RegimeSettings) -> PaceChoice {
    let history = look.past.and_then(|past| past.history);
    let (thresholds, observations) = thresholds_in_force(history, settings);
    let thresholds = thresholds.within(Regime::asking_for(look.pace_before), settings.hysteresis);
    let volatility = median(look.volatilities).and_then(|median| Bps::from_f64(median).ok());
    let regime = volatility.map_or(Regime::Normal, |volatility| thresholds.regime_of(volatility));
    let symbols = if volatility.is_some() { look.volatilities.len() } else { 0 };
    let mut reasons: Vec<Reason> =
        volatility.iter().map(|volatility| Reason::new("median volatility a year", volatility)).collect();
    reasons.push(Reason::new("symbols with a measured volatility", symbols));
    if volatility.is_some() {
        reasons.push(Reason::new("volatile from", thresholds.volatile_from));
        reasons.push(Reason::new("quiet up to", thresholds.quiet_to));
    }
    let Some(past) = look.past else {
        return PaceChoice { pace: regime.pace(), reasons, reading: None, backed_off_until: None };
    };
    if let Some(history) = history {
        reasons.push(ground_of_thresholds(&history, observations, settings));
    }
    let unchanged = match look.novelty {
        Novelty::New => 0,
        Novelty::Nothing => past.unchanged.saturating_add(1),
    };
    reasons.push(Reason::new("the market is", regime.as_str()));
    reasons.push(Reason::new("looks in a row that saw nothing new", unchanged));
    let backs_off = settings.back_off_after > 0 && unchanged >= settings.back_off_after;
    let symbols = u32::try_from(symbols).unwrap_or(u32::MAX);
    PaceChoice {
        pace: if backs_off { Pace::Slow } else { regime.pace() },
        reasons,
        reading: Some(RegimeReading {
            regime,
            measure: settings.measure,
            volatility,
            symbols,
            thresholds,
            observations,
            unchanged,
        }),
        backed_off_until: backs_off.then_some(look.close),
    }
}

/// The thresholds without a margin, and how many measurements they are percentiles of. A history that is too short, or
/// in which both percentiles are one, says nothing: the levels hold.
fn thresholds_in_force(history: Option<VolatilityHistory>, settings: &RegimeSettings) -> (Thresholds, Option<u32>) {
    let levels = Thresholds { volatile_from: settings.volatile_above, quiet_to: settings.quiet_below };
    let of_history = |history: VolatilityHistory| {
        let thresholds = history.thresholds.filter(|found| found.volatile_from > found.quiet_to)?;
        Some((thresholds, Some(history.observations)))
    };
    history
        .filter(|_| settings.thresholds == ThresholdSource::Percentiles)
        .filter(|history| history.observations >= settings.percentiles.observations_min)
        .and_then(of_history)
        .unwrap_or((levels, None))
}

/// Why the thresholds are percentiles, or why they are not although they should be.
fn ground_of_thresholds(history: &VolatilityHistory, in_force: Option<u32>, settings: &RegimeSettings) -> Reason {
    let percentiles = &settings.percentiles;
    let found = history.observations;
    let value = if in_force.is_some() {
        let (volatile, quiet) = (percentiles.volatile_rank, percentiles.quiet_rank);
        format!("percentiles {volatile} and {quiet} of {found} measurements in {} sessions", percentiles.sessions)
    } else if found < percentiles.observations_min {
        format!(
            "levels: {found} measurements in {} sessions, {} needed",
            percentiles.sessions, percentiles.observations_min
        )
    } else {
        format!("levels: {found} measurements hardly differ")
    };
    Reason::new("thresholds", value)
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
    use crate::analysis::PercentileSettings;

    const CLOSE: Timestamp = Timestamp(1_794_862_800_000);

    fn settings() -> RegimeSettings {
        RegimeSettings { volatile_above: Bps(4_000), quiet_below: Bps(1_000), ..RegimeSettings::default() }
    }

    fn by_percentiles() -> RegimeSettings {
        RegimeSettings { thresholds: ThresholdSource::Percentiles, ..settings() }
    }

    fn look<'a>(pace_before: Pace, volatilities: &'a [f64], past: Option<&'a PastLooks>) -> MarketLook<'a> {
        MarketLook { pace_before, volatilities, novelty: Novelty::New, close: CLOSE, past }
    }

    /// A history whose thresholds are 20 % and 30 %.
    fn history(observations: u32) -> PastLooks {
        let thresholds = Thresholds { volatile_from: Bps(3_000), quiet_to: Bps(2_000) };
        let history = VolatilityHistory { observations, thresholds: Some(thresholds) };
        PastLooks { unchanged: 0, history: Some(history) }
    }

    fn told(choice: &PaceChoice) -> Vec<String> {
        choice.reasons.iter().map(|reason| format!("{} {}", reason.measure, reason.value)).collect()
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
        let past = PastLooks { unchanged: 0, history: None };
        for (before, volatilities, expected) in table {
            let choice = choose_pace(&look(before, &volatilities, Some(&past)), &settings());
            assert_eq!(choice.pace, expected, "{before:?} at {volatilities:?}");
            assert_eq!(choice.reading.unwrap().regime.pace(), expected);
            assert_eq!(choice.backed_off_until, None);
        }
    }

    #[test]
    fn the_reasons_carry_the_numbers() {
        let past = PastLooks { unchanged: 2, history: None };
        let choice = choose_pace(&look(Pace::Fast, &[0.3721], Some(&past)), &settings());
        assert_eq!(
            told(&choice),
            [
                "median volatility a year 37.21%",
                "symbols with a measured volatility 1",
                "volatile from 36%",
                "quiet up to 10%",
                "the market is volatile",
                "looks in a row that saw nothing new 0",
            ]
        );
        let nothing = choose_pace(&look(Pace::Fast, &[], Some(&past)), &settings());
        assert_eq!(
            told(&nothing),
            ["symbols with a measured volatility 0", "the market is normal", "looks in a row that saw nothing new 0"]
        );
    }

    #[test]
    fn facts_of_an_older_version_are_decided_as_they_were() {
        let choice = |volatilities: &[f64]| {
            serde_json::to_string(&choose_pace(&look(Pace::Fast, volatilities, None), &by_percentiles())).unwrap()
        };
        let measured = r#"{"pace":"fast","reasons":[{"measure":"median volatility a year","value":"37.21%"},{"measure":"symbols with a measured volatility","value":"1"},{"measure":"volatile from","value":"36%"},{"measure":"quiet up to","value":"10%"}]}"#;
        assert_eq!(choice(&[0.3721]), measured);
        let unmeasured =
            r#"{"pace":"normal","reasons":[{"measure":"symbols with a measured volatility","value":"0"}]}"#;
        assert_eq!(choice(&[]), unmeasured);
        let read: PaceChoice = serde_json::from_str(measured).unwrap();
        assert_eq!((read.reading, read.backed_off_until), (None, None));
    }

    #[test]
    fn percentiles_hold_once_the_history_is_long_enough() {
        let chosen = |past: &PastLooks, settings: &RegimeSettings| {
            let choice = choose_pace(&look(Pace::Normal, &[0.35], Some(past)), settings);
            let reading = choice.reading.unwrap();
            (
                reading.regime,
                reading.observations,
                told(&choice).into_iter().find(|line| line.starts_with("thresholds")),
            )
        };
        let long = "thresholds percentiles 80 and 20 of 100 measurements in 20 sessions".to_owned();
        assert_eq!(chosen(&history(100), &by_percentiles()), (Regime::Volatile, Some(100), Some(long)));
        let short = "thresholds levels: 99 measurements in 20 sessions, 100 needed".to_owned();
        assert_eq!(chosen(&history(99), &by_percentiles()), (Regime::Normal, None, Some(short)));
        let always_alike = VolatilityHistory::of(&[Bps(1_500); 100], &PercentileSettings::default());
        let past = PastLooks { unchanged: 0, history: Some(always_alike) };
        let alike = "thresholds levels: 100 measurements hardly differ".to_owned();
        assert_eq!(chosen(&past, &by_percentiles()), (Regime::Normal, None, Some(alike)));
        assert_eq!(chosen(&PastLooks { unchanged: 0, history: None }, &settings()), (Regime::Normal, None, None));
    }

    #[test]
    fn the_pace_backs_off_after_looks_that_saw_nothing_new_and_the_first_that_does_brings_it_back() {
        let looks = [
            (Novelty::Nothing, Pace::Fast),
            (Novelty::Nothing, Pace::Fast),
            (Novelty::Nothing, Pace::Slow),
            (Novelty::Nothing, Pace::Slow),
            (Novelty::New, Pace::Fast),
            (Novelty::Nothing, Pace::Fast),
        ];
        let mut past = PastLooks { unchanged: 0, history: None };
        for (place, (novelty, expected)) in looks.into_iter().enumerate() {
            let seen = MarketLook { novelty, ..look(Pace::Fast, &[0.5], Some(&past)) };
            let choice = choose_pace(&seen, &settings());
            let reading = choice.reading.unwrap();
            assert_eq!(choice.pace, expected, "look {place}");
            assert_eq!(choice.backed_off_until, (expected == Pace::Slow).then_some(CLOSE), "look {place}");
            assert_eq!(reading.regime, Regime::Volatile, "the market is what it is");
            past.unchanged = reading.unchanged;
        }
        let never = RegimeSettings { back_off_after: 0, ..settings() };
        let past = PastLooks { unchanged: 1_000, history: None };
        let seen = MarketLook { novelty: Novelty::Nothing, ..look(Pace::Fast, &[0.5], Some(&past)) };
        assert_eq!(choose_pace(&seen, &never).pace, Pace::Fast);
    }

    proptest! {
        /// Asked again with the same volatility, the regime stays: whatever the thresholds, also where the margins of
        /// two regimes overlap.
        #[test]
        fn a_choice_is_stable(
            volatility in 0.0..2.0_f64,
            before in prop::sample::select(vec![Pace::Fast, Pace::Normal, Pace::Slow]),
            quiet in 1_i64..9_000,
            gap in 1_i64..9_000,
            hysteresis in 0_i64..10_000,
        ) {
            let settings = RegimeSettings {
                quiet_below: Bps(quiet),
                volatile_above: Bps(quiet + gap),
                hysteresis: Bps(hysteresis),
                ..RegimeSettings::default()
            };
            let past = PastLooks { unchanged: 0, history: None };
            let once = choose_pace(&look(before, &[volatility], Some(&past)), &settings).pace;
            prop_assert_eq!(choose_pace(&look(once, &[volatility], Some(&past)), &settings).pace, once);
        }
    }
}
