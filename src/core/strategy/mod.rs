//! Strategies: what is known of a symbol in, a signal or the reason for none out.
//!
//! A strategy is a struct of its settings with [`Strategy`] implemented for it, in a file of its own,
//! and one line in the list below. Everything else follows from that line: its section of the
//! configuration, its name, and that the analysis asks it. One that looks for a setup in the bars of a
//! timeframe implements `proposal::Proposer` instead: when it may enter, its prices and its messages are
//! those of all others.
//!
//! A strategy may also be a script of the user's ([`ScriptSettings`]); who runs it is outside the core.

mod composite;
mod donchian_breakout;
mod entries;
mod gap_and_go;
#[cfg(test)]
mod golden_tests;
mod opening_range;
mod proposal;
mod rsi_mean_reversion;
mod script;
mod signal;
mod terms;
mod trend_following;
mod view;
mod vwap_reversion;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Price;
use crate::time::Timestamp;

pub use composite::Composite;
pub use donchian_breakout::DonchianBreakout;
pub use entries::entry_price;
pub use gap_and_go::GapAndGo;
pub use opening_range::{Anchor, Confirmation, OpeningRangeBreakout, StopRounding};
pub use proposal::{average_range, complete_bars};
pub use rsi_mean_reversion::RsiMeanReversion;
pub use script::{Nonsense, Param, Proposal, Proposed, ScriptFault, ScriptSettings};
pub use signal::{Direction, Reason, Reasons, Signal, Wording};
pub use terms::{Directions, Distance};
pub use trend_following::TrendFollowing;
pub use view::SymbolView;
pub use vwap_reversion::VwapReversion;

/// Looks at one symbol at one instant, and proposes or says why not.
///
/// It answers from the view alone: the same view gives the same answer.
pub trait Strategy: Send + Sync {
    /// Its name in the configuration and in the signals it makes.
    fn name(&self) -> &str;
    /// What it trades, in a few words.
    fn idea(&self) -> &str;
    /// Whether the configuration lets it propose.
    fn is_enabled(&self) -> bool;
    /// Which directions it trades.
    fn directions(&self) -> Directions;
    /// How often it enters a symbol in a session, at most.
    fn max_entries(&self) -> u32;
    /// Everything that is wrong with its settings: the key, and what is wrong and expected.
    fn problems(&self) -> Vec<(&'static str, String)>;
    /// Whether it looks at what the news say.
    fn wants_news(&self) -> bool {
        false
    }
    /// Whether it looks at what a model says.
    fn wants_model(&self) -> bool {
        false
    }
    /// Proposes to open a position, or does not; what was measured until that was clear is noted, the last of it
    /// decided.
    fn propose(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> Option<Signal>;
    /// Why it proposes nothing any more; a strategy that is built in has no such fault.
    fn fault(&self) -> Option<ScriptFault> {
        None
    }
    /// The answer with its grounds: the proposal, or the measure that stands against it.
    fn evaluate(&self, view: &SymbolView<'_>) -> Evaluation {
        let mut reasons = Reasons::new(Wording::Told);
        match self.propose(view, &mut reasons) {
            Some(signal) => Evaluation::Signal(signal),
            None => Evaluation::None(reasons.take()),
        }
    }
    /// The proposal, if there is one, with its grounds where they are told.
    fn signal(&self, view: &SymbolView<'_>, wording: Wording) -> Option<Signal> {
        self.propose(view, &mut Reasons::new(wording))
    }
    /// The earliest look of the session, from this one on, at which [`Strategy::evaluate`] may propose. A back-test
    /// leaves out the looks before it, so it may come too early but never too late.
    fn next_look(&self, view: &SymbolView<'_>) -> NextLook {
        let _ = view;
        NextLook::Now
    }
}

/// When a strategy has to be asked, as far as it can tell from what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextLook {
    /// It may propose now.
    Now,
    /// Not before this instant.
    From(Timestamp),
    /// Not before a later bar closes above the one price or below the other.
    CloseBeyond {
        /// `None`: no price is high enough.
        above: Option<Price>,
        /// `None`: no price is low enough.
        below: Option<Price>,
    },
    /// Not in this session.
    NextSession,
}

/// A strategy's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluation {
    /// It proposes.
    Signal(Signal),
    /// It does not, on these grounds; the last one decided.
    None(Vec<Reason>),
}

