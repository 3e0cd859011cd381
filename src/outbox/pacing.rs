//! Not too many messages: what goes out now on a channel that people read, and what waits.
//!
//! Nothing is dropped. What waits is put back into the ledger, and goes out as one message with everything else that
//! waits by then. What is remembered here is lost with the process: then a message more goes out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use daybook_core::market::Symbol;
use daybook_core::time::Timestamp;

use crate::ledger::alert::Delivery;

/// From so many notes on they go out as one message.
pub(super) const GROUP_MIN: usize = 3;
/// The span of the hourly limit.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Keys that are remembered before those that do not matter any more are forgotten.
const KEYS_MAX: usize = 1_024;

/// How many messages a channel gets that people read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// How long the same event of the same symbol waits after it was told.
    pub cool_down: Duration,
    /// Messages in an hour, after which notes wait; `None`: any number.
    pub hourly_max: Option<usize>,
}

/// What a note is told apart by: its channel, event and symbol.
type Key = (String, String, Option<Symbol>);

/// What went out lately.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    sent: BTreeMap<String, VecDeque<Timestamp>>,
    told: BTreeMap<Key, Timestamp>,
}

/// What becomes of a channel's notes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Admitted {
    /// They go out now, as one message if there are many.
    pub now: Vec<Delivery>,
    /// They go back, and until when.
    pub later: Vec<(Delivery, Timestamp)>,
}

impl Pacing {
    /// Decides on a channel's notes that are due, and remembers those that go out.
    pub(super) fn admit(&mut self, pace: Pace, channel: &str, notes: Vec<Delivery>, now: Timestamp) -> Admitted {
        let mut admitted = Admitted::default();
        let sent = self.sent.entry(channel.to_owned()).or_default();
        while sent.front().is_some_and(|at| at.after(HOUR) <= now) {
            sent.pop_front();
        }
        if let (Some(first), Some(hourly_max)) = (sent.front(), pace.hourly_max)
            && sent.len() >= hourly_max
        {
            let until = first.after(HOUR);
            admitted.later.extend(notes.into_iter().map(|note| (note, until)));
            return admitted;
        }
        for note in notes {
            let told = &note.alert.alert;
            let key = (channel.to_owned(), told.event.clone(), told.symbol);
            match self.told.get(&key).map(|at| at.after(pace.cool_down)).filter(|free_at| *free_at > now) {
                // What was tried before is not held back again.
                Some(free_at) if note.attempts <= 1 => admitted.later.push((note, free_at)),
                Some(_) | None => admitted.now.push(note),
            }
        }
        if self.told.len() >= KEYS_MAX {
            self.told.retain(|_, at| at.after(pace.cool_down) > now);
        }
        for note in &admitted.now {
            let told = &note.alert.alert;
            self.told.insert((channel.to_owned(), told.event.clone(), told.symbol), now);
        }
        let messages = if admitted.now.len() >= GROUP_MIN { 1 } else { admitted.now.len() };
        sent.extend(std::iter::repeat_n(now, messages));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::{Alert, AlertEvent};

    use super::*;
    use crate::ledger::alert::{DeliveryState, StoredAlert};

    fn note(id: i64, event: AlertEvent) -> Delivery {
        let alert = StoredAlert { alert_id: id, run_id: None, at: Timestamp(0), alert: Alert::new(event, "told") };
        Delivery {
            delivery_id: id,
            alert,
            channel: "slack".to_owned(),
            state: DeliveryState::Sending,
            attempts: 1,
            not_before: Timestamp(0),
            message_id: format!("dbk-{id}-slack"),
            last_error: None,
            sent_at: None,
            receipt: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn the_same_event_waits_until_it_has_cooled_down() {
        let pace = Pace { cool_down: Duration::from_secs(60), hourly_max: None };
        let mut pacing = Pacing::default();
        let mut admit = |id, event, now| pacing.admit(pace, "slack", vec![note(id, event)], now);
        assert_eq!(admit(1, AlertEvent::SymbolFailed, at(0)).now.len(), 1);
        assert_eq!(admit(2, AlertEvent::SymbolFailed, at(10)).later[0].1, at(60));
        assert_eq!(admit(3, AlertEvent::OrderFilled, at(10)).now.len(), 1);
        assert_eq!(admit(2, AlertEvent::SymbolFailed, at(60)).now.len(), 1);
        let again = Delivery { attempts: 2, ..note(2, AlertEvent::SymbolFailed) };
        assert_eq!(pacing.admit(pace, "slack", vec![again], at(61)).now.len(), 1, "a retry is not held back");
    }

    #[test]
    fn an_hour_has_so_many_messages_and_a_group_is_one() {
        let pace = Pace { cool_down: Duration::ZERO, hourly_max: Some(2) };
        let mut pacing = Pacing::default();
        let burst: Vec<Delivery> = (0..20).map(|id| note(id, AlertEvent::OrderFilled)).collect();
        assert_eq!(pacing.admit(pace, "slack", burst.clone(), at(0)).now.len(), 20);
        assert_eq!(pacing.admit(pace, "slack", burst[..1].to_vec(), at(60)).now.len(), 1);
        let full = pacing.admit(pace, "slack", burst.clone(), at(120));
        assert_eq!((full.now.len(), full.later.len(), full.later[0].1), (0, 20, at(3_600)));
        assert_eq!(pacing.admit(pace, "telegram", burst[..1].to_vec(), at(120)).now.len(), 1);
        assert_eq!(pacing.admit(pace, "slack", burst, at(3_600)).now.len(), 20);
    }
}
