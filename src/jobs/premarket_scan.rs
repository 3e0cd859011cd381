//! Ranks the universe and chooses the session's candidates.
//!
//! Gathers: each symbol's daily bars, its bars since the pre-market, its news, and its quote where the spread counts;
//! some symbols beside one another, and no more of them in memory than that. Decides:
//! [`analysis::scan`](daybook_core::analysis::scan()).

use async_trait::async_trait;
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::analysis::{ScanFeatures, ScanInput, ScanSettings, Unmeasured, scan, why_not};
use daybook_core::calendar::Session;
use daybook_core::decision::Decision;
use daybook_core::market::Symbol;
use daybook_core::strategy::{Evaluation, Reason};
use daybook_core::time::Timestamp;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use crate::config::ScanParameters;
use crate::engine::job::{Answer, Job, Sources, Terms};
use crate::ports::{FeedError, MarketFeed};

/// Daily bars that a symbol is measured by: four weeks, as the averages of volume and range have it.
const DAILY_BARS: usize = 20;

/// The job of kind `premarket-scan`.
#[derive(Debug)]
pub struct PremarketScan;

/// What the scan knows of the universe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanFacts {
    as_of: Timestamp,
    feed: String,
    features: Vec<ScanFeatures>,
    /// Symbols that could not be measured: too little history, or figures out of bounds.
    unmeasured: u32,
    /// Those among them whose price looks like a split that nothing tells of.
    #[serde(default)]
    split: Vec<LooksSplit>,
}

/// A symbol whose price cannot be compared with the close before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LooksSplit {
    symbol: Symbol,
    reason: String,
}

#[async_trait]
impl Job for PremarketScan {
    type Facts = ScanFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<ScanFacts> {
        let (session, as_of) = (terms.session()?, sources.clock.wall());
        let look = Look { session, as_of, wants_quotes: settings(terms)?.wants_quotes() };
        let symbols: Vec<Symbol> = sources.feed.universe().await?.into_iter().map(|info| info.symbol).collect();
        let places = usize::try_from(terms.settings.analysis.concurrency.max(1)).unwrap_or(1);
        let (features, unmeasured) = measure_all(sources.feed.as_ref(), look, symbols, places).await?;
        let split = unmeasured.iter().filter_map(|why| match why {
            Unmeasured::LooksSplit { symbol, .. } => Some(LooksSplit { symbol: *symbol, reason: why.to_string() }),
            Unmeasured::NoSessions { .. } | Unmeasured::OutOfBounds { .. } => None,
        });
        Ok(ScanFacts {
            as_of,
            feed: sources.feed.name().to_owned(),
            features,
            unmeasured: u32::try_from(unmeasured.len()).unwrap_or(u32::MAX),
            split: split.collect(),
        })
    }

    fn decide(&self, facts: &ScanFacts, terms: &Terms) -> anyhow::Result<Decision> {
        let result = scan(&facts.features, &settings(terms)?);
        let symbols = facts.features.len();
        let unmeasured = match facts.unmeasured {
            0 => String::new(),
            count => format!(", {count} not measurable"),
        };
        Ok(Decision {
            summary: format!(
                "{} candidates of {symbols} symbols ({} passed the filters{unmeasured})",
                result.candidates.len(),
                result.passed
            ),
            candidates: Some(result.candidates),
            alerts: facts.split.iter().map(alert_of_split).collect(),
            ..Decision::default()
        })
    }

    fn answers(&self, facts: &ScanFacts, terms: &Terms, symbol: Symbol) -> anyhow::Result<Vec<Answer>> {
        let grounds = why_not(&facts.features, &settings(terms)?, symbol);
        if let Some(split) = facts.split.iter().find(|split| split.symbol == symbol) {
            let grounds = vec![Reason::new("not measured", &split.reason)];
            return Ok(vec![Answer { by: "scan".to_owned(), evaluation: Evaluation::None(grounds) }]);
        }
        let answer = |grounds| Answer { by: "scan".to_owned(), evaluation: Evaluation::None(grounds) };
        Ok(grounds.map(answer).into_iter().collect())
    }
}

/// What every symbol of a scan is gathered for.
#[derive(Debug, Clone, Copy)]
struct Look {
    session: Session,
    as_of: Timestamp,
    /// Whether quotes count.
    wants_quotes: bool,
}

/// Measures symbols, `places` of them beside one another; the answer is in their order. Of each its features are kept,
/// and no bar.
async fn measure_all(
    feed: &dyn MarketFeed,
    look: Look,
    symbols: Vec<Symbol>,
    places: usize,
) -> Result<(Vec<ScanFeatures>, Vec<Unmeasured>), FeedError> {
    let (mut features, mut unmeasured) = (Vec::new(), Vec::new());
    let mut measured = stream::iter(symbols).map(|symbol| measure(feed, look, symbol)).buffered(places);
    while let Some(outcome) = measured.next().await {
        match outcome? {
            Ok(measured) => features.push(measured),
            Err(why) => {
                tracing::debug!(%why, "symbol.unmeasured");
                unmeasured.push(why);
            }
        }
    }
    Ok((features, unmeasured))
}

