//! What several jobs gather of the account and of prices.

use daybook_core::decision::Mark;
use daybook_core::market::Symbol;
use daybook_core::portfolio::Position;
use daybook_core::risk::InFlight;
use daybook_core::time::Timestamp;
use rusqlite::Connection;

use crate::engine::job::Sources;
use crate::ledger::{LedgerError, intent, position};
use crate::ports::FeedError;

/// How far back a last trade is looked for where there is no quote: a day, so that an illiquid symbol has
/// a price at all. Its age is told with it.
const LAST_TRADE_WITHIN: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The price of a symbol as of an instant: the middle of the quote, or the last trade.
pub async fn mark(sources: &Sources, symbol: Symbol, as_of: Timestamp) -> Result<Option<Mark>, FeedError> {
    if let Some(quote) = sources.feed.quote(symbol, as_of).await?
        && let Ok(price) = quote.midpoint()
        && price.is_positive()
    {
        return Ok(Some(Mark { symbol, price, at: quote.at }));
    }
    let bars = sources.feed.minute_bars(symbol, as_of.before(LAST_TRADE_WITHIN), as_of).await?;
    Ok(bars.last().map(|bar| Mark { symbol, price: bar.close, at: bar.minute_end() }))
}

/// The prices of several symbols. One that cannot be had is left out: its mark goes stale, and that is
/// watched.
pub async fn marks(sources: &Sources, symbols: impl Iterator<Item = Symbol>, as_of: Timestamp) -> Vec<Mark> {
    let mut marks = Vec::new();
    for symbol in symbols {
        match mark(sources, symbol, as_of).await {
            Ok(found) => marks.extend(found),
            Err(error) => tracing::warn!(%symbol, %error, "mark.missing"),
        }
    }
    marks
}

/// Intents that are committed and not settled.
pub fn in_flight(conn: &Connection) -> Result<Vec<InFlight>, LedgerError> {
    let unsettled = intent::unsettled(conn)?;
    let in_flight = |stored: intent::StoredIntent| InFlight {
        symbol: stored.intent.action.symbol(),
        purpose: stored.intent.purpose,
    };
    Ok(unsettled.into_iter().map(in_flight).collect())
}

/// The ledger's positions that are not closed.
pub fn open_positions(conn: &Connection, account: &str) -> Result<Vec<Position>, LedgerError> {
    Ok(position::open(conn, account)?.into_iter().map(|stored| stored.position).collect())
}
