use serde::{Deserialize, Serialize};

use super::loosening::Loosening;
use super::{ProtectionSettings, Sizing};
use crate::money::{Bps, Factor, Money, Quantity};
use crate::time::Span;

/// What the account may risk. Every key is optional; the defaults are the owner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskSettings {
    /// The loss of one session, fees included, at which everything is closed and a person must resume.
    pub max_daily_loss: Money,
    /// The part of `max_daily_loss` at which a person is warned, once a session.
    pub warning_at: Bps,
    /// The fall from the highest equity ever at which entries stop until a person resumes.
    pub max_drawdown: Bps,

    /// The most positions at once; orders that wait to enter count.
    pub max_positions: u32,
    /// The most that one position may be worth at its entry.
    pub max_position_value: Money,
    /// The most that all positions may be worth together, longs and shorts added.
    pub max_exposure: Money,
    /// How many signals of one analysis are traded, the surest first.
    pub execute_top_n: u32,
    /// How often a symbol is entered in a session, whoever enters it.
    pub max_entries: u32,
    /// A signal's confidence must be above this.
    pub min_confidence: Bps,

    /// The part of the equity that one position may lose between its entry and its stop.
    pub risk_per_trade: Bps,
    /// How many shares an entry is for. The limits on value bound it in any case.
    pub sizing: Sizing,
    /// Shares are bought in multiples of this.
    pub lot_size: Quantity,
    /// How an entry is sent: `market`, or `limit: {offset: 0.1%}`.
    pub entry_order: EntryOrder,

    /// The oldest price that an entry is decided on.
    pub max_price_age: Span,
    /// A price further than this from the last one believed is not believed until it is seen again.
    pub absurd_move: Bps,
    /// The oldest price at which the risk monitor values a position.
    pub max_mark_age: Span,
    /// Positions without a fresh price for this long, in trading hours, stop entries.
    pub stale_marks_limit: Span,

    /// What must be left of the session for an entry.
    pub min_session_left: Span,
    /// The minute bars of a symbol's session that must be there before it is traded.
    pub min_bars: u32,
    /// The analysis runs that must have decided before the first entry. All runs that the ledger holds
    /// count, of this session and of earlier ones: it is a new installation that warms up, not a new day.
    pub warm_up_cycles: u32,

    /// The furthest that a stop may be from the entry; a signal's stop beyond it is moved here. It is
    /// also the stop of a position that came without one.
    pub stop_loss: Bps,
    /// The longest that a position is held.
    pub max_hold: Span,
    /// How often a position's stop may be moved.
    pub max_adjustments: u32,
    /// How a stop follows a position that earns.
    pub trailing: TrailingSettings,

    /// The softer latch.
    pub safe_mode: SafeModeSettings,
    /// When the record of trades makes entries pause.
    pub protections: ProtectionSettings,

    /// When a change that loosens one of these limits comes into force, if it is made while the market is open.
    pub loosening: Loosening,
}

/// How an entry order is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EntryOrder {
    /// At the market: it fills, at what price is open.
    Market,
    /// At a limit this far beyond the signal's price: the price is bounded, the fill is open.
    Limit { offset: Bps },
}

/// How a stop follows. Distances are multiples of R, what the position risked: entry to first stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrailingSettings {
    /// The gain at which the stop moves to the entry. Zero: stops are never moved.
    pub break_even_after: Factor,
    /// How far behind the best price the stop follows from then on.
    pub distance: Factor,
    /// The least that a stop is moved by, so that the few adjustments are not spent on pennies.
    pub step: Factor,
}

/// When entries stop by themselves, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SafeModeSettings {
    /// Losing trades in a row, since the session's open or the last safe mode, that start it. Zero: never.
    pub after_losses: u32,
    /// Failed runs of jobs in a row that start it. Zero: never.
    pub after_failures: u32,
    /// How long it lasts.
    pub cool_down: Span,
}

impl Default for RiskSettings {
    fn default() -> Self {
        Self {
            max_daily_loss: Money::whole(2_000),
            warning_at: Bps(7_500),
            max_drawdown: Bps(1_000),
            max_positions: 5,
            max_position_value: Money::whole(10_000),
            max_exposure: Money::whole(50_000),
            execute_top_n: 3,
            max_entries: 1,
            min_confidence: Bps(6_000),
            risk_per_trade: Bps(50),
            sizing: Sizing::RiskPerTrade,
            lot_size: Quantity::whole(1),
            entry_order: EntryOrder::Market,
            max_price_age: Span::minutes(2),
            absurd_move: Bps(2_000),
            max_mark_age: Span::minutes(3),
            stale_marks_limit: Span::minutes(10),
            min_session_left: Span::minutes(45),
            min_bars: 20,
            warm_up_cycles: 5,
            stop_loss: Bps(200),
            max_hold: Span::minutes(180),
            max_adjustments: 3,
            trailing: TrailingSettings::default(),
            safe_mode: SafeModeSettings::default(),
            loosening: Loosening::default(),
            protections: ProtectionSettings::default(),
        }
    }
}

impl Default for TrailingSettings {
    fn default() -> Self {
        Self { break_even_after: Factor::whole(1), distance: Factor::whole(1), step: Factor(5_000) }
    }
}

impl Default for SafeModeSettings {
    fn default() -> Self {
        Self { after_losses: 4, after_failures: 5, cool_down: Span::minutes(60) }
    }
}

