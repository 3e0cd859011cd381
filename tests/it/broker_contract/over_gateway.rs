//! The same contract through the gateway of Interactive Brokers: our adapter on one side, a gateway in front of the
//! matching engine on the other, a socket between.

use daybook::adapters::brokers::ibkr::{IbkrBroker, IbkrSettings};
use daybook_core::time::Span;

use super::*;
use crate::ibkr_gateway::Gateway;

/// A gateway on a port of its own, and the adapter that trades there.
pub struct GatewayVenue {
    pub gateway: Gateway,
    pub broker: IbkrBroker,
    pub market: Arc<ScriptedMarket>,
    pub clock: Arc<SimulatedClock>,
    _folder: TempDir,
}

impl GatewayVenue {
    /// The settings under which this gateway is reached.
    pub fn settings(gateway: &Gateway) -> IbkrSettings {
        IbkrSettings {
            port: Some(gateway.port()),
            messages_per_second: 1_000_000,
            timeout: Span::seconds(20),
            ..IbkrSettings::default()
        }
    }

    /// Another program at the same gateway.
    pub fn broker_with(&self, settings: &IbkrSettings) -> IbkrBroker {
        IbkrBroker::new(settings, self.clock.clone()).unwrap()
    }
}

impl Venue for GatewayVenue {
    async fn open(settings: ExchangeSettings, start: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let market = Arc::new(ScriptedMarket::default());
        let clock = Arc::new(SimulatedClock::new(start, Speed::Max));
        let (feed, wall) = (Arc::clone(&market), Arc::clone(&clock));
        let path = folder.path().join("paper.db");
        let engine = PaperBroker::open(&path, Durability::Kill, settings, feed, wall, Calendar::xnys()).unwrap();
        let gateway = Gateway::open(engine, clock.clone()).await;
        let broker = IbkrBroker::new(&Self::settings(&gateway), clock.clone()).unwrap();
        Self { gateway, broker, market, clock, _folder: folder }
    }

    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn market(&self) -> &ScriptedMarket {
        &self.market
    }

    async fn wait_until(&self, instant: Timestamp) {
        self.clock.sleep_until(instant).await;
    }

    async fn restart(&mut self) {
        self.broker = self.broker_with(&Self::settings(&self.gateway));
        // The gateway frees the client id when it has noticed that the connection is gone.
        while let Err(BrokerError::Retryable { .. }) = self.broker.account().await {
            tokio::task::yield_now().await;
        }
    }

    async fn by_hand(&self, ticket: &OrderTicket) {
        self.gateway.by_hand(ticket).await;
    }
}
