//! A world that is at fault: decorators of the ports that do what markets, brokers, clocks and mail servers do on a
//! bad day, at instants that are known beforehand.
//!
//! A fault holds for a [`Spell`] of the world's own time, so the same spells around the same calls are the same
//! bad day. A [`Fuse`] ends the process at a chosen call, before it or after it.

mod broker;
mod channel;
mod clock;
mod feed;
mod fuse;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use daybook_core::time::Timestamp;

pub use broker::{BrokerFault, FaultyBroker};
pub use channel::{ChannelFault, FaultyChannel};
pub use clock::{FaultyClock, Step};
pub use feed::{FaultyFeed, FeedFault};
pub use fuse::{Charge, Fuse, FusedBroker, Side, Site};

/// A fault and when it holds: from its beginning up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell<T> {
    /// Which of the caller's faults it is.
    pub number: usize,
    /// When it begins, by the world's own clock.
    pub from: Timestamp,
    /// When it is over.
    pub until: Timestamp,
    /// What goes wrong.
    pub fault: T,
}

impl<T> Spell<T> {
    /// Whether it holds at an instant.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// Which faults have struck so far: one that nothing met did no harm. A clone is the same list.
#[derive(Debug, Clone, Default)]
pub struct Struck(Arc<Mutex<BTreeSet<usize>>>);

impl Struck {
    /// Notes that a fault has struck.
    pub fn note(&self, number: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    /// The faults that have struck, by their numbers.
    #[must_use]
    pub fn numbers(&self) -> BTreeSet<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
