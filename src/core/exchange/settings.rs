use serde::{Deserialize, Serialize};

use super::CommissionTier;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};

/// How the exchange fills, what it charges and what it lets an account do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExchangeSettings {
    /// Cash of a new account; an account that exists keeps its own.
    pub starting_cash: Money,
    /// By how much market and stop orders fill worse than the price they meet.
    pub slippage: Bps,
    /// Commission for each share.
    pub commission_per_share: Price,
    /// What the shares of an order cost beyond a number of them, by rising numbers; empty: all cost the same.
    pub commission_tiers: Vec<CommissionTier>,
    /// Commission for each order that fills, at its first execution.
    pub commission_per_order: Money,
    /// The least that an order which fills is charged in all.
    pub commission_minimum: Money,
    /// The most that it is charged in all, of what its shares are worth; it goes before the least. `0%`: no bound.
    pub commission_maximum: Bps,
    /// The part of a bar's volume that the account's orders may take; what is left waits for the
    /// next bar. `0%`: no bound.
    pub participation: Bps,
    /// Whether shares that are not held may be sold.
    pub allow_short: bool,
    /// Buying power as a multiple of equity: 1 is a cash account.
    pub margin_multiplier: u32,
    /// How old a quote may be, in seconds, to fill an order that has just come in.
    pub quote_age_max_s: u32,
}

impl Default for ExchangeSettings {
    fn default() -> Self {
        Self {
            starting_cash: Money::whole(100_000),
            slippage: Bps(1),
            commission_per_share: Price::ZERO,
            commission_tiers: Vec::new(),
            commission_per_order: Money::ZERO,
            commission_minimum: Money::ZERO,
            commission_maximum: Bps::ZERO,
            participation: Bps::ZERO,
            allow_short: false,
            margin_multiplier: 1,
            // A feed of one-minute bars quotes once a minute.
            quote_age_max_s: 60,
        }
    }
}

/// Beyond this a fill has nothing to do with the price it met.
const SLIPPAGE_MAX: Bps = Bps(1_000);

/// The most that a broker grants: Alpaca's intraday margin.
const MARGIN_MULTIPLIER_MAX: u32 = 4;

impl ExchangeSettings {
    /// What is wrong with the settings: the field and what was expected of it. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !self.starting_cash.is_positive() {
            problems.push(("starting_cash", format!("{} is not above 0", self.starting_cash)));
        }
        if self.slippage < Bps::ZERO || self.slippage > SLIPPAGE_MAX {
            problems.push(("slippage", format!("{} is not between 0% and {SLIPPAGE_MAX}", self.slippage)));
        }
        problems.extend(self.commission_problems());
        if self.participation < Bps::ZERO || self.participation > Bps::ONE {
            problems.push(("participation", format!("{} is not between 0% and 100%", self.participation)));
        }
        if !(1..=MARGIN_MULTIPLIER_MAX).contains(&self.margin_multiplier) {
            let expected = format!("{} is not between 1 and {MARGIN_MULTIPLIER_MAX}", self.margin_multiplier);
            problems.push(("margin_multiplier", expected));
        }
        problems
    }

    /// Whether the account may take only a part of what is traded.
    pub(super) fn bounds_participation(&self) -> bool {
        self.participation != Bps::ZERO
    }

    /// The shares of a bar's `volume` that the account may take; `None` without a bound.
    ///
    /// # Errors
    /// On overflow.
    pub(super) fn share_of(&self, volume: Quantity) -> Result<Option<Quantity>, MoneyError> {
        if !self.bounds_participation() {
            return Ok(None);
        }
        let part = i128::from(volume.0) * i128::from(self.participation.0) / i128::from(Bps::ONE.0);
        let part = i64::try_from(part).map_err(|_| MoneyError::Overflow { operation: "a part of a volume" })?;
        Ok(Some(Quantity(part).floor_to_lot(Quantity::whole(1))))
    }
}
