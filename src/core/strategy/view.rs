use crate::analysis::ModelAnswer;
use crate::calendar::Session;
use crate::market::{Bar, Quote, Symbol, complete_minutes};
use crate::money::{Bps, Price};
use crate::time::Timestamp;

use super::Direction;

/// What a strategy sees of a symbol: nothing that was not known at `as_of`.
#[derive(Debug, Clone, Copy)]
pub struct SymbolView<'a> {
    /// The symbol.
    pub symbol: Symbol,
    /// The session that is traded.
    pub session: Session,
    /// The instant of the look.
    pub as_of: Timestamp,
    /// Minute bars of the session so far, extended hours included, in order.
    pub bars: &'a [Bar],
    /// The quote in force.
    pub quote: Option<Quote>,
    /// The close of the regular session before.
    pub previous_close: Option<Price>,
    /// The average true range of the sessions before.
    pub daily_atr: Option<Price>,
    /// The session's volume so far against the usual volume by this time of day; 100 % is usual.
    pub relative_volume: Option<Bps>,
    /// What the news since the close before say, -100 % to 100 %; `None` if nothing, or if no strategy asks.
    pub news_score: Option<Bps>,
    /// What came of asking a model; `None` if no strategy asks.
    pub model: Option<&'a ModelAnswer>,
    /// How often a position in the symbol was opened this session.
    pub entries_today: u32,
}

impl<'a> SymbolView<'a> {
    /// The complete minutes of regular hours.
    #[must_use]
    pub fn regular_bars(&self) -> &'a [Bar] {
        complete_minutes(self.bars, self.session.open, self.as_of.min(self.session.close))
    }

    /// The complete minutes before the open.
    #[must_use]
    pub fn premarket_bars(&self) -> &'a [Bar] {
        complete_minutes(self.bars, self.session.pre_open, self.as_of.min(self.session.open))
    }

    /// The latest price traded.
    #[must_use]
    pub fn last_price(&self) -> Option<Price> {
        complete_minutes(self.bars, self.session.pre_open, self.as_of).last().map(|bar| bar.close)
    }

    /// The price at which a position could be opened: the far side of the quote where there is one
    /// that is not older than the last bar, else the last price.
    #[must_use]
    pub fn entry_price(&self, direction: Direction) -> Option<Price> {
        let last = complete_minutes(self.bars, self.session.pre_open, self.as_of).last();
        let quote = self.quote.filter(|quote| last.is_none_or(|bar| quote.at >= bar.start));
        let quoted = quote.map(|quote| match direction {
            Direction::Long => quote.ask,
            Direction::Short => quote.bid,
        });
        quoted.filter(|price| price.is_positive()).or(last.map(|bar| bar.close))
    }
}
