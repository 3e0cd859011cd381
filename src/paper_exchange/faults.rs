use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

/// A fault that is to happen, as `POST /admin/fault` has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Fault {
    /// Answers wait so long.
    Latency {
        ms: u64,
        #[serde(default)]
        count: Option<u32>,
        #[serde(default)]
        method: Option<String>,
    },
    /// The request is carried out and its connection is cut without an answer.
    DropAfterAccept {
        #[serde(default)]
        count: Option<u32>,
        #[serde(default)]
        method: Option<String>,
    },
    /// 429, and nothing is done.
    RateLimit {
        #[serde(default)]
        count: Option<u32>,
        #[serde(default)]
        method: Option<String>,
        #[serde(default)]
        reset_s: u64,
    },
    /// A 5xx; the request is carried out or not.
    ServerError {
        #[serde(default = "internal")]
        status: u16,
        #[serde(default)]
        carried_out: bool,
        #[serde(default)]
        count: Option<u32>,
        #[serde(default)]
        method: Option<String>,
    },
    /// Events of `trade_updates` come twice.
    DuplicateEvents {
        #[serde(default)]
        count: Option<u32>,
    },
    /// An event of `trade_updates` comes after the one that followed it.
    ReorderEvents {
        #[serde(default)]
        count: Option<u32>,
    },
    /// A cancel is accepted and takes effect so many seconds later; until then the order is `pending_cancel`, and
    /// may fill.
    CancelsLate {
        seconds: u64,
        #[serde(default)]
        count: Option<u32>,
    },
    /// Every websocket is cut, at once.
    Disconnect,
    /// No faults any more.
    None,
}

const fn internal() -> u16 {
    500
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestFault {
    Drop,
    RateLimit { reset_s: u64 },
    ServerError { status: u16, carried_out: bool },
}

/// What happens to one event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventFault {
    Twice,
    AfterTheNext,
}

/// The faults that are to happen; each ends with its count, or never.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::None => faults.clear(),
            Fault::Disconnect => {}
            fault => faults.push(fault),
        }
    }

    /// How long the answer to a request of this method waits, and what else happens to it.
    pub(super) fn of_request(&self, method: &str) -> (Duration, Option<RequestFault>) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut latency, mut found) = (Duration::ZERO, None);
        faults.retain_mut(|fault| {
            let meant =
                |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
            let count = match fault {
                Fault::Latency { ms, count, method } if meant(method) => {
                    latency += Duration::from_millis(*ms);
                    count
                }
                Fault::DropAfterAccept { count, method } if found.is_none() && meant(method) => {
                    found = Some(RequestFault::Drop);
                    count
                }
                Fault::RateLimit { count, method, reset_s } if found.is_none() && meant(method) => {
                    found = Some(RequestFault::RateLimit { reset_s: *reset_s });
                    count
                }
                Fault::ServerError { status, carried_out, count, method } if found.is_none() && meant(method) => {
                    found = Some(RequestFault::ServerError { status: *status, carried_out: *carried_out });
                    count
                }
                _ => return true,
            };
            goes_on(count)
        });
        (latency, found)
    }

    /// How long a cancel waits, if it does.
    pub(super) fn of_cancel(&self) -> Option<Duration> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        faults.retain_mut(|fault| match fault {
            Fault::CancelsLate { seconds, count } if found.is_none() => {
                found = Some(Duration::from_secs(*seconds));
                goes_on(count)
            }
            _ => true,
        });
        found
    }

    /// What happens to an event.
    pub(super) fn of_event(&self) -> Option<EventFault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        faults.retain_mut(|fault| match fault {
            Fault::DuplicateEvents { count } if found.is_none() => {
                found = Some(EventFault::Twice);
                goes_on(count)
            }
            Fault::ReorderEvents { count } if found.is_none() => {
                found = Some(EventFault::AfterTheNext);
                goes_on(count)
            }
            _ => true,
        });
        found
    }
}

/// Counts one down; whether any are left.
fn goes_on(count: &mut Option<u32>) -> bool {
    let Some(left) = count else { return true };
    *left = left.saturating_sub(1);
    *left > 0
}
