use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::calendar::Calendar;
use daybook_core::market::Symbol;
use daybook_core::money::{Price, Quantity};
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket, OrderType};
use daybook_core::risk::Approved;
use ibapi::RateLimiter;
use ibapi::accounts::AccountSummaryTags;
use ibapi::contracts::Contract;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};

use super::answers::Told;
use super::fills::Tape;
use super::listing::{Seen, is_cut_short, of_ticket};
use super::session::{Session, Unsent, dollars};
use super::terms::{self, Reference, Strange};
use super::{IbkrSettings, NAME, rejected, retryable, unknown};
use crate::adapters::brokers::cursor::Cursor;
use crate::ports::{Broker, BrokerError, Clock, FillPage};

/// How long a cancel is waited for before it counts as accepted and under way.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// The broker Interactive Brokers.
pub struct IbkrBroker {
    settings: IbkrSettings,
    pub(super) clock: Arc<dyn Clock>,
    /// Where connections live: not with a job, whose thread may be busy for long.
    runtime: Handle,
    limiter: RateLimiter,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    contracts: std::sync::Mutex<HashMap<Symbol, Contract>>,
    tape: Tape,
}

/// What became of orders that were just sent.
enum Taken {
    Accepted,
    Refused(String),
}

impl IbkrBroker {
    /// A broker behind the gateway of these settings. Its connections live in the runtime that this is called in; the
    /// first begins with the first call.
    ///
    /// # Errors
    /// If it is called outside of a runtime.
    pub fn new(settings: &IbkrSettings, clock: Arc<dyn Clock>) -> Result<Self, tokio::runtime::TryCurrentError> {
        Ok(Self {
            settings: settings.clone(),
            clock,
            runtime: Handle::try_current()?,
            limiter: RateLimiter::per_second(settings.messages_per_second),
            session: Arc::default(),
            contracts: std::sync::Mutex::default(),
            tape: Tape::default(),
        })
    }

    /// The session that stands, or another one. A caller that is canceled meanwhile leaves nothing half-open.
    pub(super) async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let (place, settings, limiter) = (self.session.clone(), self.settings.clone(), self.limiter.clone());
        let connecting = self.runtime.spawn(async move {
            let mut place = place.lock().await;
            if let Some(session) = place.as_ref() {
                if session.is_alive() {
                    return Ok(session.clone());
                }
                let why = session.answers.ended().unwrap_or_else(|| "the connection has ended".to_owned());
                tracing::warn!(why, "gateway.disconnected");
                session.close(&why).await;
                *place = None;
            }
            let session = Arc::new(Session::begin(&settings, limiter).await?);
            *place = Some(session.clone());
            Ok(session)
        });
        connecting.await.map_err(|error| retryable(format!("connecting to the gateway: {error}")))?
    }

    /// The session, if the gateway has a line to the broker: without it what it shows is old, and an order goes nowhere.
    async fn online(&self) -> Result<Arc<Session>, BrokerError> {
        let session = self.session().await?;
        match session.answers.upstream_lost() {
            Some(lost) => Err(retryable(format!("the gateway has lost its line to Interactive Brokers: {lost}"))),
            None => Ok(session),
        }
    }

    async fn contract(&self, session: &Session, symbol: Symbol) -> Result<Contract, BrokerError> {
        let known = |contracts: &HashMap<Symbol, Contract>| contracts.get(&symbol).cloned();
        if let Some(contract) = known(&self.contracts.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(contract);
        }
        let contract = session.contract(symbol).await?;
        self.contracts.lock().unwrap_or_else(PoisonError::into_inner).insert(symbol, contract.clone());
        Ok(contract)
    }

    fn orders_of(&self, seen: &[Seen]) -> Result<Vec<Order>, BrokerError> {
        terms::orders(seen, self.clock.wall()).map_err(strange)
    }

    /// A ticket's orders; none, if they were cut short: what was not transmitted is as good as never sent.
    async fn group(&self, session: &Session, ticket: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        let group = of_ticket(&session.everything().await?, ticket);
        if is_cut_short(&group) { Ok(Vec::new()) } else { self.orders_of(&group) }
    }

    /// Takes back what is left of orders of which the gateway has refused one: without its legs an entry must not work.
    async fn take_back(
        &self,
        session: &Session,
        ticket: &ClientOrderId,
        ids: &[i32],
        reason: String,
    ) -> Result<Vec<Order>, BrokerError> {
        for id in ids.iter().filter(|id| session.answers.of(**id).refusal.is_none()) {
            session.cancel(*id).await.map_err(|error| unknown(format!("{reason}; taking it back: {error}")))?;
        }
        let over = |told: Told| told.is_over() || told.cancel_refusal.is_some();
        session.answers.wait(CANCEL_WAIT, |answers| ids.iter().all(|id| over(answers.of(*id))).then_some(())).await;
        let left = self.group(session, ticket).await.map_err(|error| unknown(error.to_string()))?;
        if left.iter().any(|order| order.filled.is_positive() || !order.status.is_terminal()) {
            return Err(unknown(format!("{reason}; a part of it stands all the same")));
        }
        session.forget(ticket).await;
        Err(rejected(reason))
    }

    /// The working order under this number, as far as it is ours to change.
    async fn working(&self, session: &Session, broker_order_id: &str) -> Result<Seen, BrokerError> {
        let open = session.open().await?;
        let found = open.into_iter().find(|seen| seen.perm_id.to_string() == broker_order_id && !seen.is_over());
        let seen = found.ok_or_else(|| rejected(format!("no order {broker_order_id} works")))?;
        require_own(&seen, session)?;
        Ok(seen)
    }
}

