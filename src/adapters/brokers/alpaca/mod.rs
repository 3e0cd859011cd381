//! The broker Alpaca, over its HTTP interface.
//!
//! Nothing is kept here that Alpaca does not know itself, but for two things that its listings leave
//! out: which group a single order belongs to, and under which name the order of an execution was sent. Both are
//! learnt from what passes by, and asked for where they are missing, so a process that has just
//! started answers as one that has run all day.
//!
//! No call is repeated here. A change of which nobody knows whether it was carried out is
//! [`BrokerError::Unknown`], and the dispatcher looks before it sends again.

mod fills;
mod inspect;
mod stepped;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::calendar::Calendar;
use daybook_core::money::{Money, Price};
use daybook_core::order::{
    Account, BrokerPosition, ClientOrderId, ClientOrderIdError, Fill, Order, OrderClass, OrderRole, OrderTicket,
};
use daybook_core::risk::Approved;
use reqwest::Method;
use tokio::sync::{Notify, OnceCell};

use self::fills::{Page, Tape};
use self::wire::{Activity, NewOrder, NewStop, Place, Strange, WireAccount, WireOrder, WirePosition};
use crate::adapters::Environment;
use crate::adapters::alpaca::{AlpacaSettings, CallError, Client, ClientError, Refusal, Urgency};
use crate::adapters::brokers::cursor::Cursor;
use crate::adapters::brokers::joined::Joined;
use crate::ports::{Broker, BrokerError, Clock, FillPage};

pub use inspect::Inspection;
pub use stepped::SteppedBroker;

/// The broker's name, for people.
const NAME: &str = "alpaca";

/// Orders in a page, Alpaca's most.
const PAGE: usize = 500;

/// Pages of open orders that are read; Alpaca itself bounds an account's open orders lower.
const PAGES_MAX: usize = 20;

/// Replacements of one order that are followed to the one in force: a stop is moved a few times a day.
const REPLACEMENTS_MAX: usize = 64;

/// Unknown orders behind a page of executions from which on a list is asked for, and not each by itself.
const LISTED_FROM: usize = 4;

/// Alpaca's code for a client order id that was used before (seen with 422).
const CODE_DUPLICATE: u64 = 40_010_001;

/// An account at Alpaca.
pub struct AlpacaBroker {
    settings: AlpacaSettings,
    client: Client,
    clock: Arc<dyn Clock>,
    tape: Tape,
    learnt: Mutex<Learnt>,
    /// An emergency stop asks for these by the position, all at once.
    held: Joined<Result<Vec<BrokerPosition>, BrokerError>>,
    working: Joined<Result<Vec<Order>, BrokerError>>,
    /// The number of the account that real money may be traded on; `None` on paper.
    live_account: Option<String>,
    confirmed: OnceCell<()>,
}

/// What passed by of orders, by Alpaca's id. It grows by what a process sees in its life.
#[derive(Debug, Default)]
struct Learnt {
    places: HashMap<String, Place>,
    names: HashMap<String, ClientOrderId>,
}

/// Whether a call changes something at the broker.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Read,
    Change,
}