macro_rules! strategies {
    ($($(#[$doc:meta])* $name:ident: $strategy:ty),+ $(,)?) => {
        /// The settings of all strategies, by name.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct StrategySettings {
            $($(#[$doc])* pub $name: $strategy,)+
            /// Strategies that are scripts, by the names that the user gives them.
            pub scripts: BTreeMap<String, ScriptSettings>,
        }

        impl StrategySettings {
            /// The names of all strategies that are built in, enabled or not.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Each strategy that is built in, enabled or not.
            fn all(&self) -> Vec<&dyn Strategy> {
                vec![$(&self.$name),+]
            }

            /// The built-in strategy of this name under these settings, enabled or not.
            #[must_use]
            pub fn strategy(&self, name: &str) -> Option<Box<dyn Strategy>> {
                match name {
                    $(stringify!($name) => Some(Box::new(self.$name.clone())),)+
                    _ => None,
                }
            }
        }
    };
}

strategies! {
    /// Opening-range breakout.
    opening_range_breakout: OpeningRangeBreakout,
    /// The way back to the session's average price.
    vwap_reversion: VwapReversion,
    /// A gap that goes on.
    gap_and_go: GapAndGo,
    /// Crossing averages in a trend.
    trend_following: TrendFollowing,
    /// A fast move against the trend.
    rsi_mean_reversion: RsiMeanReversion,
    /// A close beyond the range of the bars before it.
    donchian_breakout: DonchianBreakout,
    /// What speaks for a rise or a fall, weighed into one confidence.
    composite: Composite,
}

impl StrategySettings {
    /// Everything that is wrong: the key within the section, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let of = |strategy: &dyn Strategy| {
            let name = strategy.name().to_owned();
            strategy.problems().into_iter().map(move |(key, problem)| (format!("{name}.{key}"), problem))
        };
        let of_script = |(name, script): (&String, &ScriptSettings)| {
            let path = format!("scripts.{name}");
            let own = script.problems().0.into_iter().map(|(key, problem)| (format!("{path}.{key}"), problem));
            let misnamed = script::problem_of_name(name, Self::NAMES).map(|problem| (path.clone(), problem));
            misnamed.into_iter().chain(own).collect::<Vec<_>>()
        };
        self.all().into_iter().flat_map(of).chain(self.scripts.iter().flat_map(of_script)).collect()
    }
}

/// The built-in strategies that may propose under these settings.
#[must_use]
pub fn strategies(settings: &StrategySettings) -> Vec<Box<dyn Strategy>> {
    let named = StrategySettings::NAMES.iter().filter_map(|name| settings.strategy(name));
    named.filter(|strategy| strategy.is_enabled()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_in_the_list_is_the_name_of_its_strategy() {
        let settings = StrategySettings::default();
        let all = settings.all();
        let names: Vec<&str> = all.iter().map(|strategy| strategy.name()).collect();
        assert_eq!(names, StrategySettings::NAMES);
        for name in names {
            assert!(settings.strategy(name).is_some_and(|strategy| strategy.name() == name));
        }
        assert!(settings.strategy("no_such").is_none());
        assert_eq!(settings.problems(), vec![]);
    }

    #[test]
    fn a_disabled_strategy_does_not_propose() {
        let settings: StrategySettings =
            serde_json::from_str(r#"{"opening_range_breakout": {"enabled": false, "range_minutes": 0}}"#).unwrap();
        assert!(strategies(&settings).is_empty());
        let problems = settings.problems();
        assert_eq!(problems.first().map(|(key, _)| key.as_str()), Some("opening_range_breakout.range_minutes"));
    }
}
