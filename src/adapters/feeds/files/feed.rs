use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use daybook_core::analysis::Problem;
use daybook_core::calendar::Calendar;
use daybook_core::market::{Adjustments, Bar, CorporateAction, Quote, Symbol, complete_minutes, session_bar};
use daybook_core::money::{Bps, MoneyError};
use daybook_core::time::{SessionDate, Timestamp};
use serde::{Deserialize, Serialize};

use super::History;
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

/// Regular sessions as one bar each, in order and as they were traded, and what puts them into later shares.
#[derive(Debug)]
struct Daily {
    bars: Vec<(SessionDate, Bar)>,
    adjustments: Adjustments,
}

/// A feed of minute bars in memory. It knows no news, and no quotes but those derived from the bars.
#[derive(Debug)]
pub struct BarsFeed {
    history: Arc<History>,
    calendar: Calendar,
    settings: BarsFeedSettings,
    /// Worked out when a symbol's are first asked for.
    daily: Mutex<HashMap<Symbol, Arc<Daily>>>,
}

impl BarsFeed {
    /// A feed of these bars, each symbol's in order.
    #[must_use]
    pub fn new(history: Arc<History>, calendar: Calendar, settings: BarsFeedSettings) -> Self {
        Self { history, calendar, settings, daily: Mutex::default() }
    }

    fn bars(&self, symbol: Symbol) -> Result<&[Bar], FeedError> {
        let bars = self.history.series.get(&symbol).map(Vec::as_slice);
        bars.ok_or_else(|| self.rejected(format!("there are no bars of {symbol}; import some, or name more files")))
    }

    fn rejected(&self, reason: String) -> FeedError {
        FeedError::Rejected { feed: self.name().to_owned(), reason }
    }

    fn daily(&self, symbol: Symbol) -> Result<Arc<Daily>, FeedError> {
        // Sessions are inserted whole: a panic elsewhere leaves nothing half-made behind the lock.
        let mut known = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daily) = known.get(&symbol) {
            return Ok(daily.clone());
        }
        let daily = self
            .aggregate(self.bars(symbol)?, self.history.actions.of(symbol))
            .map_err(|error| self.rejected(format!("the bars of {symbol} cannot be aggregated: {error}")))?;
        let daily = Arc::new(daily);
        known.insert(symbol, daily.clone());
        Ok(daily)
    }

    fn aggregate(&self, minutes: &[Bar], actions: &[CorporateAction]) -> Result<Daily, MoneyError> {
        let mut bars: Vec<(SessionDate, Bar)> = Vec::new();
        if let (Some(first), Some(last)) = (minutes.first(), minutes.last()) {
            let date = |bar: &Bar| bar.start.date_in(self.calendar.zone());
            for session in self.calendar.sessions(date(first), date(last)) {
                bars.extend(session_bar(minutes, &session)?.map(|bar| (session.date, bar)));
            }
        }
        let close_before = |date| {
            let after = bars.partition_point(|(session, _)| *session < date);
            bars.get(after.checked_sub(1)?).map(|(_, bar)| bar.close)
        };
        let adjustments = Adjustments::of(actions, close_before)?;
        Ok(Daily { bars, adjustments })
    }
}

impl Daily {
    /// The last sessions before a date, in its shares.
    fn last(&self, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, MoneyError> {
        let end = self.bars.partition_point(|(date, _)| *date < before);
        let wanted = self.bars.get(end.saturating_sub(sessions)..end).unwrap_or_default();
        wanted.iter().map(|(date, bar)| self.adjustments.between(*date, before)?.bar(*bar)).collect()
    }
}

#[async_trait]
impl MarketFeed for BarsFeed {
    fn name(&self) -> &str {
        "files"
    }

    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
        Ok(self.history.series.keys().map(|symbol| SymbolInfo { symbol: *symbol, sector: "-".to_owned() }).collect())
    }

    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError> {
        Ok(complete_minutes(self.bars(symbol)?, from, as_of).to_vec())
    }

    /// The last sessions of which there are bars: a session missing in the files is passed over.
    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError> {
        let bars = self.daily(symbol)?.last(sessions, before);
        bars.map_err(|error| self.rejected(format!("the bars of {symbol} cannot be adjusted: {error}")))
    }

    async fn corporate_actions(
        &self,
        symbol: Symbol,
        after: SessionDate,
        through: SessionDate,
    ) -> Result<Vec<CorporateAction>, FeedError> {
        let actions = self.history.actions.of(symbol).iter();
        Ok(actions.filter(|action| after < action.ex_date && action.ex_date <= through).copied().collect())
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
    use daybook_core::market::{ActionAdded, ActionKind};
    use daybook_core::money::{Price, Quantity};

    use super::super::Series;
    use super::*;

    fn bar(start: &str, cents: i64) -> Bar {
        let price = Price::from_cents(cents);
        let start = start.parse().unwrap();
        Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::whole(300) }
    }

    fn spy() -> Symbol {
        "SPY".parse().unwrap()
    }

    fn history(bars: Vec<Bar>, actions: &[CorporateAction]) -> History {
        let mut history = History { series: Series::from([(spy(), bars)]), ..History::default() };
        actions.iter().for_each(|action| assert_eq!(history.actions.add(spy(), *action), ActionAdded::New));
        history
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
        BarsFeed::new(Arc::new(history(bars, &[])), Calendar::xnys(), BarsFeedSettings::default())
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
    async fn earlier_sessions_are_told_in_the_shares_of_the_one_that_asks() {
        let monday = SessionDate::of(2013, 10, 7).unwrap();
        let bars = vec![
            bar("2013-10-04T13:30:00Z", 70_000),
            bar("2013-10-04T19:59:00Z", 71_400),
            bar("2013-10-04T20:30:00Z", 72_100),
            bar("2013-10-07T13:30:00Z", 10_200),
            bar("2013-10-08T13:30:00Z", 10_100),
        ];
        let split = CorporateAction { ex_date: monday, kind: ActionKind::Split("7:1".parse().unwrap()) };
        let dividend =
            CorporateAction { ex_date: monday.plus_days(1), kind: ActionKind::Dividend(Price::from_cents(1_02)) };
        let history = Arc::new(history(bars.clone(), &[split, dividend]));
        let feed = BarsFeed::new(history, Calendar::xnys(), BarsFeedSettings::default());
        let closes = async |before: SessionDate| -> Vec<(Price, Quantity)> {
            let bars = feed.daily_bars(spy(), 20, before).await.unwrap();
            bars.iter().map(|bar| (bar.close, bar.volume)).collect()
        };
        let cents = |cents, shares| (Price::from_cents(cents), Quantity::whole(shares));
        assert_eq!(closes(monday).await, [cents(10_200, 4_200)]);
        assert_eq!(closes(monday.plus_days(1)).await, [cents(10_098, 4_200), cents(10_098, 300)]);
        // Minutes and quotes are what was traded.
        let minutes = feed.minute_bars(spy(), bars[0].start, at("2013-10-09T00:00:00Z")).await.unwrap();
        assert_eq!(minutes, bars);
        let actions = |after: i64, through: i64| {
            feed.corporate_actions(spy(), monday.plus_days(after), monday.plus_days(through))
        };
        assert_eq!(actions(-3, 0).await.unwrap(), [split]);
        assert_eq!(actions(0, 1).await.unwrap(), [dividend]);
        assert_eq!(actions(1, 30).await.unwrap(), []);
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
