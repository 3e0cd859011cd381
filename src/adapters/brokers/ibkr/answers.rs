//! What the gateway says of its own accord: of orders, of executions, of its line to the broker.
//!
//! It settles whether an order that was just sent is taken or refused, which comes by no other way, and it is a hint
//! that there is something new. What is new is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daybook_core::money::Money;
use ibapi::orders::{CommissionReport, OrderStatusKind, OrderUpdate};
use ibapi::prelude::{Notice, NoticeStream, StreamExt, Subscription, SubscriptionItem};
use tokio::sync::watch;
use tokio::time::timeout;

/// The gateway has lost its line to the broker; its own connection with us stands.
const UPSTREAM_LOST: i32 = 1100;
/// The line is back: what it missed is lost, or kept.
const UPSTREAM_BACK: [i32; 2] = [1101, 1102];
/// A cancel was carried out.
const CANCELED: i32 = 202;
/// A cancel came too late: not cancellable, not found, ended.
const CANCEL_REFUSED: [i32; 4] = [161, 10147, 10148, 10149];

/// What was said of an order since it was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The broker's own number; 0 until it is told.
    pub perm_id: i64,
    pub status: Option<OrderStatusKind>,
    filled: f64,
    /// The stop price in force.
    pub stop: Option<f64>,
    /// Why it, or a change of it, is refused.
    pub refusal: Option<String>,
    /// Why a cancel of it is refused.
    pub cancel_refusal: Option<String>,
}

impl Told {
    /// Whether nothing more can happen to it.
    pub(super) fn is_over(&self) -> bool {
        self.refusal.is_some()
            || matches!(
                self.status,
                Some(OrderStatusKind::Filled | OrderStatusKind::Cancelled | OrderStatusKind::ApiCancelled)
            )
    }
}

#[derive(Debug, Default)]
struct State {
    orders: HashMap<i32, Told>,
    executions: HashSet<String>,
    fees: HashMap<String, Money>,
    /// Why the gateway has no line to the broker.
    upstream_lost: Option<String>,
    /// Why nothing will be said any more.
    ended: Option<String>,
}

/// Everything that was said in one session.
#[derive(Debug)]
pub(super) struct Answers {
    state: Mutex<State>,
    /// Counts what was said of orders.
    changed: watch::Sender<u64>,
    /// Counts what is new in the account.
    news: watch::Sender<u64>,
}

impl Answers {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: watch::Sender::new(0), news: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is an insert or an assignment: a panic elsewhere leaves nothing half-made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was said of an order, before it is sent or changed.
    pub(super) fn expect(&self, order_id: i32) {
        let mut state = self.state();
        let told = state.orders.entry(order_id).or_default();
        (told.refusal, told.cancel_refusal, told.stop) = (None, None, None);
    }

    /// What was said of an order.
    pub(super) fn of(&self, order_id: i32) -> Told {
        self.state().orders.get(&order_id).cloned().unwrap_or_default()
    }

