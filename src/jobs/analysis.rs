//! Looks for signals among the session's candidates, has risk review them, and enters.
//!
//! Gathers: the bars of each candidate since the pre-market, what it is measured against, its quote; the
//! account. One symbol that fails does not touch the others. Decides: the strategies on each symbol,
//! [`risk::enter`](daybook_core::risk::enter()) on their signals, and
//! [`analysis::choose_pace`](daybook_core::analysis::choose_pace()) on the market's volatility and on what is new since
//! the job's look before. A script that fails is not asked again, in this run and in those after it. What models say is
//! gathered where a strategy wants it, and is a fact like the others.

mod models;
mod symbol;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::analysis::{
    MarketLook, ModelAnswer, ModelFault, Novelty, PastLooks, RegimeSettings, ThresholdSource, VolatilityHistory,
    choose_pace,
};
use daybook_core::calendar::Session;
use daybook_core::decision::{Decision, Mark};
use daybook_core::market::{Bar, BarSet, Symbol, Timeframe, aggregate};
use daybook_core::risk::{RiskFacts, SymbolFacts, approval_alert, approvals, enter};
use daybook_core::schedule::Pace;
use daybook_core::strategy::{Evaluation, Reason, ScriptFault, Strategy, SymbolView, Wording};
use serde::{Deserialize, Serialize};

use self::symbol::{Look, SymbolInput, gather_symbols, view};
use super::account::{self, Gathered, risk_facts};
use crate::config::{AnalysisParameters, AnalysisSettings};
use crate::engine::job::{Answer, Job, Sources, Terms};
use crate::engine::models::Answered;
use crate::ledger::{Connection, LedgerError, intent, regime, run, script, signal};
use crate::scripting::strategies;

pub use self::models::question_about;

/// The bars that volatility is measured by.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// The job of kind `analysis`.
#[derive(Debug)]
pub struct Analysis;

/// What the analysis knows. The bars are rows of their own and stand here by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisFacts {
    /// What the market's regime asked for so far.
    pace: Pace,
    /// The looks before this one; `None` in what versions recorded that knew of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<PastLooks>,
    symbols: Vec<SymbolInput>,
    /// Symbols that could not be gathered, and why.
    failures: Vec<Failure>,
    /// Scripts that have failed before, as they are now: they are not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stopped: Vec<ScriptFault>,
    /// What came of asking models, where a strategy wants it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<Symbol, ModelAnswer>,
    /// Models that gave no score, for the first time in the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    model_faults: Vec<ModelFault>,
    risk: RiskFacts,
    #[serde(skip)]
    bars: BarSet,
}

/// A symbol that could not be gathered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    symbol: Symbol,
    reason: String,
}

