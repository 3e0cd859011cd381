//! The market data API: bars, quotes, trades, snapshots and news. Prices are JSON numbers here.

use std::time::Duration;

use axum::extract::{FromRequestParts as _, Path, Request, State};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{Datelike as _, Weekday};
use daybook_core::market::{Bar, MINUTE, Quote, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::{SessionDate, Timestamp};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::request::Query;
use super::server::{App, Caller};
use super::venue::Venue;
use crate::ports::NewsItem;

/// The most that a page holds.
const LIMIT_MAX: usize = 10_000;
const LIMIT: usize = 1_000;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v2/stocks/bars", get(bars))
        .route("/v2/stocks/quotes", get(quotes))
        .route("/v2/stocks/trades", get(trades))
        .route("/v2/stocks/bars/latest", get(latest_bars))
        .route("/v2/stocks/quotes/latest", get(latest_quotes))
        .route("/v2/stocks/trades/latest", get(latest_trades))
        .route("/v2/stocks/snapshots", get(snapshots))
        .route("/v2/stocks/{symbol}/bars", get(bars_of))
        .route("/v2/stocks/{symbol}/quotes", get(quotes_of))
        .route("/v2/stocks/{symbol}/trades", get(trades_of))
}

type Answer = Result<Json<Value>, Problem>;

/// A bar; `at` is what it is stamped with.
pub(super) fn bar(bar: &Bar, at: Timestamp) -> Value {
    let (high, low, close) = (bar.high.to_f64(), bar.low.to_f64(), bar.close.to_f64());
    let volume = bar.volume.0 / Quantity::UNIT;
    json!({
        "t": at.to_string(),
        "o": bar.open.to_f64(),
        "h": high,
        "l": low,
        "c": close,
        "v": volume,
        // Neither is known of a bar alone: a trade of a round lot, and the typical price.
        "n": volume / 100 + 1,
        "vw": ((high + low + close) / 3.0 * 1e4).round() / 1e4,
    })
}

pub(super) fn quote(quote: &Quote) -> Value {
    let shares = |size: Quantity| size.0 / Quantity::UNIT;
    json!({
        "t": quote.at.to_string(),
        "bx": "V", "bp": quote.bid.to_f64(), "bs": shares(quote.bid_size),
        "ax": "V", "ap": quote.ask.to_f64(), "as": shares(quote.ask_size),
        "c": ["R"], "z": "C",
    })
}

/// The trade that a quote stands for: a round lot in the middle.
pub(super) fn trade(quote: &Quote) -> Value {
    let price = quote.midpoint().map_or(quote.bid, Price::round_to_tick_down);
    json!({ "t": quote.at.to_string(), "i": quote.at.0, "x": "V", "p": price.to_f64(), "s": 100, "c": ["@"], "z": "C" })
}

pub(super) fn news_item(symbol: Symbol, item: &NewsItem) -> Value {
    // The same item has the same id, whoever asks and however often.
    let id = item
        .headline
        .bytes()
        .chain(symbol.as_str().bytes())
        .fold(item.at.0.unsigned_abs(), |id, byte| id.wrapping_mul(31).wrapping_add(u64::from(byte)) & 0x7fff_ffff);
    json!({
        "id": id,
        "headline": item.headline,
        "author": "",
        "source": "paper exchange",
        "summary": "",
        "content": "",
        "url": null,
        "images": [],
        "symbols": [symbol.as_str()],
        "created_at": item.at.to_string(),
        "updated_at": item.at.to_string(),
    })
}

/// The length of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeframe {
    Minutes(i64),
    Day,
    Week,
    Months(u32),
}

impl Timeframe {
    fn read(text: &str) -> Result<Self, Problem> {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = text.strip_suffix(unit).unwrap_or_default();
        let number: i64 = if digits.is_empty() { 1 } else { digits.parse().unwrap_or_default() };
        let frame = match unit {
            "Min" | "T" if (1..=59).contains(&number) => Self::Minutes(number),
            "Hour" | "H" if (1..=23).contains(&number) => Self::Minutes(number * 60),
            "Day" | "D" if number == 1 => Self::Day,
            "Week" | "W" if number == 1 => Self::Week,
            "Month" | "M" if [1, 2, 3, 4, 6, 12].contains(&number) => Self::Months(u32::try_from(number).unwrap_or(1)),
            _ => return Err(Problem::malformed(format!("invalid timeframe: {text}"))),
        };
        Ok(frame)
    }

