//! An account at an exchange on this machine, for a process on a simulated clock: the two go through time together.
//!
//! Before each call the exchange's clock is moved to the process's own. So a week goes by as fast as it is worked off, and
//! in the same way every time. An exchange that is down is waited for, and no time goes by meanwhile; what it may have
//! done to a call that was under way the caller has to find out, as anywhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::calendar::Calendar;
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use reqwest::StatusCode;
use serde_json::json;

use super::{AlpacaBroker, NAME, rejected};
use crate::adapters::alpaca::{AlpacaSettings, ClientError};
use crate::ports::{Broker, BrokerError, Clock, FillPage};

/// How often an exchange is tried that is not there: a minute in all, which is enough to start it again.
const TRIES_MAX: u32 = 1_200;

/// The wait between two tries, in real time.
const TRY_WAIT: Duration = Duration::from_millis(50);

/// [`AlpacaBroker`] at an exchange whose clock it moves.
pub struct SteppedBroker {
    broker: AlpacaBroker,
    http: reqwest::Client,
    address: String,
    clock: Arc<dyn Clock>,
    /// What time it is at the exchange, at least.
    reached_ms: AtomicI64,
}

impl SteppedBroker {
    /// The account that the settings name.
    ///
    /// # Errors
    /// As [`AlpacaBroker::new`].
    pub fn new(settings: &AlpacaSettings, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let broker = AlpacaBroker::new(settings, clock.clone())?;
        let http = reqwest::Client::builder().timeout(settings.timeout.as_duration()).build();
        let address = format!("{}/admin/clock", settings.trading_host().trim_end_matches('/'));
        Ok(Self { broker, http: http.map_err(ClientError::Build)?, address, clock, reached_ms: AtomicI64::new(0) })
    }

    /// The account, at an exchange that has come as far as the clock.
    async fn there(&self) -> Result<&AlpacaBroker, BrokerError> {
        let now = self.clock.wall();
        if self.reached_ms.load(Ordering::SeqCst) >= now.0 {
            return Ok(&self.broker);
        }
        let body = json!({ "now": now.to_string() }).to_string();
        let mut reason = String::new();
        for _ in 0..TRIES_MAX {
            match self.http.post(&self.address).body(body.clone()).send().await.map(|answer| answer.status()) {
                // Refused: it is further already. A process that was killed goes on from its own last minute.
                Ok(status) if status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY => {
                    self.reached_ms.fetch_max(now.0, Ordering::SeqCst);
                    return Ok(&self.broker);
                }
                Ok(status) if status.is_client_error() => {
                    let expected = "expected an exchange of `trade paper serve`, with --clock stepped";
                    return Err(rejected(format!("{} answers {status}: {expected}", self.address)));
                }
                Ok(status) => reason = status.to_string(),
                Err(error) => reason = error.without_url().to_string(),
            }
            tokio::time::sleep(TRY_WAIT).await;
        }
        let reason = format!("the exchange's clock at {} cannot be moved: {reason}", self.address);
        Err(BrokerError::Retryable { broker: NAME.to_owned(), reason })
    }
}

#[async_trait]
impl Broker for SteppedBroker {
    fn name(&self) -> &str {
        NAME
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.there().await?.account().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.there().await?.positions().await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.there().await?.open_orders().await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.there().await?.orders_by_client_id(id).await
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.there().await?.orders(broker_order_ids).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.there().await?.submit(ticket).await
    }

    fn trades_extended_hours(&self) -> bool {
        self.broker.trades_extended_hours()
    }

    async fn submit_for_extended_hours(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.there().await?.submit_for_extended_hours(ticket).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.there().await?.cancel(broker_order_id).await
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.there().await?.replace_stop(broker_order_id, stop).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        self.there().await?.fills(cursor).await
    }

    async fn disagreements(&self, calendar: &Calendar) -> Result<Vec<String>, BrokerError> {
        self.there().await?.disagreements(calendar).await
    }
}