#[async_trait]
impl Job for Analysis {
    type Facts = AnalysisFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<AnalysisFacts> {
        let session = terms.session()?;
        let view = sources.broker.look().await?;
        let (candidates, entered, pacing, last_look, history, faults) = sources.ledger.read(|conn| {
            Ok((
                signal::candidates(conn, session.date)?,
                intent::symbols_entered(conn, session.date)?,
                run::pacing(conn, &terms.job)?,
                regime::last_look(conn, &terms.job, session.date)?,
                volatility_history(conn, sources, session, &terms.settings.analysis.regime)?,
                script::faults(conn)?,
            ))
        })?;
        let scripts = &terms.settings.strategies.scripts;
        let is_of_now = |fault: &ScriptFault| {
            scripts.get(&fault.strategy).is_some_and(|settings| fault.concerns(&fault.strategy, settings))
        };
        let stopped: Vec<ScriptFault> = faults.into_iter().map(|stored| stored.fault).filter(is_of_now).collect();
        let symbols: Vec<Symbol> = candidates.iter().map(|candidate| candidate.symbol).collect();
        let AnalysisSettings { concurrency, news_half_life, .. } = terms.settings.analysis;
        let (wants_news, wants_model) = {
            let strategies = chosen_strategies(terms, &stopped)?;
            let wants = |what: fn(&dyn Strategy) -> bool| strategies.iter().any(|strategy| what(strategy.as_ref()));
            (wants(|strategy| strategy.wants_news()), wants(|strategy| strategy.wants_model()))
        };
        let news_half_life = wants_news.then_some(news_half_life);
        let look = Look { session, as_of: view.as_of, news_half_life, wants_model };
        let (seen, failures) = gather_symbols(sources, look, &symbols, concurrency).await;
        let asked = if wants_model { models::ask(sources, terms, look, &seen).await? } else { Answered::default() };
        let Answered { answers: models, faults: model_faults } = asked;
        let (mut inputs, mut bars) = (Vec::new(), BarSet::new());
        for mut seen in seen {
            let entries = entered.iter().filter(|symbol| **symbol == seen.input.symbol).count();
            seen.input.entries_today = u32::try_from(entries).unwrap_or(u32::MAX);
            seen.input.seen_through = last_look.seen_through.get(&seen.input.symbol).copied();
            bars.insert(seen.input.symbol, seen.bars);
            inputs.push(seen.input);
        }
        let facts = inputs.iter().map(|input| symbol_facts(input, &bars, session)).collect();
        let held = view.positions.iter().map(|position| position.symbol);
        let marks = account::marks(sources, held, view.as_of).await;
        let gathered = Gathered { session, view: &view, marks: &marks, entered_today: entered, symbols: facts };
        let account = &sources.ledger.meta().account;
        let risk = sources.ledger.read(|conn| risk_facts(conn, account, gathered, &terms.settings.risk))?;
        let past = Some(PastLooks { unchanged: last_look.unchanged, history });
        let pace = pacing.market;
        Ok(AnalysisFacts { pace, past, symbols: inputs, failures, stopped, models, model_faults, risk, bars })
    }

    fn decide(&self, facts: &AnalysisFacts, terms: &Terms) -> anyhow::Result<Decision> {
        let settings = &terms.settings;
        let strategies = chosen_strategies(terms, &facts.stopped)?;
        let mut signals = Vec::new();
        let mut volatilities = Vec::new();
        for input in &facts.symbols {
            let view = facts.view(input);
            signals.extend(strategies.iter().filter_map(|strategy| strategy.signal(&view, Wording::Told)));
            volatilities.extend(volatility(&view, &settings.analysis.regime)?);
        }
        let gathered = novelty(&facts.symbols, &facts.failures, &facts.bars);
        let look = MarketLook {
            pace_before: facts.pace,
            volatilities: &volatilities,
            novelty: if signals.is_empty() { gathered } else { Novelty::New },
            close: facts.risk.session.close,
            past: facts.past.as_ref(),
        };
        let pace = choose_pace(&look, &settings.analysis.regime);
        let count = signals.len();
        let entries = enter(signals, &facts.risk, &settings.risk, &terms.origin(), 0, Wording::Told);
        let entries = entries.context("sizing an entry")?;
        let refused = entries.reviews.iter().filter(|review| review.verdict.refused_by.is_some()).count();
        let approvals = approvals(&entries.reviews, settings.session_mode, settings.execution.approval_above);
        let script_faults: Vec<ScriptFault> = strategies.iter().filter_map(|strategy| strategy.fault()).collect();
        let mut alerts: Vec<Alert> = facts.failures.iter().map(alert_of_failure).collect();
        alerts.extend(script_faults.iter().map(alert_of_fault));
        alerts.extend(facts.model_faults.iter().map(alert_of_model));
        alerts.extend(approvals.iter().filter_map(|asked| approval_alert(asked, &entries.intents)));
        Ok(Decision {
            summary: format!(
                "{} symbols, {count} signals, {} entries, {refused} refused, pace {}{}",
                facts.symbols.len(),
                entries.intents.len(),
                pace.pace.as_str(),
                if pace.backed_off_until.is_some() { ", backed off" } else { "" },
            ),
            reviews: entries.reviews,
            intents: entries.intents,
            approvals,
            script_faults,
            model_faults: facts.model_faults.clone(),
            pace: Some(pace),
            alerts,
            ..Decision::default()
        })
    }

