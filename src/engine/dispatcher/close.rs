//! Closing a position: what works in the symbol is canceled and that is awaited, and what is really there is closed.

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::calendar::MarketPhase;
use daybook_core::market::Symbol;
use daybook_core::money::Quantity;
use daybook_core::order::{ClientOrderId, IntentEvent, IntentState, Order, OrderStatus};
use daybook_core::report::words;
use daybook_core::risk::{WayOut, approve_exit, exit_ticket, exit_ticket_at};
use futures_util::stream::{self, StreamExt};

use super::{CANCEL_LOOKS_MAX, Dispatcher, Progress, TRY_WAIT};
use crate::engine::broker_link::LinkError;
use crate::engine::job::Sources;
use crate::ledger::intent::StoredIntent;
use crate::ports::BrokerError;

/// Orders that a close may send one after another while the position is not flat: a partial fill
/// of an entry can arrive between the look and the order.
const CLOSE_ROUNDS_MAX: u32 = 3;

impl Dispatcher {
    /// Cancels what works in the symbol, awaits that, and closes what is really there, or no more than `part` of it.
    ///
    /// The order's name carries a revision that counts the orders sent before it under this intent,
    /// so a close that was overtaken by a late fill can be followed by another.
    pub(super) async fn close(
        &self,
        stored: &StoredIntent,
        symbol: Symbol,
        id: &ClientOrderId,
        part: Option<Quantity>,
    ) -> Result<Progress, LinkError> {
        if self.begin(stored).await? == IntentState::Abandoned {
            return Ok(Progress::Settled);
        }
        crash_point!("close.begin");
        let mut left = part;
        for revision in 0..CLOSE_ROUNDS_MAX {
            let id = id.with_revision(revision);
            // Under a name that this is the first to take there is nothing to be found.
            let is_first = revision == 0 && stored.state == IntentState::Pending;
            let sent = if is_first { Vec::new() } else { self.broker().orders_by_client_id(&id).await? };
            if let Some(order) = sent.first() {
                if !order.status.is_terminal() {
                    return self.settle(stored, IntentEvent::Acknowledged, None, sent).await;
                }
                left = left_after(left, order);
                self.record(sent).await?;
                continue;
            }
            if left.is_some_and(|left| !left.is_positive()) {
                return self.settle(stored, IntentEvent::Ended, None, Vec::new()).await;
            }
            if !self.cancel_all(symbol).await? {
                return Ok(Progress::Waits);
            }
            let held = self.held(symbol).await?;
            if held.is_zero() {
                let note = (revision == 0).then(|| "nothing was left to close".to_owned());
                return self.settle(stored, IntentEvent::Ended, note, Vec::new()).await;
            }
            let leaves = leaving(held, left);
            let way_out = self.way_out(symbol, leaves).await;
            let ticket = match way_out {
                WayOut::Market | WayOut::Parked => exit_ticket(symbol, leaves, id),
                WayOut::ExtendedHours { limit } => exit_ticket_at(limit, symbol, leaves, id),
            };
            let approved = match approve_exit(ticket, held) {
                Ok(approved) => approved,
                Err(error) => return self.settle_unapproved(stored, &error.to_string()).await,
            };
            crash_point!("close.before");
            let broker = self.broker_to_change()?;
            let answer = match way_out {
                WayOut::Market | WayOut::Parked => broker.submit(&approved).await,
                WayOut::ExtendedHours { .. } => broker.submit_for_extended_hours(&approved).await,
            };
            crash_point!("close.sent");
            match answer {
                Ok(orders) if orders.first().is_some_and(|order| !order.status.is_terminal()) => {
                    let parked = (way_out == WayOut::Parked).then(|| self.parked(symbol, leaves));
                    return self.settle_and_tell(stored, IntentEvent::Acknowledged, None, orders, parked).await;
                }
                Ok(orders) => {
                    left = orders.first().map_or(left, |order| left_after(left, order));
                    if left.is_some_and(|left| !left.is_positive()) || self.held(symbol).await?.is_zero() {
                        return self.settle(stored, IntentEvent::Ended, None, orders).await;
                    }
                    self.record(orders).await?;
                }
                // The position changed between the look and the order: look again.
                Err(BrokerError::Rejected { reason, .. }) if revision + 1 < CLOSE_ROUNDS_MAX => {
                    tracing::warn!(%symbol, %reason, "close.refused");
                }
                Err(error) => return self.after_error(stored, error).await,
            }
        }
        if left.is_some_and(|left| !left.is_positive()) || self.held(symbol).await?.is_zero() {
            return self.settle(stored, IntentEvent::Ended, None, Vec::new()).await;
        }
        let why = format!("{CLOSE_ROUNDS_MAX} orders did not close it; the monitor tries again");
        self.settle(stored, IntentEvent::Refused, Some(why), Vec::new()).await
    }

