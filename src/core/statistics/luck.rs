//! How much of a result is luck.
//!
//! Who tries a thousand settings finds one that looks good. The deflated Sharpe ratio asks how probable the best of so many
//! would be if none of them could do anything; the sign test asks how often chance alone, on these very days, does as well.

use std::f64::consts::E;

use super::moments::Moments;
use super::{Returns, normal};

/// The Euler-Mascheroni constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// The settings that were tried, by the daily Sharpe ratio of each: mean over deviation, not made annual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trials {
    count: usize,
    deviation: f64,
}

impl Trials {
    /// From the daily Sharpe ratio of each setting.
    #[must_use]
    pub fn of(daily_sharpes: &[f64]) -> Self {
        Self { count: daily_sharpes.len(), deviation: Moments::of(daily_sharpes).deviation().unwrap_or(0.0) }
    }

    /// The best daily Sharpe ratio to be expected of so many settings that can do nothing.
    ///
    /// `σ × ((1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e)))`, for `N` independent trials whose ratios deviate by `σ`. Source: Bailey
    /// and López de Prado (2014), "The Deflated Sharpe Ratio". Zero for a single trial. Settings that are alike are no
    /// independent trials: for those it asks too much rather than too little.
    #[must_use]
    pub fn expected_best(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let count = self.count as f64; // exact below 2^53
        let best = normal::quantile(1.0 - 1.0 / count);
        let beyond = normal::quantile(1.0 - 1.0 / (count * E));
        self.deviation * ((1.0 - EULER_GAMMA) * best + EULER_GAMMA * beyond)
    }
}

impl Returns {
    /// The Sharpe ratio of a day: mean over deviation. `None` below two days, or if they do not vary.
    #[must_use]
    pub fn daily_sharpe(&self) -> Option<f64> {
        let moments = self.moments();
        Some(moments.mean()? / moments.spread()?)
    }

    /// The probability that the true daily Sharpe ratio is above `benchmark`, given how few days there are and how they
    /// are shaped.
    ///
    /// `Φ((SR - SR*) √(n - 1) / √(1 - γ₃ SR + (γ₄ - 1)/4 SR²))`. Source: Bailey and López de Prado (2012), "The Sharpe Ratio Efficient
    /// Frontier". `None` below four days, if they do not vary, or where so much skew has no such probability.
    ///
    /// ```
    /// use daybook_core::statistics::Returns;
    ///
    /// let returns = Returns::new(vec![0.01, -0.01, 0.02, 0.0, 0.01, -0.005])?;
    /// let better_than_nothing = returns.probabilistic_sharpe(0.0).unwrap();
    /// assert!((0.75..0.85).contains(&better_than_nothing));
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn probabilistic_sharpe(&self, benchmark: f64) -> Option<f64> {
        let moments = self.moments();
        let shape = Shape {
            sharpe: self.daily_sharpe()?,
            days: self.values().len() as f64,
            skew: moments.skew()?,
            kurtosis: moments.excess_kurtosis()? + 3.0,
        };
        shape.probability_above(benchmark)
    }

    /// The probability that there is more to it than to the best of so many trials.
    ///
    /// Source: Bailey and López de Prado (2014): [`Returns::probabilistic_sharpe`] above [`Trials::expected_best`]. Below 0.95 it
    /// is better to believe in luck.
    #[must_use]
    pub fn deflated_sharpe(&self, trials: Trials) -> Option<f64> {
        self.probabilistic_sharpe(trials.expected_best())
    }

    /// How often returns of these sizes with signs drawn at random have a mean as high: a p-value, of `draws` draws.
    ///
    /// `(1 + draws as good) / (1 + draws)`. Source: Fisher's randomization test, with the correction of Phipson and Smyth (2010). It
    /// takes for granted that without skill a day's gain is as probable as a loss of its size. The same seed gives the same
    /// answer. `None` without a day that earned or lost.
    #[must_use]
    pub fn sign_test(&self, draws: u32, seed: u64) -> Option<f64> {
        let sizes: Vec<f64> = self.values().iter().filter(|value| **value != 0.0).map(|value| value.abs()).collect();
        let reached: f64 = self.values().iter().sum();
        let slack = 1e-12 * sizes.iter().sum::<f64>(); // the same signs in another order are as good
        if sizes.is_empty() {
            return None;
        }
        let mut coins = Coins { state: seed, bits: 0, left: 0 };
        let as_good = (0..draws)
            .filter(|_| {
                let sum: f64 = sizes.iter().map(|size| if coins.toss() { *size } else { -size }).sum();
                sum >= reached - slack
            })
            .count();
        Some((1.0 + as_good as f64) / (1.0 + f64::from(draws)))
    }
}

