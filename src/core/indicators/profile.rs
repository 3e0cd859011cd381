//! How much traded at which price.

use std::collections::BTreeMap;

use super::Candle;
use crate::money::Price;

/// The volume at each price level. A bar counts at its typical price.
#[derive(Debug, Clone)]
pub struct VolumeProfile {
    step: Price,
    /// By level: level `n` reaches from `n × step` to below `(n + 1) × step`.
    levels: BTreeMap<i64, f64>,
    total: f64,
}

/// The prices within which a share of the volume traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueArea {
    /// The lower edge of its lowest level.
    pub low: Price,
    /// The lower edge of the level with the most volume.
    pub point_of_control: Price,
    /// The upper edge of its highest level.
    pub high: Price,
}

impl VolumeProfile {
    /// With levels of `step`; `None` unless that is above zero.
    #[must_use]
    pub fn new(step: Price) -> Option<Self> {
        step.is_positive().then(|| Self { step, levels: BTreeMap::new(), total: 0.0 })
    }

    /// Counts a bar; one without a finite price or volume is left out.
    pub fn update(&mut self, candle: &Candle) {
        if let Ok(price) = Price::from_f64(candle.typical())
            && candle.volume.is_finite()
        {
            *self.levels.entry(price.0.div_euclid(self.step.0)).or_default() += candle.volume;
            self.total += candle.volume;
        }
    }

    /// The value area that holds at least `share` (usually 0.7) of the volume; `None` while nothing traded.
    ///
    /// It begins at the level with the most volume (of equals the lowest) and takes in, again and again, the
    /// neighbouring traded level with the greater volume, of equals the upper. Source: Steidlmayer's Market Profile.
    #[must_use]
    pub fn value_area(&self, share: f64) -> Option<ValueArea> {
        if self.total <= 0.0 {
            return None;
        }
        let levels: Vec<(i64, f64)> = self.levels.iter().map(|(level, volume)| (*level, *volume)).collect();
        let control = levels.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.1.total_cmp(&b.1))?.0;
        let (mut low, mut high) = (control, control);
        let volume = |at: usize| levels.get(at).map(|(_, volume)| *volume);
        let mut held = volume(control)?;
        while held < share * self.total {
            let below = low.checked_sub(1).and_then(volume);
            let above = volume(high + 1);
            match (below, above) {
                (None, None) => break,
                (Some(below), above) if above.is_none_or(|above| below > above) => {
                    low -= 1;
                    held += below;
                }
                (_, above) => {
                    high += 1;
                    held += above.unwrap_or_default();
                }
            }
        }
        let edge = |at: usize, further: i64| {
            let level = levels.get(at)?.0;
            level.checked_add(further)?.checked_mul(self.step.0).map(Price)
        };
        Some(ValueArea { low: edge(low, 0)?, point_of_control: edge(control, 0)?, high: edge(high, 1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(trades: &[(f64, f64)]) -> VolumeProfile {
        let mut profile = VolumeProfile::new(Price::from_cents(10)).unwrap();
        for &(price, volume) in trades {
            profile.update(&Candle { open: price, high: price, low: price, close: price, volume });
        }
        profile
    }

    fn area(low: i64, control: i64, high: i64) -> Option<ValueArea> {
        let [low, point_of_control, high] = [low, control, high].map(Price::from_cents);
        Some(ValueArea { low, point_of_control, high })
    }

    #[test]
    fn the_value_area_grows_from_the_busiest_price() {
        let profile = profile(&[(9.85, 10.0), (9.95, 20.0), (10.05, 50.0), (10.15, 15.0), (10.25, 5.0)]);
        assert_eq!(profile.value_area(0.5), area(10_00, 10_00, 10_10));
        assert_eq!(profile.value_area(0.7), area(9_90, 10_00, 10_10));
        assert_eq!(profile.value_area(0.8), area(9_90, 10_00, 10_20));
        assert_eq!(profile.value_area(2.0), area(9_80, 10_00, 10_30));
    }

    #[test]
    fn nothing_traded_has_no_area_and_nonsense_is_left_out() {
        assert!(VolumeProfile::new(Price::ZERO).is_none());
        assert_eq!(profile(&[]).value_area(0.7), None);
        assert_eq!(profile(&[(f64::NAN, 5.0), (5.0, f64::INFINITY)]).value_area(0.7), None);
    }
}
