//! Patterns of four and five candles.

use super::candle::View;
use super::{all, when};

/// How far the reaction of a mat hold may reach back into the first body, by TA-Lib's default.
const PENETRATION: f64 = 0.5;

pub(super) fn three_black_crows(v: View<'_, 13>) -> i16 {
    let is = all([
        v.white(3),
        v.black(2),
        v.black(1),
        v.black(0),
        v.open(1) < v.open(2),
        v.open(1) > v.close(2),
        v.open(0) < v.open(1),
        v.open(0) > v.close(1),
        v.high(3) > v.close(2),
        v.close(2) > v.close(1),
        v.close(1) > v.close(0),
    ]) && (0..3).all(|k| v.lower_shadow(k) < v.very_short_shadow(k));
    when(is, -100)
}

pub(super) fn three_line_strike(v: View<'_, 8>) -> i16 {
    if v.white(3) != v.white(2) || v.white(2) != v.white(1) || v.white(1) == v.white(0) {
        return 0;
    }
    let strikes = if v.white(1) {
        all([v.close(1) > v.close(2), v.close(2) > v.close(3), v.open(0) > v.close(1), v.close(0) < v.open(3)])
    } else {
        all([v.close(1) < v.close(2), v.close(2) < v.close(3), v.open(0) < v.close(1), v.close(0) > v.open(3)])
    };
    let opens_near = |k: usize| v.open(k - 1) >= v.bottom(k) - v.near(k) && v.open(k - 1) <= v.top(k) + v.near(k);
    when(strikes && opens_near(3) && opens_near(2), v.signed(1))
}

pub(super) fn concealing_baby_swallow(v: View<'_, 13>) -> i16 {
    let is_marubozu =
        |k: usize| v.lower_shadow(k) < v.very_short_shadow(k) && v.upper_shadow(k) < v.very_short_shadow(k);
    let is = all([
        (0..4).all(|k| v.black(k)),
        v.body_gap_down(1, 2),
        v.high(1) > v.close(2),
        v.high(0) > v.high(1),
        v.low(0) < v.low(1),
    ]) && all([v.upper_shadow(1) > v.very_short_shadow(1), is_marubozu(3), is_marubozu(2)]);
    when(is, 100)
}

pub(super) fn breakaway(v: View<'_, 14>) -> i16 {
    let same = all([v.white(4) == v.white(3), v.white(3) == v.white(1), v.white(1) != v.white(0)]);
    let is =
        same && (if v.white(4) {
            all([
                v.body_gap_up(3, 4),
                v.high(2) > v.high(3),
                v.low(2) > v.low(3),
                v.high(1) > v.high(2),
                v.low(1) > v.low(2),
                v.close(0) < v.open(3),
                v.close(0) > v.close(4),
            ])
        } else {
            all([
                v.body_gap_down(3, 4),
                v.high(2) < v.high(3),
                v.low(2) < v.low(3),
                v.high(1) < v.high(2),
                v.low(1) < v.low(2),
                v.close(0) > v.open(3),
                v.close(0) < v.close(4),
            ])
        }) && v.is_long(4);
    when(is, v.signed(0))
}

pub(super) fn ladder_bottom(v: View<'_, 14>) -> i16 {
    let is = all([
        v.white(0),
        (1..5).all(|k| v.black(k)),
        v.open(4) > v.open(3),
        v.open(3) > v.open(2),
        v.close(4) > v.close(3),
        v.close(3) > v.close(2),
        v.open(0) > v.open(1),
        v.close(0) > v.high(1),
    ]) && v.upper_shadow(1) > v.very_short_shadow(1);
    when(is, 100)
}

pub(super) fn mat_hold(v: View<'_, 14>) -> i16 {
    let is = all([
        v.white(4),
        v.black(3),
        v.white(0),
        v.body_gap_up(3, 4),
        v.bottom(2) < v.close(4),
        v.bottom(1) < v.close(4),
        v.bottom(2) > v.close(4) - v.body(4) * PENETRATION,
        v.bottom(1) > v.close(4) - v.body(4) * PENETRATION,
        v.top(2) < v.open(3),
        v.top(1) < v.top(2),
        v.open(0) > v.close(1),
        v.close(0) > v.high(3).max(v.high(2)).max(v.high(1)),
    ]) && all([v.is_long(4), (1..4).all(|k| v.body(k) < v.short(k))]);
    when(is, 100)
}

pub(super) fn rise_fall_three_methods(v: View<'_, 14>) -> i16 {
    let colours =
        v.white(4) != v.white(3) && v.white(3) == v.white(2) && v.white(2) == v.white(1) && v.white(1) != v.white(0);
    // Prices of a falling pattern, mirrored, are those of a rising one.
    let sign = if v.white(4) { 1.0 } else { -1.0 };
    let is = all([
        colours,
        (1..4).all(|k| v.bottom(k) < v.high(4) && v.top(k) > v.low(4)),
        v.close(2) * sign < v.close(3) * sign,
        v.close(1) * sign < v.close(2) * sign,
        v.open(0) * sign > v.close(1) * sign,
        v.close(0) * sign > v.close(4) * sign,
    ]) && all([v.is_long(4), (1..4).all(|k| v.body(k) < v.short(k)), v.is_long(0)]);
    when(is, v.signed(4))
}
