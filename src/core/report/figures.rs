//! Small exact computations behind a report.

use super::CurvePoint;
use crate::money::{Bps, Money, MoneyError};
use crate::portfolio::Position;
use crate::time::Timestamp;

/// `part` of `whole`, rounded to the nearest basis point (half away from zero); `None` if the whole
/// is zero or the ratio does not fit.
pub(super) fn nearest_ratio(part: Money, whole: Money) -> Option<Bps> {
    if whole.is_zero() {
        return None;
    }
    let scaled = i128::from(part.0) * i128::from(Bps::ONE.0) * i128::from(whole.0.signum());
    let divisor = i128::from(whole.0).abs();
    let rounded = (2 * scaled + scaled.signum() * divisor) / (2 * divisor);
    i64::try_from(rounded).ok().map(Bps)
}

/// Adds amounts.
///
/// # Errors
/// If the sum overflows.
pub(super) fn total(amounts: impl IntoIterator<Item = Money>) -> Result<Money, MoneyError> {
    amounts.into_iter().try_fold(Money::ZERO, Money::plus)
}

/// The deepest fall of a curve from its highest point so far, as an amount (zero or more) and as a
/// ratio of that point.
pub(super) fn max_drawdown(curve: impl IntoIterator<Item = Money>) -> Result<(Money, Bps), MoneyError> {
    let mut peak: Option<Money> = None;
    let mut deepest = (Money::ZERO, Bps::ZERO);
    for equity in curve {
        let high = peak.map_or(equity, |peak| peak.max(equity));
        peak = Some(high);
        let fall = high.minus(equity)?;
        if fall > deepest.0 {
            deepest = (fall, nearest_ratio(fall, high).unwrap_or_default());
        }
    }
    Ok(deepest)
}

/// The most positions that were open at one instant. A position that closes at the instant at which
/// another opens makes room for it.
pub(super) fn most_at_once(positions: &[Position]) -> u32 {
    let mut steps: Vec<(Timestamp, i32)> = Vec::with_capacity(positions.len() * 2);
    for position in positions {
        steps.push((position.opened_at, 1));
        if let Some(closed_at) = position.closed_at {
            steps.push((closed_at, -1));
        }
    }
    steps.sort_unstable();
    let mut open = 0_i32;
    let mut most = 0_i32;
    for (_, step) in steps {
        open += step;
        most = most.max(open);
    }
    u32::try_from(most).unwrap_or(0) // `most` starts at 0 and only rises
}

/// Thins a curve to at most `points_max` points, keeping its first and last and, in each stretch
/// between, the lowest and the highest: a fall is never smoothed away.
pub(super) fn thinned(curve: Vec<CurvePoint>, points_max: usize) -> Vec<CurvePoint> {
    if curve.len() <= points_max {
        return curve;
    }
    let ([first, middle @ .., last], Some(stretches)) = (curve.as_slice(), (points_max / 2).checked_sub(1)) else {
        return Vec::new();
    };
    let length = middle.len().div_ceil(stretches.max(1)).max(1);
    let mut kept = vec![*first];
    for stretch in middle.chunks(length) {
        let lowest = stretch.iter().min_by_key(|point| (point.equity, point.at));
        let highest = stretch.iter().max_by_key(|point| (point.equity, point.at));
        let mut pair: Vec<CurvePoint> = lowest.into_iter().chain(highest).copied().collect();
        pair.sort_by_key(|point| point.at);
        pair.dedup();
        kept.extend(pair);
    }
    kept.push(*last);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ratio_is_rounded_to_the_nearest_basis_point_on_both_sides_of_zero() {
        let cases = [
            (21_240, 10_000_000, 21), // 21.24
            (-21_240, 10_000_000, -21),
            (5, 100_000, 1), // 0.5: half away from zero
            (-5, 100_000, -1),
            (4, 100_000, 0),
            (-4, 100_000, 0),
            (15_000, 10_000, 15_000),
            (3, -100_000, 0),
            (7, -100_000, -1),
            (-7, -100_000, 1),
        ];
        for (part, whole, expected) in cases {
            assert_eq!(nearest_ratio(Money(part), Money(whole)), Some(Bps(expected)), "{part} of {whole}");
        }
        assert_eq!(nearest_ratio(Money(1), Money::ZERO), None);
    }

    #[test]
    fn the_drawdown_is_the_deepest_fall_from_a_peak_not_from_the_start() {
        let curve = [100, 104, 101, 110, 99, 108].map(Money::whole);
        assert_eq!(max_drawdown(curve), Ok((Money::whole(11), Bps(1_000))));
        assert_eq!(max_drawdown([100, 101, 102].map(Money::whole)), Ok((Money::ZERO, Bps::ZERO)));
        assert_eq!(max_drawdown([]), Ok((Money::ZERO, Bps::ZERO)));
    }

    proptest! {
        #[test]
        fn a_thinned_curve_keeps_its_ends_its_extremes_and_its_order(values in prop::collection::vec(-1_000_i64..1_000, 0..900), points_max in 4_usize..60) {
            let curve: Vec<CurvePoint> = values.iter().zip(0..).map(|(value, at)| CurvePoint { at: Timestamp(at), equity: Money(*value) }).collect();
            let thin = thinned(curve.clone(), points_max);
            prop_assert!(thin.len() <= points_max);
            prop_assert_eq!(thin.first(), curve.first());
            prop_assert_eq!(thin.last(), curve.last());
            prop_assert_eq!(thin.iter().map(|p| p.equity).min(), curve.iter().map(|p| p.equity).min());
            prop_assert_eq!(thin.iter().map(|p| p.equity).max(), curve.iter().map(|p| p.equity).max());
            prop_assert!(thin.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }
}
