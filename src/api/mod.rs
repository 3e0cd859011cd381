//! What the running scheduler is asked over HTTP: the calls of services that people write through.
//!
//! It speaks plain HTTP on an address of this machine, behind a proxy or a tunnel that has the certificate. Everything
//! about a caller is bounded: how many there are, how much each sends, how long each may take. Nothing that trades waits
//! for any of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use crate::engine::chat::Reception;
use crate::ports::{CallRefused, ServiceCall};

/// The largest body that is read, in bytes: the services' own have some thousand.
const BODY_MAX: usize = 64 * 1024;
/// The largest head of a request that is read, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Connections at the same time; who comes then waits until one ends.
const CONNECTIONS_MAX: usize = 64;
/// How long a caller may take for its headers: a service gives up on us after three seconds.
const HEADERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a caller may take for its body.
const BODY_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may take from its beginning to its end; each has one request.
const CONNECTION_WITHIN: Duration = Duration::from_secs(15);
/// The pause after a connection that could not be taken: others have to close theirs first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long those are waited for that are there at the end.
const DRAIN: Duration = Duration::from_secs(3);

/// The paths of services, each by its name: `/slack`.
pub fn routes(receptions: &[Arc<Reception>]) -> Router {
    let router = receptions.iter().fold(Router::new(), |router, reception| {
        let path = format!("/{}", reception.name());
        let at = Arc::new(Counter { reception: reception.clone(), refused: AtomicU64::new(0) });
        router.route(&path, post(move |request: Request| receive(at, request)))
    });
    router.layer(DefaultBodyLimit::max(BODY_MAX))
}

/// Where the calls of a service arrive, and how many of them it has turned away.
struct Counter {
    reception: Arc<Reception>,
    refused: AtomicU64,
}

impl Counter {
    fn refuse(&self, status: StatusCode, refused: &CallRefused) -> Response {
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever finds the address can make any number of them: the log has some.
        if count.is_power_of_two() {
            tracing::warn!(channel = self.reception.name(), %refused, count, "api.refused");
        }
        (status, format!("{refused}\n")).into_response()
    }
}

async fn receive(at: Arc<Counter>, request: Request) -> Response {
    let names = at.reception.headers();
    let headers: HeaderMap = request.headers().clone();
    let body = match tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejected)) => return (rejected.status(), "the body cannot be read, or is too large\n").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body took too long\n").into_response(),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (signature, timestamp) = (header(names.signature), header(names.timestamp));
    match at.reception.take(ServiceCall { signature, timestamp, body: body.to_vec() }).await {
        Ok(Ok(reply)) if reply.is_empty() => StatusCode::OK.into_response(),
        Ok(Ok(reply)) => ([(header::CONTENT_TYPE, "application/json")], reply).into_response(),
        Ok(Err(refused @ (CallRefused::Unsigned | CallRefused::Stale { .. }))) => {
            at.refuse(StatusCode::UNAUTHORIZED, &refused)
        }
        Ok(Err(refused @ CallRefused::Unreadable(_))) => at.refuse(StatusCode::BAD_REQUEST, &refused),
        Err(error) => {
            tracing::error!(channel = at.reception.name(), error = format!("{error:#}"), "api.failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Takes connections until `stop`, and answers each by the routes of that moment; returns once they have ended.
pub async fn serve(listener: TcpListener, routes: watch::Receiver<Router>, stop: CancellationToken) {
    let (room, connections) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), TaskTracker::new());
    let mut full = 0_u64;
    loop {
        if room.available_permits() == 0 {
            full += 1;
            if full.is_power_of_two() {
                tracing::warn!(connections = CONNECTIONS_MAX, count = full, "api.full: who calls now waits");
            }
        }
        let next = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (routes.borrow().clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, peer, router, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "api.accept_failed");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "api.cut: connections that have not ended");
    }
}

/// Answers the one request of a connection.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        async move { router.call(request).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = async {
        tokio::select! {
            ended = served.as_mut() => return ended,
            () = stop.cancelled() => served.as_mut().graceful_shutdown(),
        }
        served.await
    };
    match tokio::time::timeout(CONNECTION_WITHIN, ended).await {
        Ok(Ok(())) => {}
        // What ends a connection, its peer knows.
        Ok(Err(error)) => tracing::debug!(%peer, %error, "api.broken"),
        Err(_) => tracing::debug!(%peer, "api.slow"),
    }
}

#[cfg(test)]
mod tests;