    /// What the bar that holds an instant is stamped with.
    fn start_of(self, at: Timestamp) -> Timestamp {
        let zone = chrono_tz::America::New_York;
        let midnight =
            |date: SessionDate| date.0.and_hms_opt(0, 0, 0).map_or(at, |wall| Timestamp::from_wall(wall, zone));
        let date = at.date_in(zone);
        match self {
            Self::Minutes(minutes) => at.floor_to(MINUTE * u32::try_from(minutes).unwrap_or(1)),
            Self::Day => midnight(date),
            Self::Week => {
                let since = date.weekday().days_since(Weekday::Mon);
                midnight(date.plus_days(-i64::from(since)))
            }
            Self::Months(months) => {
                let month = date.0.month0() / months * months + 1;
                SessionDate::of(date.0.year(), month, 1).map_or(at, midnight)
            }
        }
    }
}

/// The interval, the page and the order of a historical request.
struct Window {
    from: Timestamp,
    to: Timestamp,
    limit: usize,
    descending: bool,
    /// Where the page begins: how many points were told before.
    skip: usize,
}

impl Window {
    fn read(query: &Query, venue: &Venue) -> Result<Self, Problem> {
        let now = venue.advanced_to;
        let midnight = Timeframe::Day.start_of(now);
        let skip = match query.text("page_token") {
            None => 0,
            Some(token) => token.parse().map_err(|_| Problem::malformed("invalid page_token"))?,
        };
        // The end is included; what is not over yet is not known.
        let to = query.instant("end")?.map_or(now, |end| end.after(Duration::from_millis(1)).min(now));
        Ok(Self {
            from: query.instant("start")?.unwrap_or(midnight),
            to,
            limit: query.count("limit", LIMIT, LIMIT_MAX)?,
            descending: query.text("sort") == Some("desc"),
            skip,
        })
    }
}

/// A page of points of some symbols, in the order of symbols and time, and the token of the next.
fn page(window: &Window, mut points: Vec<(Symbol, Vec<Value>)>) -> (Map<String, Value>, Value) {
    let (mut skip, mut room, mut more) = (window.skip, window.limit, false);
    let mut shown = Map::new();
    for (symbol, values) in &mut points {
        if window.descending {
            values.reverse();
        }
        let skipped = skip.min(values.len());
        skip -= skipped;
        let taken: Vec<Value> = values.drain(skipped..).collect();
        more |= taken.len() > room;
        let taken: Vec<Value> = taken.into_iter().take(room).collect();
        room -= taken.len();
        if !taken.is_empty() {
            shown.insert(symbol.as_str().to_owned(), taken.into());
        }
    }
    let token = if more { json!((window.skip + window.limit).to_string()) } else { Value::Null };
    (shown, token)
}

fn symbols(query: &Query) -> Result<Vec<Symbol>, Problem> {
    let mut symbols = query.symbols("symbols")?;
    if symbols.is_empty() {
        return Err(Problem::malformed("symbols is required"));
    }
    symbols.sort();
    symbols.dedup();
    Ok(symbols)
}

async fn bars(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let symbols = symbols(&query)?;
    let venue = app.venue().await?;
    let (shown, token) = bar_page(&venue, &query, &symbols).await?;
    Ok(Json(json!({ "bars": shown, "next_page_token": token })))
}

async fn bars_of(State(app): State<App>, _: Caller, Path(symbol): Path<String>, query: Query) -> Answer {
    let symbol: Symbol = parsed(&symbol)?;
    let venue = app.venue().await?;
    let (shown, token) = bar_page(&venue, &query, &[symbol]).await?;
    Ok(single("bars", symbol, shown, token))
}

fn parsed(symbol: &str) -> Result<Symbol, Problem> {
    symbol.parse().map_err(|_| Problem::invalid(format!("invalid symbol: {symbol}")))
}

fn single(name: &str, symbol: Symbol, mut shown: Map<String, Value>, token: Value) -> Json<Value> {
    let values = shown.remove(symbol.as_str()).unwrap_or(Value::Null);
    Json(json!({ "symbol": symbol.as_str(), name: values, "next_page_token": token }))
}

async fn bar_page(venue: &Venue, query: &Query, symbols: &[Symbol]) -> Result<(Map<String, Value>, Value), Problem> {
    let frame = Timeframe::read(query.text("timeframe").unwrap_or_default())?;
    let window = Window::read(query, venue)?;
    let mut points = Vec::new();
    for symbol in symbols.iter().copied() {
        let made = series(venue, symbol, frame, window.from, window.to).await?;
        points.push((symbol, made.iter().map(|(made, at)| bar(made, *at)).collect()));
    }
    Ok(page(&window, points))
}

