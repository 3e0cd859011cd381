//! Daily returns, and the ratios that people judge them by.

use super::drawdown;
use super::moments::Moments;
use super::tail;

/// Sessions in a year: by how many days a figure is made annual.
pub const DAYS_PER_YEAR: f64 = 252.0;

/// The largest return that is taken, a thousand times what was there: beyond it a sum of squares says nothing any more.
pub const RETURN_MAX: f64 = 1_000.0;

/// Daily returns as ratios, oldest first: 0.01 is one percent. Each is at least -1, which is everything, and at most
/// [`RETURN_MAX`].
#[derive(Debug, Clone, PartialEq)]
pub struct Returns(Vec<f64>);

/// Numbers that are no returns.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ReturnsError {
    /// Not a number that anything could return.
    #[error("a return of {value}: expected a ratio from -1 to {RETURN_MAX}, such as 0.01 for one percent")]
    Return { place: usize, value: f64 },
    /// An account without anything in it cannot earn or lose.
    #[error("an equity of {value}: expected a finite amount above zero")]
    Equity { place: usize, value: f64 },
}

impl ReturnsError {
    /// Which of the numbers it is, from 0.
    #[must_use]
    pub const fn place(&self) -> usize {
        match self {
            Self::Return { place, .. } | Self::Equity { place, .. } => *place,
        }
    }
}

impl Returns {
    /// Takes daily returns.
    ///
    /// # Errors
    /// [`ReturnsError::Return`] if one is no number, loses more than everything, or earns more than [`RETURN_MAX`].
    pub fn new(values: Vec<f64>) -> Result<Self, ReturnsError> {
        match values.iter().position(|value| !(-1.0..=RETURN_MAX).contains(value)) {
            Some(place) => Err(ReturnsError::Return { place, value: values[place] }), // `position` has found it
            None => Ok(Self(values)),
        }
    }

    /// The returns between the values of an account, one fewer than there are values.
    ///
    /// ```
    /// use daybook_core::statistics::Returns;
    ///
    /// let returns = Returns::of_equity(&[100.0, 150.0, 75.0])?;
    /// assert_eq!(returns.values(), [0.5, -0.5]);
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    ///
    /// # Errors
    /// [`ReturnsError::Equity`] if a value is not finite or not above zero; [`ReturnsError::Return`] if one is more than
    /// [`RETURN_MAX`] times the one before.
    pub fn of_equity(equity: &[f64]) -> Result<Self, ReturnsError> {
        match equity.iter().position(|value| !value.is_finite() || *value <= 0.0) {
            Some(place) => Err(ReturnsError::Equity { place, value: equity[place] }), // `position` has found it
            // What is returned between two values belongs to the second.
            None => {
                Self::new(equity.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect()).map_err(
                    |error| match error {
                        ReturnsError::Return { place, value } => ReturnsError::Return { place: place + 1, value },
                        ReturnsError::Equity { .. } => error,
                    },
                )
            }
        }
    }

    /// The returns, oldest first.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Their mean, deviation and shape.
    #[must_use]
    pub fn moments(&self) -> Moments {
        Moments::of(&self.0)
    }

    /// What one unit has become after each day.
    #[must_use]
    pub fn growth(&self) -> Vec<f64> {
        let grow = |wealth: &mut f64, value: &f64| {
            *wealth *= 1.0 + value;
            Some(*wealth)
        };
        self.0.iter().scan(1.0, grow).collect()
    }

