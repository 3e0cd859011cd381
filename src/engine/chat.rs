//! What people ask for in a chat: how it stands, a halt, a resume, a close.
//!
//! ```text
//! updates ──► desk: one transaction ──► command ──► the scheduler's next look
//!             cursor, request, command     └── its end ──► answer
//! ```
//!
//! A service is read ([`run`]), or it calls ([`Reception`]). Only those on the list are heard, where nobody else reads along. What moves money or opens entries again is done after
//! a yes that names a code. That an update was taken, the request and its command are one transaction, so whatever dies, nothing is
//! done twice; an answer stands in the ledger until the service has it, and may be given twice.

mod answer;
mod desk;
mod reception;
mod wish;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::ledger::{LedgerError, alert, chat as requests};
use crate::ports::{ChannelError, ControlChat};

pub use desk::{Desk, Guard, Heard};
pub use reception::Reception;

/// The pause after a look that has found nothing: a service that answers at once is not asked without end.
const PAUSE: Duration = Duration::from_secs(1);
/// The wait after the first failed look; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(5);
/// The longest wait after a failed look that may pass by.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// The wait after a look that a person must mend.
const WAIT_DEAF: Duration = Duration::from_secs(15 * 60);
/// Failed looks in a row from which on a person is told: some five minutes.
const DEAF_TOLD_AT: u32 = 7;
/// How often the ledger is looked at while a command has no end.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The wait after an answer that the service did not take.
const SAY_AGAIN: Duration = Duration::from_secs(5);
/// An answer that could not be given for so long is not given any more: nobody waits for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Takes what people write, and answers, until `stop`. A service that cannot be read is tried again: that nobody can ask
/// for anything must not stop trading.
///
/// # Errors
/// What the ledger could not take.
pub async fn run(
    chat: Arc<dyn ControlChat>,
    guard: Guard,
    in_force: watch::Receiver<Arc<Parts>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (guard, taken) = (Arc::new(guard), Notify::new());
    let ended = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        ended = listen(chat.as_ref(), &guard, &in_force, &taken) => ended,
        ended = reply(chat.as_ref(), &in_force, &taken) => ended,
    };
    match ended? {}
}

/// Takes one update after the other.
async fn listen(
    chat: &dyn ControlChat,
    guard: &Arc<Guard>,
    in_force: &watch::Receiver<Arc<Parts>>,
    taken: &Notify,
) -> anyhow::Result<Infallible> {
    let (mut failures, mut is_told) = (0_u32, false);
    loop {
        let parts = in_force.borrow().clone();
        let (ledger, clock) = (&parts.sources.ledger, &parts.sources.clock);
        let now = clock.wall();
        let after = ledger.read(|conn| requests::cursor(conn, chat.name(), now))?;
        let wait = match chat.updates(after).await {
            Ok(updates) => {
                (failures, is_told) = (0, false);
                let wait = if updates.is_empty() { PAUSE } else { Duration::ZERO };
                let (routes, loss_max) = (&parts.routes, parts.settings.risk.max_daily_loss);
                let desk = Desk { ledger, routes, channel: chat.name(), guard, loss_max };
                for update in updates {
                    crash_point!("chat.read");
                    desk.take(update, drawn_code()?, clock.wall()).await?;
                    crash_point!("chat.after");
                    taken.notify_one();
                }
                wait
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, failures, "chat.unread");
                let needs_a_person = matches!(error, ChannelError::Permanent { .. });
                if !is_told && (needs_a_person || failures >= DEAF_TOLD_AT) {
                    is_told = true;
                    tell_deaf(&parts, chat.name(), &error).await?;
                }
                wait_after(&error, failures)
            }
        };
        clock.sleep_until(clock.wall().after(wait)).await;
    }
}

fn wait_after(error: &ChannelError, failures: u32) -> Duration {
    match error {
        ChannelError::Permanent { .. } => WAIT_DEAF,
        ChannelError::Transient { after, .. } => {
            let doubled = WAIT_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(WAIT_MAX);
            after.unwrap_or_default().max(doubled)
        }
    }
}

async fn tell_deaf(parts: &Parts, channel: &str, error: &ChannelError) -> Result<(), LedgerError> {
    let subject = format!("what people write to {channel} cannot be read");
    let told = Alert::new(AlertEvent::ChatDeaf, subject).with_body(error.to_string());
    let (routes, now) = (parts.routes.clone(), parts.sources.clock.wall());
    parts.sources.ledger.write(move |tx| alert::raise(tx, None, &told, &routes, now).map(drop)).await
}

/// Four digits by chance: a yes is to what was read, and not to what was meant to be asked.
fn drawn_code() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("drawing a code: {error}"))?;
    Ok(format!("{:04}", u32::from_le_bytes(bytes) % 10_000))
}

/// Gives every answer that stands in the ledger, once there is one.
async fn reply(
    chat: &dyn ControlChat,
    in_force: &watch::Receiver<Arc<Parts>>,
    taken: &Notify,
) -> anyhow::Result<Infallible> {
    loop {
        let parts = in_force.borrow().clone();
        let (ledger, clock) = (&parts.sources.ledger, &parts.sources.clock);
        let now = clock.wall();
        let unanswered = ledger.read(|conn| requests::unanswered(conn, chat.name(), now.before(ANSWER_WITHIN)))?;
        if unanswered.is_empty() {
            taken.notified().await;
            continue;
        }
        let mut wait = LOOK_EVERY;
        for request in unanswered {
            let Some(text) = ledger.read(|conn| answer::of(conn, &request, now))? else { continue };
            let refused = match chat.say(&request.chat, &text).await {
                Ok(()) => None,
                Err(ChannelError::Permanent { reason, .. }) => Some(reason),
                Err(error @ ChannelError::Transient { after, .. }) => {
                    tracing::warn!(%error, "chat.unanswered");
                    wait = after.unwrap_or_default().max(SAY_AGAIN);
                    break;
                }
            };
            crash_point!("chat.said");
            if let Some(error) = &refused {
                tracing::warn!(chat_request_id = request.chat_request_id, error, "chat.unanswerable");
            }
            let (id, now) = (request.chat_request_id, clock.wall());
            ledger.write(move |tx| requests::mark_answered(tx, id, &text, refused.as_deref(), now)).await?;
        }
        clock.sleep_until(clock.wall().after(wait)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_and_keeps_to_what_the_service_wishes() {
        let passing = |after: Option<u64>| ChannelError::Transient {
            channel: "telegram".to_owned(),
            reason: "busy".to_owned(),
            after: after.map(Duration::from_secs),
        };
        let waits: Vec<u64> = (1..=8).map(|failures| wait_after(&passing(None), failures).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(wait_after(&passing(Some(35)), 1).as_secs(), 35);
        assert_eq!(wait_after(&passing(Some(1)), 99).as_secs(), 300);
        let deaf = ChannelError::Permanent { channel: "telegram".to_owned(), reason: "401".to_owned() };
        assert_eq!(wait_after(&deaf, 1), WAIT_DEAF);
    }

    #[test]
    fn a_code_is_four_digits() {
        for _ in 0..100 {
            let code = drawn_code().unwrap();
            assert!(code.len() == 4 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
        }
    }
}
