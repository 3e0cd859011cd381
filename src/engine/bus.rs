//! What the engine says while it works, for whoever wants to listen: the terminal, and tests.

use daybook_core::phase::Phase;
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use tokio::sync::broadcast;

use crate::ledger::run::RunState;

/// Events that a slow listener may fall behind by before it loses the oldest. The bus carries news,
/// not facts: facts are in the ledger.
const BACKLOG: usize = 1024;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The phase changed; the same stands as a row in the ledger.
    PhaseChanged { at: Timestamp, from: Phase, to: Phase },
    /// A run ended, or waits for another attempt.
    RunEnded { at: Timestamp, run_id: i64, job: String, kind: JobKind, state: RunState, summary: String },
    /// The regular figures of a process that lives, and whether it is well: what it looks after is looked after.
    Heartbeat { at: Timestamp, is_well: bool },
    /// The simulated clock has come to its end.
    Finished { at: Timestamp },
}

/// Carries events to any number of listeners.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Event>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Bus {
    /// Says that something happened; nobody needs to listen.
    pub fn publish(&self, event: Event) {
        // An error means that there is no listener.
        drop(self.0.send(event));
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
