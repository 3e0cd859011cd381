use std::sync::Arc;

use async_trait::async_trait;
use daybook_core::market::{Bar, CorporateAction, Quote, Symbol};
use daybook_core::money::Price;
use daybook_core::time::{SessionDate, Timestamp};

use super::{Fuse, Side, Site, Spell, Struck};
use crate::ports::{Clock, FeedError, MarketFeed, NewsItem, SymbolInfo};

/// What goes wrong at a feed. Where it concerns some symbols only, it is every second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedFault {
    /// It does not answer.
    Down,
    /// Some symbols have no quotes, and their minutes are missing, then and later.
    Gap,
    /// Some symbols stand still: what is told of them is what was known when it began.
    Frozen,
    /// Some symbols are quoted at so many percent of their price.
    Absurd {
        /// Such as 300 or 10.
        percent: i64,
    },
}

/// A feed with its bad days. It never tells what is in the future of the world's own clock, whatever instant a
/// process whose clock is wrong asks about.
pub struct FaultyFeed {
    inner: Arc<dyn MarketFeed>,
    clock: Arc<dyn Clock>,
    spells: Vec<Spell<FeedFault>>,
    struck: Struck,
    fuse: Fuse,
}

impl FaultyFeed {
    /// A feed that is at fault during these spells, and at whose calls a process may end.
    #[must_use]
    pub fn new(
        inner: Arc<dyn MarketFeed>,
        clock: Arc<dyn Clock>,
        spells: Vec<Spell<FeedFault>>,
        struck: Struck,
        fuse: Fuse,
    ) -> Self {
        Self { inner, clock, spells, struck, fuse }
    }

    /// The faults that hold now, noted as having struck.
    fn holding(&self) -> impl Iterator<Item = &Spell<FeedFault>> {
        let now = self.clock.wall();
        self.spells.iter().filter(move |spell| spell.holds_at(now)).inspect(|spell| self.struck.note(spell.number))
    }

    /// Makes a call, unless the feed is down.
    async fn guarded<T>(&self, call: impl Future<Output = Result<T, FeedError>> + Send) -> Result<T, FeedError> {
        self.fuse.pass(Site::Feed, Side::Before).await;
        if self.holding().any(|spell| spell.fault == FeedFault::Down) {
            let (feed, reason) = (self.name().to_owned(), "no answer (made up)".to_owned());
            return Err(FeedError::Retryable { feed, reason });
        }
        let answer = call.await;
        self.fuse.pass(Site::Feed, Side::After).await;
        answer
    }

    /// The latest instant that a question about `as_of` is answered from.
    fn known_at(&self, symbol: Symbol, as_of: Timestamp) -> Timestamp {
        let frozen = self.holding().filter(|spell| spell.fault == FeedFault::Frozen && is_hit(symbol));
        let frozen = frozen.map(|spell| spell.from).min();
        as_of.min(self.clock.wall()).min(frozen.unwrap_or(as_of))
    }
}

/// Whether a fault of some symbols concerns this one: every second, whatever the order of questions.
fn is_hit(symbol: Symbol) -> bool {
    symbol.as_str().bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)).count_ones() % 2 == 0
}

#[async_trait]
impl MarketFeed for FaultyFeed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
        self.guarded(self.inner.universe()).await
    }

    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError> {
        let as_of = self.known_at(symbol, as_of);
        let mut bars = self.guarded(self.inner.minute_bars(symbol, from, as_of)).await?;
        for gap in self.spells.iter().filter(|spell| spell.fault == FeedFault::Gap && is_hit(symbol)) {
            let before = bars.len();
            bars.retain(|bar| !gap.holds_at(bar.start));
            if bars.len() < before {
                self.struck.note(gap.number);
            }
        }
        Ok(bars)
    }

    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError> {
        self.guarded(self.inner.daily_bars(symbol, sessions, before)).await
    }

    async fn corporate_actions(
        &self,
        symbol: Symbol,
        after: SessionDate,
        through: SessionDate,
    ) -> Result<Vec<CorporateAction>, FeedError> {
        self.guarded(self.inner.corporate_actions(symbol, after, through)).await
    }

    async fn quote(&self, symbol: Symbol, as_of: Timestamp) -> Result<Option<Quote>, FeedError> {
        let as_of = self.known_at(symbol, as_of);
        let mut quote = self.guarded(self.inner.quote(symbol, as_of)).await?;
        for spell in self.holding().filter(|_| is_hit(symbol)) {
            match spell.fault {
                FeedFault::Gap => quote = None,
                FeedFault::Absurd { percent } => {
                    let absurd = |price: Price| Price(price.0 / 100 * percent);
                    quote = quote.map(|quote| Quote { bid: absurd(quote.bid), ask: absurd(quote.ask), ..quote });
                }
                FeedFault::Down | FeedFault::Frozen => {}
            }
        }
        Ok(quote)
    }

    async fn news(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<NewsItem>, FeedError> {
        let as_of = self.known_at(symbol, as_of);
        self.guarded(self.inner.news(symbol, from, as_of)).await
    }
}
