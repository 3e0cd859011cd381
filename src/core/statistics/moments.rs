//! Mean, deviation and shape of a sample.

/// Deviations below this share of the largest value are the rounding of its sum, not a deviation.
const ROUNDING: f64 = 1e-14;

/// The moments of a sample, from which mean, deviation, skew and kurtosis follow.
///
/// Two passes: the mean first, then the powers of the distances from it, so that nothing cancels out.
///
/// ```
/// use daybook_core::statistics::Moments;
///
/// let sample = Moments::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
/// assert_eq!(sample.mean(), Some(5.0));
/// assert_eq!(sample.deviation().map(|value| (value * 1e4).round() / 1e4), Some(2.1381));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    count: f64,
    mean: f64,
    /// Sums of the second, third and fourth powers of the distances from the mean.
    squares: f64,
    cubes: f64,
    fourths: f64,
}

impl Moments {
    /// Of `values`.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64; // exact below 2^53 values
        let mean = if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / count };
        let mut moments = Self { count, mean, squares: 0.0, cubes: 0.0, fourths: 0.0 };
        let mut largest = 0.0_f64;
        for value in values {
            let distance = value - mean;
            let square = distance * distance;
            moments.squares += square;
            moments.cubes += square * distance;
            moments.fourths += square * square;
            largest = largest.max(value.abs());
        }
        if moments.squares <= count * (ROUNDING * largest).powi(2) {
            (moments.squares, moments.cubes, moments.fourths) = (0.0, 0.0, 0.0);
        }
        moments
    }

    /// The arithmetic mean; `None` of nothing.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then_some(self.mean)
    }

    /// The sample deviation: `√(Σ(x - mean)² / (n - 1))`; `None` below two values.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        (self.count > 1.0).then(|| (self.squares / (self.count - 1.0)).sqrt())
    }

    /// The sample deviation where the values vary at all: what a ratio may be divided by.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        self.deviation().filter(|deviation| *deviation > 0.0)
    }

    /// The adjusted Fisher-Pearson skewness: `n √(n - 1) / (n - 2) × Σd³ / (Σd²)^1.5`.
    ///
    /// Source: Joanes and Gill (1998), `G1`; that of pandas and quantstats. `None` below three values, or if they do not vary.
    #[must_use]
    pub fn skew(&self) -> Option<f64> {
        let n = self.count;
        (n > 2.0 && self.squares > 0.0)
            .then(|| n * (n - 1.0).sqrt() / (n - 2.0) * self.cubes / (self.squares * self.squares.sqrt()))
    }

    /// The excess kurtosis, adjusted for the sample: zero for a normal distribution.
    ///
    /// `n (n + 1)(n - 1) / ((n - 2)(n - 3)) × Σd⁴ / (Σd²)² - 3 (n - 1)² / ((n - 2)(n - 3))`. Source: Joanes and Gill (1998), `G2`;
    /// that of pandas and quantstats. `None` below four values, or if they do not vary.
    #[must_use]
    pub fn excess_kurtosis(&self) -> Option<f64> {
        let n = self.count;
        (n > 3.0 && self.squares > 0.0).then(|| {
            let below = (n - 2.0) * (n - 3.0);
            n * (n + 1.0) * (n - 1.0) / below * self.fourths / (self.squares * self.squares)
                - 3.0 * (n - 1.0) * (n - 1.0) / below
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_never_varies_has_a_mean_and_no_shape() {
        // 0.1 added ten times is not 1: the rounding must not look like a deviation.
        let sample = Moments::of(&[0.1; 10]);
        assert_eq!((sample.deviation(), sample.spread()), (Some(0.0), None));
        assert_eq!((sample.skew(), sample.excess_kurtosis()), (None, None));
    }

    #[test]
    fn too_few_values_have_no_moments() {
        assert_eq!(Moments::of(&[]).mean(), None);
        assert_eq!(Moments::of(&[1.0]).deviation(), None);
        assert_eq!(Moments::of(&[1.0, 2.0]).skew(), None);
        assert_eq!(Moments::of(&[1.0, 2.0, 4.0]).excess_kurtosis(), None);
    }

    proptest! {
        #[test]
        fn shape_does_not_depend_on_place_and_scale(values in prop::collection::vec(-10.0_f64..10.0, 5..60), place in -5.0_f64..5.0, scale in 0.1_f64..10.0) {
            let moments = Moments::of(&values);
            let moved = Moments::of(&values.iter().map(|value| value * scale + place).collect::<Vec<_>>());
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-6 * (1.0 + a.abs()),
                (a, b) => a == b,
            };
            prop_assert!(near(moments.skew(), moved.skew()));
            prop_assert!(near(moments.excess_kurtosis(), moved.excess_kurtosis()));
            prop_assert!(near(moments.deviation().map(|deviation| deviation * scale), moved.deviation()));
        }
    }
}
