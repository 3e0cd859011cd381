//! Patterns of three candles.

use super::candle::View;
use super::{all, when};

/// How far the third candle of a star reaches into the first one's body, by TA-Lib's default.
const PENETRATION: f64 = 0.3;

pub(super) fn two_crows(v: View<'_, 12>) -> i16 {
    let is = all([
        v.black(0),
        v.black(1),
        v.white(2),
        v.body_gap_up(1, 2),
        v.open(0) < v.open(1),
        v.open(0) > v.close(1),
        v.close(0) > v.open(2),
        v.close(0) < v.close(2),
    ]) && v.is_long(2);
    when(is, -100)
}

pub(super) fn three_inside(v: View<'_, 12>) -> i16 {
    let is = all([
        v.white(0) != v.white(2),
        v.top(1) < v.top(2),
        v.bottom(1) > v.bottom(2),
        (if v.white(2) { v.close(0) < v.open(2) } else { v.close(0) > v.open(2) }),
    ]) && all([v.is_long(2), v.body(1) <= v.short(1)]);
    when(is, -v.signed(2))
}

pub(super) fn three_outside(v: View<'_, 3>) -> i16 {
    let is = all([
        v.white(1) != v.white(2),
        v.top(1) > v.top(2),
        v.bottom(1) < v.bottom(2),
        (if v.white(1) { v.close(0) > v.close(1) } else { v.close(0) < v.close(1) }),
    ]);
    when(is, v.signed(1))
}

pub(super) fn three_stars_in_south(v: View<'_, 12>) -> i16 {
    let is = all([
        v.black(2),
        v.black(1),
        v.black(0),
        v.body(1) < v.body(2),
        v.open(1) > v.close(2),
        v.open(1) <= v.high(2),
        v.low(1) < v.close(2),
        v.low(1) >= v.low(2),
        v.low(0) > v.low(1),
        v.high(0) < v.high(1),
        v.lower_shadow(2) > v.long_shadow(2),
    ]) && all([
        v.is_long(2),
        v.lower_shadow(1) > v.very_short_shadow(1),
        v.body(0) < v.short(0),
        v.lower_shadow(0) < v.very_short_shadow(0),
        v.upper_shadow(0) < v.very_short_shadow(0),
    ]);
    when(is, 100)
}

/// Three white candles, each closing higher and opening within the body before it, or near.
fn rises_in_steps(v: &View<'_, 12>) -> bool {
    all([v.white(2), v.white(1), v.white(0), v.close(0) > v.close(1), v.close(1) > v.close(2), v.open(1) > v.open(2)])
        && v.open(1) <= v.close(2) + v.near(2)
}

pub(super) fn three_white_soldiers(v: View<'_, 12>) -> i16 {
    let is = all([rises_in_steps(&v), v.open(0) > v.open(1)])
        && all([
            v.open(0) <= v.close(1) + v.near(1),
            (0..3).all(|k| v.upper_shadow(k) < v.very_short_shadow(k)),
            v.body(1) > v.body(2) - v.far(2),
            v.body(0) > v.body(1) - v.far(1),
            v.body(0) > v.short(0),
        ]);
    when(is, 100)
}

pub(super) fn advance_block(v: View<'_, 12>) -> i16 {
    let is = all([rises_in_steps(&v), v.open(0) > v.open(1)])
        && all([v.open(0) <= v.close(1) + v.near(1), v.is_long(2), v.upper_shadow(2) < v.short_shadow(2), {
            let (first, second, third) = (v.body(2), v.body(1), v.body(0));
            let tires = second < first - v.far(2) && third < second + v.near(1);
            let shrinks = third < second - v.far(1);
            let shadowed = third < second
                && second < first
                && (v.upper_shadow(0) > v.short_shadow(0) || v.upper_shadow(1) > v.short_shadow(1));
            let refused = third < second && v.upper_shadow(0) > v.long_shadow(0);
            tires || shrinks || shadowed || refused
        }]);
    when(is, -100)
}

pub(super) fn stalled_pattern(v: View<'_, 12>) -> i16 {
    let is = rises_in_steps(&v)
        && v.is_long(2)
        && v.is_long(1)
        && v.upper_shadow(1) < v.very_short_shadow(1)
        && v.body(0) < v.short(0)
        && v.open(0) >= v.close(1) - v.body(0) - v.near(1);
    when(is, -100)
}

pub(super) fn abandoned_baby(v: View<'_, 12>) -> i16 {
    let turns = if v.white(0) {
        all([v.black(2), v.high(1) < v.low(2), v.low(0) > v.high(1), v.close(0) > v.close(2) + v.body(2) * PENETRATION])
    } else {
        all([v.white(2), v.low(1) > v.high(2), v.high(0) < v.low(1), v.close(0) < v.close(2) - v.body(2) * PENETRATION])
    };
    let is = turns && v.is_long(2) && v.body(1) <= v.doji(1) && v.body(0) > v.short(0);
    when(is, v.signed(0))
}

