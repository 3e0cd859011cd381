//! What is gathered of each symbol, and what the strategies see of it.

use std::sync::Arc;

use daybook_core::analysis::{ModelAnswer, catalyst, latest_atr, relative_volume, volume_through};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::market::{Adjustments, Bar, Quote, Symbol};
use daybook_core::money::{Bps, Price};
use daybook_core::strategy::SymbolView;
use daybook_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Failure;
use crate::engine::job::Sources;
use crate::jobs::account::{ATR_SESSIONS, DAILY_BARS};
use crate::ports::{MarketFeed, NewsItem};

/// Sessions whose volume by the same time of day is the usual one.
const USUAL_SESSIONS: usize = 5;

/// A symbol beside its bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SymbolInput {
    pub(super) symbol: Symbol,
    pub(super) quote: Option<Quote>,
    pub(super) previous_close: Option<Price>,
    pub(super) daily_atr: Option<Price>,
    pub(super) relative_volume: Option<Bps>,
    /// What the news say; `None` also where no strategy asks.
    #[serde(default)]
    pub(super) news_score: Option<Bps>,
    pub(super) entries_today: u32,
    /// The start of the last bar that the job's look before has seen; `None`: it has seen none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seen_through: Option<Timestamp>,
}

/// What every symbol of a run is gathered for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) session: Session,
    pub(super) as_of: Timestamp,
    /// The age at which news count half; `None`: no strategy asks for what they say.
    pub(super) news_half_life: Option<Span>,
    /// Whether a model is asked, who is told the news.
    pub(super) wants_model: bool,
}

/// A symbol as it was gathered.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) input: SymbolInput,
    pub(super) bars: Vec<Bar>,
    /// The news since the close before, if anybody asks for them.
    pub(super) news: Vec<NewsItem>,
}

/// What the strategies see of a symbol.
pub(super) fn view<'a>(
    session: Session,
    as_of: Timestamp,
    input: &SymbolInput,
    bars: &'a [Bar],
    model: Option<&'a ModelAnswer>,
) -> SymbolView<'a> {
    SymbolView {
        symbol: input.symbol,
        session,
        as_of,
        bars,
        quote: input.quote,
        previous_close: input.previous_close,
        daily_atr: input.daily_atr,
        relative_volume: input.relative_volume,
        news_score: input.news_score,
        model,
        entries_today: input.entries_today,
    }
}

/// Gathers symbols beside one another, at most `limit` at once; the answer is in the order of `symbols`.
pub(super) async fn gather_symbols(
    sources: &Sources,
    look: Look,
    symbols: &[Symbol],
    limit: u32,
) -> (Vec<Seen>, Vec<Failure>) {
    let places = Arc::new(Semaphore::new(usize::try_from(limit.max(1)).unwrap_or(1)));
    let mut tasks = JoinSet::new();
    for (index, symbol) in symbols.iter().copied().enumerate() {
        let (sources, places) = (sources.clone(), places.clone());
        tasks.spawn(async move {
            // The semaphore is never closed, so there is a place sooner or later.
            let _place = places.acquire().await;
            (index, symbol, gather_symbol(&sources, look, symbol).await)
        });
    }
    let mut outcomes = Vec::with_capacity(symbols.len());
    let mut failures = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((index, _, Ok(seen))) => outcomes.push((index, seen)),
            Ok((_, symbol, Err(error))) => failures.push(Failure { symbol, reason: format!("{error:#}") }),
            Err(panicked) => tracing::error!(%panicked, "symbol.panicked"),
        }
    }
    outcomes.sort_by_key(|(index, _)| *index);
    failures.sort_by_key(|failure| failure.symbol);
    (outcomes.into_iter().map(|(_, seen)| seen).collect(), failures)
}

async fn gather_symbol(sources: &Sources, look: Look, symbol: Symbol) -> anyhow::Result<Seen> {
    let Look { session, as_of, .. } = look;
    // A bar that was recorded once is the fact; the feed is asked for what came after it.
    let mut bars = sources.ledger.read(|conn| sources.bars.range(conn, symbol, session.pre_open, as_of))?;
    bars.retain(|bar| bar.minute_end() <= as_of);
    look_at(sources.feed.as_ref(), &sources.calendar, look, symbol, bars).await
}

/// Looks at a symbol through a feed; `bars` are those of the session that are known already.
pub(super) async fn look_at(
    feed: &dyn MarketFeed,
    calendar: &Calendar,
    look: Look,
    symbol: Symbol,
    mut bars: Vec<Bar>,
) -> anyhow::Result<Seen> {
    let Look { session, as_of, news_half_life, wants_model } = look;
    let from = bars.last().map_or(session.pre_open, |bar| bar.minute_end());
    bars.extend(feed.minute_bars(symbol, from, as_of).await?);
    let daily = feed.daily_bars(symbol, DAILY_BARS, session.date).await?;
    let news = match news_half_life.is_some() || wants_model {
        true => feed.news(symbol, daily.last().map_or(session.pre_open, |bar| bar.start), as_of).await?,
        false => Vec::new(),
    };
    let news_score = news_half_life
        .and_then(|half_life| catalyst(news.iter().map(|item| (item.at, item.headline.as_str())), as_of, half_life));
    let input = SymbolInput {
        symbol,
        quote: feed.quote(symbol, as_of).await?,
        previous_close: daily.last().map(|bar| bar.close),
        daily_atr: latest_atr(&daily, ATR_SESSIONS),
        relative_volume: usual_volume(feed, calendar, look, symbol, &bars).await?,
        news_score,
        entries_today: 0,
        seen_through: None,
    };
    Ok(Seen { input, bars, news })
}

/// The session's volume so far against the mean of earlier sessions by the same time of day.
async fn usual_volume(
    feed: &dyn MarketFeed,
    calendar: &Calendar,
    look: Look,
    symbol: Symbol,
    bars: &[Bar],
) -> anyhow::Result<Option<Bps>> {
    let Look { session, as_of, .. } = look;
    let elapsed = as_of.since(session.open);
    let mut earlier = Vec::with_capacity(USUAL_SESSIONS);
    let before = std::iter::successors(Some(session), |day| calendar.session_before(day.date));
    let sessions: Vec<Session> = before.skip(1).take(USUAL_SESSIONS).collect();
    let oldest = sessions.last().map_or(session.date, |oldest| oldest.date);
    let actions = feed.corporate_actions(symbol, oldest, session.date).await?;
    // A dividend changes no volume, and no close has to be known.
    let adjustments = Adjustments::of(&actions, |_| None)?;
    for past in sessions {
        let minutes = feed.minute_bars(symbol, past.open, past.open.after(elapsed)).await?;
        if !minutes.is_empty() {
            let volume = volume_through(&minutes, &past, elapsed)?;
            earlier.push(adjustments.between(past.date, session.date)?.volume(volume)?);
        }
    }
    Ok(relative_volume(volume_through(bars, &session, elapsed)?, &earlier))
}
