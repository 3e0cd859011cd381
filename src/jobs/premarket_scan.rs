//! Ranks the universe and chooses the session's candidates.
//!
//! Gathers: each symbol's daily bars, its bars since the pre-market, its news. Decides:
//! [`analysis::scan`](daybook_core::analysis::scan()).

use async_trait::async_trait;
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::analysis::{ScanFeatures, ScanInput, ScanSettings, Unmeasured, scan, why_not};
use daybook_core::decision::Decision;
use daybook_core::market::Symbol;
use daybook_core::strategy::{Evaluation, Reason};
use daybook_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::ScanParameters;
use crate::engine::job::{Answer, Job, Sources, Terms};
use crate::ports::SymbolInfo;

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
        let session = terms.session()?;
        let as_of = sources.clock.wall();
        let mut facts = ScanFacts {
            as_of,
            feed: sources.feed.name().to_owned(),
            features: Vec::new(),
            unmeasured: 0,
            split: Vec::new(),
        };
        for SymbolInfo { symbol, .. } in sources.feed.universe().await? {
            let daily = sources.feed.daily_bars(symbol, DAILY_BARS, session.date).await?;
            let today = sources.feed.minute_bars(symbol, session.pre_open, as_of).await?;
            let Some(last) = today.last().or(daily.last()).map(|bar| bar.close) else {
                facts.unmeasured += 1;
                continue;
            };
            let since = daily.last().map_or(session.pre_open, |bar| bar.start);
            let news = sources.feed.news(symbol, since, as_of).await?;
            let news = u32::try_from(news.len()).unwrap_or(u32::MAX);
            match ScanFeatures::measure(&ScanInput { symbol, last, daily: &daily, today: &today, news }) {
                Ok(features) => facts.features.push(features),
                Err(why) => {
                    tracing::debug!(%symbol, %why, "symbol.unmeasured");
                    facts.unmeasured += 1;
                    if let Unmeasured::LooksSplit { .. } = why {
                        facts.split.push(LooksSplit { symbol, reason: why.to_string() });
                    }
                }
            }
        }
        Ok(facts)
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
