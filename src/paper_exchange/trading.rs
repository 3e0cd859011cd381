//! The trading API: `/v2/account` to `/v2/positions`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, routing};
use daybook_core::calendar::MarketPhase;
use daybook_core::exchange::OrderNumber;
use daybook_core::market::Symbol;
use daybook_core::money::{Price, Quantity};
use serde_json::{Value, json};

use super::desk::closing;
use super::problem::Problem;
use super::request::{OrderRequest, Query, amendment};
use super::server::{App, Caller};
use super::venue::Venue;
use super::views::Prices;
use super::wire::OrderDocument;
use super::{views, wire};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v2/account", get(account))
        .route("/v2/account/configurations", get(configurations).patch(configure))
        .route("/v2/account/portfolio/history", get(history))
        .route("/v2/account/activities", get(activities))
        .route("/v2/account/activities/{kind}", get(activities_of))
        .route("/v2/clock", get(clock))
        .route("/v2/calendar", get(calendar))
        .route("/v2/assets", get(assets))
        .route("/v2/assets/{symbol}", get(asset))
        .route("/v2/orders", get(orders).post(submit).delete(cancel_all))
        .route("/v2/orders:by_client_order_id", get(by_client_order_id))
        .route("/v2/orders/{id}", get(order).patch(replace).delete(cancel))
        .route("/v2/positions", get(positions).delete(close_all))
        .route("/v2/positions/{symbol}", routing::get(position).delete(close))
}

type Answer<T = Value> = Result<Json<T>, Problem>;

async fn account(State(app): State<App>, caller: Caller) -> Answer {
    let venue = app.venue().await?;
    venue.desk(caller.account)?.account(&venue.prices(caller.account).await?).map(Json)
}

async fn configurations(State(app): State<App>, caller: Caller) -> Answer {
    let venue = app.venue().await?;
    Ok(Json(json!(venue.desk(caller.account)?.configuration)))
}

async fn configure(State(app): State<App>, caller: Caller, body: Bytes) -> Answer {
    let patch = json_of(&body)?;
    let mut venue = app.venue().await?;
    let patched = venue.desk(caller.account)?.configuration.patched(&patch)?;
    venue.configure(caller.account, patched.clone())?;
    app.commit(venue).await?;
    Ok(Json(json!(patched)))
}

async fn history(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    let venue = app.venue().await?;
    let prices = venue.prices(caller.account).await?;
    venue.desk(caller.account)?.history(&query, venue.advanced_to, &prices).map(Json)
}

async fn activities(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    let kinds = query.text("activity_types").or_else(|| query.text("activity_type"));
    if kinds.is_some_and(|kinds| !kinds.split(',').any(|kind| kind == "FILL")) {
        return Ok(Json(json!([])));
    }
    let venue = app.venue().await?;
    Ok(Json(venue.desk(caller.account)?.activities(&query)?.into()))
}

async fn activities_of(state: State<App>, caller: Caller, Path(kind): Path<String>, query: Query) -> Answer {
    // Nothing but executions moves money here.
    if kind == "FILL" { activities(state, caller, query).await } else { Ok(Json(json!([]))) }
}

async fn clock(State(app): State<App>, _: Caller) -> Answer {
    let venue = app.venue().await?;
    let (now, calendar) = (venue.advanced_to, &venue.calendar);
    let unknown = || Problem::internal("the calendar does not know the year");
    Ok(Json(json!({
        "timestamp": wire::new_york(now),
        "is_open": calendar.phase_at(now) == MarketPhase::Trading,
        "next_open": wire::new_york(calendar.next_open(now).ok_or_else(unknown)?),
        "next_close": wire::new_york(calendar.next_close(now).ok_or_else(unknown)?),
    })))
}

async fn calendar(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let venue = app.venue().await?;
    let calendar = &venue.calendar;
    let from = query.date("start")?.unwrap_or_else(|| calendar.first_date());
    let to = query.date("end")?.unwrap_or_else(|| calendar.last_date());
    let sessions = calendar.sessions(from, to);
    Ok(Json(sessions.map(|session| views::session(&session, calendar.session_after(session.date))).collect()))
}

