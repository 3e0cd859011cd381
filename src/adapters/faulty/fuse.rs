use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use daybook_core::time::Timestamp;
use tokio::sync::Notify;

use super::Struck;
use crate::ports::{Broker, BrokerError, Clock, FillPage};

/// What kind of call a process can end at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// A call of the broker.
    Broker,
    /// A call of the market's feed.
    Feed,
    /// A message to a person.
    Channel,
    /// A transaction of the ledger.
    Commit,
    /// A job that takes its process down, whenever it is run.
    Job,
}

/// On which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The call was never made.
    Before,
    /// The call was made, and nobody has heard its answer.
    After,
}

/// Where the process ends: at the `nth` call of a site from an instant on, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Which of the caller's faults it is.
    pub number: usize,
    /// From when on calls are counted.
    pub from: Timestamp,
    /// Which calls.
    pub site: Site,
    /// The how manieth of them.
    pub nth: u32,
    /// On which side of it.
    pub side: Side,
}

/// Ends the life of a process at a chosen call, as a kill does: the call that blows the fuse never returns, nor does any
/// after it, until whoever waits for [`Fuse::blown`] has dropped the process and [mended](Fuse::mend) the fuse.
#[derive(Clone)]
pub struct Fuse {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    charges: Mutex<Vec<Charge>>,
    struck: Struck,
    is_out: AtomicBool,
    /// The fault that blew it last.
    by: AtomicUsize,
    blown: Notify,
}

impl Fuse {
    /// A fuse with these charges, on the world's own clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, charges: Vec<Charge>, struck: Struck) -> Self {
        let charges = Mutex::new(charges);
        let (is_out, by, blown) = (AtomicBool::new(false), AtomicUsize::new(0), Notify::new());
        Self { shared: Arc::new(Shared { clock, charges, struck, is_out, by, blown }) }
    }

    /// Counts a call that is about to be made, or that has been made.
    pub async fn pass(&self, site: Site, side: Side) {
        if self.shared.is_out.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        if let Some(number) = self.counted(site, side) {
            self.blow(number).await;
        }
    }

    /// Ends the process here.
    pub async fn blow(&self, number: usize) {
        self.shared.struck.note(number);
        self.shared.by.store(number, Ordering::SeqCst);
        self.shared.is_out.store(true, Ordering::SeqCst);
        self.shared.blown.notify_one();
        std::future::pending().await
    }

    /// Waits until the process has come to its end; the answer is the fault that ended it.
    pub async fn blown(&self) -> usize {
        self.shared.blown.notified().await;
        self.shared.by.load(Ordering::SeqCst)
    }

    /// Readies the fuse for another life.
    pub fn mend(&self) {
        self.shared.is_out.store(false, Ordering::SeqCst);
    }

    /// Counts a call; the charge that it sets off, which is gone then.
    fn counted(&self, site: Site, side: Side) -> Option<usize> {
        let now = self.shared.clock.wall();
        let mut charges = self.shared.charges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set_off = None;
        for charge in charges.iter_mut() {
            if charge.from <= now && charge.site == site && charge.side == side && charge.nth > 0 {
                charge.nth -= 1;
                if charge.nth == 0 && set_off.is_none() {
                    set_off = Some(charge.number);
                }
            }
        }
        charges.retain(|charge| charge.nth > 0);
        set_off
    }
}

/// A broker at whose calls the process may end.
pub struct FusedBroker {
    inner: Arc<dyn Broker>,
    fuse: Fuse,
}

impl FusedBroker {
    /// A broker behind a fuse.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, fuse: Fuse) -> Self {
        Self { inner, fuse }
    }

    async fn guarded<T>(&self, call: impl Future<Output = T> + Send) -> T {
        self.fuse.pass(Site::Broker, Side::Before).await;
        let answer = call.await;
        self.fuse.pass(Site::Broker, Side::After).await;
        answer
    }
}

#[async_trait]
impl Broker for FusedBroker {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.guarded(self.inner.account()).await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.guarded(self.inner.positions()).await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.guarded(self.inner.open_orders()).await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.guarded(self.inner.orders_by_client_id(id)).await
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.guarded(self.inner.orders(broker_order_ids)).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.guarded(self.inner.submit(ticket)).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.guarded(self.inner.cancel(broker_order_id)).await
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.guarded(self.inner.replace_stop(broker_order_id, stop)).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        self.guarded(self.inner.fills(cursor)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::clocks::{SimulatedClock, Speed};

    #[tokio::test]
    async fn the_chosen_call_never_returns_nor_does_any_after_it() {
        let clock = Arc::new(SimulatedClock::new(Timestamp(1_000), Speed::Max));
        let charge = |site, nth, side| Charge { number: 3, from: Timestamp(1_000), site, nth, side };
        let struck = Struck::default();
        let fuse = Fuse::new(clock, vec![charge(Site::Commit, 2, Side::After)], struck.clone());
        let call = || async {
            fuse.pass(Site::Commit, Side::Before).await;
            fuse.pass(Site::Commit, Side::After).await;
        };
        call().await;
        fuse.pass(Site::Broker, Side::After).await;
        tokio::select! {
            biased;
            () = call() => panic!("it returned"),
            number = fuse.blown() => assert_eq!(number, 3),
        }
        tokio::select! {
            biased;
            () = fuse.pass(Site::Feed, Side::Before) => panic!("it returned"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(struck.numbers().into_iter().collect::<Vec<_>>(), [3]);
        fuse.mend();
        call().await;
    }
}
