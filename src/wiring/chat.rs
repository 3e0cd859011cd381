//! The chat in which people may ask for something, as the settings in force have it.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::channels;
use crate::adapters::channels::TelegramSettings;
use crate::engine::{Parts, chat};

/// Listens to the bot that the settings name, each time that they name another, until `stop`.
///
/// # Errors
/// If a bot cannot be set up, and what the ledger could not take.
pub(super) async fn run(in_force: watch::Receiver<Arc<Parts>>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let settings = in_force.borrow().settings.notifications.telegram.clone();
        let mut changes = in_force.clone();
        let until_others = async {
            // An error means that the driver is gone: then `stop` is near.
            let is_other = |parts: &Arc<Parts>| !is_same(&settings, &parts.settings.notifications.telegram);
            if changes.wait_for(is_other).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let listening = async {
            if !settings.is_listened_to() {
                return std::future::pending().await;
            }
            let (control, guard) = channels::control(&settings)?;
            chat::run(control, guard, in_force.clone(), stop.clone()).await
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = until_others => {}
            ended = listening => return ended,
        }
    }
}

/// Whether a bot would be listened to in the same way.
fn is_same(before: &TelegramSettings, after: &TelegramSettings) -> bool {
    before.is_listened_to() == after.is_listened_to()
        && before.control == after.control
        && before.server == after.server
        && before.timeout == after.timeout
        && token_of(before) == token_of(after)
}

fn token_of(settings: &TelegramSettings) -> Option<&str> {
    settings.bot_token.as_ref().map(|token| token.expose_secret())
}