    /// Waits until `settled` finds what it looks for; `None` if it does not in this time, or if the session ends.
    pub(super) async fn wait<T>(&self, within: Duration, settled: impl Fn(&Self) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let search = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = settled(self) {
                    return Some(found);
                }
                if self.ended().is_some() || changed.changed().await.is_err() {
                    return None;
                }
            }
        };
        timeout(within, search).await.ok().flatten()
    }

    /// Tells of news, from now on.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Why nothing will be said any more.
    pub(super) fn ended(&self) -> Option<String> {
        self.state().ended.clone()
    }

    /// Why the gateway has no line to the broker.
    pub(super) fn upstream_lost(&self) -> Option<String> {
        self.state().upstream_lost.clone()
    }

    /// Commission and fees of an execution, once they were told.
    pub(super) fn fee(&self, execution_id: &str) -> Option<Money> {
        self.state().fees.get(execution_id).copied()
    }

    /// Ends the session for those who wait; the first reason stands.
    pub(super) fn end(&self, why: &str) {
        self.state().ended.get_or_insert_with(|| why.to_owned());
        self.announce(true);
    }

    fn announce(&self, is_news: bool) {
        self.changed.send_modify(|count| *count += 1);
        if is_news {
            self.news.send_modify(|count| *count += 1);
        }
    }

    fn updated(&self, update: OrderUpdate) {
        let is_news = {
            let mut state = self.state();
            match update {
                OrderUpdate::OrderStatus(status) => {
                    let told = state.orders.entry(status.order_id).or_default();
                    let is_news = told.status.as_ref() != Some(&status.status) || told.filled < status.filled;
                    told.perm_id = told.perm_id.max(status.perm_id);
                    told.filled = told.filled.max(status.filled);
                    told.status = Some(status.status);
                    is_news
                }
                OrderUpdate::OpenOrder(data) => {
                    let told = state.orders.entry(data.order_id).or_default();
                    told.perm_id = told.perm_id.max(data.order.perm_id);
                    told.stop = data.order.aux_price;
                    false
                }
                OrderUpdate::ExecutionData(data) => state.executions.insert(data.execution.execution_id),
                OrderUpdate::CommissionReport(report) => take_fee(&mut state, &report),
                OrderUpdate::OrderBound(_) => true,
            }
        };
        self.announce(is_news);
    }

    /// Takes over the commission of an execution from whoever was told.
    pub(super) fn take_fee(&self, report: &CommissionReport) {
        take_fee(&mut self.state(), report);
    }

    fn of_order(&self, notice: &Notice) {
        let Some(order_id) = notice.request_id else { return };
        let words = format!("{} ({})", notice.message, notice.code);
        {
            let mut state = self.state();
            let told = state.orders.entry(order_id).or_default();
            match notice.code {
                CANCELED => {}
                code if CANCEL_REFUSED.contains(&code) => told.cancel_refusal = Some(words),
                _ if notice.is_error() && !notice.is_client_synthesized() => told.refusal = Some(words),
                code => tracing::info!(order_id, code, message = notice.message, "order.notice"),
            }
        }
        self.announce(true);
    }

    fn of_gateway(&self, notice: &Notice) {
        tracing::info!(code = notice.code, message = notice.message, "gateway.notice");
        let words = format!("{} ({})", notice.message, notice.code);
        match notice.code {
            UPSTREAM_LOST => self.state().upstream_lost = Some(words),
            code if UPSTREAM_BACK.contains(&code) => self.state().upstream_lost = None,
            _ => return,
        }
        self.announce(true);
    }

    /// Listens until the connection ends.
    pub(super) async fn listen(self: Arc<Self>, mut updates: Subscription<OrderUpdate>, mut notices: NoticeStream) {
        loop {
            tokio::select! {
                update = updates.next() => match update {
                    Some(Ok(SubscriptionItem::Data(update))) => self.updated(update),
                    Some(Ok(SubscriptionItem::Notice(notice))) => self.of_order(&notice),
                    Some(Err(error)) if is_end(&error) => return self.end("the gateway has closed the connection"),
                    // One frame that cannot be read is no reason to hear nothing more: facts are asked for.
                    Some(Err(error)) => tracing::warn!(%error, "gateway.frame_unread"),
                    None => return self.end("the connection with the gateway has ended"),
                },
                notice = notices.next() => match notice {
                    Some(notice) => self.of_gateway(&notice),
                    None => return self.end("the connection with the gateway has ended"),
                },
            }
        }
    }
}

/// Takes a commission; whether it is new. Those in another currency are left to the person who reads the log.
fn take_fee(state: &mut State, report: &CommissionReport) -> bool {
    let usd = report.currency.is_empty() || report.currency == "USD";
    match Money::from_f64(report.commission) {
        Ok(fee) if usd => state.fees.insert(report.execution_id.clone(), fee) != Some(fee),
        Ok(_) | Err(_) => {
            let (execution_id, currency) = (&report.execution_id, &report.currency);
            tracing::warn!(execution_id, currency, commission = report.commission, "fill.commission_unread");
            false
        }
    }
}

/// Whether an error means that nothing will come any more.
pub(super) fn is_end(error: &ibapi::Error) -> bool {
    use ibapi::Error as E;
    error.is_connection_lost() || matches!(error, E::ConnectionFailed | E::Shutdown | E::Cancelled | E::EndOfStream)
}
