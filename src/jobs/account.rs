//! What several jobs gather of the account and of prices.

use daybook_core::calendar::Session;
use daybook_core::decision::{EquityPoint, Mark};
use daybook_core::indicators::Period;
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Quantity};
use daybook_core::order::{OrderRole, Purpose};
use daybook_core::portfolio::Position;
use daybook_core::report::SessionResult;
use daybook_core::risk::{Commitment, InFlight, RiskFacts, RiskSettings, SymbolFacts};
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use rusqlite::Connection;

use crate::engine::broker_link::BrokerView;
use crate::engine::job::Sources;
use crate::ledger::{LedgerError, equity, fill, halt, intent, pause, position, run_facts};
use crate::ports::FeedError;

/// Sessions that the average true range is measured over, and one more for the close before the first.
pub const DAILY_BARS: usize = 15;
/// The sessions of the average true range.
pub const ATR_SESSIONS: Period = Period::of::<14>();

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

/// What was gathered for an entry, beside the ledger's account.
#[derive(Debug)]
pub struct Gathered<'a> {
    /// The session that is traded.
    pub session: Session,
    /// What the broker shows.
    pub view: &'a BrokerView,
    /// The prices of what is held.
    pub marks: &'a [Mark],
    /// The symbol of each entry of the session.
    pub entered_today: Vec<Symbol>,
    /// What is known of the symbols that are proposed.
    pub symbols: Vec<SymbolFacts>,
}

/// What the pre-trade gate has to know.
pub fn risk_facts(
    conn: &Connection,
    account: &str,
    gathered: Gathered<'_>,
    settings: &RiskSettings,
) -> Result<RiskFacts, LedgerError> {
    let Gathered { session, view, marks, entered_today, symbols } = gathered;
    let recorded = open_positions(conn, account)?;
    let price_of = |symbol: Symbol| marks.iter().find(|mark| mark.symbol == symbol).map(|mark| mark.price);
    let worth = |symbol: Symbol, shares: Quantity| price_of(symbol).and_then(|price| price.times(shares).ok());
    let mut positions: Vec<Commitment> = recorded
        .iter()
        .map(|position| {
            let value = worth(position.symbol, position.quantity).unwrap_or(position.cost);
            Commitment { symbol: position.symbol, value }
        })
        .collect();
    // What the account holds from before the ledger began is at risk, too.
    let unknown = view.positions.iter().filter(|held| recorded.iter().all(|known| known.symbol != held.symbol));
    positions.extend(unknown.map(|held| {
        let (symbol, shares) = (held.symbol, held.quantity.abs());
        let value = worth(symbol, shares).or_else(|| held.average_price.times(shares).ok()).unwrap_or(Money::MAX);
        Commitment { symbol, value }
    }));
    let SessionResult { realised, fees } = fill::session_result(conn, account, session.date)?;
    let opening_equity = equity::opening(conn, session.date)?.unwrap_or(view.account.equity);
    let exposure = Money(positions.iter().map(|held| held.value.0).fold(0, i64::saturating_add));
    let day = view.account.equity.0.saturating_sub(opening_equity.0);
    let equity = EquityPoint {
        session: session.date,
        at: view.as_of,
        equity: view.account.equity,
        opening_equity,
        exposure,
        realised,
        unrealised: Money(day.saturating_sub(realised.0).saturating_add(fees.0)),
        fees,
    };
    Ok(RiskFacts {
        as_of: view.as_of,
        session,
        halts: halt::in_force(conn, view.as_of)?,
        pauses: pause::in_force(conn, view.as_of)?,
        equity,
        buying_power: view.account.buying_power,
        working_entries: working_entries(conn, view, &positions)?,
        positions,
        entered_today,
        symbols,
        analysis_cycles: run_facts::decided_count(conn, JobKind::Analysis, settings.warm_up_cycles)?,
        latest_results: position::latest_results(conn, account, settings.sizing.looks_at_trades())?,
    })
}

/// Orders that wait to enter, and intents to enter that the broker has not answered.
fn working_entries(
    conn: &Connection,
    view: &BrokerView,
    positions: &[Commitment],
) -> Result<Vec<Commitment>, LedgerError> {
    let mut entries: Vec<Commitment> = view
        .open_orders
        .iter()
        .filter(|order| order.role == OrderRole::Parent && positions.iter().all(|held| held.symbol != order.symbol))
        .map(|order| Commitment { symbol: order.symbol, value: order.notional() })
        .collect();
    for stored in intent::unsettled(conn)? {
        let symbol = stored.intent.action.symbol();
        if stored.intent.purpose == Purpose::Enter && entries.iter().all(|entry| entry.symbol != symbol) {
            entries.push(Commitment { symbol, value: Money::ZERO });
        }
    }
    Ok(entries)
}
