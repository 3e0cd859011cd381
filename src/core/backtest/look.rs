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
    /// The last instant that bars tell of.
    pub(super) known_until: Timestamp,
    pub(super) terms: &'a Terms<'a>,
    /// Whether signals come with their grounds.
    pub(super) wording: Wording,
}

impl Looks<'_> {
    /// The first minute behind `after` at which a strategy proposes something, whether or not a bar ends with it; the desk
    /// has what. `shown` is kept for its memory.
    pub(super) fn first(
        self,
        desk: &mut Desk<'_>,
        after: Timestamp,
        shown: &mut Vec<Bar>,
    ) -> Result<Option<Timestamp>, MoneyError> {
        let daily = desk.tape.daily()?;
        let bars_end = desk.tape.day.regular.end;
        let mut now = after.after(MINUTE);
        shown.clear();
        while now < self.flatten_at && now <= self.known_until {
            let known = desk.tape.known_until(now);
            shown.extend(desk.tape.bars.bars(desk.tape.day.first + shown.len()..known));
            let view = self.view(desk, daily, shown, now)?;
            let next = self.terms.strategies.iter().map(|strategy| match strategy.next_look(&view) {
                NextLook::Now => now,
                NextLook::From(at) => at.ceil_to(MINUTE).max(now.after(MINUTE)),
                NextLook::CloseBeyond { above, below } => {
                    // Beyond is at the next unit of price, or further.
                    let low = below.map_or(Reach::NOTHING.low, |below| Price(below.0.saturating_sub(1)));
                    let high = above.map_or(Reach::NOTHING.high, |above| Price(above.0.saturating_add(1)));
                    let beyond = desk.tape.first_close(known..bars_end, Reach { low, high });
                    beyond.and_then(|bar| desk.tape.end_of(bar)).unwrap_or(self.flatten_at)
                }
                NextLook::NextSession => self.flatten_at,
            });
            let next = next.min().unwrap_or(self.flatten_at);
            if next == now {
                self.ask(view, desk)?;
                if !desk.proposed.is_empty() {
                    return Ok(Some(now));
                }
            }
            now = next.max(now.after(MINUTE));
        }
        Ok(None)
    }

    /// Asks the strategies at `now`; the desk has what they propose.
    pub(super) fn at(self, now: Timestamp, desk: &mut Desk<'_>, shown: &mut Vec<Bar>) -> Result<(), MoneyError> {
        let daily = desk.tape.daily()?;
        if now >= self.flatten_at {
            return Ok(());
        }
        shown.clear();
        shown.extend(desk.tape.bars.bars(desk.tape.day.first..desk.tape.known_until(now)));
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