    /// All returns compounded: `Π(1 + r) - 1`; `None` without a day.
    ///
    /// ```
    /// # use daybook_core::statistics::Returns;
    /// let doubled_and_halved = Returns::new(vec![1.0, -0.5])?;
    /// assert_eq!(doubled_and_halved.total(), Some(0.0));
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn total(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|value| 1.0 + value).product::<f64>() - 1.0)
    }

    /// The compound annual growth rate: `(1 + total)^(252 / n) - 1`.
    ///
    /// Source: quantstats' `cagr`, empyrical's `cagr`: a year is 252 days, whatever the calendar says. `None` without a day, and
    /// where a few wild days would grow beyond every number in a year.
    ///
    /// ```
    /// # use daybook_core::statistics::Returns;
    /// let half_a_year = Returns::new([vec![0.1], vec![0.0; 125]].concat())?;
    /// assert!((half_a_year.cagr().unwrap() - 0.21).abs() < 1e-12);
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn cagr(&self) -> Option<f64> {
        let years = self.0.len() as f64 / DAYS_PER_YEAR;
        self.total().map(|total| (1.0 + total).powf(1.0 / years) - 1.0).filter(|rate| rate.is_finite())
    }

    /// The annual deviation: the sample deviation of the days `× √252`.
    #[must_use]
    pub fn volatility(&self) -> Option<f64> {
        self.moments().deviation().map(|deviation| deviation * DAYS_PER_YEAR.sqrt())
    }

    /// The Sharpe ratio: `mean / deviation × √252`, over a risk-free rate of zero.
    ///
    /// Source: Sharpe (1994), with the sample deviation. `None` below two days, or if they do not vary.
    ///
    /// ```
    /// # use daybook_core::statistics::Returns;
    /// let returns = Returns::new(vec![0.01, -0.01, 0.02, 0.0])?;
    /// assert_eq!(format!("{:.4}", returns.sharpe().unwrap()), "6.1482");
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn sharpe(&self) -> Option<f64> {
        sharpe(&self.0)
    }

    /// The Sharpe ratio of the last `days` at each day; `None` until there are so many.
    #[must_use]
    pub fn rolling_sharpe(&self, days: usize) -> Vec<Option<f64>> {
        let days = days.max(1);
        let until_full = std::iter::repeat_n(None, self.0.len().min(days - 1));
        until_full.chain(self.0.windows(days).map(sharpe)).collect()
    }

    /// The Sortino ratio: `mean / √(Σ min(r, 0)² / n) × √252`, over a target of zero.
    ///
    /// Source: Sortino and Price (1994), the downside deviation being taken over all days, as in quantstats and empyrical. `None`
    /// without a day that loses.
    ///
    /// ```
    /// # use daybook_core::statistics::Returns;
    /// let returns = Returns::new(vec![0.01, -0.01, 0.02, 0.0])?;
    /// assert_eq!(format!("{:.4}", returns.sortino().unwrap()), "15.8745");
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn sortino(&self) -> Option<f64> {
        let mean = self.moments().mean()?;
        let squares: f64 = self.0.iter().map(|value| value.min(0.0).powi(2)).sum();
        let downside = (squares / self.0.len() as f64).sqrt();
        (downside > 0.0).then(|| mean / downside * DAYS_PER_YEAR.sqrt())
    }

    /// The Calmar ratio: the annual growth rate over the depth of the deepest drawdown.
    ///
    /// Source: Young (1991), over the whole series. `None` if nothing was ever lost.
    ///
    /// ```
    /// # use daybook_core::statistics::Returns;
    /// let returns = Returns::new([vec![0.5, -0.2], vec![0.0; 250]].concat())?;
    /// assert!((returns.calmar().unwrap() - 1.0).abs() < 1e-12); // 20 % a year, 20 % deep
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn calmar(&self) -> Option<f64> {
        let depth = self.max_drawdown().filter(|depth| *depth < 0.0)?;
        self.cagr().map(|rate| rate / -depth)
    }

    /// The deepest fall from the highest point so far, the beginning being one: zero or below; `None` without a day.
    ///
    /// ```
    /// # use daybook_core::statistics::Returns;
    /// let returns = Returns::new(vec![1.0, -0.25, 0.1, -0.5, 2.0])?;
    /// assert!((returns.max_drawdown().unwrap() + 0.5875).abs() < 1e-12);
    /// # Ok::<(), daybook_core::statistics::ReturnsError>(())
    /// ```
    #[must_use]
    pub fn max_drawdown(&self) -> Option<f64> {
        drawdown::series(&self.growth()).into_iter().reduce(f64::min)
    }

    /// How far below the highest point so far each day ended: zero or below.
    #[must_use]
    pub fn drawdowns(&self) -> Vec<f64> {
        drawdown::series(&self.growth())
    }

    /// The ulcer index: `√(Σ drawdown² / (n - 1))`.
    ///
    /// Source: Martin and McCann (1989), over `n - 1` as in quantstats. `None` below two days.
    #[must_use]
    pub fn ulcer_index(&self) -> Option<f64> {
        let squares: f64 = self.drawdowns().iter().map(|depth| depth * depth).sum();
        (self.0.len() > 1).then(|| (squares / (self.0.len() - 1) as f64).sqrt())
    }

    /// Days that earned, of those that earned or lost; `None` if none did either.
    #[must_use]
    pub fn win_rate(&self) -> Option<f64> {
        let won = self.0.iter().filter(|value| **value > 0.0).count();
        let moved = self.0.iter().filter(|value| **value != 0.0).count();
        (moved > 0).then(|| won as f64 / moved as f64)
    }

    /// What the days that earned come to, in units of what those that lost come to; `None` without a day that loses.
    #[must_use]
    pub fn profit_factor(&self) -> Option<f64> {
        let sum = |wanted: fn(&f64) -> bool| self.0.iter().copied().filter(wanted).sum::<f64>();
        let lost = -sum(|value| *value < 0.0);
        (lost > 0.0).then(|| sum(|value| *value > 0.0) / lost)
    }

    /// The return that a normal distribution of this mean and deviation stays below on one day in twenty.
    ///
    /// Source: the variance-covariance method, quantstats' `value_at_risk`.
    #[must_use]
    pub fn var_95(&self) -> Option<f64> {
        let moments = self.moments();
        Some(tail::normal_quantile(moments.mean()?, moments.deviation()?))
    }

    /// The mean of the returns below [`Returns::var_95`], under the same normal distribution.
    ///
    /// Source: expected shortfall, `mean - deviation × φ(z) / 0.05`; quantstats' `conditional_value_at_risk`.
    #[must_use]
    pub fn cvar_95(&self) -> Option<f64> {
        let moments = self.moments();
        Some(tail::normal_shortfall(moments.mean()?, moments.deviation()?))
    }

    /// The return that one day in twenty stayed below, between the two nearest days; `None` without a day.
    ///
    /// Source: historical simulation, empyrical's `value_at_risk`: the quantile of Hyndman and Fan (1996), type 7.
    #[must_use]
    pub fn var_95_historical(&self) -> Option<f64> {
        tail::quantile(&self.0)
    }

    /// The mean of the worst twentieth of the days; `None` without a day.
    ///
    /// Source: empyrical's `conditional_value_at_risk`: the worst `⌊0.05 (n - 1)⌋ + 1` days.
    #[must_use]
    pub fn cvar_95_historical(&self) -> Option<f64> {
        tail::shortfall(&self.0)
    }

    /// The best day's return.
    #[must_use]
    pub fn best_day(&self) -> Option<f64> {
        self.0.iter().copied().reduce(f64::max)
    }

    /// The worst day's return.
    #[must_use]
    pub fn worst_day(&self) -> Option<f64> {
        self.0.iter().copied().reduce(f64::min)
    }
}