impl AlpacaBroker {
    /// The account that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    /// If the key is missing or malformed, or the address is none.
    pub fn new(settings: &AlpacaSettings, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let keys = (settings.key_id.as_ref(), settings.secret_key.as_ref());
        let (host, requests) = (settings.trading_host(), settings.requests_per_minute);
        let live_account = (settings.environment == Environment::Live).then(|| settings.live_account.trim().to_owned());
        Ok(Self {
            client: Client::new(host, keys, requests, settings.timeout, clock.clone())?,
            settings: settings.clone(),
            clock,
            tape: Tape::default(),
            learnt: Mutex::default(),
            held: Joined::default(),
            working: Joined::default(),
            live_account,
            confirmed: OnceCell::new(),
        })
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        // Each change is one insertion: a panic elsewhere leaves nothing half-made behind the lock.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the first order of real money: the key must be of the account that the owner has named.
    async fn confirm(&self) -> Result<(), BrokerError> {
        let Some(expected) = &self.live_account else { return Ok(()) };
        let confirm = || async {
            let account: WireAccount = self.read("/v2/account", &[]).await?;
            if account.number() == expected {
                return Ok(());
            }
            Err(rejected(format!(
                "the key is of account {}, and alpaca.live_account names {expected}: nothing was sent",
                account.number()
            )))
        };
        self.confirmed.get_or_try_init(confirm).await.copied()
    }

    /// Sends an order, once; `order` is the document of `ticket`.
    async fn post(&self, ticket: &OrderTicket, order: &NewOrder<'_>) -> Result<Vec<Order>, BrokerError> {
        self.confirm().await?;
        let urgency = match ticket.class {
            OrderClass::Bracket { .. } => Urgency::Ordinary,
            OrderClass::Simple | OrderClass::Oco { .. } => Urgency::Urgent,
        };
        let sent = self.client.send(urgency, Method::POST, "/v2/orders", order).await;
        let head: WireOrder = sent.map_err(|error| match error.refusal() {
            Some(Refusal { status: 422, code: Some(CODE_DUPLICATE), .. }) => {
                BrokerError::Duplicate { broker: NAME.to_owned(), client_order_id: ticket.client_order_id.clone() }
            }
            Some(_) | None => classed(error, Kind::Change),
        })?;
        // It is there, whatever its answer says that cannot be understood.
        self.family(&head).await.map_err(|error| unknown(error.to_string()))
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, BrokerError> {
        self.client.get(Urgency::Urgent, path, query).await.map_err(|error| classed(error, Kind::Read))
    }

    /// What stands at a path; `None` if Alpaca says that nothing does.
    async fn find(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<WireOrder>, BrokerError> {
        match self.client.get(Urgency::Urgent, path, query).await {
            Ok(order) => Ok(Some(order)),
            // An id that is none, such as one of another broker, is refused as malformed.
            Err(CallError::Refused(Refusal { status: 404 | 422, .. })) => Ok(None),
            Err(error) => Err(classed(error, Kind::Read)),
        }
    }

    async fn order(&self, id: &str, query: &[(&str, &str)]) -> Result<Option<WireOrder>, BrokerError> {
        if !is_plain(id) {
            return Ok(None);
        }
        self.find(&format!("/v2/orders/{id}"), query).await
    }

    /// Keeps which group the orders of a tree belong to, and all their names.
    fn learn(&self, head: &WireOrder) -> Result<(), Strange> {
        let name = head.client_order_id()?;
        let mut learnt = self.learnt();
        for leg in head.legs.iter().flatten() {
            let place = Place { role: leg.role_as_leg(), parent: Some(name.clone()), class: OrderClass::Simple };
            learnt.names.insert(leg.id.clone(), leg.client_order_id()?);
            learnt.places.insert(leg.id.clone(), place);
        }
        if head.is_alone() || head.legs.is_some() {
            learnt.places.insert(head.id.clone(), head.place_at_head());
        }
        learnt.names.insert(head.id.clone(), name);
        Ok(())
    }

    /// Learns the groups of the newest orders of these symbols, which commas divide.
    async fn learn_groups(&self, symbols: &str) -> Result<(), BrokerError> {
        let query =
            [("status", "all"), ("nested", "true"), ("symbols", symbols), ("limit", "500"), ("direction", "desc")];
        for head in self.read::<Vec<WireOrder>>("/v2/orders", &query).await? {
            self.learn(&head).map_err(strange)?;
        }
        Ok(())
    }

    /// Where a single order stands in its group, as far as that is known.
    fn place(&self, order: &WireOrder) -> Option<Place> {
        if order.is_alone() {
            return Some(Place::ALONE);
        }
        let mut learnt = self.learnt();
        let known = learnt.places.get(&order.id).cloned();
        known.or_else(|| {
            let other = |id: &Option<String>| learnt.places.get(id.as_ref()?).cloned();
            let inherited = other(&order.replaces).or_else(|| other(&order.replaced_by))?;
            learnt.places.insert(order.id.clone(), inherited.clone());
            Some(inherited)
        })
    }

    /// Orders of a flat listing, each with its place in its group. The groups that are not known are asked for by
    /// symbol, with the newest orders of all states; many at first together.
    async fn placed(&self, listed: Vec<WireOrder>) -> Result<Vec<Order>, BrokerError> {
        for order in &listed {
            let name = order.client_order_id().map_err(strange)?;
            self.learnt().names.insert(order.id.clone(), name);
        }
        let unplaced = || -> BTreeSet<&str> {
            let unplaced = listed.iter().filter(|order| self.place(order).is_none());
            unplaced.map(|order| order.symbol.as_str()).collect()
        };
        let symbols = unplaced();
        if symbols.len() >= LISTED_FROM {
            self.learn_groups(&symbols.into_iter().collect::<Vec<_>>().join(",")).await?;
        }
        for symbol in unplaced() {
            self.learn_groups(symbol).await?;
        }
        let placed = |order: &WireOrder| {
            let place = self.place(order).unwrap_or_else(|| {
                tracing::warn!(order_id = order.id, symbol = order.symbol, "order.group_unknown");
                Place::ALONE
            });
            order.order(place).map_err(strange)
        };
        listed.iter().map(placed).collect()
    }

    /// The orders that work. The listing is asked for flat: with legs nested, Alpaca leaves out those whose parent has
    /// filled.
    async fn list_open(&self) -> Result<Vec<Order>, BrokerError> {
        let mut listed: Vec<WireOrder> = Vec::new();
        for _ in 0..PAGES_MAX {
            let last = listed.last().map(|order| order.id.clone());
            let mut query = vec![("status", "open"), ("nested", "false"), ("limit", "500"), ("direction", "asc")];
            query.extend(last.as_deref().map(|last| ("after_order_id", last)));
            let page: Vec<WireOrder> = self.read("/v2/orders", &query).await?;
            let full = page.len() >= PAGE;
            listed.extend(page);
            if !full {
                break;
            }
        }
        listed.retain(|order| {
            let foreign = order.is_foreign();
            if foreign {
                tracing::warn!(order_id = order.id, symbol = order.symbol, "order.foreign");
            }
            !foreign
        });
        let mut orders = self.placed(listed).await?;
        orders.retain(|order| !order.status.is_terminal());
        Ok(by_group(orders))
    }

    /// An order with its legs, each as it is in force: a leg that was replaced is followed to its successor.
    async fn family(&self, head: &WireOrder) -> Result<Vec<Order>, BrokerError> {
        self.learn(head).map_err(strange)?;
        let mut orders = vec![head.order(head.place_at_head()).map_err(strange)?];
        let legs = head.legs.as_deref().unwrap_or_default();
        for leg in legs {
            let place = self.place(leg).unwrap_or(Place::ALONE);
            match &leg.replaced_by {
                Some(next) if leg.status == "replaced" => {
                    if !legs.iter().any(|other| other.id == *next)
                        && let Some(in_force) = self.in_force(next).await?
                    {
                        self.learnt().places.insert(in_force.id.clone(), place.clone());
                        orders.push(in_force.order(place).map_err(strange)?);
                    }
                }
                Some(_) | None => orders.push(leg.order(place).map_err(strange)?),
            }
        }
        orders.sort_by_key(|order| rank(order.role));
        Ok(orders)
    }

    /// The order under this id, or the last of those that replaced it one after another.
    async fn in_force(&self, id: &str) -> Result<Option<WireOrder>, BrokerError> {
        let mut id = id.to_owned();
        for _ in 0..REPLACEMENTS_MAX {
            let Some(order) = self.order(&id, &[]).await? else { return Ok(None) };
            match &order.replaced_by {
                Some(next) if order.status == "replaced" => id = next.clone(),
                Some(_) | None => return Ok(Some(order)),
            }
        }
        Err(rejected(format!("order {id} was replaced more than {REPLACEMENTS_MAX} times")))
    }

    /// Learns the names of the orders behind executions that are not known yet.
    async fn learn_names(&self, activities: &[Activity]) -> Result<(), BrokerError> {
        let unknown = |broker: &Self| -> BTreeSet<String> {
            let learnt = broker.learnt();
            let ids = activities.iter().map(|activity| &activity.order_id);
            ids.filter(|id| !learnt.names.contains_key(*id)).cloned().collect()
        };
        let last = activities.iter().map(|activity| activity.transaction_time).max();
        if unknown(self).len() >= LISTED_FROM
            && let Some(last) = last
        {
            let until = last.after(Duration::from_secs(1)).to_string();
            let query = [("status", "all"), ("limit", "500"), ("direction", "desc"), ("until", until.as_str())];
            for order in self.read::<Vec<WireOrder>>("/v2/orders", &query).await? {
                let name = order.client_order_id().map_err(strange)?;
                self.learnt().names.insert(order.id, name);
            }
        }
        for id in unknown(self) {
            let name = match self.order(&id, &[]).await? {
                Some(order) => order.client_order_id().map_err(strange)?,
                // Executions without an order of their own come from corporate actions and transfers.
                None => id.parse().map_err(|error: ClientOrderIdError| rejected(error.to_string()))?,
            };
            self.learnt().names.insert(id, name);
        }
        Ok(())
    }

    /// An execution in our words; `None` for what Daybook cannot name.
    fn fill(&self, activity: &Activity) -> Result<Option<Fill>, BrokerError> {
        let (Some(symbol), Some(client_order_id)) =
            (activity.symbol(), self.learnt().names.get(&activity.order_id).cloned())
        else {
            tracing::warn!(execution_id = activity.id, "fill.foreign");
            return Ok(None);
        };
        Ok(Some(Fill {
            execution_id: activity.id.clone(),
            broker_order_id: activity.order_id.clone(),
            client_order_id,
            symbol,
            side: activity.side().map_err(strange)?,
            quantity: activity.qty,
            price: activity.price,
            // Alpaca takes no commission; what regulators take is booked by the day, not by the execution.
            fee: Money::ZERO,
            at: activity.transaction_time,
        }))
    }
}

#[async_trait]
impl Broker for AlpacaBroker {
    fn name(&self) -> &str {
        NAME
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        let account: WireAccount = self.read("/v2/account", &[]).await?;
        Ok(account.account())
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let read = || async {
            let positions: Vec<WirePosition> = self.read("/v2/positions", &[]).await?;
            Ok(positions.iter().filter_map(WirePosition::position).collect())
        };
        self.held.get(read).await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.working.get(|| self.list_open()).await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        let query = [("client_order_id", id.as_str()), ("nested", "true")];
        let Some(order) = self.find("/v2/orders:by_client_order_id", &query).await? else { return Ok(Vec::new()) };
        if order.legs.is_some() || order.is_alone() {
            return self.family(&order).await;
        }
        // This look-up need not show legs; the one by Alpaca's id does.
        match self.order(&order.id, &[("nested", "true")]).await? {
            Some(head) if head.legs.as_ref().is_some_and(|legs| !legs.is_empty()) => self.family(&head).await,
            Some(_) | None => self.placed(vec![order]).await,
        }
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        let mut found = Vec::new();
        for id in broker_order_ids {
            found.extend(self.order(id, &[]).await?.filter(|order| !order.is_foreign()));
        }
        self.placed(found).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.post(ticket.get(), &NewOrder::of(ticket.get())).await
    }

    fn trades_extended_hours(&self) -> bool {
        true
    }

    async fn submit_for_extended_hours(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.post(ticket.get(), &NewOrder::of(ticket.get()).in_extended_hours()).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        if !is_plain(broker_order_id) {
            return Err(rejected(format!("there is no order {broker_order_id}")));
        }
        let path = format!("/v2/orders/{broker_order_id}");
        self.client.delete(Urgency::Urgent, &path).await.map_err(|error| classed(error, Kind::Change))
    }

    /// Replacing makes another order at Alpaca. So the order in force is found first; a repetition of a call that
    /// was carried out finds the stop where it should be, and changes nothing.
    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        let found = self.in_force(broker_order_id).await?;
        let current = found.ok_or_else(|| rejected(format!("there is no order {broker_order_id}")))?;
        let placed = self.placed(vec![current.clone()]).await?;
        let Some(order) = placed.into_iter().next() else { return Err(rejected("no order".to_owned())) };
        if current.stop_price == Some(stop) && !order.status.is_terminal() {
            return Ok(order);
        }
        let path = format!("/v2/orders/{}", current.id);
        let sent = self.client.send(Urgency::Urgent, Method::PATCH, &path, &NewStop { stop_price: stop }).await;
        let moved: WireOrder = sent.map_err(|error| classed(error, Kind::Change))?;
        let place = Place { role: order.role, parent: order.parent, class: order.class };
        let mut learnt = self.learnt();
        learnt.places.insert(moved.id.clone(), place.clone());
        learnt.names.insert(moved.id.clone(), moved.client_order_id().map_err(strange)?);
        moved.order(place).map_err(strange)
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        // A page without a fill in an account without one has the beginning as its end.
        let cursor = cursor.filter(|cursor| !cursor.is_empty()).map(str::parse::<Cursor>).transpose();
        let mut cursor = cursor.map_err(rejected)?;
        loop {
            let page = self.tape.after(&self.client, cursor).await.map_err(|error| classed(error, Kind::Read))?;
            let Page { activities, cursor: reached, more } = page;
            self.learn_names(&activities).await?;
            let fills = activities.iter().filter_map(|activity| self.fill(activity).transpose());
            let fills = fills.collect::<Result<Vec<Fill>, BrokerError>>()?;
            if fills.is_empty() && more && !activities.is_empty() {
                cursor = reached;
                continue;
            }
            self.tape.remember(&activities);
            let cursor = reached.map(|cursor| cursor.to_string()).unwrap_or_default();
            return Ok(FillPage { fills, cursor, more });
        }
    }

    async fn listen(&self, happened: &Notify) -> Result<(), BrokerError> {
        stream::listen(&self.settings, happened).await
    }

    async fn disagreements(&self, calendar: &Calendar) -> Result<Vec<String>, BrokerError> {
        Ok(self.inspect(calendar).await?.remarks)
    }
}

/// Whether an id can stand in a path as it is.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

const fn rank(role: OrderRole) -> u8 {
    match role {
        OrderRole::Parent => 0,
        OrderRole::TakeProfit => 1,
        OrderRole::StopLoss => 2,
    }
}

/// Orders with each group together, in the order in which the groups begin: the parent, then its legs.
fn by_group(orders: Vec<Order>) -> Vec<Order> {
    let mut first: HashMap<ClientOrderId, usize> = HashMap::new();
    let head = |order: &Order| order.parent.clone().unwrap_or_else(|| order.client_order_id.clone());
    for (at, order) in orders.iter().enumerate() {
        first.entry(head(order)).or_insert(at);
    }
    let mut orders = orders;
    orders.sort_by_cached_key(|order| (first.get(&head(order)).copied(), order.parent.is_some(), rank(order.role)));
    orders
}

/// What a call without an answer means for who made it.
fn classed(error: CallError, kind: Kind) -> BrokerError {
    let reason = error.to_string();
    match (error.refusal(), kind) {
        (Some(Refusal { status: 401, .. }), _) => rejected(format!(
            "{reason}: the key is refused; check alpaca.key_id and alpaca.secret_key, and that alpaca.environment is \
             the one they were made for"
        )),
        (Some(_), _) => rejected(reason),
        (None, Kind::Change) if !error.is_void() => unknown(reason),
        (None, Kind::Read | Kind::Change) => BrokerError::Retryable { broker: NAME.to_owned(), reason },
    }
}

fn rejected(reason: String) -> BrokerError {
    BrokerError::Rejected { broker: NAME.to_owned(), reason }
}

fn unknown(reason: String) -> BrokerError {
    BrokerError::Unknown { broker: NAME.to_owned(), reason }
}

fn strange(strange: Strange) -> BrokerError {
    rejected(strange.to_string())
}
