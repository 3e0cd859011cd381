//! Patterns of one candle, and of one candle beside the one before it.

use super::candle::View;
use super::{all, when};

pub(super) fn belt_hold(v: View<'_, 10>) -> i16 {
    let shadow = if v.white(0) { v.lower_shadow(0) } else { v.upper_shadow(0) };
    when(all([v.is_long(0), shadow < v.very_short_shadow(0)]), v.signed(0))
}

pub(super) fn closing_marubozu(v: View<'_, 10>) -> i16 {
    let shadow = if v.white(0) { v.upper_shadow(0) } else { v.lower_shadow(0) };
    when(all([v.is_long(0), shadow < v.very_short_shadow(0)]), v.signed(0))
}

pub(super) fn doji(v: View<'_, 10>) -> i16 {
    when(v.body(0) <= v.doji(0), 100)
}

pub(super) fn dragonfly_doji(v: View<'_, 10>) -> i16 {
    let is = all([
        v.body(0) <= v.doji(0),
        v.upper_shadow(0) < v.very_short_shadow(0),
        v.lower_shadow(0) > v.very_short_shadow(0),
    ]);
    when(is, 100)
}

pub(super) fn gravestone_doji(v: View<'_, 10>) -> i16 {
    let is = all([
        v.body(0) <= v.doji(0),
        v.lower_shadow(0) < v.very_short_shadow(0),
        v.upper_shadow(0) > v.very_short_shadow(0),
    ]);
    when(is, 100)
}

pub(super) fn long_legged_doji(v: View<'_, 10>) -> i16 {
    let is =
        all([v.body(0) <= v.doji(0), (v.lower_shadow(0) > v.long_shadow(0) || v.upper_shadow(0) > v.long_shadow(0))]);
    when(is, 100)
}

pub(super) fn rickshaw_man(v: View<'_, 10>) -> i16 {
    let is =
        v.body(0) <= v.doji(0) && v.lower_shadow(0) > v.long_shadow(0) && v.upper_shadow(0) > v.long_shadow(0) && {
            let middle = v.low(0) + (v.high(0) - v.low(0)) / 2.0;
            v.bottom(0) <= middle + v.near(0) && v.top(0) >= middle - v.near(0)
        };
    when(is, 100)
}

pub(super) fn takuri(v: View<'_, 10>) -> i16 {
    let is = all([
        v.body(0) <= v.doji(0),
        v.upper_shadow(0) < v.very_short_shadow(0),
        v.lower_shadow(0) > v.very_long_shadow(0),
    ]);
    when(is, 100)
}

pub(super) fn high_wave(v: View<'_, 10>) -> i16 {
    let is = all([
        v.body(0) < v.short(0),
        v.upper_shadow(0) > v.very_long_shadow(0),
        v.lower_shadow(0) > v.very_long_shadow(0),
    ]);
    when(is, v.signed(0))
}

pub(super) fn long_line(v: View<'_, 10>) -> i16 {
    let is = all([v.is_long(0), v.upper_shadow(0) < v.short_shadow(0), v.lower_shadow(0) < v.short_shadow(0)]);
    when(is, v.signed(0))
}

pub(super) fn short_line(v: View<'_, 10>) -> i16 {
    let is =
        all([v.body(0) < v.short(0), v.upper_shadow(0) < v.short_shadow(0), v.lower_shadow(0) < v.short_shadow(0)]);
    when(is, v.signed(0))
}

pub(super) fn marubozu(v: View<'_, 10>) -> i16 {
    let shadow = v.very_short_shadow(0);
    when(all([v.is_long(0), v.upper_shadow(0) < shadow, v.lower_shadow(0) < shadow]), v.signed(0))
}

pub(super) fn spinning_top(v: View<'_, 10>) -> i16 {
    let is = all([v.body(0) < v.short(0), v.upper_shadow(0) > v.body(0), v.lower_shadow(0) > v.body(0)]);
    when(is, v.signed(0))
}

/// A short body with a long shadow below and almost none above.
fn is_hammer(v: &View<'_, 11>) -> bool {
    all([v.body(0) < v.short(0), v.lower_shadow(0) > v.long_shadow(0), v.upper_shadow(0) < v.very_short_shadow(0)])
}

/// A short body with a long shadow above and almost none below.
fn is_inverted_hammer(v: &View<'_, 11>) -> bool {
    all([v.body(0) < v.short(0), v.upper_shadow(0) > v.long_shadow(0), v.lower_shadow(0) < v.very_short_shadow(0)])
}

pub(super) fn hammer(v: View<'_, 11>) -> i16 {
    when(all([is_hammer(&v), v.bottom(0) <= v.low(1) + v.near(1)]), 100)
}

pub(super) fn hanging_man(v: View<'_, 11>) -> i16 {
    when(all([is_hammer(&v), v.bottom(0) >= v.high(1) - v.near(1)]), -100)
}

pub(super) fn inverted_hammer(v: View<'_, 11>) -> i16 {
    when(all([is_inverted_hammer(&v), v.body_gap_down(0, 1)]), 100)
}

pub(super) fn shooting_star(v: View<'_, 11>) -> i16 {
    when(all([is_inverted_hammer(&v), v.body_gap_up(0, 1)]), -100)
}
