//! Time goes by: sessions open and close, bars and quotes fill, late cancels take effect.

use std::time::Duration;

use daybook_core::exchange::MarketEvent;
use daybook_core::market::{MINUTE, Symbol};
use daybook_core::money::Quantity;
use daybook_core::time::Timestamp;

use super::Venue;
use crate::paper_exchange::market::QUOTE_AGE_MAX;
use crate::paper_exchange::problem::Problem;
use crate::paper_exchange::store::{Note, Row};

/// A stretch of time no longer than this was watched quote by quote; of a longer one the bars are read.
const WATCHED: Duration = Duration::from_secs(60);

/// How often the feed's quotes are looked at: they change on the second.
const QUOTED_EVERY: Duration = Duration::from_millis(250);

impl Venue {
    /// Lets happen what became known up to `now`: sessions open and close, bars and quotes fill.
    pub(in crate::paper_exchange) async fn advance(&mut self, now: Timestamp) -> Result<(), Problem> {
        while self.advanced_to < now {
            let from = self.advanced_to;
            let (until, boundaries) = self.boundary(from, now);
            let mut events = boundaries;
            if !self.watched || until.since(from) > WATCHED {
                events.extend(self.bars(from, until).await?);
            }
            events.sort_by_key(MarketEvent::order_key);
            let opens = events
                .iter()
                .any(|event| matches!(event, MarketEvent::SessionOpen { .. } | MarketEvent::ExtendedOpen { .. }));
            for event in &events {
                self.apply(event)?;
            }
            self.advanced_to = until;
            self.carry_out_cancels()?;
            if opens {
                for symbol in self.symbols() {
                    if self.market.is_steered(symbol) {
                        self.meet_quote(symbol).await?;
                    }
                }
            }
        }
        if now.since(self.quoted_at) >= QUOTED_EVERY {
            self.quoted_at = now;
            for symbol in self.symbols() {
                let steered = self.market.is_steered(symbol);
                if (steered && !self.quoted.contains_key(&symbol)) || (!steered && self.watched) {
                    self.meet_quote(symbol).await?;
                }
            }
        }
        Ok(())
    }

    /// The bars that became complete after `from` and by `until`. A price that was set has met the orders already.
    async fn bars(&self, from: Timestamp, until: Timestamp) -> Result<Vec<MarketEvent>, Problem> {
        // Of a bar that had begun before, the quotes were met if anybody looked at them.
        let first = if self.watched { from } else { from.floor_to(MINUTE) };
        let mut events = Vec::new();
        let trades = |symbol: &Symbol| !self.market.is_steered(*symbol) && !self.halted.contains(symbol);
        for symbol in self.symbols().into_iter().filter(trades) {
            let bars = self.market.minute_bars(symbol, first, until).await?;
            let ended = |end: Timestamp| end > from && end <= until;
            let whole = bars.into_iter().filter(|bar| bar.start >= first && ended(bar.minute_end()));
            events.extend(whole.map(|bar| MarketEvent::BarRange { symbol, bar, end: bar.minute_end() }));
        }
        Ok(events)
    }

    /// The next instant at which a session changes, or `now`; and what changes then.
    fn boundary(&self, from: Timestamp, now: Timestamp) -> (Timestamp, Vec<MarketEvent>) {
        let date = from.date_in(self.calendar.zone());
        // The furthest that two sessions are apart is the closure of September 2001.
        let sessions = self.calendar.sessions(date.plus_days(-1), date.plus_days(10));
        let mut events: Vec<MarketEvent> = sessions
            .flat_map(|session| {
                [
                    MarketEvent::ExtendedOpen { at: session.pre_open },
                    MarketEvent::SessionOpen { at: session.open },
                    MarketEvent::SessionClose { at: session.close },
                    MarketEvent::ExtendedClose { at: session.post_close },
                ]
            })
            .filter(|event| event.known_at() > from)
            .collect();
        let until = events.iter().map(MarketEvent::known_at).fold(now, Timestamp::min);
        events.retain(|event| event.known_at() == until);
        (until, events)
    }

    /// Tells every account that it concerns.
    fn apply(&mut self, event: &MarketEvent) -> Result<(), Problem> {
        let symbol = match event {
            MarketEvent::BarOpen { symbol, .. }
            | MarketEvent::BarRange { symbol, .. }
            | MarketEvent::Quote { symbol, .. } => Some(*symbol),
            MarketEvent::SessionOpen { .. }
            | MarketEvent::SessionClose { .. }
            | MarketEvent::ExtendedOpen { .. }
            | MarketEvent::ExtendedClose { .. } => None,
        };
        for account in 0..self.desks.len() {
            let desk = self.desk_mut(account)?;
            if symbol.is_some_and(|symbol| !desk.exchange.state().matters(symbol)) {
                continue;
            }
            desk.exchange.apply(event)?;
            if let MarketEvent::SessionClose { at } = event {
                let equity = desk.exchange.state().last_equity;
                desk.equity.push((*at, equity));
                let number = desk.number;
                self.rows.push(Row::Equity { account: number, at: *at, equity });
            }
            self.collect(account, &Note::default(), event.known_at())?;
        }
        Ok(())
    }

    /// Holds the quote in force against every account's orders, unless it was before.
    pub(super) async fn meet_quote(&mut self, symbol: Symbol) -> Result<(), Problem> {
        let now = self.advanced_to;
        if self.halted.contains(&symbol) {
            return Ok(());
        }
        let Some(quote) = self.market.quote_to_fill(symbol, now).await? else { return Ok(()) };
        if now.since(quote.at) > QUOTE_AGE_MAX {
            return Ok(());
        }
        let changed = self.quoted.insert(symbol, quote) != Some(quote);
        if changed {
            let before = self.executions();
            self.apply(&MarketEvent::Quote { symbol, quote })?;
            let new = self.desks.iter().zip(before).flat_map(|(desk, before)| desk.executions.iter().skip(before));
            let of_symbol = new.filter(|execution| execution.fill.symbol == symbol);
            let taken = of_symbol.map(|execution| execution.fill.quantity.0).fold(0, i64::saturating_add);
            self.take(symbol, Quantity(taken));
        }
        Ok(())
    }

    /// How many executions each account has had.
    fn executions(&self) -> Vec<usize> {
        self.desks.iter().map(|desk| desk.executions.len()).collect()
    }

    /// Takes what has traded off the size of a price that was set.
    pub(super) fn take(&mut self, symbol: Symbol, quantity: Quantity) {
        if let Some(tick) = self.market.take(symbol, quantity) {
            self.rows.push(Row::Price { symbol, tick });
        }
    }

    /// Carries out the late cancels whose time has come; an order may have ended before that.
    fn carry_out_cancels(&mut self) -> Result<(), Problem> {
        let now = self.advanced_to;
        for (_, account, number) in self.late_cancels.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>() {
            if self.desk_mut(account)?.exchange.cancel(&number.to_string(), now).is_ok() {
                self.collect(account, &Note::default(), now)?;
            }
        }
        Ok(())
    }
}
