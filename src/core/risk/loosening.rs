//! Which changes of the limits let more be risked, and when those come into force.

use serde::{Deserialize, Serialize};

use super::ProtectionSettings;
use super::settings::{RiskSettings, SafeModeSettings, TrailingSettings};
use super::sizing::Sizing;
use crate::money::Factor;

/// When a change that loosens a limit comes into force, if it is made while the market is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loosening {
    /// With the next session, or as soon as a person confirms it.
    #[default]
    NextSession,
    /// When a person confirms it, however long that takes.
    Confirm,
}

/// Sets each limit that `after` has looser than `before` back to what it was, and names it. What is tightened, and
/// what is no limit, stays as `after` has it.
///
/// ```
/// use daybook_core::risk::{RiskSettings, hold_loosened};
///
/// let before = RiskSettings::default();
/// let mut after = RiskSettings { max_positions: 8, execute_top_n: 1, ..before.clone() };
/// assert_eq!(hold_loosened(&before, &mut after), ["max_positions"]);
/// assert_eq!((after.max_positions, after.execute_top_n), (before.max_positions, 1));
/// ```
pub fn hold_loosened(before: &RiskSettings, after: &mut RiskSettings) -> Vec<&'static str> {
    // Every setting is named: a new one has to be told where it stands.
    let RiskSettings {
        max_daily_loss,
        warning_at,
        max_drawdown,
        max_positions,
        max_position_value,
        max_exposure,
        execute_top_n,
        max_entries,
        min_confidence,
        risk_per_trade,
        sizing,
        lot_size: _,
        entry_order: _,
        max_price_age,
        absurd_move,
        max_mark_age,
        stale_marks_limit,
        min_session_left,
        min_bars,
        warm_up_cycles,
        stop_loss,
        max_hold,
        max_adjustments,
        trailing: TrailingSettings { break_even_after, distance, step },
        safe_mode: SafeModeSettings { after_losses, after_failures, cool_down },
        protections,
        loosening,
    } = after;
    let mut held = Held::default();
    held.more_is_looser("max_daily_loss", before.max_daily_loss, max_daily_loss);
    held.more_is_looser("warning_at", before.warning_at, warning_at);
    held.more_is_looser("max_drawdown", before.max_drawdown, max_drawdown);
    held.more_is_looser("max_positions", before.max_positions, max_positions);
    held.more_is_looser("max_position_value", before.max_position_value, max_position_value);
    held.more_is_looser("max_exposure", before.max_exposure, max_exposure);
    held.more_is_looser("execute_top_n", before.execute_top_n, execute_top_n);
    held.more_is_looser("max_entries", before.max_entries, max_entries);
    held.less_is_looser("min_confidence", before.min_confidence, min_confidence);
    held.more_is_looser("risk_per_trade", before.risk_per_trade, risk_per_trade);
    held.set_back("sizing", sizes_more(before.sizing, *sizing), before.sizing, sizing);
    held.more_is_looser("max_price_age", before.max_price_age, max_price_age);
    held.more_is_looser("absurd_move", before.absurd_move, absurd_move);
    held.more_is_looser("max_mark_age", before.max_mark_age, max_mark_age);
    held.more_is_looser("stale_marks_limit", before.stale_marks_limit, stale_marks_limit);
    held.less_is_looser("min_session_left", before.min_session_left, min_session_left);
    held.less_is_looser("min_bars", before.min_bars, min_bars);
    held.less_is_looser("warm_up_cycles", before.warm_up_cycles, warm_up_cycles);
    held.more_is_looser("stop_loss", before.stop_loss, stop_loss);
    held.more_is_looser("max_hold", before.max_hold, max_hold);
    held.more_is_looser("max_adjustments", before.max_adjustments, max_adjustments);
    // At zero the stop never follows.
    let reached = |gain: Factor| if gain.0 == 0 { Factor(i64::MAX) } else { gain };
    let (was, is) = (reached(before.trailing.break_even_after), reached(*break_even_after));
    held.set_back("trailing.break_even_after", is > was, before.trailing.break_even_after, break_even_after);
    held.more_is_looser("trailing.distance", before.trailing.distance, distance);
    held.more_is_looser("trailing.step", before.trailing.step, step);
    held.more_or_never_is_looser("safe_mode.after_losses", before.safe_mode.after_losses, after_losses);
    held.more_or_never_is_looser("safe_mode.after_failures", before.safe_mode.after_failures, after_failures);
    held.less_is_looser("safe_mode.cool_down", before.safe_mode.cool_down, cool_down);
    // Protections that were on are not weighed against one another: any other than those waits.
    let was_on = before.protections != ProtectionSettings::default();
    let is_other = was_on && before.protections != *protections;
    held.set_back("protections", is_other, before.protections, protections);
    held.less_is_looser("loosening", before.loosening, loosening);
    held.0
}

