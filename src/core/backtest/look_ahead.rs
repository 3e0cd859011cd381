//! The check that nothing looks ahead: what was decided is decided again by who cannot know more.
//!
//! A back-test has all bars at hand, and it takes one slip for a decision to know what came after it. So the
//! back-test is made again over the bars that were complete at an instant, and no others: whatever was decided up to
//! that instant has to be decided again, to the last number of its reasons. A strategy that has seen all bars when it
//! was made (a normalised series, the extremes of the whole day) is found as well, for each time it is made anew.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{BacktestError, Terms, acts};
use crate::decision::Review;
use crate::market::{BarColumns, MINUTE, Symbol};
use crate::money::Price;
use crate::strategy::Strategy;
use crate::time::Timestamp;

/// Bars between the instants at which the future is cut off though nothing was decided: who holds back because of
/// what is to come decides something else there.
const QUIET_EVERY: usize = 15;

/// Something that a back-test did of its own accord. What orders do at the exchange follows from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// To which symbol.
    pub symbol: Symbol,
    /// What.
    pub kind: ActKind,
}

/// What a back-test does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// A strategy proposed, and risk let it through or refused it.
    Reviewed(Box<Review>),
    /// A position is left, for a reason.
    Left(String),
    /// A position's stop follows to this price.
    StopMoved(Price),
}

/// How the strategies are made from the bars that they may know.
pub type MakeStrategies<'a> = dyn Fn(&BTreeMap<Symbol, BarColumns>) -> Vec<Box<dyn Strategy>> + Sync + 'a;

/// What was done with all bars known, and where the future is cut off to see whether it would have been done without.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use daybook_core::{backtest::*, calendar::Calendar, exchange::ExchangeSettings, money::Bps, risk::RiskSettings};
/// # use daybook_core::market::{BarColumns, CorporateActions, Symbol};
/// # use daybook_core::strategy::{StrategySettings, strategies};
/// # let (mut market, settings) = (BTreeMap::<Symbol, BarColumns>::new(), StrategySettings::default());
/// # let (calendar, backtest, risk) = (Calendar::xnys(), BacktestSettings::default(), RiskSettings::default());
/// # let exchange = ExchangeSettings::default();
/// # let (calendar, backtest, risk, exchange) = (&calendar, &backtest, &risk, &exchange);
/// let make = |_: &BTreeMap<Symbol, BarColumns>| strategies(&settings);
/// let actions = &CorporateActions::new();
/// let terms = Terms { calendar, actions, backtest, risk, exchange, half_spread: Bps::ZERO, strategies: &[] };
/// let check = LookAhead::of(&market, &terms, &make)?;
/// for cut in check.cuts().iter().rev() {
///     assert_eq!(check.at(*cut, &mut market, &terms, &make)?, None);
/// }
/// # Ok::<(), BacktestError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LookAhead {
    acts: Vec<Act>,
    cuts: Vec<Timestamp>,
}

/// The first act that is another one once the future is cut off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peek {
    /// Bars that were not complete then were not there.
    pub cut: Timestamp,
    /// What was done with all bars; `None`: nothing more.
    pub with_the_future: Option<Act>,
    /// What was done without; `None`: nothing more.
    pub without: Option<Act>,
}

impl LookAhead {
    /// Makes the back-test with all bars.
    ///
    /// # Errors
    /// If an amount overflows.
    pub fn of(
        market: &BTreeMap<Symbol, BarColumns>,
        terms: &Terms<'_>,
        make: &MakeStrategies<'_>,
    ) -> Result<Self, BacktestError> {
        let acts = acts(market, &Terms { strategies: &make(market), ..*terms }, None)?;
        let longest = market.values().max_by_key(|bars| bars.len());
        let quiet = longest.into_iter().flat_map(|bars| bars.starts().iter().step_by(QUIET_EVERY));
        let mut cuts: Vec<Timestamp> = quiet.map(|start| start.after(MINUTE)).collect();
        cuts.extend(acts.iter().map(|act| act.at));
        cuts.sort_unstable();
        cuts.dedup();
        Ok(Self { acts, cuts })
    }

    /// What was done.
    #[must_use]
    pub fn acts(&self) -> &[Act] {
        &self.acts
    }

    /// The instants at which something was done, and some at which nothing was, in order.
    #[must_use]
    pub fn cuts(&self) -> &[Timestamp] {
        &self.cuts
    }

    /// Leaves out of the bars what was not known at `cut`, and makes the back-test with the rest; `None` if the same was
    /// done up to then. From one check to the next the same `market` may be cut further.
    ///
    /// # Errors
    /// If an amount overflows.
    pub fn at(
        &self,
        cut: Timestamp,
        market: &mut BTreeMap<Symbol, BarColumns>,
        terms: &Terms<'_>,
        make: &MakeStrategies<'_>,
    ) -> Result<Option<Peek>, BacktestError> {
        for bars in market.values_mut() {
            bars.truncate(bars.starts().partition_point(|start| start.after(MINUTE) <= cut));
        }
        let again = acts(market, &Terms { strategies: &make(market), ..*terms }, Some(cut))?;
        let until = |acts: &[Act]| acts.partition_point(|act| act.at <= cut);
        let (with, without) = (self.acts.get(..until(&self.acts)), again.get(..until(&again)));
        let (with, without) = (with.unwrap_or_default(), without.unwrap_or_default());
        let same = with.iter().zip(without).take_while(|(with, without)| with == without).count();
        let (with_the_future, without) = (with.get(same).cloned(), without.get(same).cloned());
        let differs = with_the_future.is_some() || without.is_some();
        Ok(differs.then_some(Peek { cut, with_the_future, without }))
    }
}
