//! The hikkake: a false break out of an inside bar, and its confirmation within three bars.

use super::candle::View;

/// An inside bar that broke one way; it is confirmed if a close soon leaves it on the other side.
#[derive(Debug, Clone, Copy)]
struct Trap {
    at: u64,
    value: i16,
    /// The close beyond which it is confirmed.
    level: f64,
}

/// Waits for the confirmation of the last trap.
#[derive(Debug, Clone, Default)]
pub(super) struct Hikkake {
    trap: Option<Trap>,
}

/// Bars within which a trap is confirmed.
const CONFIRMED_WITHIN: u64 = 3;

impl Hikkake {
    /// ±100 for a trap at candle `at`, ±200 for its confirmation.
    pub(super) fn update(&mut self, at: u64, v: View<'_, 2>) -> i16 {
        let inside = v.high(1) < v.high(2) && v.low(1) > v.low(2);
        let value = if inside { broken(&v) } else { 0 };
        self.confirm(at, &v, value)
    }

    /// As [`Hikkake::update`] for the modified pattern: two bars inside one another, and a close near the edge
    /// before the break.
    pub(super) fn update_modified(&mut self, at: u64, v: View<'_, 7>) -> i16 {
        let inside = v.high(2) < v.high(3) && v.low(2) > v.low(3) && v.high(1) < v.high(2) && v.low(1) > v.low(2);
        let value = match if inside { broken(&v) } else { 0 } {
            value if value > 0 && v.close(2) <= v.low(2) + v.near(2) => value,
            value if value < 0 && v.close(2) >= v.high(2) - v.near(2) => value,
            _ => 0,
        };
        self.confirm(at, &v, value)
    }

    fn confirm<const LOOKBACK: u64>(&mut self, at: u64, v: &View<'_, LOOKBACK>, value: i16) -> i16 {
        if value != 0 {
            let level = if value > 0 { v.high(1) } else { v.low(1) };
            self.trap = Some(Trap { at, value, level });
            return value;
        }
        let Some(trap) = self.trap.filter(|trap| at <= trap.at + CONFIRMED_WITHIN) else { return 0 };
        let confirmed = if trap.value > 0 { v.close(0) > trap.level } else { v.close(0) < trap.level };
        if !confirmed {
            return 0;
        }
        self.trap = None;
        2 * trap.value
    }
}

/// 100 where the last bar left the one before it downwards, which traps sellers; -100 where upwards.
fn broken<const LOOKBACK: u64>(v: &View<'_, LOOKBACK>) -> i16 {
    if v.high(0) < v.high(1) && v.low(0) < v.low(1) {
        100
    } else if v.high(0) > v.high(1) && v.low(0) > v.low(1) {
        -100
    } else {
        0
    }
}