async fn assets(State(app): State<App>, _: Caller, query: Query) -> Answer {
    let other = |name, ours: &str| query.text(name).is_some_and(|wanted| wanted != ours);
    if other("status", "active") || other("asset_class", "us_equity") || other("exchange", views::EXCHANGE) {
        return Ok(Json(json!([])));
    }
    let venue = app.venue().await?;
    Ok(Json(venue.market.symbols().map(views::asset).collect()))
}

async fn asset(State(app): State<App>, _: Caller, Path(text): Path<String>) -> Answer {
    let venue = app.venue().await?;
    let symbol = wire::symbol_of(&text).filter(|symbol| venue.market.lists(*symbol));
    let symbol = symbol.ok_or_else(|| Problem::not_found(format!("asset not found for {text}")))?;
    Ok(Json(views::asset(symbol)))
}

async fn orders(State(app): State<App>, caller: Caller, query: Query) -> Answer<Vec<OrderDocument>> {
    let venue = app.venue().await?;
    venue.desk(caller.account)?.orders(&query).map(Json)
}

async fn submit(State(app): State<App>, caller: Caller, body: Bytes) -> Answer<OrderDocument> {
    let request = OrderRequest::read(&json_of(&body)?)?;
    let mut venue = app.venue().await?;
    let submitted = venue.submit(caller.account, &request).await;
    let answer = answer(&venue, caller, submitted, true);
    app.commit(venue).await?;
    answer
}

/// The order that came of a call.
fn answer(venue: &Venue, caller: Caller, number: Result<OrderNumber, Problem>, nested: bool) -> Answer<OrderDocument> {
    let desk = venue.desk(caller.account)?;
    Ok(Json(desk.order(desk.record(number?)?, nested)))
}

async fn by_client_order_id(State(app): State<App>, caller: Caller, query: Query) -> Answer<OrderDocument> {
    let venue = app.venue().await?;
    let desk = venue.desk(caller.account)?;
    let id = query.text("client_order_id").and_then(|id| id.parse().ok());
    let number = id.and_then(|id| desk.ids.get(&id)).copied();
    let number = number.ok_or_else(|| Problem::not_found("order not found"))?;
    answer(&venue, caller, Ok(number), true)
}

fn number_of(venue: &Venue, caller: Caller, id: &str) -> Result<OrderNumber, Problem> {
    let number = wire::order_number(venue.desk(caller.account)?.number, id);
    number.ok_or_else(|| Problem::not_found(format!("order not found for {id}")))
}

async fn order(State(app): State<App>, caller: Caller, Path(id): Path<String>, query: Query) -> Answer<OrderDocument> {
    let venue = app.venue().await?;
    let number = number_of(&venue, caller, &id)?;
    answer(&venue, caller, Ok(number), query.flag("nested"))
}

async fn replace(State(app): State<App>, caller: Caller, Path(id): Path<String>, body: Bytes) -> Answer<OrderDocument> {
    let patch = json_of(&body)?;
    let mut venue = app.venue().await?;
    let number = number_of(&venue, caller, &id)?;
    let present = venue.desk(caller.account)?.record(number)?.book.order.order_type;
    let replaced = venue.amend(caller.account, number, &amendment(&patch, present)?).await;
    let answer = answer(&venue, caller, replaced, true);
    app.commit(venue).await?;
    answer
}

async fn cancel(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let mut venue = app.venue().await?;
    let number = number_of(&venue, caller, &id)?;
    let canceled = venue.cancel(caller.account, number, app.faults.of_cancel());
    app.commit(venue).await?;
    canceled.map(|()| StatusCode::NO_CONTENT)
}

async fn cancel_all(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let mut venue = app.venue().await?;
    let canceled = cancel_open(&app, &mut venue, caller, None)?;
    app.commit(venue).await?;
    Ok((StatusCode::MULTI_STATUS, Json(canceled)).into_response())
}

/// Cancels the open orders, of one symbol or of all, and tells what came of each.
fn cancel_open(app: &App, venue: &mut Venue, caller: Caller, symbol: Option<Symbol>) -> Result<Vec<Value>, Problem> {
    let desk = venue.desk(caller.account)?;
    let (account, open) = (desk.number, desk.exchange.state().orders.iter());
    let open = open.filter(|book| !book.order.status.is_terminal());
    let open = open.filter(|book| symbol.is_none_or(|symbol| symbol == book.order.symbol));
    let numbers: Vec<OrderNumber> = open.map(|book| book.number).collect();
    Ok(numbers
        .into_iter()
        .map(|number| {
            let canceled = venue.cancel(caller.account, number, app.faults.of_cancel());
            let status = canceled.map_or_else(|problem| problem.status(), |()| 200);
            json!({ "id": wire::order_id(account, number), "status": status })
        })
        .collect())
}

