//! Tests of the whole: one binary, so that it is linked once.

mod broker_contract;
mod cli;
mod corruption;
mod crash;
mod cron;
mod day;
mod dependencies;
mod dispatch;
mod docs;
mod engine;
mod errand;
mod faulty_broker;
mod follower;
mod job_core;
mod layers;
mod paper_broker;
mod paper_exchange;
mod paper_week;
mod power_loss;
mod reload;
mod repository;
mod restart;
mod simulation;
mod supervision;
mod support;
mod take_over;