/// A long white candle, a body above it, a black one that reaches back into the first.
fn is_evening(v: &View<'_, 12>) -> bool {
    all([v.black(0), v.white(2), v.body_gap_up(1, 2), v.close(0) < v.close(2) - v.body(2) * PENETRATION])
        && all([v.is_long(2), v.body(0) > v.short(0)])
}

/// A long black candle, a body below it, a white one that reaches back into the first.
fn is_morning(v: &View<'_, 12>) -> bool {
    all([v.white(0), v.black(2), v.body_gap_down(1, 2), v.close(0) > v.close(2) + v.body(2) * PENETRATION])
        && all([v.is_long(2), v.body(0) > v.short(0)])
}

pub(super) fn evening_star(v: View<'_, 12>) -> i16 {
    when(is_evening(&v) && v.body(1) <= v.short(1), -100)
}

pub(super) fn evening_doji_star(v: View<'_, 12>) -> i16 {
    when(is_evening(&v) && v.body(1) <= v.doji(1), -100)
}

pub(super) fn morning_star(v: View<'_, 12>) -> i16 {
    when(is_morning(&v) && v.body(1) <= v.short(1), 100)
}

pub(super) fn morning_doji_star(v: View<'_, 12>) -> i16 {
    when(is_morning(&v) && v.body(1) <= v.doji(1), 100)
}

pub(super) fn gap_side_side_white(v: View<'_, 7>) -> i16 {
    if v.black(1) || v.black(0) {
        return 0;
    }
    let up = v.body_gap_up(1, 2) && v.body_gap_up(0, 2);
    let down = v.body_gap_down(1, 2) && v.body_gap_down(0, 2);
    let is = (up || down)
        && v.body(0) >= v.body(1) - v.near(1)
        && v.body(0) <= v.body(1) + v.near(1)
        && v.is_equal(v.open(0), v.open(1), 1);
    match (is, up) {
        (false, _) => 0,
        (true, true) => 100,
        (true, false) => -100,
    }
}

pub(super) fn identical_three_crows(v: View<'_, 12>) -> i16 {
    let is = all([v.black(2), v.black(1), v.black(0), v.close(2) > v.close(1), v.close(1) > v.close(0)])
        && all([
            v.is_equal(v.open(1), v.close(2), 2),
            v.is_equal(v.open(0), v.close(1), 1),
            (0..3).all(|k| v.lower_shadow(k) < v.very_short_shadow(k)),
        ]);
    when(is, -100)
}

pub(super) fn stick_sandwich(v: View<'_, 7>) -> i16 {
    let is = all([v.black(2), v.white(1), v.black(0), v.low(1) > v.close(2)]) && v.is_equal(v.close(0), v.close(2), 2);
    when(is, 100)
}

pub(super) fn tasuki_gap(v: View<'_, 7>) -> i16 {
    let is = all([
        v.white(1) != v.white(0),
        (if v.white(1) {
            all([
                v.body_gap_up(1, 2),
                v.open(0) < v.close(1),
                v.open(0) > v.open(1),
                v.close(0) < v.open(1),
                v.close(0) > v.top(2),
            ])
        } else {
            all([
                v.body_gap_down(1, 2),
                v.open(0) < v.open(1),
                v.open(0) > v.close(1),
                v.close(0) > v.open(1),
                v.close(0) < v.bottom(2),
            ])
        }),
    ]) && (v.body(1) - v.body(0)).abs() < v.near(1);
    when(is, v.signed(1))
}

pub(super) fn tristar(v: View<'_, 12>) -> i16 {
    // All three are held against the average before the first of them.
    let doji = v.doji(2);
    if v.body(0) > doji || v.body(1) > doji || v.body(2) > doji {
        0
    } else if v.body_gap_up(1, 2) && v.top(0) < v.top(1) {
        -100
    } else if v.body_gap_down(1, 2) && v.bottom(0) > v.bottom(1) {
        100
    } else {
        0
    }
}

pub(super) fn unique_three_river(v: View<'_, 12>) -> i16 {
    let is = all([
        v.white(0),
        v.black(1),
        v.black(2),
        v.close(1) > v.close(2),
        v.open(1) <= v.open(2),
        v.low(1) < v.low(2),
        v.open(0) > v.low(1),
    ]) && all([v.is_long(2), v.body(0) < v.short(0)]);
    when(is, 100)
}

pub(super) fn upside_gap_two_crows(v: View<'_, 12>) -> i16 {
    let is = all([
        v.black(0),
        v.black(1),
        v.white(2),
        v.body_gap_up(1, 2),
        v.open(0) > v.open(1),
        v.close(0) < v.close(1),
        v.close(0) > v.close(2),
    ]) && all([v.is_long(2), v.body(1) <= v.short(1)]);
    when(is, -100)
}

pub(super) fn gap_three_methods(v: View<'_, 2>) -> i16 {
    let is = all([
        v.white(2) == v.white(1),
        v.white(1) != v.white(0),
        v.open(0) < v.top(1),
        v.open(0) > v.bottom(1),
        v.close(0) < v.top(2),
        v.close(0) > v.bottom(2),
        (if v.white(2) { v.body_gap_up(1, 2) } else { v.body_gap_down(1, 2) }),
    ]);
    when(is, v.signed(2))
}