/// Orders belong to the program that sent them; the gateway lets no other change them.
fn require_own(seen: &Seen, session: &Session) -> Result<(), BrokerError> {
    if seen.order.client_id == session.client_id() && seen.order_id > 0 {
        return Ok(());
    }
    let (id, client) = (seen.perm_id, seen.order.client_id);
    Err(rejected(format!("order {id} was sent by hand or by another program (client id {client}): change it there")))
}

#[async_trait]
impl Broker for IbkrBroker {
    fn name(&self) -> &str {
        NAME
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        let session = self.online().await?;
        let figures = session.figures().await?;
        let required = |tag: &str| {
            dollars(&figures, tag)?.ok_or_else(|| retryable(format!("the account is shown without its {tag}")))
        };
        let equity = required(AccountSummaryTags::NET_LIQUIDATION)?;
        let previous = dollars(&figures, AccountSummaryTags::PREVIOUS_EQUITY_WITH_LOAN_VALUE)?;
        Ok(Account {
            account_id: session.account.clone(),
            cash: required(AccountSummaryTags::TOTAL_CASH_VALUE)?,
            equity,
            // A cash account has none.
            last_equity: previous.unwrap_or(equity),
            buying_power: required(AccountSummaryTags::BUYING_POWER)?,
            blocked: false,
        })
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let mut positions = Vec::new();
        for held in self.online().await?.positions().await? {
            let Some(symbol) = terms::symbol(&held.contract) else {
                tracing::warn!(symbol = %held.contract.symbol, "position.foreign");
                continue;
            };
            let unreadable = |error| rejected(format!("the position in {symbol}: {error}"));
            let quantity = Quantity::from_f64(held.position).map_err(unreadable)?;
            let average_price = Price::from_f64(held.average_cost).map_err(unreadable)?;
            if !quantity.is_zero() {
                positions.push(BrokerPosition { symbol, quantity, average_price });
            }
        }
        Ok(positions)
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        let mut orders = self.orders_of(&self.online().await?.open().await?)?;
        orders.retain(|order| !order.status.is_terminal());
        Ok(orders)
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        let session = self.online().await?;
        let Some(Reference { ticket, .. }) = Reference::read(id.as_str()) else { return Ok(Vec::new()) };
        let mut orders = self.group(&session, &ticket).await?;
        if ticket != *id {
            orders.retain(|order| order.client_order_id == *id);
        }
        Ok(orders)
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        let mut orders = self.orders_of(&self.online().await?.everything().await?)?;
        orders.retain(|order| broker_order_ids.contains(&order.broker_order_id));
        Ok(orders)
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        let session = self.online().await?;
        let ticket = ticket.get().clone();
        let id = ticket.client_order_id.clone();
        let contract = self.contract(&session, ticket.symbol).await?;
        let sending = {
            let session = session.clone();
            // Apart from the caller, whom a time limit may cancel in the midst of a group.
            self.runtime.spawn(async move {
                let make = |first| terms::wire_orders(&ticket, &session.account, first);
                let sent = session.send(&ticket.client_order_id, &contract, make).await;
                if let Err(Unsent::Unsure(why)) = &sent {
                    session.answers.end(why);
                }
                sent
            })
        };
        let ids = match sending.await.map_err(|error| unknown(error.to_string()))? {
            Ok(ids) => ids,
            Err(Unsent::Known) => {
                return Err(BrokerError::Duplicate { broker: NAME.to_owned(), client_order_id: id });
            }
            Err(Unsent::Nothing(why)) => return Err(retryable(format!("nothing was sent: {why}"))),
            Err(Unsent::Unsure(why)) => return Err(unknown(why)),
        };
        let within = self.settings.timeout.as_duration();
        let taken = session.answers.wait(within, |answers| {
            let told: Vec<Told> = ids.iter().map(|id| answers.of(*id)).collect();
            let refusal = told.iter().find_map(|told| told.refusal.clone()).map(Taken::Refused);
            let all = told.iter().all(|told| told.perm_id != 0 && told.status.is_some());
            refusal.or_else(|| all.then_some(Taken::Accepted))
        });
        match taken.await {
            Some(Taken::Refused(reason)) => return self.take_back(&session, &id, &ids, reason).await,
            Some(Taken::Accepted) => {}
            None => {
                // Whoever looks for it begins anew, and reads what was sent.
                session.answers.end("it does not say what became of an order");
                return Err(unknown("the gateway does not say what became of it".to_owned()));
            }
        }
        // It is there, whatever of it cannot be read.
        let orders = self.group(&session, &id).await.map_err(|error| unknown(error.to_string()))?;
        // A refusal may follow the first word of an order. By now it has come: answers keep their order.
        match ids.iter().find_map(|id| session.answers.of(*id).refusal) {
            Some(reason) => self.take_back(&session, &id, &ids, reason).await,
            None if orders.is_empty() => Err(unknown("it was taken, and is not listed".to_owned())),
            None => Ok(orders),
        }
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        let session = self.online().await?;
        let all = session.everything().await?;
        let found = all.iter().find(|seen| seen.perm_id.to_string() == broker_order_id);
        let target = found.ok_or_else(|| rejected(format!("there is no order {broker_order_id}")))?;
        if target.is_over() {
            let order = self.orders_of(std::slice::from_ref(target))?.into_iter().next();
            let status = order.map_or("over", |order| order.status.as_str());
            let already = status == daybook_core::order::OrderStatus::Canceled.as_str();
            return if already { Ok(()) } else { Err(rejected(format!("order {broker_order_id} is {status}"))) };
        }
        require_own(target, &session)?;
        let group: Vec<i32> = match Reference::read(&target.order.order_ref) {
            Some(reference) => of_ticket(&all, &reference.ticket),
            None => vec![target.clone()],
        }
        .iter()
        .filter(|seen| !seen.is_over() && require_own(seen, &session).is_ok())
        .map(|seen| seen.order_id)
        .collect();
        for id in &group {
            session.cancel(*id).await.map_err(|error| unknown(format!("canceling: {error}")))?;
        }
        let over = |told: Told| told.is_over() || told.cancel_refusal.is_some();
        session.answers.wait(CANCEL_WAIT, |answers| group.iter().all(|id| over(answers.of(*id))).then_some(())).await;
        let told = session.answers.of(target.order_id);
        match told.cancel_refusal {
            Some(reason) if told.status == Some(ibapi::orders::OrderStatusKind::Filled) => Err(rejected(reason)),
            Some(_) | None => Ok(()),
        }
    }

