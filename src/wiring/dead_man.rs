//! The dead man's switch beside the driver: asked at each heartbeat, and told of where it stays out of reach.

use std::sync::Arc;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::time::Span;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::adapters::dead_man::DeadManSwitch;
use crate::engine::Parts;
use crate::engine::bus::Event;
use crate::ledger::alert;
use crate::ports::with_causes;

/// How long the switch may be out of reach before a person is told: its service restarts faster, and tells itself of a
/// longer silence.
const TOLD_AFTER: Duration = Duration::from_secs(15 * 60);

/// Asks for the dead man's switch at each heartbeat of a process that is well, where there is one, until it is told to
/// stop. A loop that does not turn has no heartbeat; one whose runs hang, or whose parts have failed, is not well.
pub(super) async fn ping_with_heartbeats(
    in_force: watch::Receiver<Arc<Parts>>,
    mut events: Receiver<Event>,
    stop: CancellationToken,
) {
    let mut built: Option<(SecretString, DeadManSwitch)> = None;
    let mut silence = Silence::default();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = stop.cancelled() => return,
        };
        match event {
            Ok(Event::Heartbeat { is_well: true, .. }) => {}
            Ok(Event::Heartbeat { is_well: false, .. }) => {
                tracing::warn!("dead_man.silent: the process is not well");
                silence.is_not_asked();
                continue;
            }
            Ok(Event::PhaseChanged { .. } | Event::RunEnded { .. } | Event::Finished { .. })
            | Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        }
        let parts = in_force.borrow().clone();
        let Some(url) = parts.settings.scheduler.heartbeat_url.clone() else {
            silence.is_not_asked();
            continue;
        };
        if built.as_ref().is_none_or(|(known, _)| known.expose_secret() != url.expose_secret()) {
            match DeadManSwitch::new(url.clone()) {
                Ok(switch) => {
                    silence.is_not_asked();
                    built = Some((url, switch));
                }
                Err(error) => {
                    tracing::error!(%error, "dead_man.unusable: scheduler.heartbeat_url");
                    continue;
                }
            }
        }
        let Some((_, switch)) = &built else { continue };
        let pinged = switch.ping().await.map_err(|error| with_causes(&error));
        if let Err(error) = &pinged {
            tracing::warn!(%error, "dead_man.unreachable");
        }
        let Some(alert) = silence.after(parts.sources.clock.monotonic(), &pinged) else { continue };
        let (now, routes) = (parts.sources.clock.wall(), parts.routes.clone());
        let raised = parts.sources.ledger.write(move |tx| alert::raise(tx, None, &alert, &routes, now)).await;
        if let Err(error) = raised {
            tracing::error!(%error, "dead_man.untold");
            continue;
        }
        silence.has_told();
    }
}

/// Since when the switch is out of reach, and whether that was told.
#[derive(Debug, Default)]
struct Silence {
    since: Option<Duration>,
    is_told: bool,
}

impl Silence {
    /// A time in which nobody asks is no silence of its own.
    const fn is_not_asked(&mut self) {
        self.since = None;
    }

    /// What it had to say stands in the ledger.
    const fn has_told(&mut self) {
        self.is_told = !self.is_told;
    }

    /// What a person is told after another try: once that it is out of reach for long, once that it is over.
    fn after(&mut self, now: Duration, pinged: &Result<(), String>) -> Option<Alert> {
        match pinged {
            Ok(()) => {
                self.since = None;
                self.is_told.then(|| Alert::new(AlertEvent::DeadManReached, "the dead man's switch is reached again"))
            }
            Err(reason) => {
                let silent = now.saturating_sub(*self.since.get_or_insert(now));
                if self.is_told || silent < TOLD_AFTER {
                    return None;
                }
                let silent = Span::minutes(u32::try_from(silent.as_secs() / 60).unwrap_or(u32::MAX));
                let subject = format!("the dead man's switch has not been reached for {silent}: {reason}");
                Some(Alert::new(AlertEvent::DeadManUnreachable, subject))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_silence_is_told_once_and_its_end() {
        let mut silence = Silence::default();
        let mut told = |minute: u64, pinged: Result<(), &str>| {
            let alert = silence.after(Duration::from_secs(minute * 60), &pinged.map_err(str::to_owned))?;
            silence.has_told();
            Some((alert.event, alert.subject))
        };
        let away = Err("404 Not Found");
        assert_eq!((told(0, Ok(())), told(5, away), told(10, away)), (None, None, None));
        assert_eq!(told(12, Ok(())), None, "it was away for a moment");
        assert_eq!((told(15, away), told(29, away)), (None, None));
        let (event, subject) = told(30, away).unwrap();
        assert_eq!(event, "dead_man.unreachable");
        assert_eq!(subject, "the dead man's switch has not been reached for 15m: 404 Not Found");
        assert_eq!((told(35, away), told(600, away)), (None, None));
        assert_eq!(told(605, Ok(())).map(|(event, _)| event), Some("dead_man.reached".to_owned()));
        assert_eq!(told(610, Ok(())), None);
    }
}