impl RiskSettings {
    /// Everything that is wrong with the settings: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut require = |key, holds: bool, value: String, expected: &str| {
            if !holds {
                problems.push((key, format!("is {value}: expected {expected}")));
            }
        };
        for (key, amount) in [
            ("max_daily_loss", self.max_daily_loss),
            ("max_position_value", self.max_position_value),
            ("max_exposure", self.max_exposure),
        ] {
            require(key, amount.is_positive(), amount.to_string(), "an amount above zero, such as 2000");
        }
        for (key, ratio) in [
            ("warning_at", self.warning_at),
            ("max_drawdown", self.max_drawdown),
            ("risk_per_trade", self.risk_per_trade),
            ("stop_loss", self.stop_loss),
            ("absurd_move", self.absurd_move),
        ] {
            let holds = Bps::ZERO < ratio && ratio < Bps::ONE;
            require(key, holds, ratio.to_string(), "a percentage above 0% and below 100%");
        }
        let confidence_holds = Bps::ZERO <= self.min_confidence && self.min_confidence < Bps::ONE;
        require("min_confidence", confidence_holds, self.min_confidence.to_string(), "0% or more, and below 100%");
        let counts = [
            ("max_positions", self.max_positions),
            ("execute_top_n", self.execute_top_n),
            ("max_entries", self.max_entries),
        ];
        for (key, count) in counts {
            require(key, count > 0, count.to_string(), "at least 1 (to stop entries, use `trade halt`)");
        }
        require("lot_size", self.lot_size.is_positive(), self.lot_size.to_string(), "a quantity above zero, such as 1");
        if let EntryOrder::Limit { offset } = self.entry_order {
            let holds = Bps::ZERO <= offset && offset < Bps::ONE;
            require("entry_order.limit.offset", holds, offset.to_string(), "0% or more, and below 100%");
        }
        for (key, span) in [
            ("max_price_age", self.max_price_age),
            ("max_mark_age", self.max_mark_age),
            ("max_hold", self.max_hold),
            ("safe_mode.cool_down", self.safe_mode.cool_down),
        ] {
            require(key, !span.is_zero(), span.to_string(), "a length of time above zero, such as 3m");
        }
        require(
            "stale_marks_limit",
            self.stale_marks_limit >= self.max_mark_age,
            self.stale_marks_limit.to_string(),
            &format!("max_mark_age ({}) or longer", self.max_mark_age),
        );
        require(
            "max_exposure",
            self.max_exposure >= self.max_position_value,
            self.max_exposure.to_string(),
            &format!("max_position_value ({}) or more", self.max_position_value),
        );
        for (key, factor) in [
            ("trailing.break_even_after", self.trailing.break_even_after),
            ("trailing.distance", self.trailing.distance),
            ("trailing.step", self.trailing.step),
        ] {
            require(key, !factor.is_negative(), factor.to_string(), "0 or more");
        }
        let trails = self.trailing.break_even_after.is_positive();
        require(
            "trailing.step",
            !trails || self.trailing.step.is_positive(),
            self.trailing.step.to_string(),
            "more than 0 where stops are moved (0.5 is half of what the position risked)",
        );
        problems.extend(self.sizing.problems());
        problems.extend(self.protections.problems());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_owners_and_sound() {
        let settings = RiskSettings::default();
        assert_eq!(settings.problems(), vec![]);
        assert_eq!(settings.max_daily_loss.to_string(), "2000.00");
        assert_eq!(settings.max_hold.to_string(), "3h");
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<RiskSettings>(&text).unwrap(), settings);
    }

    #[test]
    fn settings_read_as_they_are_written() {
        let text = r#"{"max_daily_loss": 500, "stop_loss": "1.5%", "max_hold": "90m",
            "entry_order": {"limit": {"offset": "0.1%"}}, "trailing": {"step": 0.25}}"#;
        let settings: RiskSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.max_daily_loss, Money::whole(500));
        assert_eq!(settings.stop_loss, Bps(150));
        assert_eq!(settings.entry_order, EntryOrder::Limit { offset: Bps(10) });
        assert_eq!(settings.trailing.step, Factor(2_500));
        assert!(serde_json::from_str::<RiskSettings>(r#"{"max_dayly_loss": 1}"#).is_err());
    }

    #[test]
    fn each_senseless_value_is_named_with_what_was_expected() {
        let broken = [
            (r#"{"max_daily_loss": -5}"#, "max_daily_loss", "is -5.00: expected an amount above zero, such as 2000"),
            (r#"{"warning_at": "120%"}"#, "warning_at", "is 120%: expected a percentage above 0% and below 100%"),
            (
                r#"{"max_positions": 0}"#,
                "max_positions",
                "is 0: expected at least 1 (to stop entries, use `trade halt`)",
            ),
            (r#"{"max_exposure": 5}"#, "max_exposure", "is 5.00: expected max_position_value (10000.00) or more"),
            (r#"{"stale_marks_limit": "1m"}"#, "stale_marks_limit", "is 1m: expected max_mark_age (3m) or longer"),
            (r#"{"max_hold": "0s"}"#, "max_hold", "is 0s: expected a length of time above zero, such as 3m"),
            (r#"{"sizing": {"equity": "0%"}}"#, "sizing.equity", "is 0%: expected a percentage above 0%, such as 5%"),
            (r#"{"lot_size": -1}"#, "lot_size", "is -1: expected a quantity above zero, such as 1"),
            (r#"{"trailing": {"distance": -1}}"#, "trailing.distance", "is -1: expected 0 or more"),
        ];
        for (text, key, message) in broken {
            let settings: RiskSettings = serde_json::from_str(text).unwrap();
            assert_eq!(settings.problems(), vec![(key, message.to_owned())], "{text}");
        }
    }
}
