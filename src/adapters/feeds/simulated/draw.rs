//! Random numbers by address.
//!
//! A [`Stream`] is named by a seed, a series, a day and a purpose; its numbers by their index. Each is
//! computed alone, so no number depends on which others were drawn.

/// 2⁶⁴ divided by the golden ratio: the increment of `SplitMix64`.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a number is drawn for; two purposes never share a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Company,
    BlockEnd,
    SlowSpell,
    FastSpell,
    DayVolatility,
    Overnight,
    Intraday,
    DayShape,
    OvernightJump,
    IntradayJump,
    IdleNews,
    Activity,
    Minute,
    MinuteSpell,
    Trades,
    QuotePath,
    QuoteSize,
}

/// A row of random numbers with an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    key: u64,
}

impl Stream {
    pub(super) fn new(seed: u64, series: u64, day: i32, purpose: Purpose) -> Self {
        let day = u64::from(day.cast_unsigned());
        let place = (purpose as u64) << 56 | series << 32 | day;
        Self { key: mix(mix(seed.wrapping_add(GOLDEN)) ^ place) }
    }

    /// 64 random bits.
    pub(super) fn bits(self, index: u64) -> u64 {
        mix(self.key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Evenly spread over `[0, 1)`.
    pub(super) fn uniform(self, index: u64) -> f64 {
        share(self.bits(index) >> 32)
    }

    /// Close to the standard normal distribution, and within ±3.47.
    ///
    /// The sum of four evenly spread 16-bit lanes (Irwin and Hall), scaled to variance one: exact
    /// integers, where the usual transforms need logarithms that machines round differently.
    pub(super) fn normal(self, index: u64) -> f64 {
        /// Standard deviation of the sum of four numbers from 0 to 65,535: `√(4 (2³² - 1) / 12)`.
        const DEVIATION: f64 = 37_837.226;
        let bits = self.bits(index);
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f64 - 131_070.0) / DEVIATION
    }

    /// Normal numbers at multiples of `step`, and straight lines between them.
    pub(super) fn smooth(self, at: i32, step: i32) -> f64 {
        let knot = at.div_euclid(step);
        let share = f64::from(at.rem_euclid(step)) / f64::from(step);
        let value = |knot: i32| self.normal(u64::from(knot.cast_unsigned()));
        value(knot) * (1.0 - share) + value(knot + 1) * share
    }
}

/// 32 random bits as a number in `[0, 1)`.
pub(super) fn share(bits: u64) -> f64 {
    (bits & 0xffff_ffff) as f64 / 4_294_967_296.0
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, 2014; Stafford's variant 13).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// `e` to the power of `x`, to about 14 digits, from operations that are exact by definition: the
/// standard library's differs in the last bit from one system to the next.
pub(super) fn exp(x: f64) -> f64 {
    use std::f64::consts::{LN_2, LOG2_E};
    let x = x.clamp(-600.0, 600.0);
    let doublings = (x * LOG2_E + 1_024.5) as i64 - 1_024; // rounds: the sum is above zero after the clamp
    let r = x - doublings as f64 * LN_2;
    // Taylor's series to r¹¹ for |r| <= ln 2 / 2: the term left out is below 10⁻¹⁴. Summed in pairs
    // (Estrin), which a processor does side by side.
    let (r2, r4) = (r * r, r * r * r * r);
    let low = (1.0 + r) + r2 * (1.0 / 2.0 + r * (1.0 / 6.0));
    let middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0 + r * (1.0 / 5_040.0));
    let high = (1.0 / 40_320.0 + r * (1.0 / 362_880.0)) + r2 * (1.0 / 3_628_800.0 + r * (1.0 / 39_916_800.0));
    let power_of_two = f64::from_bits((1_023 + doublings).cast_unsigned() << 52); // 1,023 ± 866
    (low + r4 * (middle + r4 * high)) * power_of_two
}

/// The nearest whole number of a value that is not negative.
pub(super) fn whole(value: f64) -> i64 {
    (value + 0.5) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_the_exponential() {
        for place in -3_000..3_000 {
            let x = f64::from(place) / 100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let stream = Stream::new(7, 3, 20_000, Purpose::Minute);
        let numbers: Vec<f64> = (0..100_000).map(|index| stream.normal(index)).collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|z| z * z).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn addresses_do_not_collide() {
        let mut seen = std::collections::HashSet::new();
        for series in 0..20 {
            for day in -5..5 {
                for purpose in [Purpose::Minute, Purpose::Trades, Purpose::Overnight] {
                    assert!(seen.insert(Stream::new(1, series, day, purpose).bits(0)));
                }
            }
        }
    }
}
