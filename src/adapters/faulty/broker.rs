use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use daybook_core::time::Timestamp;
use tokio::sync::Mutex;

use super::{Spell, Struck};
use crate::ports::{Broker, BrokerError, Clock, FillPage};

/// What goes wrong at a broker. What it does by itself, such as filling orders, it goes on doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerFault {
    /// It answers nothing, and nothing is done: nobody can know that of an order that was sent.
    Down,
    /// It has been asked too often: nothing is done, and it says so.
    Busy,
    /// It does what it is asked to, and its answer is lost.
    AnswerLost,
    /// It does not answer, and accepts the order after all so much later.
    AcceptsLate {
        /// How much later.
        by: Duration,
    },
    /// It does not find orders by the names that they were sent under.
    Forgetful,
    /// It takes a cancel, and acts on it so much later: the order may fill meanwhile.
    CancelsLate {
        /// How much later.
        by: Duration,
    },
    /// It tells of each fill twice, and again of the last ones when there is nothing new.
    FillsTwice,
    /// It tells of no fill until the spell is over; what is held shows them.
    FillsLate,
    /// Of several new fills it tells the newest first, and then all of them.
    FillsUnordered,
}

/// A broker with its bad days. It stands outside of the process, and remembers what is still on its way.
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    spells: Vec<Spell<BrokerFault>>,
    struck: Struck,
    late: Mutex<Vec<(Timestamp, Late)>>,
    /// The cursor after which the newest fill was told before the others.
    told_newest: Mutex<Option<String>>,
}

/// What the broker has taken and not acted on yet.
enum Late {
    Order(Box<Approved<OrderTicket>>),
    Cancel(String),
}

