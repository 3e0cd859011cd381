//! The standard normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// From here on the continued fraction of the tail converges faster than the series of the middle.
const TAIL_FROM: f64 = 3.0;

/// Steps of either; both have converged long before.
const STEPS_MAX: u32 = 200;

/// The density at `x`: `e^(-x²/2) / √(2π)`.
#[must_use]
pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The probability of a value below `x`, to about 1e-15.
#[must_use]
pub fn cumulative(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// The value below which a draw stays with this probability; infinite at 0 and 1.
#[must_use]
pub fn quantile(probability: f64) -> f64 {
    if probability <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if probability >= 1.0 {
        return f64::INFINITY;
    }
    // The distribution rises everywhere: halving always arrives. 40 deviations are beyond the smallest number.
    let (mut low, mut high) = (-40.0_f64, 40.0_f64);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if cumulative(middle) < probability { low = middle } else { high = middle }
    }
}

/// The complementary error function. Source: Abramowitz and Stegun, 7.1.6 for the middle and 7.1.14 for the tail.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < TAIL_FROM { 1.0 - erf_series(x) } else { erfc_fraction(x) }
}

/// `2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1))`: every term is positive, so nothing cancels out.
fn erf_series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..STEPS_MAX {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
        if term <= sum * f64::EPSILON * 0.5 {
            break;
        }
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// `e^(-x²)/√π × 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + …))))`, from its end.
fn erfc_fraction(x: f64) -> f64 {
    let fraction = (1..STEPS_MAX).rev().fold(x, |below, n| x + f64::from(n) * 0.5 / below);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_that_of_the_tables() {
        // From SciPy's `norm.cdf`.
        let table = [
            (-8.0, 6.220_960_574_271_786e-16),
            (-4.5, 3.397_673_124_730_061_6e-6),
            (-3.0, 0.001_349_898_031_630_094_6),
            (-1.0, 0.158_655_253_931_457_05),
            (0.0, 0.5),
            (1.959_963_984_540_054, 0.975),
            (4.0, 0.999_968_328_758_166_9),
        ];
        for (x, expected) in table {
            let value = cumulative(x);
            assert!((value - expected).abs() <= 1e-12 * expected, "{x}: {value}, expected {expected}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }

    proptest! {
        #[test]
        fn a_quantile_has_its_probability(probability in 1e-9_f64..1.0) {
            prop_assert!((cumulative(quantile(probability)) - probability).abs() < 1e-13);
        }

        #[test]
        fn both_sides_are_one(x in -6.0_f64..6.0) {
            prop_assert!((cumulative(x) + cumulative(-x) - 1.0).abs() < 1e-14);
        }
    }
}
