//! Steering the exchange: prices, the clock, faults. For callers on this machine only.

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::routing::post;
use axum::{Json, Router};
use chrono::NaiveTime;
use daybook_core::market::Symbol;
use daybook_core::money::{Price, Quantity};
use daybook_core::time::Timestamp;
use serde_json::{Value, json};

use super::faults::Fault;
use super::problem::Problem;
use super::request::{decimal, word};
use super::server::{App, Peer};
use super::trading::json_of;
use super::venue::PRICE_MAX;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/price", post(price))
        .route("/admin/halt", post(halt))
        .route("/admin/clock", post(clock))
        .route("/admin/fault", post(fault))
        .route("/admin/reset", post(reset))
}

type Answer = Result<Json<Value>, Problem>;

fn check_local(peer: Peer) -> Result<(), Problem> {
    if peer.0.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Problem::forbidden("the admin endpoints answer callers on the exchange's own machine only"))
}

fn symbol_of(body: &Value) -> Result<Symbol, Problem> {
    let symbol = word(body, "symbol").and_then(|text| text.parse().ok());
    symbol.ok_or_else(|| Problem::invalid("symbol is required, such as \"AAPL\""))
}

async fn halt(State(app): State<App>, Extension(peer): Extension<Peer>, body: Bytes) -> Answer {
    check_local(peer)?;
    let body = json_of(&body)?;
    let symbol = symbol_of(&body)?;
    let halted = body.get("halted").and_then(Value::as_bool);
    let halted = halted.ok_or_else(|| Problem::invalid("halted is required: true or false"))?;
    let mut venue = app.venue().await?;
    venue.halt(symbol, halted).await?;
    app.commit(venue).await?;
    app.moved.send_modify(|count| *count += 1);
    Ok(Json(json!({ "symbol": symbol.as_str(), "halted": halted })))
}

async fn price(State(app): State<App>, Extension(peer): Extension<Peer>, body: Bytes) -> Answer {
    check_local(peer)?;
    let body = json_of(&body)?;
    let symbol = symbol_of(&body)?;
    let price: Price =
        decimal(&body, "price")?.ok_or_else(|| Problem::invalid("price is required, such as \"190.25\""))?;
    if !price.is_positive() || price > PRICE_MAX {
        return Err(Problem::invalid(format!("price {price} is not above 0 and at most {PRICE_MAX}")));
    }
    let size: Option<Quantity> = decimal(&body, "size")?;
    if size.is_some_and(Quantity::is_negative) {
        return Err(Problem::invalid("size is below 0"));
    }
    let mut venue = app.venue().await?;
    venue.set_price(symbol, price, size).await?;
    let now = venue.advanced_to;
    app.commit(venue).await?;
    app.moved.send_modify(|count| *count += 1);
    Ok(Json(json!({ "symbol": symbol.as_str(), "price": price.to_string(), "at": now.to_string() })))
}

async fn clock(State(app): State<App>, Extension(peer): Extension<Peer>, body: Bytes) -> Answer {
    check_local(peer)?;
    let body = json_of(&body)?;
    let now = match (word(&body, "now"), body.get("advance_s").map(Value::as_u64)) {
        (Some(text), None) => text.parse::<Timestamp>().map_err(|error| Problem::invalid(error.to_string()))?,
        (None, Some(Some(seconds))) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Timestamp(app.clock.now().0.saturating_add(seconds.saturating_mul(1_000)))
        }
        _ => {
            return Err(Problem::invalid(
                "give now, an instant such as 2026-11-16T14:30:00Z, or advance_s, in whole seconds",
            ));
        }
    };
    let venue = app.venue().await?;
    let last = venue.calendar.last_date();
    if now >= Timestamp::from_wall(last.0.and_time(NaiveTime::MIN), venue.calendar.zone()) {
        return Err(Problem::invalid(format!("{now} is beyond the calendar, which ends on {last}")));
    }
    if !app.clock.set(now) {
        return Err(Problem::invalid(format!("the clock stands at {} and goes forward only", app.clock.now())));
    }
    drop(venue);
    // Taken anew, it lives up to the clock as it stands now.
    let mut venue = app.venue().await?;
    venue.keep_time();
    app.commit(venue).await?;
    app.moved.send_modify(|count| *count += 1);
    Ok(Json(json!({ "now": now.to_string() })))
}

async fn fault(State(app): State<App>, Extension(peer): Extension<Peer>, body: Bytes) -> Answer {
    check_local(peer)?;
    let fault: Fault = serde_json::from_value(json_of(&body)?)
        .map_err(|error| Problem::invalid(format!("no such fault: {error}; docs/paper-exchange.md lists them")))?;
    if let Fault::ServerError { status, .. } = fault
        && !(500..600).contains(&status)
    {
        return Err(Problem::invalid(format!("status {status} is no error of a server: expected 500 to 599")));
    }
    if fault == Fault::Disconnect {
        app.cut.send_modify(|count| *count += 1);
    }
    app.faults.add(fault);
    Ok(Json(json!({ "ok": true })))
}

async fn reset(State(app): State<App>, Extension(peer): Extension<Peer>) -> Answer {
    check_local(peer)?;
    let mut venue = app.venue().await?;
    venue.reset();
    app.commit(venue).await?;
    app.faults.add(Fault::None);
    Ok(Json(json!({ "ok": true })))
}