fn sharpe(values: &[f64]) -> Option<f64> {
    let moments = Moments::of(values);
    Some(moments.mean()? / moments.spread()? * DAYS_PER_YEAR.sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn returns(values: &[f64]) -> Returns {
        Returns::new(values.to_vec()).unwrap()
    }

    #[test]
    fn what_is_no_return_is_named_with_its_place() {
        for (values, place) in [(vec![0.1, f64::NAN], 1), (vec![-1.01], 0), (vec![0.0, 0.0, f64::INFINITY], 2)] {
            assert_eq!(Returns::new(values).unwrap_err().place(), place);
        }
        assert_eq!(Returns::of_equity(&[100.0, 0.0]), Err(ReturnsError::Equity { place: 1, value: 0.0 }));
    }

    #[test]
    fn what_is_not_defined_is_none_and_never_infinite() {
        let nothing = returns(&[]);
        assert_eq!((nothing.total(), nothing.cagr(), nothing.max_drawdown()), (None, None, None));
        let steady = returns(&[0.01; 30]);
        assert_eq!(
            (steady.sharpe(), steady.sortino(), steady.calmar(), steady.profit_factor()),
            (None, None, None, None)
        );
        assert_eq!(returns(&[9.0]).cagr(), Some(10.0_f64.powf(252.0) - 1.0));
        assert_eq!(returns(&[99.0]).cagr(), None, "10^504 is no number");
        let ruined = returns(&[0.1, -1.0, 0.5]);
        assert_eq!((ruined.total(), ruined.cagr(), ruined.max_drawdown()), (Some(-1.0), Some(-1.0), Some(-1.0)));
    }

    #[test]
    fn a_first_day_that_loses_is_a_drawdown_from_the_beginning() {
        assert_eq!(returns(&[-0.5, 0.5]).drawdowns(), [-0.5, -0.25]);
    }

    proptest! {
        #[test]
        fn figures_are_finite_and_within_their_bounds(values in prop::collection::vec(-1.0_f64..1.5, 0..80)) {
            let returns = returns(&values);
            let depth = returns.max_drawdown().unwrap_or(0.0);
            prop_assert!((-1.0..=0.0).contains(&depth));
            prop_assert!(returns.win_rate().is_none_or(|rate| (0.0..=1.0).contains(&rate)));
            prop_assert!(returns.cagr().is_none_or(|rate| rate.is_finite() && rate >= -1.0));
            prop_assert!(returns.profit_factor().is_none_or(|factor| factor >= 0.0 && factor.is_finite()));
            let (normal, historical) = (returns.cvar_95(), returns.cvar_95_historical());
            prop_assert!(normal.is_none_or(|value| Some(value) <= returns.var_95()));
            prop_assert!(historical.is_none_or(|value| value <= returns.var_95_historical().unwrap() + 1e-12));
            prop_assert_eq!(returns.rolling_sharpe(20).len(), values.len());
        }

        #[test]
        fn equity_and_returns_say_the_same(values in prop::collection::vec(-0.2_f64..0.2, 1..60)) {
            let direct = returns(&values);
            let equity: Vec<f64> = std::iter::once(1.0).chain(direct.growth()).map(|wealth| wealth * 25_000.0).collect();
            let round_trip = Returns::of_equity(&equity).unwrap();
            for (there, back) in values.iter().zip(round_trip.values()) {
                prop_assert!((there - back).abs() < 1e-12);
            }
        }
    }
}
