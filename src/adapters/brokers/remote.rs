//! A broker in another process, a line of JSON for each call: it lives on when this process is killed.
//!
//! For tests alone: the other end is the test that does the killing, and has a paper broker behind its socket. Each
//! call carries the caller's time, which is what moves the broker's own clock on.

use std::io::Error;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use daybook_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::ports::{Broker, BrokerError, Clock, FillPage};

/// The variable that names the broker's socket.
const SOCKET: &str = "DAYBOOK_CRASH_BROKER";

/// A call on its way to the broker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The caller's time.
    pub now: Timestamp,
    /// What is asked for.
    pub call: Call,
}

/// What is asked for: a method of [`Broker`] with its arguments.
#[derive(Debug, Serialize, Deserialize)]
pub enum Call {
    Account,
    Positions,
    OpenOrders,
    OrdersByClientId(ClientOrderId),
    Orders(Vec<String>),
    Submit(OrderTicket),
    Cancel(String),
    ReplaceStop { broker_order_id: String, stop: Price },
    Fills(Option<String>),
}

/// What the broker answers: the method's own value, or its error.
pub type Answer = Result<Value, BrokerError>;

/// The near end of the line.
pub struct RemoteBroker {
    clock: Arc<dyn Clock>,
    line: Mutex<BufReader<UnixStream>>,
}

impl RemoteBroker {
    /// The broker behind the socket that the environment names, if it names one.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn of_environment(clock: &Arc<dyn Clock>) -> Result<Option<Arc<dyn Broker>>, Error> {
        let Some(socket) = std::env::var_os(SOCKET) else { return Ok(None) };
        let line = Mutex::new(BufReader::new(UnixStream::connect(Path::new(&socket)).await?));
        Ok(Some(Arc::new(Self { clock: clock.clone(), line })))
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, BrokerError> {
        self.exchange(call)
            .await
            .map_err(|error| self.unknown(&error))?
            .and_then(|value| serde_json::from_value(value).map_err(|error| self.unknown(&error.into())))
    }

    async fn exchange(&self, call: Call) -> Result<Answer, Error> {
        let mut request = serde_json::to_vec(&Request { now: self.clock.wall(), call })?;
        request.push(b'\n');
        let mut line = self.line.lock().await;
        line.get_mut().write_all(&request).await?;
        let mut answer = String::new();
        line.read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    }

    fn unknown(&self, error: &Error) -> BrokerError {
        BrokerError::Unknown { broker: self.name().to_owned(), reason: error.to_string() }
    }
}

#[async_trait]
impl Broker for RemoteBroker {
    fn name(&self) -> &str {
        "remote"
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.ask(Call::Account).await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.ask(Call::Positions).await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.ask(Call::OpenOrders).await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.ask(Call::OrdersByClientId(id.clone())).await
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.ask(Call::Orders(broker_order_ids.to_owned())).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.ask(Call::Submit(ticket.get().clone())).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.ask(Call::Cancel(broker_order_id.to_owned())).await
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.ask(Call::ReplaceStop { broker_order_id: broker_order_id.to_owned(), stop }).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        self.ask(Call::Fills(cursor.map(str::to_owned))).await
    }
}
