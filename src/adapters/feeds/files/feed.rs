use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use daybook_core::analysis::Problem;
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, Quote, Symbol, complete_minutes, session_bar};
use daybook_core::money::{Bps, MoneyError};
use daybook_core::time::{SessionDate, Timestamp};
use serde::{Deserialize, Serialize};

use super::Series;
use crate::ports::{FeedError, MarketFeed, NewsItem, SymbolInfo};

/// How quotes are derived from bars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BarsFeedSettings {
    /// The distance of bid and ask from the last close, as a ratio of it.
    pub half_spread: Bps,
}

impl Default for BarsFeedSettings {
    fn default() -> Self {
        Self { half_spread: Bps(2) }
    }
}

impl BarsFeedSettings {
    /// What is wrong with the settings, field by field.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        if (Bps::ZERO..Bps::ONE).contains(&self.half_spread) {
            return Vec::new();
        }
        vec![("half_spread", format!("is {}: expected at least 0% and below 100%, such as 0.02%", self.half_spread))]
    }
}

/// Regular sessions as one bar each, in order.
type Daily = Arc<[(SessionDate, Bar)]>;

/// A feed of minute bars in memory. It knows no news, and no quotes but those derived from the bars.
#[derive(Debug)]
pub struct BarsFeed {
    series: Arc<Series>,
    calendar: Calendar,
    settings: BarsFeedSettings,
    /// Worked out when a symbol's are first asked for.
    daily: Mutex<HashMap<Symbol, Daily>>,
}

impl BarsFeed {
    /// A feed of these bars, each symbol's in order.
    #[must_use]
    pub fn new(series: Arc<Series>, calendar: Calendar, settings: BarsFeedSettings) -> Self {
        Self { series, calendar, settings, daily: Mutex::default() }
    }

    fn bars(&self, symbol: Symbol) -> Result<&[Bar], FeedError> {
        let bars = self.series.get(&symbol).map(Vec::as_slice);
        bars.ok_or_else(|| self.rejected(format!("there are no bars of {symbol}; import some, or name more files")))
    }

    fn rejected(&self, reason: String) -> FeedError {
        FeedError::Rejected { feed: self.name().to_owned(), reason }
    }

    fn daily(&self, symbol: Symbol) -> Result<Daily, FeedError> {
        // Sessions are inserted whole: a panic elsewhere leaves nothing half-made behind the lock.
        let mut known = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daily) = known.get(&symbol) {
            return Ok(daily.clone());
        }
        let daily = self
            .aggregate(self.bars(symbol)?)
            .map_err(|error| self.rejected(format!("the bars of {symbol} cannot be aggregated: {error}")))?;
        known.insert(symbol, daily.clone());
        Ok(daily)
    }

    fn aggregate(&self, bars: &[Bar]) -> Result<Daily, MoneyError> {
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return Ok(Daily::default()) };
        let date = |bar: &Bar| bar.start.date_in(self.calendar.zone());
        let mut daily = Vec::new();
        for session in self.calendar.sessions(date(first), date(last)) {
            if let Some(bar) = session_bar(bars, &session)? {
                daily.push((session.date, bar));
            }
        }
        Ok(daily.into())
    }
}