/// Gathers what a symbol is measured by, and measures it.
async fn measure(
    feed: &dyn MarketFeed,
    look: Look,
    symbol: Symbol,
) -> Result<Result<ScanFeatures, Unmeasured>, FeedError> {
    let Look { session, as_of, wants_quotes } = look;
    let daily = feed.daily_bars(symbol, DAILY_BARS, session.date).await?;
    let today = feed.minute_bars(symbol, session.pre_open, as_of).await?;
    let Some(last) = today.last().or(daily.last()).map(|bar| bar.close) else {
        return Ok(Err(Unmeasured::NoSessions { symbol }));
    };
    let since = daily.last().map_or(session.pre_open, |bar| bar.start);
    let news = feed.news(symbol, since, as_of).await?;
    let news = u32::try_from(news.len()).unwrap_or(u32::MAX);
    let quote = if wants_quotes { feed.quote(symbol, as_of).await? } else { None };
    let input = ScanInput { symbol, last, quote, daily: &daily, today: &today, session, as_of, news };
    Ok(ScanFeatures::measure(&input))
}

fn alert_of_split(LooksSplit { symbol, reason }: &LooksSplit) -> Alert {
    Alert::new(AlertEvent::SymbolFailed, format!("not scanned: {reason}")).about(*symbol)
}

/// The settings, with the number of candidates that the job's file says.
fn settings(terms: &Terms) -> anyhow::Result<ScanSettings> {
    let ScanParameters { top } = terms.parameters()?;
    let mut settings = terms.settings.scan.clone();
    settings.top = top.unwrap_or(settings.top);
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use daybook_core::calendar::Calendar;
    use daybook_core::market::{Bar, Quote};
    use daybook_core::money::{Price, Quantity};
    use daybook_core::time::SessionDate;

    use super::*;
    use crate::ports::{NewsItem, SymbolInfo};

    /// A feed that takes its time, and counts how many wait for it.
    #[derive(Default)]
    struct Waiting {
        waiting: AtomicUsize,
        most: AtomicUsize,
        quotes: AtomicUsize,
    }

    #[async_trait]
    impl MarketFeed for Waiting {
        fn name(&self) -> &str {
            "waiting"
        }
        async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
            Ok(Vec::new())
        }
        async fn minute_bars(&self, _: Symbol, _: Timestamp, _: Timestamp) -> Result<Vec<Bar>, FeedError> {
            Ok(Vec::new())
        }
        async fn daily_bars(&self, symbol: Symbol, sessions: usize, _: SessionDate) -> Result<Vec<Bar>, FeedError> {
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(waiting, Ordering::Relaxed);
            // The later ones are done first.
            let number: usize = symbol.as_str()[1..].parse().unwrap();
            for _ in 0..20 - number % 20 {
                tokio::task::yield_now().await;
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let (price, volume) = (Price::from_cents(50_00), Quantity::whole(1_000));
            let bar = Bar { start: Timestamp(0), open: price, high: price, low: price, close: price, volume };
            Ok(vec![bar; sessions])
        }
        async fn quote(&self, _: Symbol, _: Timestamp) -> Result<Option<Quote>, FeedError> {
            self.quotes.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }
        async fn news(&self, _: Symbol, _: Timestamp, _: Timestamp) -> Result<Vec<NewsItem>, FeedError> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn ten_thousand_symbols_are_measured_in_order_and_few_at_once() {
        let session = Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap();
        let mut look = Look { session, as_of: session.open, wants_quotes: false };
        let feed = Waiting::default();
        let symbols: Vec<Symbol> = (0..10_000).map(|number| format!("S{number}").parse().unwrap()).collect();
        let (features, unmeasured) = measure_all(&feed, look, symbols.clone(), 8).await.unwrap();
        assert_eq!(features.iter().map(|features| features.symbol).collect::<Vec<_>>(), symbols);
        assert_eq!((unmeasured, feed.most.load(Ordering::Relaxed)), (vec![], 8));
        assert_eq!(feed.quotes.load(Ordering::Relaxed), 0, "nobody asks for them");
        // What is kept of them all.
        assert!(size_of::<ScanFeatures>() * features.len() < 2_000_000);
        look.wants_quotes = true;
        measure_all(&feed, look, symbols[..10].to_vec(), 8).await.unwrap();
        assert_eq!(feed.quotes.load(Ordering::Relaxed), 10);
    }
}