    /// Sending an order again under its number changes it, so a repetition does no harm.
    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        let session = self.online().await?;
        let seen = self.working(&session, broker_order_id).await?;
        let present = self.orders_of(std::slice::from_ref(&seen))?.into_iter().next();
        match present.map(|order| order.order_type) {
            Some(OrderType::Stop { .. } | OrderType::StopLimit { .. }) => {}
            _ => return Err(rejected(format!("order {broker_order_id} is no stop"))),
        }
        let (order_id, contract, moved) = (seen.order_id, seen.contract, terms::moved_stop(&seen.order, stop));
        let changing = {
            let session = session.clone();
            self.runtime.spawn(async move { session.change(&contract, &moved).await })
        };
        match changing.await.map_err(|error| unknown(error.to_string()))? {
            Ok(()) => {}
            Err(Unsent::Nothing(why)) => return Err(retryable(format!("nothing was sent: {why}"))),
            Err(Unsent::Known) => return Err(unknown("it is being sent".to_owned())),
            Err(Unsent::Unsure(why)) => {
                session.answers.end(&why);
                return Err(unknown(why));
            }
        }
        let stands = |at: Option<f64>| at.is_some_and(|at| Price::from_f64(at) == Ok(stop));
        let within = self.settings.timeout.as_duration();
        let changed = session.answers.wait(within, |answers| {
            let told = answers.of(order_id);
            match told.refusal {
                Some(reason) => Some(Taken::Refused(reason)),
                None if told.is_over() => Some(Taken::Refused(format!("order {broker_order_id} is over"))),
                None => stands(told.stop).then_some(Taken::Accepted),
            }
        });
        match changed.await {
            Some(Taken::Accepted) => {}
            Some(Taken::Refused(reason)) => return Err(rejected(reason)),
            None => return Err(unknown("the gateway does not say what became of the change".to_owned())),
        }
        // With its group: a leg that is alone in a list does not show whether its entry works.
        let orders = self.orders_of(&session.open().await?)?;
        let found = orders.into_iter().find(|order| order.broker_order_id == broker_order_id);
        found.ok_or_else(|| rejected(format!("order {broker_order_id} works no more")))
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        // A page without a fill in an account without one has the beginning as its end.
        let cursor = cursor.filter(|cursor| !cursor.is_empty()).map(str::parse::<Cursor>).transpose();
        let cursor = cursor.map_err(rejected)?;
        let session = self.online().await?;
        let listed = session.executions().await?;
        let fee = |id: &str| session.answers.fee(id);
        self.tape.page(&listed, cursor, self.clock.monotonic(), fee).map_err(strange)
    }

    async fn listen(&self, happened: &Notify) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let mut news = session.answers.news();
        loop {
            happened.notify_one();
            let heard = news.changed().await;
            if let Some(why) = session.answers.ended() {
                return Err(retryable(why));
            }
            heard.map_err(|_| retryable("the connection with the gateway has ended"))?;
        }
    }

    async fn disagreements(&self, _: &Calendar) -> Result<Vec<String>, BrokerError> {
        Ok(self.inspect().await?.remarks)
    }
}

fn strange(strange: Strange) -> BrokerError {
    rejected(strange.to_string())
}
