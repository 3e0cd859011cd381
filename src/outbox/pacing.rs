//! Not too many messages: what goes out now on a channel that people read, and what waits.
//!
//! Nothing is dropped. What waits is put back into the ledger, and goes out as one message with everything else that
//! waits by then. What went out lately is read from the ledger, too: a process that starts again sends no more.

use std::time::Duration;

use daybook_core::time::Timestamp;

use crate::ledger::alert::{Delivery, Recent};

/// From so many notes on they go out as one message.
const GROUP_MIN: usize = 3;
/// The same where some were held back: they come together.
const GROUP_MIN_HELD_BACK: usize = 2;
/// The span of the hourly limit.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many messages a channel gets that people read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// How long the same event of the same symbol waits after it was told.
    pub cool_down: Duration,
    /// Messages in an hour, after which notes wait; `None`: any number.
    pub hourly_max: Option<usize>,
}

/// What becomes of a channel's notes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Admitted {
    /// They go out now.
    pub now: Vec<Delivery>,
    /// Whether they do as one message.
    pub is_one_message: bool,
    /// They go back, and until when.
    pub later: Vec<(Delivery, Timestamp)>,
}

/// Decides on a channel's notes that are due and were not tried yet.
pub(super) fn admit(pace: Pace, notes: Vec<Delivery>, recent: &Recent, now: Timestamp) -> Admitted {
    let mut admitted = Admitted::default();
    let sent = &recent.messages;
    let oldest_that_counts = pace.hourly_max.and_then(|max| sent.get(sent.len().checked_sub(max)?));
    if let Some(until) = oldest_that_counts.map(|at| at.after(HOUR)).filter(|until| *until > now) {
        admitted.later.extend(notes.into_iter().map(|note| (note, until)));
        return admitted;
    }
    for note in notes {
        let told = &note.alert.alert;
        let told_at = recent.told.get(&(told.event.clone(), told.symbol));
        match told_at.map(|at| at.after(pace.cool_down)).filter(|free_at| *free_at > now) {
            Some(free_at) => admitted.later.push((note, free_at)),
            None => admitted.now.push(note),
        }
    }
    let was_held_back = admitted.now.iter().any(Delivery::was_held_back);
    let min = if was_held_back { GROUP_MIN_HELD_BACK } else { GROUP_MIN };
    admitted.is_one_message = admitted.now.len() >= min;
    admitted
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
            batch: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn the_same_event_waits_until_it_has_cooled_down() {
        let pace = Pace { cool_down: Duration::from_secs(60), hourly_max: None };
        let told = [((AlertEvent::SymbolFailed.as_str().to_owned(), None), at(0))];
        let recent = Recent { messages: vec![at(0)], told: told.into() };
        let admit = |event, now| admit(pace, vec![note(1, event)], &recent, now);
        assert_eq!(admit(AlertEvent::SymbolFailed, at(10)).later[0].1, at(60));
        assert_eq!(admit(AlertEvent::OrderFilled, at(10)).now.len(), 1);
        assert_eq!(admit(AlertEvent::SymbolFailed, at(60)).now.len(), 1);
    }

    #[test]
    fn an_hour_has_so_many_messages() {
        let pace = |max| Pace { cool_down: Duration::ZERO, hourly_max: Some(max) };
        let burst: Vec<Delivery> = (0..20).map(|id| note(id, AlertEvent::OrderFilled)).collect();
        let recent = Recent { messages: vec![at(0), at(60)], ..Recent::default() };
        let admit = |max, now| admit(pace(max), burst.clone(), &recent, now);
        let free = admit(3, at(120));
        assert!(free.now.len() == 20 && free.is_one_message);
        let full = admit(2, at(120));
        assert_eq!((full.now.len(), full.later.len(), full.later[0].1), (0, 20, at(3_600)));
        assert_eq!(admit(1, at(120)).later[0].1, at(3_660), "a lower limit than was held to");
        assert_eq!(admit(2, at(3_600)).now.len(), 20);
    }

    #[test]
    fn two_notes_stand_alone_unless_they_were_held_back() {
        let notes = |not_before| {
            vec![Delivery { not_before, ..note(1, AlertEvent::OrderFilled) }, note(2, AlertEvent::SymbolFailed)]
        };
        let is_one =
            |not_before| admit(Pace::default(), notes(not_before), &Recent::default(), at(9_000)).is_one_message;
        assert_eq!((is_one(at(3)), is_one(at(9_000))), (false, true));
    }
}