/// Bars of a length, with their stamps, that were complete (or are under way) at `to`.
async fn series(
    venue: &Venue,
    symbol: Symbol,
    frame: Timeframe,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Bar, Timestamp)>, Problem> {
    let parts: Vec<Bar> = match frame {
        Timeframe::Minutes(_) => venue.market.minute_bars(symbol, from, to).await?,
        Timeframe::Day | Timeframe::Week | Timeframe::Months(_) => {
            let zone = venue.calendar.zone();
            let (first, last) = (from.date_in(zone), to.date_in(zone));
            let sessions = venue.calendar.sessions(first, last).filter(|session| session.close <= to).count();
            let mut days = venue.market.daily_bars(symbol, sessions, last.plus_days(1)).await?;
            days.retain(|day| day.start.date_in(zone) >= first && day.start < to);
            // What is not over yet is made of the minutes that are known.
            days.retain(|day| {
                venue.calendar.session(day.start.date_in(zone)).is_some_and(|session| session.close <= to)
            });
            days.extend(
                running_day(venue, symbol).await?.filter(|(day, at)| *at >= from && day.start < to).map(|(day, _)| day),
            );
            days
        }
    };
    let mut made: Vec<(Bar, Timestamp)> = Vec::new();
    for part in parts {
        let start = frame.start_of(part.start);
        match made.last_mut().filter(|(_, at)| *at == start) {
            Some((bar, _)) => add(bar, &part),
            None => made.push((part, start)),
        }
    }
    Ok(made)
}

/// Adds a later bar to a bar.
fn add(bar: &mut Bar, later: &Bar) {
    bar.high = bar.high.max(later.high);
    bar.low = bar.low.min(later.low);
    bar.close = later.close;
    bar.volume = bar.volume.plus(later.volume).unwrap_or(Quantity::MAX);
}

/// The day that is under way, or has ended and no night has passed since, and its stamp.
pub(super) async fn running_day(venue: &Venue, symbol: Symbol) -> Result<Option<(Bar, Timestamp)>, Problem> {
    let now = venue.advanced_to;
    let Some(session) = venue.calendar.session(now.date_in(venue.calendar.zone())) else { return Ok(None) };
    if !venue.market.is_steered(symbol) && session.close <= now {
        return Ok(None);
    }
    let minutes = venue.market.minute_bars(symbol, session.open, now.min(session.close)).await?;
    let mut minutes = minutes.into_iter();
    let Some(mut day) = minutes.next() else { return Ok(None) };
    minutes.for_each(|minute| add(&mut day, &minute));
    Ok(Some((day, Timeframe::Day.start_of(session.open))))
}

/// Second by second, the quotes of an interval, as far as the page needs them.
async fn quotes_within(venue: &Venue, symbol: Symbol, window: &Window) -> Result<Vec<Quote>, Problem> {
    const STEP: Duration = Duration::from_secs(1);
    let enough = window.skip.saturating_add(window.limit).saturating_add(1);
    let mut quotes: Vec<Quote> = Vec::new();
    let mut at = if window.descending { window.to } else { window.from };
    while (window.from..=window.to).contains(&at) && quotes.len() < enough {
        let Some(session) = venue.calendar.session_containing(at) else {
            // Between sessions nobody quotes.
            let near = venue.calendar.session_date_at(at).and_then(|date| venue.calendar.session(date));
            at = match near {
                Some(next) if !window.descending => next.pre_open,
                Some(next) => match venue.calendar.session_before(next.date) {
                    Some(before) => before.post_close.before(STEP),
                    None => break,
                },
                None => break,
            };
            continue;
        };
        if let Some(quote) = venue.market.quote(symbol, at).await?
            && quote.at >= session.pre_open
            && quotes.last().is_none_or(|last| last.at != quote.at)
        {
            quotes.push(quote);
        }
        at = if window.descending { at.before(STEP) } else { at.after(STEP) };
    }
    if window.descending {
        quotes.reverse();
    }
    Ok(quotes)
}

async fn quote_page(
    app: &App,
    query: &Query,
    symbols: &[Symbol],
    form: fn(&Quote) -> Value,
) -> Result<(Map<String, Value>, Value), Problem> {
    let venue = app.venue().await?;
    let window = Window::read(query, &venue)?;
    let mut points = Vec::new();
    for symbol in symbols.iter().copied() {
        points.push((symbol, quotes_within(&venue, symbol, &window).await?.iter().map(form).collect()));
    }
    Ok(page(&window, points))
}

async fn quotes(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let (shown, token) = quote_page(&app, &query, &symbols(&query)?, quote).await?;
    Ok(Json(json!({ "quotes": shown, "next_page_token": token })))
}

async fn quotes_of(State(app): State<App>, _: Caller, Path(symbol): Path<String>, query: Query) -> Answer {
    let symbol = parsed(&symbol)?;
    let (shown, token) = quote_page(&app, &query, &[symbol], quote).await?;
    Ok(single("quotes", symbol, shown, token))
}

