//! Leaves every position before the close.
//!
//! Gathers: the broker's positions and orders, the ledger's positions, intents on their way. Decides:
//! [`risk::flatten`](daybook_core::risk::flatten()).

use async_trait::async_trait;
use daybook_core::decision::Decision;
use daybook_core::risk::{FlattenFacts, flatten};

use super::account;
use crate::engine::job::{Job, Sources, Terms};

/// The job of kind `market-close-flatten`.
#[derive(Debug)]
pub struct MarketCloseFlatten;

#[async_trait]
impl Job for MarketCloseFlatten {
    type Facts = FlattenFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<FlattenFacts> {
        crash_point!("flatten.begin");
        let session = terms.session()?;
        let view = sources.broker.look().await?;
        let (positions, in_flight) = sources.ledger.read(|conn| {
            Ok((account::open_positions(conn, &sources.ledger.meta().account)?, account::in_flight(conn)?))
        })?;
        Ok(FlattenFacts {
            origin: terms.origin(),
            as_of: view.as_of,
            session,
            positions,
            broker_positions: view.positions,
            open_orders: view.open_orders,
            in_flight,
        })
    }

    fn decide(&self, facts: &FlattenFacts, _terms: &Terms) -> anyhow::Result<Decision> {
        Ok(flatten(facts))
    }
}
