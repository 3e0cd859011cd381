//! Alpaca's market data over HTTP: bars, quotes, news.
//!
//! Bars are adjusted for splits, so that a range over many days means something; today's prices are
//! the traded ones all the same. The daily bars of all watched symbols come in one request, because the
//! scan asks for each of them; the rest is asked for symbol by symbol.

#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, MINUTE, Quote, Symbol};
use daybook_core::time::{SessionDate, Span, Timestamp};

use self::wire::{WireBars, WireLatest, WireNews, WireNewsItem, WireQuotes};
use crate::adapters::alpaca::{AlpacaSettings, CallError, Client, ClientError, DataFeed, Urgency};
use crate::ports::{Clock, FeedError, MarketFeed, NewsItem, SymbolInfo};

/// The feed's name, as it stands with the facts.
const NAME: &str = "alpaca";

/// Symbols in one request: an address of some kilobytes goes through every proxy.
const SYMBOLS_IN_REQUEST: usize = 200;

/// Pages that are read for one question: ten thousand bars each, or fifty items of news.
const PAGES_MAX: usize = 40;

/// How far back a quote is looked for: over a long weekend.
const QUOTE_REACH: Span = Span::days(5);

/// A feed of Alpaca's market data.
pub struct AlpacaFeed {
    client: Client,
    data: DataFeed,
    symbols: BTreeSet<Symbol>,
    calendar: Calendar,
    /// The daily bars that were read last: they are the same all day.
    daily: Mutex<Option<Daily>>,
}

struct Daily {
    before: SessionDate,
    sessions: usize,
    bars: HashMap<Symbol, Vec<Bar>>,
}

impl AlpacaFeed {
    /// The market data that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    /// If the key is missing or malformed, or the address is none.
    pub fn new(settings: &AlpacaSettings, calendar: Calendar, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let keys = (settings.key_id.as_ref(), settings.secret_key.as_ref());
        let client =
            Client::new(settings.data_host(), keys, settings.data_requests_per_minute, settings.timeout, clock)?;
        let symbols = settings.symbols.iter().copied().collect();
        Ok(Self { client, data: settings.data_feed, symbols, calendar, daily: Mutex::new(None) })
    }

    /// Bars of these symbols whose beginning lies in `from..=to`, each symbol's in order.
    async fn bars(
        &self,
        symbols: &[Symbol],
        timeframe: &str,
        from: &str,
        to: &str,
    ) -> Result<BTreeMap<Symbol, Vec<Bar>>, FeedError> {
        let names = symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(",");
        let mut all: BTreeMap<Symbol, Vec<Bar>> = BTreeMap::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("symbols", names.as_str()),
                ("timeframe", timeframe),
                ("start", from),
                ("end", to),
                ("limit", "10000"),
                ("adjustment", "split"),
                ("feed", self.data.as_str()),
                ("sort", "asc"),
            ];
            query.extend(token.as_deref().map(|token| ("page_token", token)));
            let page: WireBars = self.client.get(Urgency::Ordinary, "/v2/stocks/bars", &query).await.map_err(failed)?;
            for (symbol, bars) in page.bars.unwrap_or_default() {
                let Some(symbol) = symbols.iter().find(|asked| asked.as_str() == symbol) else { continue };
                let bars = bars.iter().map(wire::WireBar::bar).collect::<Result<Vec<Bar>, _>>();
                all.entry(*symbol).or_default().extend(bars.map_err(|error| strange(*symbol, &error))?);
            }
            token = page.next_page_token;
            if token.is_none() {
                return Ok(all);
            }
        }
        Err(retryable(format!("the bars of {names} from {from} to {to} fill more than {PAGES_MAX} pages")))
    }

    /// Daily bars that were read already, if they reach back far enough.
    fn known_daily(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Option<Vec<Bar>> {
        // The whole is replaced at once: a panic elsewhere leaves nothing half-made behind the lock.
        let daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        let daily = daily.as_ref().filter(|daily| daily.before == before && daily.sessions >= sessions)?;
        let bars = daily.bars.get(&symbol)?;
        Some(bars.get(bars.len().saturating_sub(sessions)..).unwrap_or_default().to_vec())
    }
}

