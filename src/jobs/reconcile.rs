//! STUB
use crate::engine::broker_link::BrokerView;
use crate::engine::job::{Job, Sources, Terms};
use async_trait::async_trait;
use daybook_core::decision::Decision;
#[derive(Debug)]
pub struct Reconcile;
#[async_trait]
impl Job for Reconcile {
    type Facts = BrokerView;
    async fn gather(&self, sources: &Sources, _terms: &Terms) -> anyhow::Result<BrokerView> {
        Ok(sources.broker.look().await?)
    }
    fn decide(&self, _f: &BrokerView, _t: &Terms) -> anyhow::Result<Decision> {
        Ok(Decision { summary: "same".into(), ..Decision::default() })
    }
}