async fn trades(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let (shown, token) = quote_page(&app, &query, &symbols(&query)?, trade).await?;
    Ok(Json(json!({ "trades": shown, "next_page_token": token })))
}

async fn trades_of(State(app): State<App>, _: Caller, Path(symbol): Path<String>, query: Query) -> Answer {
    let symbol = parsed(&symbol)?;
    let (shown, token) = quote_page(&app, &query, &[symbol], trade).await?;
    Ok(single("trades", symbol, shown, token))
}

async fn latest_quotes(State(app): State<App>, _: Caller, query: Query) -> Answer {
    latest(&app, &query, "quotes", quote).await
}

async fn latest_trades(State(app): State<App>, _: Caller, query: Query) -> Answer {
    latest(&app, &query, "trades", trade).await
}

/// The last of each symbol; unknown symbols are left out.
async fn latest(app: &App, query: &Query, name: &str, form: fn(&Quote) -> Value) -> Answer {
    let symbols = symbols(query)?;
    let venue = app.venue().await?;
    let mut all = Map::new();
    for symbol in symbols {
        if let Some(quote) = venue.market.quote(symbol, venue.advanced_to).await? {
            all.insert(symbol.as_str().to_owned(), form(&quote));
        }
    }
    Ok(Json(json!({ name: all })))
}

async fn last_minute(venue: &Venue, symbol: Symbol) -> Result<Option<Bar>, Problem> {
    let now = venue.advanced_to;
    // A long weekend lies between two sessions at most.
    let bars = venue.market.minute_bars(symbol, now.before(Duration::from_secs(4 * 86_400)), now).await?;
    Ok(bars.last().copied())
}

async fn latest_bars(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let symbols = symbols(&query)?;
    let venue = app.venue().await?;
    let mut all = Map::new();
    for symbol in symbols {
        if let Some(last) = last_minute(&venue, symbol).await? {
            all.insert(symbol.as_str().to_owned(), bar(&last, last.start));
        }
    }
    Ok(Json(json!({ "bars": all })))
}

async fn snapshots(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let symbols = symbols(&query)?;
    let venue = app.venue().await?;
    let now = venue.advanced_to;
    let today = now.date_in(venue.calendar.zone());
    let mut all = Map::new();
    for symbol in symbols {
        let Some(last) = venue.market.quote(symbol, now).await? else { continue };
        let days = series(&venue, symbol, Timeframe::Day, now.before(Duration::from_secs(10 * 86_400)), now).await?;
        let current = days.last().filter(|(_, at)| at.date_in(venue.calendar.zone()) == today);
        let before = days.iter().rev().find(|(_, at)| at.date_in(venue.calendar.zone()) < today);
        let minute = last_minute(&venue, symbol).await?;
        let shown = |day: Option<&(Bar, Timestamp)>| day.map(|(made, at)| bar(made, *at));
        all.insert(
            symbol.as_str().to_owned(),
            json!({
                "latestTrade": trade(&last),
                "latestQuote": quote(&last),
                "minuteBar": minute.map(|minute| bar(&minute, minute.start)),
                "dailyBar": shown(current.or(before)),
                "prevDailyBar": shown(before),
            }),
        );
    }
    Ok(Json(Value::Object(all)))
}

/// News of some symbols, or of all, newest first unless the query says otherwise.
pub(super) async fn news(State(app): State<App>, request: Request) -> Answer {
    let (mut parts, _) = request.into_parts();
    Caller::from_request_parts(&mut parts, &app).await?;
    let query = Query::from_request_parts(&mut parts, &app).await?;
    let limit = query.count("limit", 10, 50)?;
    let venue = app.venue().await?;
    let now = venue.advanced_to;
    let window = Window {
        from: query.instant("start")?.unwrap_or_else(|| now.before(Duration::from_secs(7 * 86_400))),
        limit,
        ..Window::read(&query, &venue)?
    };
    let wanted = query.symbols("symbols")?;
    let wanted: Vec<Symbol> = if wanted.is_empty() { venue.market.symbols().collect() } else { wanted };
    let mut items = Vec::new();
    for symbol in wanted {
        for item in venue.market.news(symbol, window.from, window.to).await? {
            items.push((item.at, news_item(symbol, &item)));
        }
    }
    items.sort_by_key(|(at, _)| *at);
    if query.text("sort") != Some("asc") {
        items.reverse();
    }
    let more = items.len() > window.skip + limit;
    let shown: Vec<Value> = items.into_iter().skip(window.skip).take(limit).map(|(_, item)| item).collect();
    let token = if more { json!((window.skip + limit).to_string()) } else { Value::Null };
    Ok(Json(json!({ "news": shown, "next_page_token": token })))
}
