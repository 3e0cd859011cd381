use std::ops::Range;

use crate::calendar::Session;
use crate::exchange::Reach;
use crate::market::{Bar, MINUTE};
use crate::money::{MoneyError, Price};
use crate::strategy::{NextLook, SymbolView, Wording};
use crate::time::Timestamp;

use super::Terms;
use super::desk::Desk;
use super::tape::Daily;

/// How the strategies look at the symbols of a session.
///
/// What they see is bars and nothing of the account, so they may be asked ahead of time: each is shown the bars up to
/// the instant of its look and no others.
#[derive(Clone, Copy)]
pub(super) struct Looks<'a> {
    pub(super) session: Session,
    /// From then on nothing is opened.
    pub(super) flatten_at: Timestamp,
    pub(super) terms: &'a Terms<'a>,
    /// Whether signals come with their grounds.
    pub(super) wording: Wording,
}

impl Looks<'_> {
    /// The first of `bars` after which a strategy proposes something; the desk has what. `shown` is kept for its memory.
    pub(super) fn first(
        self,
        desk: &mut Desk<'_>,
        bars: Range<usize>,
        shown: &mut Vec<Bar>,
    ) -> Result<Option<usize>, MoneyError> {
        let daily = desk.tape.daily()?;
        let end = desk.tape.first_ending(self.flatten_at, bars.clone());
        let mut bar = bars.start;
        shown.clear();
        while let Some(now) = desk.tape.end_of(bar).filter(|_| bar < end) {
            shown.extend(desk.tape.bars.bars(desk.tape.day.first + shown.len()..bar + 1));
            let view = self.view(desk, daily, shown, now)?;
            let next = self.terms.strategies.iter().map(|strategy| match strategy.next_look(&view) {
                NextLook::Now => bar,
                NextLook::From(at) => desk.tape.first_ending(at, bar + 1..end),
                NextLook::CloseBeyond { above, below } => {
                    // Beyond is at the next unit of price, or further.
                    let low = below.map_or(Reach::NOTHING.low, |below| Price(below.0.saturating_sub(1)));
                    let high = above.map_or(Reach::NOTHING.high, |above| Price(above.0.saturating_add(1)));
                    desk.tape.first_close(bar + 1..end, Reach { low, high }).unwrap_or(end)
                }
                NextLook::NextSession => end,
            });
            let next = next.min().unwrap_or(end);
            if next == bar {
                self.ask(view, desk)?;
                if !desk.proposed.is_empty() {
                    return Ok(Some(bar));
                }
            }
            bar = next.max(bar + 1);
        }
        Ok(None)
    }

    /// Asks the strategies about the bar that ends at `now`; the desk has what they propose.
    pub(super) fn at(
        self,
        now: Timestamp,
        desk: &mut Desk<'_>,
        last: usize,
        shown: &mut Vec<Bar>,
    ) -> Result<(), MoneyError> {
        let daily = desk.tape.daily()?;
        if now >= self.flatten_at {
            return Ok(());
        }
        shown.clear();
        shown.extend(desk.tape.bars.bars(desk.tape.day.first..last + 1));
        let view = self.view(desk, daily, shown, now)?;
        self.ask(view, desk)
    }

    /// Asks the strategies, if this is an instant at which they are.
    fn ask(self, view: SymbolView<'_>, desk: &mut Desk<'_>) -> Result<(), MoneyError> {
        let every = self.terms.backtest.looks.length().unwrap_or(MINUTE).as_secs();
        if view.as_of.since(self.session.open).as_secs().is_multiple_of(every) {
            let view = SymbolView { relative_volume: desk.tape.relative_volume(view.as_of)?, ..view };
            let strategies = self.terms.strategies.iter();
            desk.proposed.extend(strategies.filter_map(|strategy| strategy.signal(&view, self.wording)));
        }
        Ok(())
    }

    /// What is seen at `now`, but for the volume against the usual one: that is measured where somebody is asked.
    fn view<'v>(
        self,
        desk: &Desk<'_>,
        daily: Daily,
        bars: &'v [Bar],
        now: Timestamp,
    ) -> Result<SymbolView<'v>, MoneyError> {
        Ok(SymbolView {
            symbol: desk.symbol,
            session: self.session,
            as_of: now,
            bars,
            quote: desk.tape.quote_at(now, self.terms)?,
            previous_close: daily.previous_close,
            daily_atr: daily.atr,
            relative_volume: None,
            // Bars come without news, and nobody is asked.
            news_score: None,
            model: None,
            entries_today: desk.entries_today,
        })
    }
}
