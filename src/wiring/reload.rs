//! What follows from another configuration while the process runs.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{mpsc, watch};

use super::{all_jobs, channels};
use crate::config::{Configuration, Reading, Settings};
use crate::engine::Parts;
use crate::engine::reload::{Prepared, Refresh, Reload, Standing};

/// Where a process that stays gets other configurations from, and who hears of those that come into force.
pub struct Live {
    /// What was read.
    pub readings: mpsc::Receiver<Reading>,
    /// Called with the settings that have come into force.
    pub on_change: Box<dyn Fn(&Settings) + Send>,
}

/// What a driver needs to take other configurations. Where none are read, what waits may still come into force.
pub(super) fn reload(standing: Standing, readings: Option<mpsc::Receiver<Reading>>) -> Reload {
    Reload { readings, prepare: Box::new(prepare), standing }
}

/// Tells of the settings in force, each time that they are others.
pub(super) async fn follow(mut in_force: watch::Receiver<Arc<Parts>>, on_change: Box<dyn Fn(&Settings) + Send>) {
    while in_force.changed().await.is_ok() {
        let settings = in_force.borrow_and_update().settings.clone();
        on_change(&settings);
    }
}

/// Builds what differs from the parts in force. The connections to broker and feed, the ledger and the clock are those
/// that there are.
fn prepare(parts: &Parts, configuration: &Configuration, refresh: Refresh) -> anyhow::Result<Prepared> {
    let settings = Arc::new(configuration.settings.clone());
    let mut next = parts.clone();
    next.config_hash = configuration.version.hash.as_str().into();
    next.backups = settings.backup_folder().into();
    let jobs = all_jobs(configuration);
    if *parts.definitions != *jobs {
        next.definitions = jobs.into();
        next.claimed = next.definitions.clone();
    }
    let mut told = None;
    if refresh == Refresh::Secrets || tell_otherwise(&parts.settings, &settings)? {
        let folder = &settings.notifications.folder;
        let (channels, routes) =
            channels::configured(&settings, &parts.sources.calendar, folder, parts.simulated, &parts.sources.clock)
                .context("notifications")?;
        let routes = Arc::new(routes);
        next.sources.broker = parts.sources.broker.with_routes(routes.clone());
        told = Some((channels, channels::policy(&settings, &routes)));
        next.routes = routes;
    }
    if parts.settings.models != settings.models && !parts.simulated {
        next.sources.models = Arc::new(super::models(&settings.models, &parts.sources.clock));
    }
    next.settings = settings;
    Ok(Prepared { parts: next, channels: told })
}

/// Whether other people are told, or otherwise, as far as it shows: secrets do not.
fn tell_otherwise(before: &Settings, after: &Settings) -> serde_json::Result<bool> {
    Ok(serde_json::to_value(&before.notifications)? != serde_json::to_value(&after.notifications)?)
}
