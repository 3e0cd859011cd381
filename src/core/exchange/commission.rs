use serde::{Deserialize, Serialize};

use super::ExchangeSettings;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};

/// A price of commission for the shares of an order beyond a number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommissionTier {
    /// The shares of the order that cost what the tier before says.
    pub above: Quantity,
    /// Commission for each share beyond them.
    pub per_share: Price,
}

impl ExchangeSettings {
    /// What an order has cost in commission once `filled` of it has traded, for `value`.
    ///
    /// Each share costs what its tier says; to that comes the price of the order. The sum is no less than the minimum,
    /// and, before all else, no more than the maximum. An execution is charged the difference between this before and
    /// after it, so that partial fills together cost what one fill would.
    ///
    /// ```
    /// use daybook_core::exchange::ExchangeSettings;
    /// use daybook_core::money::{Bps, Money, Quantity};
    ///
    /// // Half a cent a share, a dollar at least, one percent of the value at most.
    /// let settings = ExchangeSettings {
    ///     commission_per_share: "0.005".parse()?,
    ///     commission_minimum: Money::whole(1),
    ///     commission_maximum: Bps(100),
    ///     ..ExchangeSettings::default()
    /// };
    /// assert_eq!(settings.commission(Quantity::whole(1_000), Money::whole(25_000))?, Money::whole(5));
    /// # Ok::<(), daybook_core::money::MoneyError>(())
    /// ```
    ///
    /// # Errors
    /// On overflow.
    pub fn commission(&self, filled: Quantity, value: Money) -> Result<Money, MoneyError> {
        if !filled.is_positive() {
            return Ok(Money::ZERO);
        }
        let charged = self.by_tiers(filled)?.plus(self.commission_per_order)?.max(self.commission_minimum);
        if self.commission_maximum == Bps::ZERO {
            return Ok(charged);
        }
        Ok(charged.min(value.portion(self.commission_maximum)?))
    }

    fn by_tiers(&self, filled: Quantity) -> Result<Money, MoneyError> {
        let mut charged = Money::ZERO;
        let (mut from, mut per_share) = (Quantity::ZERO, self.commission_per_share);
        for tier in self.commission_tiers.iter().take_while(|tier| tier.above < filled) {
            charged = charged.plus(per_share.times(tier.above.minus(from)?)?)?;
            (from, per_share) = (tier.above, tier.per_share);
        }
        charged.plus(per_share.times(filled.minus(from)?)?)
    }

    /// What is wrong with the commission: the field and what was expected of it.
    pub(super) fn commission_problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.commission_per_share.is_negative() {
            problems.push(("commission_per_share", format!("{} is below 0", self.commission_per_share)));
        }
        if self.commission_per_order.is_negative() {
            problems.push(("commission_per_order", format!("{} is below 0", self.commission_per_order)));
        }
        if self.commission_minimum.is_negative() {
            problems.push(("commission_minimum", format!("{} is below 0", self.commission_minimum)));
        }
        if self.commission_maximum < Bps::ZERO || self.commission_maximum > Bps::ONE {
            problems.push(("commission_maximum", format!("{} is not between 0% and 100%", self.commission_maximum)));
        }
        if let Some(tier) = self.commission_tiers.iter().find(|tier| tier.per_share.is_negative()) {
            problems.push(("commission_tiers", format!("{} per share is below 0", tier.per_share)));
        }
        let mut above = Quantity::ZERO;
        for tier in &self.commission_tiers {
            if tier.above <= above {
                let problem =
                    format!("above {} follows above {above}: expected more shares from tier to tier", tier.above);
                problems.push(("commission_tiers", problem));
            }
            above = tier.above;
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tier(above: i64, per_share: &str) -> CommissionTier {
        CommissionTier { above: Quantity::whole(above), per_share: per_share.parse().unwrap() }
    }

    fn model(
        per_share: &str,
        per_order: &str,
        minimum: &str,
        maximum: i64,
        tiers: &[CommissionTier],
    ) -> ExchangeSettings {
        ExchangeSettings {
            commission_per_share: per_share.parse().unwrap(),
            commission_per_order: per_order.parse().unwrap(),
            commission_minimum: minimum.parse().unwrap(),
            commission_maximum: Bps(maximum),
            commission_tiers: tiers.to_vec(),
            ..ExchangeSettings::default()
        }
    }

    #[test]
    fn each_model_charges_what_its_table_says() {
        let none = model("0", "0", "0", 0, &[]);
        let per_order = model("0", "4.95", "0", 0, &[]);
        // Half a cent a share, a dollar at least, one percent at most; the examples that Interactive Brokers gives for it.
        let fixed = model("0.005", "0", "1", 100, &[]);
        let tiered = model("0.0035", "0", "0.35", 100, &[tier(300, "0.002"), tier(3_000, "0.0015")]);
        let table = [
            (&none, 100, "25", "0.00"),
            (&per_order, 1, "25", "4.95"),
            (&per_order, 100_000, "25", "4.95"),
            (&fixed, 100, "25", "1.00"),
            (&fixed, 1_000, "25", "5.00"),
            (&fixed, 1_000, "0.25", "2.50"),
            (&fixed, 10, "1", "0.10"),
            (&tiered, 1, "100", "0.35"),
            (&tiered, 300, "100", "1.05"),
            (&tiered, 301, "100", "1.052"),
            (&tiered, 3_000, "100", "6.45"),
            (&tiered, 10_000, "100", "16.95"),
            (&tiered, 10_000, "0.01", "1.00"),
        ];
        for (model, shares, price, expected) in table {
            let shares = Quantity::whole(shares);
            let value = price.parse::<Price>().unwrap().times(shares).unwrap();
            assert_eq!(
                model.commission(shares, value).unwrap(),
                expected.parse::<Money>().unwrap(),
                "{shares} at {price}: {model:?}"
            );
        }
    }

    #[test]
    fn tiers_that_make_no_sense_are_named() {
        let fields = |tiers: &[CommissionTier]| -> Vec<&'static str> {
            let model = model("0.01", "0", "0", 0, tiers);
            model.problems().into_iter().map(|(field, _)| field).collect()
        };
        assert_eq!(fields(&[tier(100, "0.02"), tier(200, "0.01")]), [""; 0]);
        assert_eq!(fields(&[tier(0, "0.02")]), ["commission_tiers"]);
        assert_eq!(fields(&[tier(200, "0.02"), tier(200, "0.01")]), ["commission_tiers"]);
        assert_eq!(fields(&[tier(200, "-0.02")]), ["commission_tiers"]);
    }

    proptest! {
        /// A share more never makes an order cheaper, so no execution is charged less than nothing.
        #[test]
        fn more_shares_never_cost_less(
            (per_share, second, third) in (0_i64..100_000, 0_i64..100_000, 0_i64..100_000),
            (minimum, maximum) in (0_i64..500, 0_i64..300),
            (shares, more) in (1_i64..5_000, 1_i64..500),
            price in 1_i64..50_000,
        ) {
            let tiers = [(100, second), (900, third)]
                .map(|(above, price)| CommissionTier { above: Quantity::whole(above), per_share: Price(price) });
            let model = ExchangeSettings {
                commission_per_share: Price(per_share),
                commission_minimum: Money(minimum * 1_000_000),
                commission_maximum: Bps(maximum),
                commission_tiers: tiers.to_vec(),
                ..ExchangeSettings::default()
            };
            let charged = |shares: i64| {
                let shares = Quantity::whole(shares);
                model.commission(shares, Price::from_cents(price).times(shares).unwrap()).unwrap()
            };
            prop_assert!(charged(shares) <= charged(shares + more));
        }
    }
}
