use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertEvent};
use crate::decision::Review;
use crate::money::Money;
use crate::order::{Action, Intent};
use crate::report::words::{instant, shares};

/// How far the program goes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionMode {
    /// Entries are sent by themselves.
    #[default]
    Autonomous,
    /// Each entry waits for a person.
    Supervised,
}

/// An entry that a person is asked for before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// The intent's leg within the decision.
    pub leg: u32,
    /// Why it waits, with its numbers.
    pub reason: String,
}

/// The entries among `reviews` that wait for a person: all of a supervised session, and those worth more than `above`.
///
/// Only what opens a position is ever asked for: a review has a leg where an entry came of it. What protects, adjusts or
/// closes has no review, and never waits.
#[must_use]
pub fn approvals(reviews: &[Review], mode: SessionMode, above: Option<Money>) -> Vec<ApprovalRequest> {
    let request = |review: &Review| {
        let (leg, quantity) = (review.leg?, review.verdict.quantity?);
        if mode == SessionMode::Supervised {
            return Some(ApprovalRequest { leg, reason: "the session is supervised".to_owned() });
        }
        let limit = above?;
        match review.signal.entry.times(quantity) {
            Ok(value) if value <= limit => None,
            Ok(value) => Some(ApprovalRequest { leg, reason: format!("it is worth {value}, more than {limit}") }),
            // What cannot be worked out is beyond every limit.
            Err(error) => Some(ApprovalRequest { leg, reason: format!("its value is unknown: {error}") }),
        }
    };
    reviews.iter().filter_map(request).collect()
}

/// What a person is told of an entry that waits for them.
#[must_use]
pub fn approval_alert(asked: &ApprovalRequest, intents: &[Intent]) -> Option<Alert> {
    let Intent { action: Action::Submit(ticket), valid_until, .. } =
        intents.iter().find(|intent| intent.leg == asked.leg)?
    else {
        return None;
    };
    let (symbol, side, quantity) = (ticket.symbol, ticket.side.as_str(), shares(ticket.quantity));
    let until = valid_until.map_or_else(String::new, |until| format!(" until {}", instant(until)));
    let subject = format!("{symbol}: to {side} {quantity} waits for you{until}");
    let body = format!(
        "It waits because {}. `trade approve {symbol}` sends it, `trade reject {symbol}` does not.",
        asked.reason
    );
    Some(Alert::new(AlertEvent::ApprovalAsked, subject).about(symbol).with_body(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Bps, Price, Quantity};
    use crate::risk::Verdict;
    use crate::strategy::{Direction, Signal};
    use crate::time::Timestamp;

    fn review(leg: Option<u32>, shares: i64) -> Review {
        let signal = Signal {
            symbol: "AAPL".parse().unwrap(),
            strategy: "opening_range_breakout".to_owned(),
            direction: Direction::Long,
            entry: Price::from_cents(10_000),
            stop: Price::from_cents(9_800),
            target: Price::from_cents(10_300),
            confidence: Bps(8_000),
            reasons: vec![],
            valid_until: Timestamp(1),
        };
        let quantity = leg.map(|_| Quantity::whole(shares));
        Review { signal, verdict: Verdict { quantity, refused_by: None, checks: vec![] }, leg }
    }

    #[test]
    fn a_supervised_session_asks_for_every_entry_and_for_nothing_else() {
        let reviews = [review(Some(0), 1), review(None, 100), review(Some(1), 100)];
        let legs = |mode, above| approvals(&reviews, mode, above).iter().map(|asked| asked.leg).collect::<Vec<_>>();
        assert_eq!(legs(SessionMode::Supervised, None), [0, 1]);
        assert_eq!(legs(SessionMode::Autonomous, None), Vec::<u32>::new());
    }

    #[test]
    fn an_entry_above_the_limit_waits_and_one_at_it_does_not() {
        let asked =
            |shares, limit| approvals(&[review(Some(0), shares)], SessionMode::Autonomous, Some(Money::whole(limit)));
        assert_eq!(asked(50, 5_000), []);
        assert_eq!(asked(51, 5_000)[0].reason, "it is worth 5100.00, more than 5000.00");
        assert_eq!(asked(1, 0).len(), 1);
        assert_eq!(asked(i64::MAX, 5_000).len(), 1, "a value that overflows is asked for");
    }
}
