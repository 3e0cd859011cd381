//! What models are asked for an analysis.

use anyhow::Context;
use daybook_core::analysis::ModelQuestion;
use daybook_core::calendar::{Calendar, Session};
use daybook_core::market::Symbol;
use daybook_core::strategy::Composite;
use daybook_core::time::Timestamp;

use super::symbol::{Look, Seen, look_at, view};
use crate::engine::job::{Sources, Terms};
use crate::engine::models::Answered;
use crate::ledger::model::Asker;
use crate::ports::MarketFeed;

/// Asks about every symbol that was gathered, the best first.
pub(super) async fn ask(sources: &Sources, terms: &Terms, look: Look, seen: &[Seen]) -> anyhow::Result<Answered> {
    let settings = &terms.settings;
    let asker = Asker { session: look.session.date, job: terms.job.clone(), slot: terms.slot };
    let asked = seen.iter().map(|seen| question(look, seen, &settings.strategies.composite));
    let questions: Vec<ModelQuestion> = asked.collect::<anyhow::Result<_>>()?;
    let beside = usize::try_from(settings.analysis.concurrency).unwrap_or(1);
    sources.models.answers(&sources.ledger, &asker, questions, beside).await.context("counting the calls of models")
}

/// What a model would be asked about a symbol at an instant of a session, as a feed shows it.
///
/// # Errors
/// If the feed has no answer, or a figure overflows.
pub async fn question_about(
    feed: &dyn MarketFeed,
    calendar: &Calendar,
    settings: &Composite,
    (session, as_of): (Session, Timestamp),
    symbol: Symbol,
) -> anyhow::Result<ModelQuestion> {
    let look = Look { session, as_of, news_half_life: None, wants_model: true };
    question(look, &look_at(feed, calendar, look, symbol, Vec::new()).await?, settings)
}

fn question(look: Look, seen: &Seen, settings: &Composite) -> anyhow::Result<ModelQuestion> {
    let Seen { input, bars, news } = seen;
    let view = view(look.session, look.as_of, input, bars, None);
    let news = news.iter().map(|item| (item.at, item.headline.as_str()));
    ModelQuestion::of(&view, settings, news).with_context(|| format!("the question about {}", input.symbol))
}
