use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daybook_core::exchange::LastPrice;
use daybook_core::market::{Bar, MINUTE, Quote, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::{SessionDate, Timestamp};

use crate::ports::{FeedError, MarketFeed, NewsItem};

/// How far back the last price of a symbol is looked for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far back a steered symbol's prices are kept, as bars.
const TICKS_MAX: usize = 100_000;

/// The size of a quote that any order fits into: like the service's paper trading, fills ignore size
/// unless one was set.
const AMPLE: Quantity = Quantity::whole(1_000_000_000);

/// A price that somebody has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick {
    pub at: Timestamp,
    pub price: Price,
    /// What is left of the shares that trade at it; `None` without a bound.
    pub size: Option<Quantity>,
}

/// The market: a feed's, but for the symbols whose price somebody has set.
pub(super) struct Market {
    feed: Arc<dyn MarketFeed>,
    listed: BTreeSet<Symbol>,
    steered: BTreeMap<Symbol, Vec<Tick>>,
}

impl Market {
    pub(super) async fn new(feed: Arc<dyn MarketFeed>) -> Result<Self, FeedError> {
        let listed = feed.universe().await?.into_iter().map(|info| info.symbol).collect();
        Ok(Self { feed, listed, steered: BTreeMap::new() })
    }

    /// Every symbol that can be traded.
    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        let added = self.steered.keys().filter(|symbol| !self.listed.contains(symbol));
        self.listed.iter().chain(added).copied()
    }

    pub(super) fn lists(&self, symbol: Symbol) -> bool {
        self.listed.contains(&symbol) || self.steered.contains_key(&symbol)
    }

    pub(super) fn is_steered(&self, symbol: Symbol) -> bool {
        self.steered.contains_key(&symbol)
    }

    /// Sets a symbol's price from now on; a symbol that was not listed is, from now on.
    pub(super) fn steer(&mut self, symbol: Symbol, tick: Tick) {
        let ticks = self.steered.entry(symbol).or_default();
        if ticks.len() >= TICKS_MAX {
            ticks.drain(..TICKS_MAX / 2);
        }
        ticks.push(tick);
    }

    pub(super) fn release_all(&mut self) {
        self.steered.clear();
    }

    /// Takes shares that have traded off what a set price still offers; what is left, if it had a size.
    pub(super) fn take(&mut self, symbol: Symbol, quantity: Quantity) -> Option<Tick> {
        if quantity.is_zero() {
            return None;
        }
        let tick = self.steered.get_mut(&symbol)?.last_mut()?;
        tick.size = Some(Quantity(tick.size?.0.saturating_sub(quantity.0).max(0)));
        Some(*tick)
    }

    /// The quote in force; one that was set never grows old.
    pub(super) async fn quote(&self, symbol: Symbol, now: Timestamp) -> Result<Option<Quote>, FeedError> {
        if let Some(ticks) = self.steered.get(&symbol) {
            let tick = ticks.iter().rev().find(|tick| tick.at <= now);
            return Ok(tick.map(|tick| {
                let size = tick.size.unwrap_or(AMPLE);
                Quote { at: now, bid: tick.price, ask: tick.price, bid_size: size, ask_size: size }
            }));
        }
        if !self.listed.contains(&symbol) {
            return Ok(None);
        }
        let quote = self.feed.quote(symbol, now).await?;
        Ok(quote.filter(|quote| quote.check().is_ok()))
    }

    /// The same for the engine: whatever its size, it fills any order, unless a size was set.
    pub(super) async fn quote_to_fill(&self, symbol: Symbol, now: Timestamp) -> Result<Option<Quote>, FeedError> {
        let quote = self.quote(symbol, now).await?;
        if self.is_steered(symbol) {
            return Ok(quote);
        }
        Ok(quote.map(|quote| Quote { bid_size: AMPLE, ask_size: AMPLE, ..quote }))
    }

    /// Minute bars from `from` on that were complete at `as_of`.
    pub(super) async fn minute_bars(
        &self,
        symbol: Symbol,
        from: Timestamp,
        as_of: Timestamp,
    ) -> Result<Vec<Bar>, FeedError> {
        match self.steered.get(&symbol) {
            Some(ticks) => Ok(bars_of(ticks, from, as_of)),
            None if self.listed.contains(&symbol) => self.feed.minute_bars(symbol, from, as_of).await,
            None => Ok(Vec::new()),
        }
    }

    /// What traded last, by the bars of a day, or was quoted after that.
    pub(super) async fn last_price(&self, symbol: Symbol, now: Timestamp) -> Result<Option<LastPrice>, FeedError> {
        let bars = self.minute_bars(symbol, now.before(DAY), now).await?;
        let traded = bars.last().map(|bar| LastPrice { price: bar.close, at: bar.minute_end() });
        let quote = self.quote(symbol, now).await?;
        let quoted = quote.and_then(|quote| Some(LastPrice { price: quote.midpoint().ok()?, at: quote.at }));
        Ok(traded.into_iter().chain(quoted).max_by_key(|last| last.at))
    }

    /// Regular sessions before a date as one bar each.
    pub(super) async fn daily_bars(
        &self,
        symbol: Symbol,
        sessions: usize,
        before: SessionDate,
    ) -> Result<Vec<Bar>, FeedError> {
        if self.is_steered(symbol) || !self.listed.contains(&symbol) {
            return Ok(Vec::new());
        }
        self.feed.daily_bars(symbol, sessions, before).await
    }

    pub(super) async fn news(
        &self,
        symbol: Symbol,
        from: Timestamp,
        as_of: Timestamp,
    ) -> Result<Vec<NewsItem>, FeedError> {
        if !self.listed.contains(&symbol) {
            return Ok(Vec::new());
        }
        self.feed.news(symbol, from, as_of).await
    }
}

/// The bars that set prices make: a minute without one has none.
fn bars_of(ticks: &[Tick], from: Timestamp, as_of: Timestamp) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    for tick in ticks {
        let start = tick.at.floor_to(MINUTE);
        if start < from || start.after(MINUTE) > as_of {
            continue;
        }
        let lot = tick.size.unwrap_or(Quantity::whole(100));
        match bars.last_mut().filter(|bar| bar.start == start) {
            Some(bar) => {
                bar.high = bar.high.max(tick.price);
                bar.low = bar.low.min(tick.price);
                bar.close = tick.price;
                bar.volume = bar.volume.plus(lot).unwrap_or(Quantity::MAX);
            }
            None => bars.push(Bar {
                start,
                open: tick.price,
                high: tick.price,
                low: tick.price,
                close: tick.price,
                volume: lot,
            }),
        }
    }
    bars
}

/// How old a feed's quote may be to be acted on, in regular hours.
pub(super) const QUOTE_AGE_MAX: Duration = Duration::from_secs(120);