/// The close of the session before, by which the day's change is told.
async fn last_close(venue: &Venue, symbol: Symbol) -> Result<Option<Price>, Problem> {
    let today = venue.advanced_to.date_in(venue.calendar.zone());
    Ok(venue.market.daily_bars(symbol, 1, today).await?.last().map(|bar| bar.close))
}

async fn positions(State(app): State<App>, caller: Caller) -> Answer {
    let venue = app.venue().await?;
    let (desk, prices) = (venue.desk(caller.account)?, venue.prices(caller.account).await?);
    let mut positions = Vec::new();
    for symbol in desk.exchange.state().holdings.keys().copied() {
        let last_close = last_close(&venue, symbol).await?;
        positions.push(desk.position(symbol, Prices { now: prices.get(&symbol).copied(), last_close })?);
    }
    Ok(Json(positions.into()))
}

fn symbol_of(text: &str) -> Result<Symbol, Problem> {
    wire::symbol_of(text).ok_or_else(|| Problem::not_found(format!("symbol not found: {text}")))
}

async fn position(State(app): State<App>, caller: Caller, Path(text): Path<String>) -> Answer {
    let symbol = symbol_of(&text)?;
    let venue = app.venue().await?;
    let last_close = last_close(&venue, symbol).await?;
    let now = venue.prices(caller.account).await?.get(&symbol).copied();
    venue.desk(caller.account)?.position(symbol, Prices { now, last_close }).map(Json)
}

async fn close(
    State(app): State<App>,
    caller: Caller,
    Path(text): Path<String>,
    query: Query,
) -> Answer<OrderDocument> {
    let symbol = symbol_of(&text)?;
    let mut venue = app.venue().await?;
    let held = venue.desk(caller.account)?.holding(symbol)?.quantity;
    let quantity = match (query.decimal::<Quantity>("qty")?, query.decimal::<Quantity>("percentage")?) {
        (None, None) => held.abs(),
        (Some(quantity), None) => quantity,
        (None, Some(percentage)) => part(held.abs(), percentage)?,
        (Some(_), Some(_)) => return Err(Problem::invalid("only one of qty or percentage is accepted")),
    };
    let submitted = venue.submit(caller.account, &closing(symbol, held, quantity)).await;
    let answer = answer(&venue, caller, submitted, false);
    app.commit(venue).await?;
    answer
}

/// A percentage of a quantity, rounded down to 10^-9.
fn part(held: Quantity, percentage: Quantity) -> Result<Quantity, Problem> {
    if !percentage.is_positive() || percentage > Quantity::whole(100) {
        return Err(Problem::invalid("percentage must be above 0 and at most 100"));
    }
    let part = i128::from(held.0) * i128::from(percentage.0) / i128::from(Quantity::whole(100).0);
    i64::try_from(part).map(Quantity).map_err(|_| Problem::invalid("the quantity cannot be counted"))
}

async fn close_all(State(app): State<App>, caller: Caller, query: Query) -> Result<Response, Problem> {
    let mut venue = app.venue().await?;
    if query.flag("cancel_orders") {
        cancel_open(&app, &mut venue, caller, None)?;
    }
    let holdings = venue.desk(caller.account)?.exchange.state().holdings.clone();
    let mut closed = Vec::new();
    for (symbol, holding) in holdings {
        let request = closing(symbol, holding.quantity, holding.quantity.abs());
        let submitted = venue.submit(caller.account, &request).await;
        let (status, body) = match answer(&venue, caller, submitted, false) {
            Ok(Json(order)) => (200, json!(order)),
            Err(problem) => (problem.status(), problem.into_body()),
        };
        closed.push(json!({ "symbol": symbol.as_str(), "status": status, "body": body }));
    }
    app.commit(venue).await?;
    Ok((StatusCode::MULTI_STATUS, Json(closed)).into_response())
}

/// A body's JSON.
pub(super) fn json_of(body: &Bytes) -> Result<Value, Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("request body format is invalid: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(Problem::malformed("request body must be an object")) }
}
