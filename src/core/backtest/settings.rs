use serde::{Deserialize, Serialize};

use crate::market::Timeframe;
use crate::money::Bps;
use crate::time::Span;

/// How a back-test sends orders and leaves positions. What orders cost and how they fill is the paper broker's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BacktestSettings {
    /// The bars after which the strategies are asked.
    pub looks: Timeframe,
    /// What a market order meets.
    pub fills: Fills,
    /// How positions are left.
    pub exits: Exits,
    /// How long before the close every position is left, and after which none is opened.
    pub flatten: Span,
    /// Bars between a decision and the order's arrival at the exchange.
    pub latency_bars: u32,
    /// What borrowing the shares of a short position costs a year, as a part of their value at the entry; each
    /// session counts as a day of 360.
    pub borrow_rate: Bps,
    /// Whether sessions end early when the calendar says so; a made-up market may trade on.
    pub early_closes: bool,
}

/// What a market order meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fills {
    /// The open of the next bar.
    NextOpen,
    /// The quote after the last bar: its close and `market.files.quotes.half_spread` around it. So do the orders of a
    /// replay.
    LastClose,
}

/// How positions are left at their stop and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exits {
    /// Both rest at the exchange, as brackets do.
    Resting,
    /// A bar has closed at one of them or beyond: a market order leaves the position.
    OnClose,
}

impl Default for BacktestSettings {
    fn default() -> Self {
        Self {
            looks: Timeframe::M1,
            fills: Fills::NextOpen,
            exits: Exits::Resting,
            flatten: Span::minutes(10),
            latency_bars: 0,
            borrow_rate: Bps::ZERO,
            early_closes: true,
        }
    }
}

/// More bars than this between decision and arrival is a mistake in the setting.
const LATENCY_BARS_MAX: u32 = 60;

impl BacktestSettings {
    /// Everything that is wrong with the settings: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.looks == Timeframe::D1 {
            problems.push(("looks", "is 1d: expected bars of the session, such as 1m or 5m".to_owned()));
        }
        if self.flatten < Span::minutes(1) {
            problems.push(("flatten", format!("is {}: expected 1m or longer before the close", self.flatten)));
        }
        if self.latency_bars > LATENCY_BARS_MAX {
            problems.push(("latency_bars", format!("is {}: expected 0 to {LATENCY_BARS_MAX}", self.latency_bars)));
        } else if self.flatten <= Span::minutes(self.latency_bars) {
            let message = format!(
                "is {}, and flatten is {}: the orders that leave positions would come after the close; expected fewer \
                 1-minute bars than flatten has minutes",
                self.latency_bars, self.flatten
            );
            problems.push(("latency_bars", message));
        }
        if self.borrow_rate.0 < 0 {
            problems.push(("borrow_rate", format!("is {}: expected 0% or more", self.borrow_rate)));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_as_they_are_written_and_senseless_ones_are_named() {
        let settings = BacktestSettings::default();
        assert_eq!(settings.problems(), vec![]);
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<BacktestSettings>(&text).unwrap(), settings);
        let text = r#"{"looks": "1d", "fills": "last_close", "exits": "on_close", "flatten": "0s", "latency_bars": 61,
            "borrow_rate": "-1%"}"#;
        let settings: BacktestSettings = serde_json::from_str(text).unwrap();
        assert_eq!((settings.fills, settings.exits), (Fills::LastClose, Exits::OnClose));
        let keys: Vec<&str> = settings.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["looks", "flatten", "latency_bars", "borrow_rate"]);
        let late = |latency_bars| BacktestSettings { latency_bars, ..BacktestSettings::default() }.problems();
        assert_eq!(late(9), vec![]);
        assert!(late(10)[0].1.starts_with("is 10, and flatten is 10m: "), "positions would be held over night");
    }
}
