//! Patterns of two candles.

use super::candle::View;
use super::{all, when};

pub(super) fn counterattack(v: View<'_, 11>) -> i16 {
    let is = v.white(1) != v.white(0) && v.is_long(1) && v.is_long(0) && v.is_equal(v.close(0), v.close(1), 1);
    when(is, v.signed(0))
}

pub(super) fn dark_cloud_cover(v: View<'_, 11>) -> i16 {
    let is = all([
        v.black(0),
        v.white(1),
        v.open(0) > v.high(1),
        v.close(0) > v.open(1),
        v.close(0) < v.close(1) - v.body(1) * 0.5,
    ]) && v.is_long(1);
    when(is, -100)
}

pub(super) fn doji_star(v: View<'_, 11>) -> i16 {
    let is = v.body(0) <= v.doji(0)
        && (if v.white(1) { v.body_gap_up(0, 1) } else { v.body_gap_down(0, 1) })
        && v.is_long(1);
    when(is, -v.signed(1))
}

pub(super) fn engulfing(v: View<'_, 2>) -> i16 {
    if v.white(0) == v.white(1) {
        return 0;
    }
    let (beyond_top, beyond_bottom) = (v.top(0) > v.top(1), v.bottom(0) < v.bottom(1));
    let is = (v.top(0) >= v.top(1) && beyond_bottom) || (beyond_top && v.bottom(0) <= v.bottom(1));
    match (is, beyond_top && beyond_bottom) {
        (false, _) => 0,
        (true, true) => v.signed(0),
        (true, false) => v.signed(0) / 5 * 4,
    }
}

/// The second body within the first: 100, or 80 where they share an edge.
fn within(v: &View<'_, 11>) -> i16 {
    if v.top(0) < v.top(1) && v.bottom(0) > v.bottom(1) {
        -v.signed(1)
    } else if v.top(0) <= v.top(1) && v.bottom(0) >= v.bottom(1) {
        -v.signed(1) / 5 * 4
    } else {
        0
    }
}

pub(super) fn harami(v: View<'_, 11>) -> i16 {
    when(v.is_long(1) && v.body(0) <= v.short(0), within(&v))
}

pub(super) fn harami_cross(v: View<'_, 11>) -> i16 {
    when(v.body(0) <= v.doji(0) && v.is_long(1), within(&v))
}

pub(super) fn homing_pigeon(v: View<'_, 11>) -> i16 {
    let is = all([v.black(1), v.black(0), v.open(0) < v.open(1), v.close(0) > v.close(1)])
        && all([v.is_long(1), v.body(0) <= v.short(0)]);
    when(is, 100)
}

/// A long black candle, and a white one that opens below its low.
fn opens_below(v: &View<'_, 11>) -> bool {
    all([v.black(1), v.white(0), v.open(0) < v.low(1)]) && v.is_long(1)
}

pub(super) fn in_neck(v: View<'_, 11>) -> i16 {
    let is = opens_below(&v) && v.close(0) <= v.close(1) + v.equal(1) && v.close(0) >= v.close(1);
    when(is, -100)
}

pub(super) fn on_neck(v: View<'_, 11>) -> i16 {
    when(opens_below(&v) && v.is_equal(v.close(0), v.low(1), 1), -100)
}

pub(super) fn thrusting(v: View<'_, 11>) -> i16 {
    let is = opens_below(&v) && v.close(0) > v.close(1) + v.equal(1) && v.close(0) <= v.close(1) + v.body(1) * 0.5;
    when(is, -100)
}

pub(super) fn piercing(v: View<'_, 11>) -> i16 {
    let is = all([v.close(0) < v.open(1), v.close(0) > v.close(1) + v.body(1) * 0.5])
        && all([opens_below(&v), v.is_long(0)]);
    when(is, 100)
}

fn is_marubozu(v: &View<'_, 11>, k: usize) -> bool {
    v.is_long(k) && v.upper_shadow(k) < v.very_short_shadow(k) && v.lower_shadow(k) < v.very_short_shadow(k)
}

fn is_kicking(v: &View<'_, 11>) -> bool {
    all([v.white(0) != v.white(1), (if v.white(0) { v.low(0) > v.high(1) } else { v.high(0) < v.low(1) })])
        && all([is_marubozu(v, 1), is_marubozu(v, 0)])
}

pub(super) fn kicking(v: View<'_, 11>) -> i16 {
    when(is_kicking(&v), v.signed(0))
}

pub(super) fn kicking_by_length(v: View<'_, 11>) -> i16 {
    let longer = usize::from(v.body(0) <= v.body(1));
    when(is_kicking(&v), v.signed(longer))
}

pub(super) fn matching_low(v: View<'_, 6>) -> i16 {
    when(all([v.black(1), v.black(0)]) && v.is_equal(v.close(0), v.close(1), 1), 100)
}

pub(super) fn separating_lines(v: View<'_, 11>) -> i16 {
    let is = v.white(1) != v.white(0)
        && v.is_equal(v.open(0), v.open(1), 1)
        && v.is_long(0)
        && (if v.white(0) { v.lower_shadow(0) } else { v.upper_shadow(0) }) < v.very_short_shadow(0);
    when(is, v.signed(0))
}
