//! Tests of the whole: one binary, so that it is linked once.

mod broker_contract;
mod cli;
mod cron;
mod dependencies;
mod docs;
mod errand;
mod layers;
mod paper_broker;
mod repository;
mod support;