#[async_trait]
impl MarketFeed for AlpacaFeed {
    fn name(&self) -> &str {
        NAME
    }

    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
        Ok(self.symbols.iter().map(|symbol| SymbolInfo { symbol: *symbol, sector: "-".to_owned() }).collect())
    }

    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError> {
        let last = as_of.before(MINUTE);
        if last < from {
            return Ok(Vec::new());
        }
        let mut all = self.bars(&[symbol], "1Min", &from.to_string(), &last.to_string()).await?;
        let mut bars = all.remove(&symbol).unwrap_or_default();
        bars.retain(|bar| bar.start >= from && bar.minute_end() <= as_of);
        Ok(bars)
    }

    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError> {
        if let Some(known) = self.known_daily(symbol, sessions, before) {
            return Ok(known);
        }
        let earlier: BTreeMap<SessionDate, Timestamp> = self
            .calendar
            .sessions(self.calendar.first_date(), before.plus_days(-1))
            .rev()
            .take(sessions)
            .map(|session| (session.date, session.open))
            .collect();
        let (Some((first, _)), Some((last, _))) = (earlier.first_key_value(), earlier.last_key_value()) else {
            return Ok(Vec::new());
        };
        let symbols: Vec<Symbol> =
            self.symbols.iter().copied().chain([symbol]).collect::<BTreeSet<_>>().into_iter().collect();
        let mut bars: HashMap<Symbol, Vec<Bar>> = symbols.iter().map(|symbol| (*symbol, Vec::new())).collect();
        for symbols in symbols.chunks(SYMBOLS_IN_REQUEST) {
            for (symbol, days) in self.bars(symbols, "1Day", &first.to_string(), &last.to_string()).await? {
                // A day is stamped with its midnight in New York; ours begins with its session.
                let ours =
                    |bar: Bar| Some(Bar { start: *earlier.get(&bar.start.date_in(self.calendar.zone()))?, ..bar });
                bars.insert(symbol, days.into_iter().filter_map(ours).collect());
            }
        }
        let answer = bars.get(&symbol).cloned().unwrap_or_default();
        let mut daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        *daily = Some(Daily { before, sessions, bars });
        Ok(answer)
    }

    /// The latest quote; if that came after `as_of`, the last one before.
    async fn quote(&self, symbol: Symbol, as_of: Timestamp) -> Result<Option<Quote>, FeedError> {
        let feed = ("feed", self.data.as_str());
        let query = [("symbols", symbol.as_str()), feed];
        let latest: WireLatest =
            self.client.get(Urgency::Urgent, "/v2/stocks/quotes/latest", &query).await.map_err(failed)?;
        let Some(latest) = latest.quotes.unwrap_or_default().remove(symbol.as_str()) else { return Ok(None) };
        let latest = latest.quote().map_err(|error| strange(symbol, &error))?;
        if latest.is_none_or(|quote| quote.at <= as_of) {
            return Ok(latest);
        }
        let (from, to) = (as_of.before(QUOTE_REACH.as_duration()).to_string(), as_of.to_string());
        let query =
            [("symbols", symbol.as_str()), ("start", &from), ("end", &to), ("limit", "1"), ("sort", "desc"), feed];
        let earlier: WireQuotes =
            self.client.get(Urgency::Urgent, "/v2/stocks/quotes", &query).await.map_err(failed)?;
        let earlier = earlier.quotes.unwrap_or_default().remove(symbol.as_str()).unwrap_or_default();
        let quote = earlier.first().map(wire::WireQuote::quote).transpose().map_err(|error| strange(symbol, &error))?;
        Ok(quote.flatten().filter(|quote| quote.at <= as_of))
    }

    async fn news(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<NewsItem>, FeedError> {
        let (start, end) = (from.to_string(), as_of.to_string());
        // An item that was updated comes again under its number; what counts is when it was first told.
        let mut items: BTreeMap<u64, WireNewsItem> = BTreeMap::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query =
                vec![("symbols", symbol.as_str()), ("start", &start), ("end", &end), ("limit", "50"), ("sort", "asc")];
            query.extend(token.as_deref().map(|token| ("page_token", token)));
            let page: WireNews = self.client.get(Urgency::Ordinary, "/v1beta1/news", &query).await.map_err(failed)?;
            items.extend(page.news.unwrap_or_default().into_iter().map(|item| (item.id, item)));
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        let told = items.into_values().filter(|item| item.created_at > from && item.created_at <= as_of);
        let mut news: Vec<NewsItem> =
            told.map(|item| NewsItem { at: item.created_at, headline: item.headline }).collect();
        news.sort_by_key(|item| item.at);
        Ok(news)
    }
}

fn failed(error: CallError) -> FeedError {
    let feed = NAME.to_owned();
    match error.refusal() {
        Some(refusal) if refusal.status == 401 => FeedError::Rejected {
            feed,
            reason: format!("{error}: the key is refused; check alpaca.key_id and alpaca.secret_key"),
        },
        Some(_) => FeedError::Rejected { feed, reason: error.to_string() },
        None => FeedError::Retryable { feed, reason: error.to_string() },
    }
}

fn strange(symbol: Symbol, error: &daybook_core::money::MoneyError) -> FeedError {
    FeedError::Rejected { feed: NAME.to_owned(), reason: format!("{symbol}: {error}") }
}

fn retryable(reason: String) -> FeedError {
    FeedError::Retryable { feed: NAME.to_owned(), reason }
}
