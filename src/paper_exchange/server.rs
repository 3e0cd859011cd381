//! The server: connections, who calls, faults, and the tick that keeps the market moving.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use super::clock::VenueClock;
use super::faults::{Faults, RequestFault};
use super::market::Market;
use super::problem::Problem;
use super::request::Query;
use super::venue::Venue;
use super::{Credentials, PaperExchangeError, PaperExchangeSettings, admin, data, store, streams, trading, venue};

/// How often the market is looked at when nobody calls.
const TICK: Duration = Duration::from_millis(100);

/// What every handler works with.
#[derive(Clone)]
pub(super) struct App(Arc<Shared>);

pub(super) struct Shared {
    venue: Mutex<Venue>,
    pub clock: VenueClock,
    pub faults: Faults,
    /// Counts what cuts every websocket.
    pub cut: watch::Sender<u64>,
    /// Tells that the market or the clock was moved by hand.
    pub moved: watch::Sender<u64>,
    pub stop: CancellationToken,
    accounts: HashMap<String, (String, usize)>,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// The venue, after everything has happened that is known by now.
    pub(super) async fn venue(&self) -> Result<MutexGuard<'_, Venue>, Problem> {
        let mut venue = self.venue.lock().await;
        venue.advance(self.clock.now()).await?;
        Ok(venue)
    }

    /// Lets go of the venue, and returns once everything that has changed is on the disk.
    pub(super) async fn commit(&self, mut venue: MutexGuard<'_, Venue>) -> Result<(), Problem> {
        let written = venue.flush();
        drop(venue);
        match written {
            Some(written) => written.await.map_err(|_| Problem::internal("the exchange's file cannot be written")),
            None => Ok(()),
        }
    }

    /// The account of a key and its secret.
    pub(super) fn account(&self, key: &str, secret: &str) -> Option<usize> {
        self.accounts.get(key).filter(|(known, _)| known == secret).map(|(_, account)| *account)
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub account: usize,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let account = app.account(header("APCA-API-KEY-ID"), header("APCA-API-SECRET-KEY"));
        account.map(|account| Self { account }).ok_or_else(Problem::unauthorized)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let fields = axum::extract::Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
        fields.map(|fields| Self(fields.0)).map_err(|error| Problem::malformed(error.to_string()))
    }
}

/// A running exchange; it ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The thread that writes the file; it ends when nobody can hand it anything any more.
    writing: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and returns once its connections are closed and its file is written.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(writing) = self.writing.take() {
            // A writer that has panicked has said so.
            let _ = tokio::task::spawn_blocking(move || writing.join()).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts an exchange.
///
/// # Errors
/// If the address is taken, the file cannot be used, or the accounts make no sense.
pub async fn serve(settings: PaperExchangeSettings) -> Result<Server, PaperExchangeError> {
    check_accounts(&settings.accounts)?;
    let listen = settings.listen;
    let failed = |source| PaperExchangeError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let market = Market::new(settings.feed).await?;
    let (stored, writer, writing) = store::open(&settings.file)?;
    let clock = VenueClock::new(settings.clock, stored.advanced_to);
    let of_venue = venue::Settings {
        calendar: settings.calendar,
        keys: settings.accounts.iter().map(|account| account.key.clone()).collect(),
        cash: settings.cash,
        rules: settings.fills,
        watched: settings.clock.is_watched(),
    };
    let mut venue = Venue::new(market, of_venue, stored, clock.now(), writer).await?;
    // What is new is on the disk before anybody calls; an error shows at the first call.
    drop(venue.flush());
    let accounts = settings.accounts.into_iter().filter_map(|account| {
        let number = venue.account(&account.key)?;
        Some((account.key, (account.secret, number)))
    });
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let app = App(Arc::new(Shared {
        accounts: accounts.collect(),
        venue: Mutex::new(venue),
        clock,
        faults: Faults::default(),
        cut: watch::Sender::new(0),
        moved: watch::Sender::new(0),
        stop: stop.clone(),
    }));
    let router = Router::new()
        .merge(trading::routes())
        .merge(data::routes())
        .layer(middleware::from_fn_with_state(app.clone(), with_faults))
        .merge(streams::routes())
        .merge(admin::routes())
        .fallback(async || Problem::not_found("endpoint not found"))
        .with_state(app.clone());
    tasks.spawn(accept(listener, router, stop.clone(), tasks.clone()));
    tasks.spawn(tick(app));
    Ok(Server { address, stop, tasks, writing: Some(writing) })
}

fn check_accounts(accounts: &[Credentials]) -> Result<(), PaperExchangeError> {
    if accounts.is_empty() {
        return Err(PaperExchangeError::Accounts("there is no account: give at least one key".to_owned()));
    }
    for (place, account) in accounts.iter().enumerate() {
        if account.key.is_empty() || account.secret.is_empty() {
            return Err(PaperExchangeError::Accounts("a key or a secret is empty".to_owned()));
        }
        if accounts.iter().skip(place + 1).any(|other| other.key == account.key) {
            return Err(PaperExchangeError::Accounts(format!("the key {} is given twice", account.key)));
        }
    }
    Ok(())
}

/// Moves the market on when nobody calls: sessions open and close, and resting orders fill.
async fn tick(app: App) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        match app.venue().await {
            // Nobody waits for it: the next change waits behind it.
            Ok(mut venue) => drop(venue.flush()),
            Err(problem) => tracing::error!(problem = %problem.into_body(), "exchange.stuck"),
        }
    }
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => drop(tasks.spawn(connection(stream, peer, router.clone(), stop.clone()))),
            Err(error) => {
                // Out of file descriptors, most likely: others have to close theirs first.
                tracing::warn!(%error, "exchange.accept_failed");
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

/// The connection is to be cut without an answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub SocketAddr);

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // Small answers must not wait for more; where it cannot be set they only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let mut router = router.clone();
        async move {
            let response = router.call(request).await.unwrap_or_else(|never| match never {});
            if response.extensions().get::<Cut>().is_some() { Err(Cut) } else { Ok(response) }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // What ends a connection, its peer knows.
    tokio::select! {
        () = stop.cancelled() => {}
        _ = served => {}
    }
}

/// Lets the faults happen that were asked for.
async fn with_faults(State(app): State<App>, request: Request, next: Next) -> Response {
    let (latency, fault) = app.faults.of_request(request.method().as_str());
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match fault {
        None => next.run(request).await,
        Some(RequestFault::Drop) => {
            next.run(request).await;
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Cut);
            response
        }
        Some(RequestFault::RateLimit { reset_s }) => {
            let mut response =
                Problem::new(StatusCode::TOO_MANY_REQUESTS, 42_910_000, "rate limit exceeded").into_response();
            let reset = app.clock.now().0 / 1_000 + i64::try_from(reset_s).unwrap_or(i64::MAX / 2);
            let headers = response.headers_mut();
            headers.insert("x-ratelimit-limit", HeaderValue::from_static("200"));
            headers.insert("x-ratelimit-remaining", HeaderValue::from_static("0"));
            headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
            response
        }
        Some(RequestFault::ServerError { status, carried_out }) => {
            if carried_out {
                next.run(request).await;
            }
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Problem::new(status, 50_010_000, "internal server error occurred").into_response()
        }
    }
}
