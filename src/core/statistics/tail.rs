//! What the worst days lose: value at risk and expected shortfall, at 95 %.

use super::normal;

/// One day in twenty.
const TAIL: f64 = 0.05;

/// The quantile of the standard normal distribution at [`TAIL`].
const TAIL_Z: f64 = -1.644_853_626_951_472_7;

pub(super) fn normal_quantile(mean: f64, deviation: f64) -> f64 {
    mean + deviation * TAIL_Z
}

pub(super) fn normal_shortfall(mean: f64, deviation: f64) -> f64 {
    mean - deviation * normal::density(TAIL_Z) / TAIL
}

pub(super) fn quantile(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let (below, share) = tail_of(sorted.len())?;
    let low = sorted.get(below)?;
    let high = sorted.get(below + 1).unwrap_or(low);
    Some(low + (high - low) * share)
}

pub(super) fn shortfall(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let (last, _) = tail_of(sorted.len())?;
    let tail = sorted.get(..=last)?;
    Some(tail.iter().sum::<f64>() / tail.len() as f64)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The place in a sorted sample at which its tail ends, and how far on the way to the next.
fn tail_of(count: usize) -> Option<(usize, f64)> {
    let place = TAIL * count.checked_sub(1)? as f64;
    // Within 0 and the count, which is a usize.
    Some((place.floor() as usize, place.fract()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_is_the_quantile() {
        assert!((normal::quantile(TAIL) - TAIL_Z).abs() < 1e-14);
    }

    #[test]
    fn one_day_is_its_own_tail() {
        assert_eq!((quantile(&[0.03]), shortfall(&[0.03])), (Some(0.03), Some(0.03)));
        assert_eq!((quantile(&[]), shortfall(&[])), (None, None));
    }

    #[test]
    fn the_historical_tail_lies_between_days() {
        let days: Vec<f64> = (0..=40).map(f64::from).collect(); // the tail ends at place 2 exactly
        assert_eq!((quantile(&days), shortfall(&days)), (Some(2.0), Some(1.0)));
        assert_eq!(quantile(&days[..31]), Some(1.5));
    }
}
