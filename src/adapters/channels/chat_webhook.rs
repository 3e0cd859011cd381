use daybook_core::alert::AlertLevel;
use daybook_core::time::Span;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::post::{ChannelSetupError, Poster, address};

/// An address of a chat at which programs post (Slack's incoming webhook, Discord's webhook), and what people may ask
/// for there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatWebhookSettings<C> {
    /// Whether it is told anything, and listened to.
    pub enabled: bool,
    /// The webhook's address, which is all that guards it; none: nothing is sent.
    #[serde(skip_serializing)]
    pub webhook_url: Option<SecretString>,
    /// The least level that it is told of; none: `notifications.min_level`.
    pub min_level: Option<AlertLevel>,
    /// How long one message may take.
    pub timeout: Span,
    /// What people may ask for there.
    pub control: C,
}

impl<C: Default> Default for ChatWebhookSettings<C> {
    fn default() -> Self {
        Self { enabled: true, webhook_url: None, min_level: None, timeout: Span::seconds(10), control: C::default() }
    }
}

impl<C> ChatWebhookSettings<C> {
    /// Whether messages are to be sent.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.enabled && self.webhook_url.is_some()
    }

    /// What is wrong with the webhook: the key, and what is wrong and expected.
    pub(super) fn problem_of_webhook(&self) -> Option<(&'static str, String)> {
        let url = self.webhook_url.as_ref().filter(|_| self.enabled)?;
        address(url.expose_secret()).err().map(|problem| ("webhook_url", problem))
    }

    /// What posts to it, and where.
    pub(super) fn poster(&self, channel: &'static str) -> Result<(Poster, Url), ChannelSetupError> {
        let secret = self.webhook_url.clone().unwrap_or_default();
        let url = address(secret.expose_secret()).map_err(|problem| ChannelSetupError::Settings {
            channel,
            key: "webhook_url",
            problem,
        })?;
        Ok((Poster::new(channel, self.timeout, vec![secret])?, url))
    }

    /// What posts to a service that calls, and where the channel is that is told alerts, if it is on.
    pub(super) fn mouth(&self, channel: &'static str) -> Result<(Poster, Option<Url>), ChannelSetupError> {
        if self.is_on() {
            return self.poster(channel).map(|(poster, url)| (poster, Some(url)));
        }
        Ok((Poster::new(channel, self.timeout, Vec::new())?, None))
    }
}
