use async_trait::async_trait;
use daybook_core::alert::AlertLevel;
use serde::{Deserialize, Serialize};

use super::text::headline;
use crate::ports::{Channel, ChannelError, Message};

/// The process's own log as a channel: for a desktop, a container, a service manager's journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Whether alerts are logged.
    pub enabled: bool,
    /// The least level that is logged; none: `notifications.min_level`.
    pub min_level: Option<AlertLevel>,
}

/// Writes a line of the log for each message.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogChannel;

impl LogChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "log";
}

/// What is logged, besides the level, the event and the key.
pub(super) fn line(message: &Message) -> String {
    format!("alert.raised: {}", headline(message))
}

#[async_trait]
impl Channel for LogChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let (event, key, line) = (&message.event, &message.key, line(message));
        match message.level {
            AlertLevel::Info => tracing::info!(event, key, "{line}"),
            AlertLevel::Warning => tracing::warn!(event, key, "{line}"),
            AlertLevel::Critical => tracing::error!(event, key, "{line}"),
        }
        Ok("logged".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::samples::hostile_note;
    use super::*;

    #[tokio::test]
    async fn a_log_takes_everything() {
        for level in [AlertLevel::Info, AlertLevel::Warning, AlertLevel::Critical] {
            assert_eq!(LogChannel.deliver(&Message { level, ..hostile_note() }).await, Ok("logged".to_owned()));
        }
    }
}
