use serde::{Deserialize, Serialize};

use crate::money::Bps;
use crate::time::Span;

/// The longest that a protection looks back and that a pause lasts: the record is read at every look.
const LONGEST: Span = Span::days(90);

/// When the record of trades makes entries pause. Everything is off unless it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtectionSettings {
    /// Many stops pause all entries.
    pub stop_loss_guard: StopPause,
    /// How long a symbol is not entered after it lost. Zero: no time.
    pub loss_cooldown: Span,
    /// Trades that lose much together pause all entries.
    pub drawdown: DrawdownPause,
    /// Trades that earn little pause entries in their symbol.
    pub low_profit: LowProfitPause,
    /// Losses in a row pause entries in their symbol.
    pub loss_streak: LossPause,
}

/// Many stops pause all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopPause {
    /// How many positions were left at their stops. Zero: never.
    pub stops: u32,
    /// In how long.
    pub within: Span,
    /// How long entries pause.
    pub pause: Span,
}

/// Trades that lose much together pause all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrawdownPause {
    /// The fall of the trades' summed results from their highest, as a part of the equity. Zero: never.
    pub limit: Bps,
    /// How many trades there must be.
    pub trades: u32,
    /// In how long.
    pub within: Span,
    /// How long entries pause.
    pub pause: Span,
}

/// Trades that earn little pause entries in their symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowProfitPause {
    /// How many trades there must be. Zero: never.
    pub trades: u32,
    /// What they must have earned, as a part of what was paid for their shares.
    pub required: Bps,
    /// In how long.
    pub within: Span,
    /// How long entries pause.
    pub pause: Span,
}

/// Losses in a row pause entries in their symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossPause {
    /// How many. Zero: never.
    pub losses: u32,
    /// In how long.
    pub within: Span,
    /// How long entries pause.
    pub pause: Span,
}

impl Default for StopPause {
    fn default() -> Self {
        Self { stops: 0, within: Span::days(1), pause: Span::hours(2) }
    }
}

impl Default for DrawdownPause {
    fn default() -> Self {
        Self { limit: Bps::ZERO, trades: 5, within: Span::days(7), pause: Span::days(1) }
    }
}

impl Default for LowProfitPause {
    fn default() -> Self {
        Self { trades: 0, required: Bps::ZERO, within: Span::days(30), pause: Span::days(7) }
    }
}

impl Default for LossPause {
    fn default() -> Self {
        Self { losses: 0, within: Span::days(30), pause: Span::days(2) }
    }
}

impl ProtectionSettings {
    /// How far back the record of trades must reach; zero where nothing looks at it.
    #[must_use]
    pub fn looks_back(&self) -> Span {
        let Self { stop_loss_guard, loss_cooldown, drawdown, low_profit, loss_streak } = self;
        let spans = [
            (stop_loss_guard.stops > 0, stop_loss_guard.within.max(stop_loss_guard.pause)),
            (true, *loss_cooldown),
            (drawdown.limit > Bps::ZERO, drawdown.within.max(drawdown.pause)),
            (low_profit.trades > 0, low_profit.within.max(low_profit.pause)),
            (loss_streak.losses > 0, loss_streak.within.max(loss_streak.pause)),
        ];
        spans.into_iter().filter_map(|(is_on, span)| is_on.then_some(span)).max().unwrap_or(Span::ZERO)
    }

    /// Everything that is wrong with the settings: the key within `risk`, and what is wrong and expected.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let Self { stop_loss_guard, loss_cooldown, drawdown, low_profit, loss_streak } = self;
        for (key, span) in [
            ("protections.stop_loss_guard.within", stop_loss_guard.within),
            ("protections.stop_loss_guard.pause", stop_loss_guard.pause),
            ("protections.drawdown.within", drawdown.within),
            ("protections.drawdown.pause", drawdown.pause),
            ("protections.low_profit.within", low_profit.within),
            ("protections.low_profit.pause", low_profit.pause),
            ("protections.loss_streak.within", loss_streak.within),
            ("protections.loss_streak.pause", loss_streak.pause),
        ] {
            if span.is_zero() || span > LONGEST {
                problems.push((key, format!("is {span}: expected a length of time above zero, at most {LONGEST}")));
            }
        }
        if *loss_cooldown > LONGEST {
            problems.push(("protections.loss_cooldown", format!("is {loss_cooldown}: expected at most {LONGEST}")));
        }
        if drawdown.limit < Bps::ZERO || drawdown.limit >= Bps::ONE {
            let expected = "expected 0% or more (0%: never), and below 100%";
            problems.push(("protections.drawdown.limit", format!("is {}: {expected}", drawdown.limit)));
        }
        problems
    }
}
