//! A scripted market: a test says what trades when, and the feed tells it to whoever asks, not a
//! moment before it can be known.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use daybook::ports::{FeedError, MarketFeed, NewsItem, SymbolInfo};
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, MINUTE, Quote, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::{SessionDate, Timestamp};

/// Shares in a bar, and on each side of a quote, where the test does not care.
const PLENTY: Quantity = Quantity::whole(1_000_000);

/// A market under a test's control.
#[derive(Default)]
pub struct ScriptedMarket {
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    tapes: BTreeMap<Symbol, Tape>,
    down: Option<FeedError>,
}

#[derive(Default)]
struct Tape {
    minutes: BTreeMap<Timestamp, Bar>,
    days: BTreeMap<SessionDate, Bar>,
    quotes: BTreeMap<Timestamp, Quote>,
    news: Vec<NewsItem>,
}

/// A price from cents: `cents(9_950)` is 99.50.
pub const fn cents(cents: i64) -> Price {
    Price::from_cents(cents)
}

/// An instant of New York's wall clock: `new_york("2026-11-16", "09:30")`; seconds may follow.
pub fn new_york(date: &str, wall: &str) -> Timestamp {
    let seconds = if wall.len() == "09:30".len() { ":00" } else { "" };
    Timestamp::from_wall(format!("{date}T{wall}{seconds}").parse().unwrap(), Calendar::xnys().zone())
}

impl ScriptedMarket {
    /// The minute that begins at `start`: open, high, low and close in cents, and plenty of shares.
    pub fn minute(&self, symbol: &str, start: Timestamp, prices: [i64; 4]) {
        self.minute_of(symbol, start, prices, PLENTY);
    }

    /// The minute that begins at `start`, with its volume.
    pub fn minute_of(&self, symbol: &str, start: Timestamp, prices: [i64; 4], volume: Quantity) {
        let [open, high, low, close] = prices.map(cents);
        let bar = Bar { start, open, high, low, close, volume };
        self.tape(symbol, |tape| tape.minutes.insert(start, bar));
    }

    /// Minutes at one price, from `start` on.
    pub fn flat(&self, symbol: &str, start: Timestamp, minutes: u32, price: i64) {
        for n in 0..minutes {
            self.minute(symbol, start.after(MINUTE * n), [price; 4]);
        }
    }

    /// One share trades at `at`: the minute's bar grows by it, and from then on the quote stands there.
    pub fn price(&self, symbol: &str, at: Timestamp, price: i64) {
        let (start, price) = (at.floor_to(MINUTE), cents(price));
        self.tape(symbol, |tape| {
            let first = Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::ZERO };
            let bar = tape.minutes.entry(start).or_insert(first);
            bar.high = bar.high.max(price);
            bar.low = bar.low.min(price);
            bar.close = price;
            bar.volume = bar.volume.plus(Quantity::whole(1)).unwrap();
        });
        self.quoted(symbol, Quote { at, bid: price, ask: price, bid_size: PLENTY, ask_size: PLENTY });
    }

    /// A quote in force from its own instant on.
    pub fn quoted(&self, symbol: &str, quote: Quote) {
        self.tape(symbol, |tape| tape.quotes.insert(quote.at, quote));
    }

    /// The regular session of a date as one bar: open, high, low and close in cents.
    pub fn day(&self, symbol: &str, date: SessionDate, prices: [i64; 4]) {
        let session = Calendar::xnys().session(date).expect("a session");
        let [open, high, low, close] = prices.map(cents);
        let bar = Bar { start: session.open, open, high, low, close, volume: PLENTY };
        self.tape(symbol, |tape| tape.days.insert(date, bar));
    }

    /// A headline.
    pub fn headline(&self, symbol: &str, at: Timestamp, headline: &str) {
        self.tape(symbol, |tape| tape.news.push(NewsItem { at, headline: headline.to_owned() }));
    }

    /// From now on every question is answered with this error; `None`: the feed is well again.
    pub fn goes_down(&self, error: Option<FeedError>) {
        self.script().down = error;
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tape<T>(&self, symbol: &str, write: impl FnOnce(&mut Tape) -> T) -> T {
        write(self.script().tapes.entry(symbol.parse().unwrap()).or_default())
    }

    fn read<T>(&self, symbol: Symbol, read: impl FnOnce(&Tape) -> T) -> Result<T, FeedError> {
        let script = self.script();
        match &script.down {
            Some(error) => Err(error.clone()),
            None => script.tapes.get(&symbol).map(read).ok_or_else(|| FeedError::Rejected {
                feed: "scripted".to_owned(),
                reason: format!("nothing is written of {symbol}"),
            }),
        }
    }
}

#[async_trait]
impl MarketFeed for ScriptedMarket {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
        let info = |symbol: &Symbol| SymbolInfo { symbol: *symbol, sector: "-".to_owned() };
        Ok(self.script().tapes.keys().map(info).collect())
    }

    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError> {
        self.read(symbol, |tape| {
            let complete = tape.minutes.range(from..).map(|(_, bar)| *bar).filter(|bar| bar.minute_end() <= as_of);
            complete.collect()
        })
    }

    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError> {
        self.read(symbol, |tape| {
            let mut bars: Vec<_> = tape.days.range(..before).rev().take(sessions).map(|(_, bar)| *bar).collect();
            bars.reverse();
            bars
        })
    }

    async fn quote(&self, symbol: Symbol, as_of: Timestamp) -> Result<Option<Quote>, FeedError> {
        self.read(symbol, |tape| tape.quotes.range(..=as_of).next_back().map(|(_, quote)| *quote))
    }

    async fn news(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<NewsItem>, FeedError> {
        self.read(symbol, |tape| tape.news.iter().filter(|item| from < item.at && item.at <= as_of).cloned().collect())
    }
}

#[tokio::test]
async fn the_script_is_told_no_moment_before_it_can_be_known() {
    let market = ScriptedMarket::default();
    let (symbol, at) = ("AAPL".parse().unwrap(), |wall| new_york("2026-11-16", wall));
    market.price("AAPL", at("10:00:10"), 10_000);
    market.price("AAPL", at("10:00:50"), 9_900);
    market.day("AAPL", SessionDate::of(2026, 11, 13).unwrap(), [9_800, 10_100, 9_700, 10_000]);
    market.headline("AAPL", at("10:00:20"), "Apple is a fruit");

    assert_eq!(market.minute_bars(symbol, at("10:00"), at("10:00:59")).await.unwrap(), []);
    let minute = market.minute_bars(symbol, at("10:00"), at("10:01")).await.unwrap()[0];
    assert_eq!((minute.open, minute.low, minute.volume), (cents(10_000), cents(9_900), Quantity::whole(2)));
    assert_eq!(market.quote(symbol, at("10:00:09")).await.unwrap(), None);
    assert_eq!(market.quote(symbol, at("10:00:49")).await.unwrap().unwrap().bid, cents(10_000));
    assert_eq!(market.news(symbol, at("10:00:20"), at("10:01")).await.unwrap(), []);
    assert_eq!(market.news(symbol, at("10:00"), at("10:01")).await.unwrap().len(), 1);
    let today = SessionDate::of(2026, 11, 16).unwrap();
    assert_eq!(market.daily_bars(symbol, 5, today).await.unwrap().len(), 1);
}
