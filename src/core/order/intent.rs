use serde::{Deserialize, Serialize};

use super::{ClientOrderId, OrderTicket};
use crate::market::Symbol;
use crate::money::{Price, Quantity};
use crate::time::Timestamp;

/// Why an intent exists; the dispatcher sends what reduces risk first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Leaves a position.
    Exit,
    /// Takes back an order that waits to enter. Before a stop is placed: the legs of an entry that filled in part
    /// hold the shares, and a broker refuses a second order for them.
    CancelEntry,
    /// Puts a stop behind shares that have none.
    Protect,
    /// Tightens a stop that is there.
    Adjust,
    /// Opens a position.
    Enter,
}

impl Purpose {
    /// Whether it can add to what is at risk.
    #[must_use]
    pub const fn opens(self) -> bool {
        match self {
            Self::Enter => true,
            Self::Exit | Self::Protect | Self::CancelEntry | Self::Adjust => false,
        }
    }
}

/// What the dispatcher does at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sends an order under the ticket's own client order id.
    Submit(OrderTicket),
    /// Cancels one working order, and its group with it.
    Cancel { symbol: Symbol, broker_order_id: String },
    /// Moves a resting stop.
    ReplaceStop { symbol: Symbol, broker_order_id: String, stop: Price },
    /// Cancels the symbol's working orders, awaits the cancels, then closes at the market what is
    /// really there, or no more than `quantity` of it, under `client_order_id`.
    Close {
        symbol: Symbol,
        client_order_id: ClientOrderId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quantity: Option<Quantity>,
    },
}

impl Action {
    /// The symbol that is acted on.
    #[must_use]
    pub const fn symbol(&self) -> Symbol {
        match self {
            Self::Submit(ticket) => ticket.symbol,
            Self::Cancel { symbol, .. } | Self::ReplaceStop { symbol, .. } | Self::Close { symbol, .. } => *symbol,
        }
    }
}

/// An effect that a decision wants, committed to the ledger before it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number within the decision; with job and slot it is the intent's identity.
    pub leg: u32,
    /// Why.
    pub purpose: Purpose,
    /// What.
    pub action: Action,
    /// After this instant it is abandoned, not sent. `None`: it stays valid until its run ends.
    pub valid_until: Option<Timestamp>,
    /// The strategy, rule or person behind it, as a person would name it: `orb`, `max hold`.
    pub reason: String,
}

/// Where an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Committed with its decision; nothing was sent.
    Pending,
    /// About to be sent, or sent without an answer yet: a restart must look before it sends.
    Submitting,
    /// The broker's answer never came; it is being looked up.
    Unknown,
    /// The broker has it.
    Acked,
    /// The broker has ended it: done, or refused by the broker.
    Terminal,
    /// Never sent, and never will be: too late, or overtaken.
    Abandoned,
    /// The broker holds its key under other terms.
    Conflict,
}

/// What can happen to an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentEvent {
    /// The dispatcher is about to send it.
    Sending,
    /// No answer, a time-out or a 5xx.
    AnswerLost,
    /// The broker answered that it has it, or a look-up found it with the same terms.
    Acknowledged,
    /// The broker refused it for good.
    Refused,
    /// Its order ended at the broker (or it needs no order: a cancel that was confirmed).
    Ended,
    /// It was not sent and its time is over, or the flatten has begun.
    Expired,
    /// A look-up after the time-out found nothing, and it is too late to send.
    AbsentTooLate,
    /// The key exists at the broker under other terms.
    TermsDiffer,
}

/// An event that the intent's state does not admit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an intent that is {state:?} cannot take {event:?}")]
pub struct IntentStateError {
    /// Where it stood.
    pub state: IntentState,
    /// What was said to happen.
    pub event: IntentEvent,
}

impl IntentState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IntentStateError`] if the event cannot happen in this state: the caller's view is wrong and
    /// nothing may be sent on it.
    pub fn apply(self, event: IntentEvent) -> Result<Self, IntentStateError> {
        use IntentEvent as E;
        let refuse = Err(IntentStateError { state: self, event });
        match self {
            Self::Pending => match event {
                E::Sending => Ok(Self::Submitting),
                E::Expired => Ok(Self::Abandoned),
                E::AnswerLost | E::Acknowledged | E::Refused | E::Ended | E::AbsentTooLate | E::TermsDiffer => refuse,
            },
            Self::Submitting | Self::Unknown => match event {
                E::Sending => Ok(Self::Submitting),
                E::AnswerLost => Ok(Self::Unknown),
                E::Acknowledged => Ok(Self::Acked),
                E::Refused | E::Ended => Ok(Self::Terminal),
                E::AbsentTooLate => Ok(Self::Abandoned),
                E::TermsDiffer => Ok(Self::Conflict),
                E::Expired => refuse,
            },
            Self::Acked => match event {
                // A broker may refuse after it accepted, and may say twice that it has an order.
                E::Refused | E::Ended => Ok(Self::Terminal),
                E::Acknowledged => Ok(Self::Acked),
                E::TermsDiffer => Ok(Self::Conflict),
                E::Sending | E::AnswerLost | E::Expired | E::AbsentTooLate => refuse,
            },
            // An abandoned intent whose order turns up after all (a late accept) is adopted.
            Self::Abandoned => match event {
                E::Acknowledged => Ok(Self::Acked),
                E::Expired | E::AbsentTooLate => Ok(Self::Abandoned),
                E::Sending | E::AnswerLost | E::Refused | E::Ended | E::TermsDiffer => refuse,
            },
            Self::Terminal => match event {
                E::Ended | E::Acknowledged | E::Refused => Ok(Self::Terminal),
                E::Sending | E::AnswerLost | E::Expired | E::AbsentTooLate | E::TermsDiffer => refuse,
            },
            Self::Conflict => match event {
                E::TermsDiffer => Ok(Self::Conflict),
                E::Sending
                | E::AnswerLost
                | E::Acknowledged
                | E::Refused
                | E::Ended
                | E::Expired
                | E::AbsentTooLate => refuse,
            },
        }
    }

    /// Whether the dispatcher still has work with it.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Acked | Self::Terminal | Self::Abandoned | Self::Conflict => true,
            Self::Pending | Self::Submitting | Self::Unknown => false,
        }
    }

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Submitting => "submitting",
            Self::Unknown => "unknown",
            Self::Acked => "acked",
            Self::Terminal => "terminal",
            Self::Abandoned => "abandoned",
            Self::Conflict => "conflict",
        }
    }
}
