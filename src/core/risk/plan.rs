//! Collects what a decision wants done, the most urgent first, and numbers the legs.

use crate::alert::{Alert, AlertEvent};
use crate::decision::Decision;
use crate::market::Symbol;
use crate::money::{Price, Quantity};
use crate::order::{Action, Intent, Order, Origin, Purpose};
use crate::portfolio::{PositionChange, PositionEvent};
use crate::time::{Span, Timestamp};

use super::protection_ticket;

/// How long a stop that was decided may wait to be sent: two monitor periods. Later the position is
/// another one, and the next run has decided again.
pub(super) const STOP_VALID_FOR: Span = Span::minutes(2);

/// A decision under construction.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What is decided beside the intents.
    pub(crate) decision: Decision,
    wants: Vec<Want>,
}

#[derive(Debug)]
struct Want {
    purpose: Purpose,
    deed: Deed,
    reason: String,
    valid_until: Option<Timestamp>,
}

/// An action whose order has no name yet.
#[derive(Debug)]
enum Deed {
    Close { symbol: Symbol },
    Protect { symbol: Symbol, held: Quantity, stop: Price },
    Cancel { symbol: Symbol, broker_order_id: String },
    MoveStop { symbol: Symbol, broker_order_id: String, stop: Price },
}

impl Plan {
    /// Leaves the symbol's position, whatever is there.
    pub(crate) fn close(&mut self, symbol: Symbol, reason: &str, valid_until: Timestamp) {
        self.want(Purpose::Exit, Deed::Close { symbol }, reason, Some(valid_until));
    }

    /// Puts a stop behind `held` shares (negative: short), and tells a person that there was none.
    pub(crate) fn place_stop(&mut self, symbol: Symbol, held: Quantity, stop: Price, now: Timestamp) {
        let valid_until = now.after(STOP_VALID_FOR.as_duration());
        self.want(Purpose::Protect, Deed::Protect { symbol, held, stop }, "no stop rested", Some(valid_until));
        let subject = format!("{symbol}: {} shares had no stop at the broker; one is set at {stop}", held.abs());
        self.tell_of(symbol, AlertEvent::PositionProtected, subject);
    }

    /// Takes back an order that could open a position.
    pub(crate) fn cancel(&mut self, symbol: Symbol, broker_order_id: &str, reason: &str) {
        let deed = Deed::Cancel { symbol, broker_order_id: broker_order_id.to_owned() };
        self.want(Purpose::CancelEntry, deed, reason, None);
    }

    /// Takes back several orders of a symbol.
    pub(crate) fn cancel_all(&mut self, symbol: Symbol, orders: &[&Order], reason: &str) {
        for order in orders {
            self.cancel(symbol, &order.broker_order_id, reason);
        }
    }

    /// Moves a resting stop.
    pub(crate) fn move_stop(&mut self, symbol: Symbol, broker_order_id: &str, stop: Price, now: Timestamp) {
        let deed = Deed::MoveStop { symbol, broker_order_id: broker_order_id.to_owned(), stop };
        self.want(Purpose::Adjust, deed, "stop follows", Some(now.after(STOP_VALID_FOR.as_duration())));
    }

    /// Notes a change in a position's life.
    pub(crate) fn change(&mut self, symbol: Symbol, event: PositionEvent) {
        self.decision.positions.push(PositionChange { symbol, event });
    }

    /// Tells a person.
    pub(crate) fn tell(&mut self, event: AlertEvent, subject: String) {
        self.raise(Alert::new(event, subject));
    }

    /// Tells a person about a symbol.
    pub(crate) fn tell_of(&mut self, symbol: Symbol, event: AlertEvent, subject: String) {
        self.raise(Alert::new(event, subject).about(symbol));
    }

    /// Raises an alert as it is.
    pub(crate) fn raise(&mut self, alert: Alert) {
        self.decision.alerts.push(alert);
    }

    /// How many intents there are so far.
    pub(crate) fn intents(&self) -> usize {
        self.wants.len()
    }

    /// The decision, its intents ordered by urgency and named after where they were decided.
    pub(crate) fn finish(mut self, origin: &Origin) -> Decision {
        self.wants.sort_by_key(|want| want.purpose);
        self.decision.intents = (0..).zip(self.wants).map(|(leg, want)| want.named(leg, origin)).collect();
        self.decision
    }

    fn want(&mut self, purpose: Purpose, deed: Deed, reason: &str, valid_until: Option<Timestamp>) {
        self.wants.push(Want { purpose, deed, reason: reason.to_owned(), valid_until });
    }
}

impl Want {
    fn named(self, leg: u32, origin: &Origin) -> Intent {
        let client_order_id = origin.client_order_id(leg);
        let action = match self.deed {
            Deed::Close { symbol } => Action::Close { symbol, client_order_id, quantity: None },
            Deed::Protect { symbol, held, stop } => {
                Action::Submit(protection_ticket(symbol, held, stop, client_order_id))
            }
            Deed::Cancel { symbol, broker_order_id } => Action::Cancel { symbol, broker_order_id },
            Deed::MoveStop { symbol, broker_order_id, stop } => Action::ReplaceStop { symbol, broker_order_id, stop },
        };
        Intent { leg, purpose: self.purpose, action, valid_until: self.valid_until, reason: self.reason }
    }
}