    /// How a position can be left, by what trades at this broker now.
    async fn way_out(&self, symbol: Symbol, held: Quantity) -> WayOut {
        let Sources { calendar, clock, feed, .. } = &self.sources;
        let now = clock.wall();
        let phase = calendar.phase_at(now);
        let quote = match phase {
            MarketPhase::PreMarket | MarketPhase::PostMarket if self.broker().trades_extended_hours() => {
                feed.quote(symbol, now).await.unwrap_or_else(|error| {
                    tracing::warn!(%symbol, %error, "close.unquoted");
                    None
                })
            }
            MarketPhase::PreMarket | MarketPhase::PostMarket | MarketPhase::Trading | MarketPhase::Closed => None,
        };
        WayOut::of(phase, held, quote.as_ref(), now)
    }

    fn parked(&self, symbol: Symbol, held: Quantity) -> Alert {
        let open = self.sources.calendar.next_open(self.sources.clock.wall());
        let open = open.map_or_else(|| "the next open".to_owned(), words::instant);
        let shares = words::shares(held.abs());
        let subject = format!("{symbol}: nothing trades now; the order to close {shares} shares waits for {open}");
        Alert::new(AlertEvent::OrderParked, subject).about(symbol)
    }

    /// Our orders of a symbol that are not terminal; those of another hand in the account are left alone.
    async fn working(&self, symbol: Symbol) -> Result<Vec<Order>, LinkError> {
        let mut working = self.broker().open_orders().await?;
        let ledger_id = &self.sources.ledger.meta().ledger_id;
        working.retain(|order| {
            order.symbol == symbol && order.parent.as_ref().unwrap_or(&order.client_order_id).belongs_to(ledger_id)
        });
        Ok(working)
    }

    /// Cancels our working orders of a symbol; whether the broker has confirmed them all.
    async fn cancel_all(&self, symbol: Symbol) -> Result<bool, LinkError> {
        let clock = &self.sources.clock;
        for _ in 0..CANCEL_LOOKS_MAX {
            let working = self.working(symbol).await?;
            // A leg that is held back goes with its parent.
            let canceled =
                working.iter().filter(|order| order.status != OrderStatus::Held).map(|order| self.cancel_one(order));
            let answers: Vec<_> =
                stream::iter(canceled.collect::<Vec<_>>()).buffer_unordered(self.at_once).collect().await;
            answers.into_iter().collect::<Result<(), _>>()?;
            let left = self.working(symbol).await?;
            if left.is_empty() {
                return Ok(true);
            }
            clock.sleep_until(clock.wall().after(TRY_WAIT)).await;
        }
        Ok(false)
    }

    async fn cancel_one(&self, order: &Order) -> Result<(), LinkError> {
        crash_point!("close.cancel.before");
        let answer = self.broker_to_change()?.cancel(&order.broker_order_id).await;
        crash_point!("close.cancel.sent");
        match answer {
            // Refused: it ended meanwhile, or its group is on its way out. The next look tells.
            Ok(()) | Err(BrokerError::Rejected { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is left of the part that was to be closed, after an order that has ended.
fn left_after(part: Option<Quantity>, order: &Order) -> Option<Quantity> {
    part.map(|left| Quantity(left.0.saturating_sub(order.filled.0)))
}

/// The shares of a position (negative: short) that an order is to leave: all, or no more than a part.
fn leaving(held: Quantity, part: Option<Quantity>) -> Quantity {
    match part {
        Some(part) if held.is_negative() => held.max(part.negated()),
        Some(part) => held.min(part),
        None => held,
    }
}