#[async_trait]
impl MarketFeed for BarsFeed {
    fn name(&self) -> &str {
        "files"
    }

    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
        Ok(self.series.keys().map(|symbol| SymbolInfo { symbol: *symbol, sector: "-".to_owned() }).collect())
    }

    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError> {
        Ok(complete_minutes(self.bars(symbol)?, from, as_of).to_vec())
    }

    /// The last sessions of which there are bars: a session missing in the files is passed over.
    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError> {
        let daily = self.daily(symbol)?;
        let end = daily.partition_point(|(date, _)| *date < before);
        let wanted = daily.get(end.saturating_sub(sessions)..end).unwrap_or_default();
        Ok(wanted.iter().map(|(_, bar)| *bar).collect())
    }

    async fn quote(&self, symbol: Symbol, as_of: Timestamp) -> Result<Option<Quote>, FeedError> {
        let bars = complete_minutes(self.bars(symbol)?, Timestamp(i64::MIN), as_of);
        let quote = bars.last().map(|bar| Quote::after_minute(bar, self.settings.half_spread)).transpose();
        quote.map_err(|error| self.rejected(format!("no quote of {symbol} at {as_of}: {error}")))
    }

    async fn news(&self, symbol: Symbol, _from: Timestamp, _as_of: Timestamp) -> Result<Vec<NewsItem>, FeedError> {
        self.bars(symbol).map(|_| Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::money::{Price, Quantity};

    use super::*;

    fn bar(start: &str, cents: i64) -> Bar {
        let price = Price::from_cents(cents);
        let start = start.parse().unwrap();
        Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::whole(300) }
    }

    fn spy() -> Symbol {
        "SPY".parse().unwrap()
    }

    fn feed() -> BarsFeed {
        let bars = vec![
            bar("2013-10-04T13:29:00Z", 99_00),
            bar("2013-10-04T13:30:00Z", 10_000),
            bar("2013-10-04T19:59:00Z", 10_100),
            bar("2013-10-04T20:00:00Z", 10_900),
            bar("2013-10-07T13:30:00Z", 10_200),
            bar("2013-10-07T13:33:00Z", 10_300),
        ];
        BarsFeed::new(Arc::new(Series::from([(spy(), bars)])), Calendar::xnys(), BarsFeedSettings::default())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn minutes_are_told_once_they_are_complete() {
        let feed = feed();
        let starts = |bars: Vec<Bar>| bars.iter().map(|bar| bar.start.to_string()).collect::<Vec<_>>();
        let bars = feed.minute_bars(spy(), at("2013-10-04T20:00:00Z"), at("2013-10-07T13:33:59.999Z")).await.unwrap();
        assert_eq!(starts(bars), ["2013-10-04T20:00:00Z", "2013-10-07T13:30:00Z"]);
        let bars = feed.minute_bars(spy(), at("2013-10-07T13:33:00Z"), at("2013-10-07T13:34:00Z")).await.unwrap();
        assert_eq!(starts(bars), ["2013-10-07T13:33:00Z"]);
    }

    #[tokio::test]
    async fn daily_bars_hold_regular_hours_of_earlier_sessions_only() {
        let feed = feed();
        let monday = SessionDate::of(2013, 10, 7).unwrap();
        let bars = feed.daily_bars(spy(), 20, monday).await.unwrap();
        let prices: Vec<(Price, Price, Quantity)> = bars.iter().map(|b| (b.open, b.high, b.volume)).collect();
        assert_eq!(prices, [(Price::from_cents(10_000), Price::from_cents(10_100), Quantity::whole(600))]);
        assert_eq!(feed.daily_bars(spy(), 20, monday.plus_days(1)).await.unwrap().len(), 2);
        assert_eq!(feed.daily_bars(spy(), 1, monday.plus_days(1)).await.unwrap()[0].close, Price::from_cents(10_300));
    }

    #[tokio::test]
    async fn a_quote_is_as_old_as_the_bar_that_it_is_derived_from() {
        let feed = feed();
        assert_eq!(feed.quote(spy(), at("2013-10-04T13:29:59Z")).await, Ok(None));
        let quote = feed.quote(spy(), at("2013-10-07T13:33:30Z")).await.unwrap().unwrap();
        assert_eq!(quote.at, at("2013-10-07T13:31:00Z"));
        assert_eq!((quote.bid, quote.ask), (Price::from_cents(10_197), Price::from_cents(10_203)));
    }

    #[tokio::test]
    async fn an_unknown_symbol_is_refused() {
        let error = feed().quote("QQQ".parse().unwrap(), at("2013-10-07T13:33:30Z")).await.unwrap_err();
        assert_eq!(error.to_string(), "files: there are no bars of QQQ; import some, or name more files");
    }
}
