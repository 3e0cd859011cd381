//! Takes a fill into the ledger when it happens, and not at the next minute.
//!
//! A broker that can tells that something has happened in the account. That is all it is taken for: the fills are read
//! and recorded as every look at the broker does it, so a hint that is lost, doubled or late does no harm. Once a day,
//! when it hears from the broker, it also asks whether clock and calendar agree, and tells a person where not.
//!
//! Who listens all day is also the first to know that a broker is away, or refuses: a person is told that here.

use std::sync::Arc;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::calendar::MarketPhase;
use daybook_core::report::words::counted;
use daybook_core::time::SessionDate;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::broker_link::LinkError;
use super::job::Sources;
use crate::ledger::LedgerError;
use crate::ledger::alert::{self, Routes};
use crate::ports::BrokerError;

/// The first wait after a connection has ended; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(1);

/// The longest wait before the next connection.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A connection that has stood for so long was none in vain, whatever ended it.
const STANDS_AFTER: Duration = WAIT_MAX;

/// Connections in a row that came to nothing, from which on a person is told: some two minutes without
/// hints.
const SILENCE_TOLD_AT: u32 = 7;

/// Follows the broker until `stop`. `in_force` tells what is read from and who is told at present; the connection to
/// the broker stays.
///
/// # Errors
/// What the ledger could not take. A broker that cannot be reached is tried again.
pub async fn run(in_force: impl Fn() -> (Sources, Arc<Routes>), stop: CancellationToken) -> anyhow::Result<()> {
    let (first, _) = in_force();
    let happened = Notify::new();
    let mut in_vain = 0_u32;
    let mut refusal_told = false;
    let mut compared: Option<SessionDate> = None;
    loop {
        let began = first.clock.monotonic();
        let listening = first.broker.broker().listen(&happened);
        tokio::pin!(listening);
        let ended = loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ended = &mut listening => break ended,
                () = happened.notified() => {}
            }
            let (sources, routes) = in_force();
            match sources.broker.take_fills().await {
                Ok(()) => {}
                Err(LinkError::Broker(error)) => tracing::warn!(%error, "fills.unread"),
                Err(LinkError::Ledger(error)) => return Err(error.into()),
            }
            let today = sources.clock.wall().date_in(sources.calendar.zone());
            if compared != Some(today) {
                compared = Some(today);
                compare(&sources, &routes).await?;
            }
        };
        if first.clock.monotonic().saturating_sub(began) >= STANDS_AFTER {
            (in_vain, refusal_told) = (0, false);
        }
        in_vain = in_vain.saturating_add(1);
        let is_refused = matches!(ended, Err(BrokerError::Rejected { .. }));
        let why = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
        tracing::warn!(error = %why, in_vain, "stream.closed");
        let (sources, routes) = in_force();
        let now = sources.clock.wall();
        if is_refused && !refusal_told {
            refusal_told = true;
            refused(&sources, &routes, why).await?;
        } else if in_vain == SILENCE_TOLD_AT && !is_refused {
            silent(&sources, &routes, why).await?;
        }
        let wait = WAIT_FIRST.saturating_mul(1 << in_vain.saturating_sub(1).min(6)).min(WAIT_MAX);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sources.clock.sleep_until(now.after(wait)) => {}
        }
    }
}

/// Tells a person that there are no hints, or if the broker does not answer at all, that it is away.
async fn silent(sources: &Sources, routes: &Arc<Routes>, why: String) -> Result<(), LedgerError> {
    let broker = sources.broker.broker();
    let alert = match broker.account().await {
        Ok(_) => {
            let subject = "the broker's hints are lost: fills are seen at the next look, which is within a minute";
            Alert::new(AlertEvent::BrokerHintsLost, subject).with_body(why)
        }
        Err(BrokerError::Rejected { reason, .. }) => return refused(sources, routes, reason).await,
        Err(error) => {
            let subject = format!("{} is out of reach: nothing can be seen there or sent", broker.name());
            let alert = Alert::new(AlertEvent::BrokerUnreachable, subject).with_body(error.to_string());
            // Gateways restart at night, and nothing is lost by that.
            let trades = sources.calendar.phase_at(sources.clock.wall()) == MarketPhase::Trading;
            alert.at_level(if trades { AlertLevel::Critical } else { AlertLevel::Warning })
        }
    };
    let (now, routes) = (sources.clock.wall(), routes.clone());
    sources.ledger.write(move |tx| alert::raise(tx, None, &alert, &routes, now).map(drop)).await
}

/// Tells a person that the broker has said no: that does not mend itself.
async fn refused(sources: &Sources, routes: &Arc<Routes>, why: String) -> Result<(), LedgerError> {
    let subject = format!("{} refuses us: nothing can be seen there or sent", sources.broker.broker().name());
    let alert = Alert::new(AlertEvent::BrokerRefuses, subject).with_body(why);
    let (now, routes) = (sources.clock.wall(), routes.clone());
    sources.ledger.write(move |tx| alert::raise(tx, None, &alert, &routes, now).map(drop)).await
}

/// Tells a person what of the broker's ground is not ours.
async fn compare(sources: &Sources, routes: &Arc<Routes>) -> Result<(), LedgerError> {
    let broker = sources.broker.broker();
    let lines = match broker.disagreements(&sources.calendar).await {
        Ok(lines) => lines,
        Err(BrokerError::Rejected { reason, .. }) => return refused(sources, routes, reason).await,
        Err(error) => {
            tracing::warn!(%error, "broker.not_compared");
            return Ok(());
        }
    };
    if lines.is_empty() {
        return Ok(());
    }
    let subject =
        format!("{}: {} to look at before the session", broker.name(), counted(lines.len(), "thing", "things"));
    let alert = Alert::new(AlertEvent::BrokerDisagrees, subject).with_body(lines.join("\n"));
    let (now, routes) = (sources.clock.wall(), routes.clone());
    sources.ledger.write(move |tx| alert::raise(tx, None, &alert, &routes, now).map(drop)).await
}