    fn answers(&self, facts: &AnalysisFacts, terms: &Terms, symbol: Symbol) -> anyhow::Result<Vec<Answer>> {
        let Some(input) = facts.symbols.iter().find(|input| input.symbol == symbol) else { return Ok(Vec::new()) };
        let view = facts.view(input);
        let answer =
            |strategy: &dyn Strategy| Answer { by: strategy.name().to_owned(), evaluation: strategy.evaluate(&view) };
        let asked = chosen_strategies(terms, &facts.stopped)?;
        let mut answers: Vec<Answer> = asked.iter().map(|strategy| answer(strategy.as_ref())).collect();
        answers.extend(facts.stopped.iter().map(|fault| Answer {
            by: fault.strategy.clone(),
            evaluation: Evaluation::None(vec![Reason::new("stopped", &fault.message)]),
        }));
        Ok(answers)
    }

    fn bars<'a>(&self, facts: &'a AnalysisFacts) -> Option<&'a BarSet> {
        Some(&facts.bars)
    }

    fn attach_bars(&self, facts: &mut AnalysisFacts, bars: BarSet) {
        facts.bars = bars;
    }
}

/// Whether anything was gathered that the look before had not seen. A symbol that could not be gathered may have
/// something new, and without a symbol there is nothing that stands still.
fn novelty(symbols: &[SymbolInput], failures: &[Failure], bars: &BarSet) -> Novelty {
    let stands_still = |input: &SymbolInput| {
        let last = bars.get(&input.symbol).and_then(|series| series.last());
        last.map(|bar| bar.start) <= input.seen_through
    };
    let all_stand_still = !symbols.is_empty() && symbols.iter().all(stands_still);
    if all_stand_still && failures.is_empty() { Novelty::Nothing } else { Novelty::New }
}

impl AnalysisFacts {
    /// What the strategies see of a symbol.
    fn view(&self, input: &SymbolInput) -> SymbolView<'_> {
        let bars = self.bars.get(&input.symbol).map_or(&[][..], Vec::as_slice);
        view(self.risk.session, self.risk.as_of, input, bars, self.models.get(&input.symbol))
    }
}

/// The strategies that the settings enable and the job's file asks, those that have failed left out.
fn chosen_strategies(terms: &Terms, stopped: &[ScriptFault]) -> anyhow::Result<Vec<Box<dyn Strategy>>> {
    let AnalysisParameters { strategies: chosen } = terms.parameters()?;
    let mut strategies = strategies(&terms.settings.strategies);
    strategies.retain(|strategy| chosen.is_empty() || chosen.iter().any(|name| name == strategy.name()));
    strategies.retain(|strategy| !stopped.iter().any(|fault| fault.strategy == strategy.name()));
    Ok(strategies)
}

/// What was measured in the sessions before, if the thresholds are percentiles of it.
fn volatility_history(
    conn: &Connection,
    sources: &Sources,
    session: Session,
    settings: &RegimeSettings,
) -> Result<Option<VolatilityHistory>, LedgerError> {
    if settings.thresholds == ThresholdSource::Levels {
        return Ok(None);
    }
    let sessions = usize::try_from(settings.percentiles.sessions).unwrap_or(usize::MAX);
    let before = std::iter::successors(Some(session), |day| sources.calendar.session_before(day.date));
    let oldest = before.take(sessions.saturating_add(1)).last().map_or(session.date, |oldest| oldest.date);
    let measured = regime::volatilities(conn, settings.measure, oldest, session.date)?;
    Ok(Some(VolatilityHistory::of(&measured, &settings.percentiles)))
}

