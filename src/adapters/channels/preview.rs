//! What a channel would be sent, to look at: the adapter's own payload, and nothing that guards the service.

use serde_json::{Value, json};

use super::command::{self, CommandChannel, CommandSettings};
use super::discord::{self, DiscordChannel};
use super::email::EmailChannel;
use super::file::FileChannel;
use super::log::{self, LogChannel};
use super::ntfy::{self, NtfyChannel};
use super::pagerduty::{self, PagerDutyChannel};
use super::self_contained_page;
use super::slack::{self, SlackChannel};
use super::telegram::{self, TelegramChannel};
use super::webhook::{self, WebhookChannel};
use crate::adapters::Veiled;
use crate::ports::Message;

/// What stands where a secret goes.
const SECRET: &str = "***";

/// Every channel there is.
pub const CHANNELS: [&str; 10] = [
    FileChannel::NAME,
    EmailChannel::NAME,
    SlackChannel::NAME,
    DiscordChannel::NAME,
    TelegramChannel::NAME,
    NtfyChannel::NAME,
    PagerDutyChannel::NAME,
    WebhookChannel::NAME,
    CommandChannel::NAME,
    LogChannel::NAME,
];

/// What of the settings shows in a message.
#[derive(Debug)]
pub struct PreviewSettings<'a> {
    /// The account that a pager is told of.
    pub account: &'a str,
    /// The chat that a bot writes to.
    pub chat_id: &'a str,
    /// The program that is run.
    pub command: &'a CommandSettings,
}

/// How a message would look on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The ending of a file that holds it: `html`, `json` or `txt`.
    pub ending: &'static str,
    /// What it holds.
    pub text: String,
}

impl Preview {
    /// How `message` would look on the channel of this name.
    #[must_use]
    pub fn of(message: &Message, channel: &str, settings: &PreviewSettings<'_>) -> Self {
        match channel {
            SlackChannel::NAME => Self::json(&slack::payload(message)),
            DiscordChannel::NAME => Self::json(&discord::payload(message)),
            TelegramChannel::NAME => {
                let chat = settings.chat_id.parse::<i64>().map_or_else(|_| json!(settings.chat_id), Value::from);
                Self::json(&telegram::payload(message, &chat))
            }
            NtfyChannel::NAME => Self::json(&ntfy::payload(message, SECRET)),
            PagerDutyChannel::NAME => match pagerduty::events(message, SECRET, settings.account).as_slice() {
                [event] => Self::json(event),
                events => Self::json(&json!(events)),
            },
            WebhookChannel::NAME => Self::json(&webhook::payload(message)),
            CommandChannel::NAME => Self::json(&json!({
                "run": command::words(settings.command, message, Veiled::told),
                "environment": command::variables(message).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                "standard_input": message.text,
            })),
            LogChannel::NAME => Self::json(&json!({
                "level": message.level.as_str(),
                "message": log::line(message),
                "event": message.event,
                "key": message.key,
            })),
            EmailChannel::NAME => match self_contained_page(message) {
                Some(page) => Self { ending: "html", text: page },
                None => Self::plain(message),
            },
            _ => Self::plain(message),
        }
    }

    fn json(payload: &Value) -> Self {
        Self { ending: "json", text: format!("{payload:#}\n") }
    }

    fn plain(message: &Message) -> Self {
        Self { ending: "txt", text: format!("{}\n\n{}\n", message.subject, message.summary) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::samples::hostile_note;
    use super::*;

    #[test]
    fn each_channel_shows_what_it_would_be_sent() {
        let command = CommandSettings {
            run: ["notify-send", "Daybook {level}", "{subject}"].map(Veiled::from).to_vec(),
            ..CommandSettings::default()
        };
        let settings = PreviewSettings { account: "paper", chat_id: "-100", command: &command };
        for (channel, ending, expected) in [
            ("slack", "json", "\"type\": \"context\""),
            ("discord", "json", "\"embeds\": ["),
            ("telegram", "json", "\"chat_id\": -100"),
            ("ntfy", "json", "\"topic\": \"***\""),
            ("pagerduty", "json", "\"dedup_key\": \"daybook/paper/risk.breached\""),
            ("webhook", "json", "\"type\": \"risk.breached\""),
            ("command", "json", "\"Daybook critical\""),
            ("log", "json", "\"message\": \"alert.raised: Daybook critical:"),
            ("file", "txt", "Daybook critical: <!channel>"),
            ("email", "txt", "Daybook critical: <!channel>"),
        ] {
            let preview = Preview::of(&hostile_note(), channel, &settings);
            assert_eq!(preview.ending, ending, "{channel}");
            assert!(preview.text.contains(expected), "{channel}: {}", preview.text);
            assert!(CHANNELS.contains(&channel));
        }
        let page = Message { html: Some("<p>one</p>".to_owned()), ..hostile_note() };
        assert_eq!(Preview::of(&page, "email", &settings), Preview { ending: "html", text: "<p>one</p>".to_owned() });
    }
}