/// Whether a size may be more than it was: so may any that is measured otherwise.
fn sizes_more(before: Sizing, after: Sizing) -> bool {
    match (before, after) {
        (Sizing::Fixed(before), Sizing::Fixed(after)) => after > before,
        (Sizing::Equity(before), Sizing::Equity(after)) | (Sizing::Volatility(before), Sizing::Volatility(after)) => {
            after > before
        }
        (before, after) => before != after,
    }
}

/// The limits that were set back.
#[derive(Default)]
struct Held(Vec<&'static str>);

impl Held {
    fn set_back<T>(&mut self, key: &'static str, is_looser: bool, before: T, after: &mut T) {
        if is_looser {
            *after = before;
            self.0.push(key);
        }
    }

    fn more_is_looser<T: PartialOrd>(&mut self, key: &'static str, before: T, after: &mut T) {
        self.set_back(key, *after > before, before, after);
    }

    fn less_is_looser<T: PartialOrd>(&mut self, key: &'static str, before: T, after: &mut T) {
        self.set_back(key, *after < before, before, after);
    }

    /// Of a count after which something stops, where zero is never.
    fn more_or_never_is_looser(&mut self, key: &'static str, before: u32, after: &mut u32) {
        let reached = |count: u32| if count == 0 { u32::MAX } else { count };
        self.set_back(key, reached(*after) > reached(before), before, after);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::{Bps, Money};
    use crate::time::Span;

    fn changed(change: impl FnOnce(&mut RiskSettings)) -> (Vec<&'static str>, RiskSettings) {
        let mut after = RiskSettings::default();
        change(&mut after);
        let held = hold_loosened(&RiskSettings::default(), &mut after);
        (held, after)
    }

    #[test]
    fn each_limit_has_its_loose_side() {
        type Change = fn(&mut RiskSettings);
        let table: [(Change, &[&str]); 18] = [
            (|risk| risk.sizing = Sizing::Fixed(crate::money::Quantity::whole(1)), &["sizing"]),
            (|risk| risk.max_daily_loss = Money::whole(2_001), &["max_daily_loss"]),
            (|risk| risk.max_daily_loss = Money::whole(1_999), &[]),
            (|risk| risk.min_confidence = Bps(5_999), &["min_confidence"]),
            (|risk| risk.min_confidence = Bps(6_001), &[]),
            (|risk| risk.min_session_left = Span::minutes(5), &["min_session_left"]),
            (|risk| risk.safe_mode.after_losses = 0, &["safe_mode.after_losses"]),
            (|risk| risk.safe_mode.after_losses = 1, &[]),
            (|risk| risk.safe_mode.cool_down = Span::minutes(1), &["safe_mode.cool_down"]),
            (|risk| risk.warning_at = Bps(9_000), &["warning_at"]),
            (|risk| risk.trailing.step = Factor(1), &[]),
            (|risk| risk.trailing.distance = Factor(50_000), &["trailing.distance"]),
            (|risk| risk.trailing.break_even_after = Factor(0), &["trailing.break_even_after"]),
            (|risk| risk.trailing.break_even_after = Factor(5_000), &[]),
            (|risk| risk.loosening = Loosening::Confirm, &[]),
            (|risk| risk.sizing = Sizing::Equity(Bps(1)), &["sizing"]),
            (|risk| risk.protections.loss_cooldown = Span::minutes(5), &[]),
            (
                |risk| {
                    risk.max_positions = 9;
                    risk.max_hold = Span::minutes(999);
                    risk.stop_loss = Bps(1);
                },
                &["max_positions", "max_hold"],
            ),
        ];
        for (change, expected) in table {
            let (held, after) = changed(change);
            assert_eq!(held, expected, "{after:?}");
        }
    }

    #[test]
    fn the_rule_itself_is_not_loosened_on_the_way() {
        let before = RiskSettings { loosening: Loosening::Confirm, ..RiskSettings::default() };
        let mut after = RiskSettings::default();
        assert_eq!(hold_loosened(&before, &mut after), ["loosening"]);
        assert_eq!(after, before);
    }

    #[test]
    fn protections_that_are_on_stay() {
        let mut before = RiskSettings::default();
        before.protections.loss_cooldown = Span::hours(1);
        let mut after = RiskSettings::default();
        assert_eq!(hold_loosened(&before, &mut after), ["protections"]);
        assert_eq!(after, before);
    }

    proptest! {
        #[test]
        fn what_is_left_loosens_nothing(loss in 1_i64..9_000, positions in 1_u32..50, losses in 0_u32..9, bars in 0_u32..60) {
            let (_, after) = changed(|risk| {
                risk.max_daily_loss = Money::whole(loss);
                risk.max_positions = positions;
                risk.safe_mode.after_losses = losses;
                risk.min_bars = bars;
            });
            let mut again = after.clone();
            prop_assert_eq!(hold_loosened(&RiskSettings::default(), &mut again), Vec::<&str>::new());
            prop_assert_eq!(again, after);
        }
    }
}