/// What a probabilistic Sharpe ratio follows from.
struct Shape {
    sharpe: f64,
    days: f64,
    skew: f64,
    /// Three for a normal distribution.
    kurtosis: f64,
}

impl Shape {
    fn probability_above(&self, benchmark: f64) -> Option<f64> {
        let Self { sharpe, days, skew, kurtosis } = self;
        let variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe;
        (variance > 0.0).then(|| normal::cumulative((sharpe - benchmark) * (days - 1.0).sqrt() / variance.sqrt()))
    }
}

/// Coins that fall the same way for the same seed. Source: Steele, Lea and Flood (2014), SplitMix64.
struct Coins {
    state: u64,
    bits: u64,
    left: u32,
}

impl Coins {
    fn toss(&mut self) -> bool {
        if self.left == 0 {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (self.bits, self.left) = (mixed ^ (mixed >> 31), u64::BITS);
        }
        let head = self.bits & 1 == 1;
        self.bits >>= 1;
        self.left -= 1;
        head
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_deflated_ratio_is_that_of_the_papers_example() {
        // Bailey and López de Prado (2014), "A numerical example": 100 trials whose annual ratios have a variance of 1/2, the
        // best with 2.5 a year over 1,250 days, skew -3, kurtosis 10, 250 days a year.
        let trials = Trials { count: 100, deviation: (0.5_f64 / 250.0).sqrt() };
        assert!((trials.expected_best() - 0.1132).abs() < 5e-5, "{}", trials.expected_best());
        let best = Shape { sharpe: 2.5 / 250.0_f64.sqrt(), days: 1_250.0, skew: -3.0, kurtosis: 10.0 };
        let probability = best.probability_above(trials.expected_best()).unwrap();
        assert!((probability - 0.9004).abs() < 5e-5, "{probability}");
    }

    #[test]
    fn one_trial_has_nothing_to_be_deflated_by() {
        assert_eq!(Trials::of(&[0.1]).expected_best(), 0.0);
        assert_eq!(Trials::of(&[]).expected_best(), 0.0);
        assert_eq!(Trials::of(&[0.1; 9]).expected_best(), 0.0, "nine times the same is one");
    }

    #[test]
    fn a_row_of_gains_is_no_luck_and_a_coin_is() {
        let gains = Returns::new(vec![0.01; 40]).unwrap();
        assert_eq!(gains.sign_test(999, 7), Some(0.001));
        let even = Returns::new([0.01, -0.01].repeat(50)).unwrap();
        let p = even.sign_test(2_000, 7).unwrap();
        assert!((0.48..0.60).contains(&p), "{p}"); // half, and the draws that are exactly even
        assert_eq!(Returns::new(vec![0.0; 9]).unwrap().sign_test(100, 7), None);
    }

    #[test]
    fn few_days_are_counted_out() {
        // Of the sixteen outcomes three sum to 0.04 or more: both large ones gained, and not both small ones lost.
        let returns = Returns::new(vec![0.02, -0.01, 0.02, 0.01]).unwrap();
        let p = returns.sign_test(20_000, 3).unwrap();
        assert!((p - 3.0 / 16.0).abs() < 0.01, "{p}");
    }

    proptest! {
        #[test]
        fn more_trials_ask_for_more(count in 2_usize..5_000, deviation in 0.001_f64..0.2) {
            let trials = Trials { count, deviation };
            let more = Trials { count: count * 2, deviation };
            prop_assert!(trials.expected_best() < more.expected_best());
        }

        #[test]
        fn a_sign_test_is_a_probability_and_always_the_same(values in prop::collection::vec(-0.1_f64..0.1, 1..40), seed: u64) {
            let returns = Returns::new(values).unwrap();
            let p = returns.sign_test(50, seed);
            prop_assert!(p.is_none_or(|p| p > 0.0 && p <= 1.0));
            prop_assert_eq!(p, returns.sign_test(50, seed));
        }
    }
}