impl FaultyBroker {
    /// A broker that is at fault during these spells.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, clock: Arc<dyn Clock>, spells: Vec<Spell<BrokerFault>>, struck: Struck) -> Self {
        Self { inner, clock, spells, struck, late: Mutex::default(), told_newest: Mutex::default() }
    }

    /// The fault of this instant, if it is one of these. It is noted as having struck.
    fn fault(&self, concerns: impl Fn(BrokerFault) -> bool) -> Option<BrokerFault> {
        let now = self.clock.wall();
        let spell = self.spells.iter().find(|spell| spell.holds_at(now) && concerns(spell.fault))?;
        self.struck.note(spell.number);
        Some(spell.fault)
    }

    /// Acts on what is due of what was taken before, in the order in which it falls due.
    async fn catch_up(&self) {
        let now = self.clock.wall();
        let mut late = self.late.lock().await;
        late.sort_by_key(|(at, _)| *at);
        let due = late.partition_point(|(at, _)| *at <= now);
        for (_, taken) in late.drain(..due) {
            // A refusal has nobody to go to any more: the order is there by then, or has ended.
            match taken {
                Late::Order(ticket) => drop(self.inner.submit(&ticket).await),
                Late::Cancel(broker_order_id) => drop(self.inner.cancel(&broker_order_id).await),
            }
        }
    }

    async fn take(&self, by: Duration, what: Late) {
        self.late.lock().await.push((self.clock.wall().after(by), what));
    }

    /// Asks for something that changes nothing.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, BrokerError>> + Send) -> Result<T, BrokerError> {
        self.catch_up().await;
        match self.fault(|fault| matches!(fault, BrokerFault::Down | BrokerFault::Busy)) {
            Some(_) => Err(self.retryable()),
            None => answer.await,
        }
    }

    fn retryable(&self) -> BrokerError {
        BrokerError::Retryable { broker: self.name().to_owned(), reason: "no answer (made up)".to_owned() }
    }

    fn unknown(&self) -> BrokerError {
        BrokerError::Unknown { broker: self.name().to_owned(), reason: "no answer (made up)".to_owned() }
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.ask(self.inner.account()).await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.ask(self.inner.positions()).await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.ask(self.inner.open_orders()).await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        let orders = self.ask(self.inner.orders_by_client_id(id)).await?;
        if !orders.is_empty() && self.fault(|fault| fault == BrokerFault::Forgetful).is_some() {
            return Ok(Vec::new());
        }
        Ok(orders)
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.ask(self.inner.orders(broker_order_ids)).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.catch_up().await;
        match self.fault(is_of_changes) {
            Some(BrokerFault::Busy) => Err(self.retryable()),
            Some(BrokerFault::AnswerLost) => {
                self.inner.submit(ticket).await?;
                Err(self.unknown())
            }
            Some(BrokerFault::AcceptsLate { by }) => {
                self.take(by, Late::Order(Box::new(ticket.clone()))).await;
                Err(self.unknown())
            }
            Some(_) => Err(self.unknown()),
            None => self.inner.submit(ticket).await,
        }
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.catch_up().await;
        let fault = self.fault(|fault| is_of_changes(fault) || matches!(fault, BrokerFault::CancelsLate { .. }));
        match fault {
            Some(BrokerFault::CancelsLate { by }) => {
                self.take(by, Late::Cancel(broker_order_id.to_owned())).await;
                Ok(())
            }
            Some(BrokerFault::AnswerLost | BrokerFault::AcceptsLate { .. }) => {
                self.inner.cancel(broker_order_id).await?;
                Err(self.unknown())
            }
            Some(BrokerFault::Busy) => Err(self.retryable()),
            Some(_) => Err(self.unknown()),
            None => self.inner.cancel(broker_order_id).await,
        }
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.catch_up().await;
        match self.fault(is_of_changes) {
            Some(BrokerFault::AnswerLost | BrokerFault::AcceptsLate { .. }) => {
                self.inner.replace_stop(broker_order_id, stop).await?;
                Err(self.unknown())
            }
            Some(BrokerFault::Busy) => Err(self.retryable()),
            Some(_) => Err(self.unknown()),
            None => self.inner.replace_stop(broker_order_id, stop).await,
        }
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        let mut page = self.ask(self.inner.fills(cursor)).await?;
        // Where nothing was ever filled there is no place to go back to.
        let Some(cursor) = cursor else { return Ok(page) };
        match self.fault(is_of_fills) {
            Some(BrokerFault::FillsLate) if !page.fills.is_empty() => {
                page = FillPage { fills: Vec::new(), cursor: cursor.to_owned(), more: false };
            }
            Some(BrokerFault::FillsTwice) if page.fills.is_empty() => {
                let all = self.inner.fills(None).await?;
                page.fills = all.fills.into_iter().rev().take(2).collect();
            }
            Some(BrokerFault::FillsTwice) => {
                page.fills = page.fills.iter().flat_map(|fill| [fill.clone(), fill.clone()]).collect()
            }
            Some(BrokerFault::FillsUnordered) if page.fills.len() > 1 => {
                let mut told = self.told_newest.lock().await;
                if told.as_deref() != Some(cursor) {
                    *told = Some(cursor.to_owned());
                    let newest = page.fills.pop();
                    page = FillPage { fills: newest.into_iter().collect(), cursor: cursor.to_owned(), more: false };
                }
            }
            _ => {}
        }
        Ok(page)
    }
}

/// Whether a fault concerns calls that change something.
const fn is_of_changes(fault: BrokerFault) -> bool {
    match fault {
        BrokerFault::Down | BrokerFault::Busy | BrokerFault::AnswerLost | BrokerFault::AcceptsLate { .. } => true,
        BrokerFault::Forgetful
        | BrokerFault::CancelsLate { .. }
        | BrokerFault::FillsTwice
        | BrokerFault::FillsLate
        | BrokerFault::FillsUnordered => false,
    }
}

/// Whether a fault concerns what is told of fills.
const fn is_of_fills(fault: BrokerFault) -> bool {
    matches!(fault, BrokerFault::FillsTwice | BrokerFault::FillsLate | BrokerFault::FillsUnordered)
}