/// The volatility of a symbol's latest five-minute bars, if there are enough of them.
fn volatility(view: &SymbolView<'_>, settings: &RegimeSettings) -> anyhow::Result<Option<f64>> {
    let buckets = aggregate(view.regular_bars(), &view.session, Timeframe::M5)
        .with_context(|| format!("aggregating the bars of {}", view.symbol))?;
    let complete: Vec<Bar> =
        buckets.iter().filter(|bucket| bucket.is_complete(view.as_of)).map(|bucket| bucket.bar).collect();
    let enough = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    if complete.len() < enough(settings.bars_min) {
        return Ok(None);
    }
    let recent = complete.len().saturating_sub(enough(settings.bars));
    Ok(settings.measure.annualised(&complete[recent..], FIVE_MINUTES))
}

fn alert_of_failure(failure: &Failure) -> Alert {
    let Failure { symbol, reason } = failure;
    Alert::new(AlertEvent::SymbolFailed, format!("{symbol} could not be analysed: {reason}")).about(*symbol)
}

fn alert_of_fault(fault: &ScriptFault) -> Alert {
    let ScriptFault { strategy, symbol, message, .. } = fault;
    let subject = format!("the strategy {strategy} proposes nothing more: {message}");
    Alert::new(AlertEvent::StrategyStopped, subject).with_body(format!("It was asked about {symbol}."))
}

fn alert_of_model(ModelFault { model, reason }: &ModelFault) -> Alert {
    let body = "The strategies go on without its score. Others of the chain were asked in its place, if there are any.";
    Alert::new(AlertEvent::ModelFailed, format!("the model {model} gave no score: {reason}")).with_body(body)
}

fn symbol_facts(input: &SymbolInput, bars: &BarSet, session: Session) -> SymbolFacts {
    let series = bars.get(&input.symbol).map_or(&[][..], Vec::as_slice);
    let quoted = input.quote.and_then(|quote| {
        let price = quote.midpoint().ok()?;
        Some(Mark { symbol: input.symbol, price, at: quote.at })
    });
    let traded = series.last().map(|bar| Mark { symbol: input.symbol, price: bar.close, at: bar.minute_end() });
    let in_session = series.iter().filter(|bar| bar.start >= session.open).count();
    SymbolFacts {
        symbol: input.symbol,
        mark: quoted.or(traded),
        bars: u32::try_from(in_session).unwrap_or(u32::MAX),
        daily_atr: input.daily_atr,
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::money::{Price, Quantity};
    use daybook_core::time::Timestamp;

    use super::*;

    fn symbol(name: &str) -> Symbol {
        name.parse().unwrap()
    }

    fn bar(minute: i64) -> Bar {
        let price = Price::from_cents(10_000);
        let start = Timestamp(minute * 60_000);
        Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::ZERO }
    }

    fn input(name: &str, seen: Option<i64>) -> SymbolInput {
        SymbolInput {
            symbol: symbol(name),
            quote: None,
            previous_close: None,
            daily_atr: None,
            relative_volume: None,
            news_score: None,
            entries_today: 0,
            seen_through: seen.map(|minute| bar(minute).start),
        }
    }

    #[test]
    fn nothing_is_new_where_every_symbol_was_read_and_has_no_bar_after_those_that_were_seen() {
        let failure = Failure { symbol: symbol("NVDA"), reason: "the feed was silent".to_owned() };
        let bars = BarSet::from([(symbol("AAPL"), vec![bar(1), bar(2)]), (symbol("MSFT"), vec![])]);
        let found = |inputs: &[SymbolInput], failures: &[Failure]| novelty(inputs, failures, &bars);
        let (still, untraded) = (input("AAPL", Some(2)), input("MSFT", None));
        assert_eq!(found(&[still, untraded], &[]), Novelty::Nothing);
        assert_eq!(found(&[input("AAPL", Some(1)), untraded], &[]), Novelty::New, "a bar more");
        assert_eq!(found(&[input("AAPL", None), untraded], &[]), Novelty::New, "watched since now");
        assert_eq!(found(&[still], &[failure]), Novelty::New, "who knows what it has");
        assert_eq!(found(&[], &[]), Novelty::New, "nobody is watched");
    }
}
