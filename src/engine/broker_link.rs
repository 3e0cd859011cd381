//! The link to the account: every look at the broker is recorded before anybody decides on it.

use std::collections::HashSet;
use std::sync::Arc;

use daybook_core::order::{Account, BrokerPosition, Order};
use daybook_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::news;
use crate::ledger::alert::Routes;
use crate::ledger::{Ledger, LedgerError, fill, order};
use crate::ports::{Broker, BrokerError, Clock};

/// Looks are repeated while fills come in between their parts, at most this often: a market that
/// fills faster than that is looked at again by the next run.
const LOOKS_MAX: usize = 3;

/// Pages of fills taken in one look; a page holds 100 at the brokers in use.
const PAGES_MAX: usize = 200;

/// The account as the broker showed it in one look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerView {
    /// When it was looked at.
    pub as_of: Timestamp,
    /// The account's figures.
    pub account: Account,
    /// What it holds.
    pub positions: Vec<BrokerPosition>,
    /// Its orders that are not terminal.
    pub open_orders: Vec<Order>,
}

/// A look at the broker that failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The broker did not answer as it should.
    #[error("looking at the account")]
    Broker(#[from] BrokerError),
    /// What it answered could not be recorded.
    #[error("recording what the broker shows")]
    Ledger(#[from] LedgerError),
}

/// A broker and the ledger that records what it shows.
#[derive(Clone)]
pub struct BrokerLink {
    broker: Arc<dyn Broker>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    routes: Arc<Routes>,
}

impl BrokerLink {
    /// Links a broker to a ledger; `routes` are told of fills and of ended orders.
    pub fn new(broker: Arc<dyn Broker>, ledger: Ledger, clock: Arc<dyn Clock>, routes: Arc<Routes>) -> Self {
        Self { broker, ledger, clock, routes }
    }

    /// The same link, which tells others.
    #[must_use]
    pub fn with_routes(&self, routes: Arc<Routes>) -> Self {
        Self { routes, ..self.clone() }
    }

    /// The broker itself.
    #[must_use]
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Looks at the account, and records fills and orders that are new.
    ///
    /// Fills are read before and after the rest: an answer in which the positions know of a fill that
    /// the ledger does not is looked at again.
    pub async fn look(&self) -> Result<BrokerView, LinkError> {
        let account = self.ledger.meta().account.clone();
        let mut cursor = self.ledger.read(|conn| fill::cursor(conn, &account))?;
        self.record_fills(&mut cursor).await?;
        let mut looks = 1;
        loop {
            let as_of = self.clock.wall();
            // Asked for at once: an emergency stop waits for the slowest answer, not for one after another.
            let (account, positions, open_orders) =
                tokio::join!(self.broker.account(), self.broker.positions(), self.broker.open_orders());
            let view = BrokerView { as_of, account: account?, positions: positions?, open_orders: open_orders? };
            crash_point!("look.answered");
            let filled_meanwhile = self.record_fills(&mut cursor).await?;
            self.record_orders(&view.open_orders).await?;
            crash_point!("look.stored");
            if !filled_meanwhile || looks == LOOKS_MAX {
                return Ok(view);
            }
            looks += 1;
        }
    }

    /// Records the fills that are new, without a look at the rest.
    ///
    /// A look may do the same at the same time: an execution is recorded once, whoever brings it.
    pub async fn take_fills(&self) -> Result<(), LinkError> {
        let account = &self.ledger.meta().account;
        let mut cursor = self.ledger.read(|conn| fill::cursor(conn, account))?;
        self.record_fills(&mut cursor).await.map(drop)
    }

    /// Takes the fills after `cursor` and moves it; each page is one commit with its cursor.
    async fn record_fills(&self, cursor: &mut Option<String>) -> Result<bool, LinkError> {
        let mut any = false;
        let account = self.ledger.meta().account.clone();
        for _ in 0..PAGES_MAX {
            crash_point!("fills.before");
            let page = self.broker.fills(cursor.as_deref()).await?;
            if page.fills.is_empty() {
                break;
            }
            crash_point!("fills.page");
            any = true;
            *cursor = Some(page.cursor.clone());
            let now = self.clock.wall();
            let (account, routes) = (account.clone(), self.routes.clone());
            let more = page.more;
            self.ledger
                .write(move |tx| {
                    let recorded = fill::record_page(tx, &account, &page.fills, &page.cursor, now)?;
                    news::tell_of_fills(tx, &account, &recorded, &routes, now)
                })
                .await?;
            crash_point!("fills.stored");
            if !more {
                break;
            }
        }
        Ok(any)
    }

    /// Records what changed among the open orders, and how those ended that are open no longer.
    async fn record_orders(&self, open: &[Order]) -> Result<(), LinkError> {
        let account = self.ledger.meta().account.clone();
        let known: Vec<Order> =
            self.ledger.read(|conn| order::open(conn, &account))?.into_iter().map(|stored| stored.order).collect();
        let listed: HashSet<&str> = open.iter().map(|order| order.broker_order_id.as_str()).collect();
        let gone: Vec<String> = known
            .iter()
            .map(|order| &order.broker_order_id)
            .filter(|id| !listed.contains(id.as_str()))
            .cloned()
            .collect();
        let mut changed: Vec<Order> = open.iter().filter(|order| !known.contains(order)).cloned().collect();
        if !gone.is_empty() {
            changed.extend(self.broker.orders(&gone).await?);
        }
        if !changed.is_empty() {
            let now = self.clock.wall();
            let routes = self.routes.clone();
            self.ledger
                .write(move |tx| {
                    let recorded = order::record(tx, &account, &changed, now)?;
                    news::tell_of_orders(tx, &recorded, &routes, now)
                })
                .await?;
        }
        Ok(())
    }
}
