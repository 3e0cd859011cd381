//! What is asked over HTTP, as the settings in force have it: where it is listened, and to which services.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use daybook_core::alert::{Alert, AlertEvent};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::channels;
use crate::api;
use crate::config::NotificationSettings;
use crate::engine::Parts;
use crate::engine::chat::Reception;
use crate::ledger::event::{self, Event, EventLevel};
use crate::ledger::{LedgerError, alert};

/// The wait after an address that could not be listened on; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(5);
/// The longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Listens where the settings say so, to the services that they name, each time that they change, until `stop`.
///
/// # Errors
/// If a service cannot be set up, and what the ledger could not take.
pub(super) async fn run(in_force: watch::Receiver<Arc<Parts>>, stop: CancellationToken) -> anyhow::Result<()> {
    // Whatever ends this, answers at work end with it.
    let ending = stop.child_token();
    let _ended = ending.clone().drop_guard();
    let routes = watch::Sender::new(Router::new());
    let listening = listen(in_force.clone(), routes.subscribe(), stop.clone());
    tokio::select! {
        ended = listening => ended,
        ended = receive(in_force, &routes, ending) => ended,
    }
}

/// Keeps the routes those of the services that are listened to.
async fn receive(
    mut in_force: watch::Receiver<Arc<Parts>>,
    routes: &watch::Sender<Router>,
    ending: CancellationToken,
) -> anyhow::Result<()> {
    let mut resumed = BTreeSet::new();
    loop {
        let parts = in_force.borrow().clone();
        let told = &parts.settings.notifications;
        let mut receptions = Vec::new();
        for (chat, guard) in channels::called(told)? {
            let reception = Reception::new(chat, guard, in_force.clone(), ending.clone());
            // What is unanswered later on is this process's own.
            if resumed.insert(reception.name().to_owned()) {
                reception.resume()?;
            }
            receptions.push(reception);
        }
        drop(routes.send_replace(api::routes(&receptions)));
        let before = called_by(told);
        // An error means that the driver is gone: then the end is near.
        if in_force.wait_for(|parts| called_by(&parts.settings.notifications) != before).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Everything that a service is listened to by.
fn called_by(told: &NotificationSettings) -> [String; 2] {
    fn of(settings: &impl Serialize, secrets: [&Option<SecretString>; 2]) -> String {
        let secrets = secrets.map(|secret| secret.as_ref().map(|secret| secret.expose_secret()));
        serde_json::to_string(&(settings, secrets)).unwrap_or_default()
    }
    let (slack, discord) = (&told.slack, &told.discord);
    [of(slack, [&slack.webhook_url, &slack.control.signing_secret]), of(discord, [&discord.webhook_url, &None])]
}

/// Keeps listening on the address that the settings name.
async fn listen(
    in_force: watch::Receiver<Arc<Parts>>,
    routes: watch::Receiver<Router>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut changes = in_force.clone();
    while !stop.is_cancelled() {
        let address = in_force.borrow().settings.api.address();
        let until_another = stop.child_token();
        let changed = async {
            // An error means that the driver is gone: then `stop` is near.
            if changes.wait_for(|parts| parts.settings.api.address() != address).await.is_err() {
                stop.cancelled().await;
            }
            until_another.cancel();
        };
        let served = async {
            if let Some(address) = address
                && let Some(listener) = bound(address, &in_force, &until_another).await?
            {
                api::serve(listener, routes.clone(), until_another.clone()).await;
            }
            until_another.cancelled().await;
            anyhow::Ok(())
        };
        let stopped = async {
            tokio::select! {
                () = stop.cancelled() => until_another.cancel(),
                () = changed => {}
            }
        };
        tokio::pin!(served);
        tokio::select! {
            // Before its time only with an error.
            ended = &mut served => ended?,
            () = stopped => served.await?,
        }
    }
    Ok(())
}

/// Listens on an address, and tries it again where it cannot be; `None` once another is wanted.
async fn bound(
    address: SocketAddr,
    in_force: &watch::Receiver<Arc<Parts>>,
    until: &CancellationToken,
) -> anyhow::Result<Option<TcpListener>> {
    let mut wait = WAIT_FIRST;
    loop {
        let parts = in_force.borrow().clone();
        let error = match TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => {
                tell_listening(&parts, address).await?;
                return Ok(Some(listener));
            }
            Err(error) => error,
        };
        tracing::warn!(%address, %error, wait_s = wait.as_secs(), "api.unbound");
        if wait == WAIT_FIRST {
            tell_unbound(&parts, address, &error).await?;
        }
        let clock = &parts.sources.clock;
        tokio::select! {
            () = until.cancelled() => return Ok(None),
            () = clock.sleep_until(clock.wall().after(wait)) => {}
        }
        wait = wait.saturating_mul(2).min(WAIT_MAX);
    }
}

async fn tell_listening(parts: &Parts, address: SocketAddr) -> Result<(), LedgerError> {
    tracing::info!(%address, "api.listening");
    let now = parts.sources.clock.wall();
    let happened = Event::new(now, EventLevel::Info, "api.listening", address.to_string());
    parts.sources.ledger.write(move |tx| event::record(tx, &happened).map(drop)).await
}

async fn tell_unbound(parts: &Parts, address: SocketAddr, error: &std::io::Error) -> Result<(), LedgerError> {
    let subject = format!("{address} cannot be listened on");
    let told = Alert::new(AlertEvent::ApiDeaf, subject).with_body(format!("{error}; nothing else waits for it"));
    let (routes, now) = (parts.routes.clone(), parts.sources.clock.wall());
    parts.sources.ledger.write(move |tx| alert::raise(tx, None, &told, &routes, now).map(drop)).await
}
