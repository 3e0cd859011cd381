//! Ways to tell a person.
//!
//! [`EmailChannel`] and [`FileChannel`] deliver the very same letter: one hands it to a mail server, the
//! other, which is always on, writes it into a folder, so that no mail is lost because a server was. The
//! services ([`SlackChannel`] and its like) get a subject and a summary by one POST (`post`), within each
//! service's limits, and so that nothing a feed or a broker says is read as markup there. What went wrong
//! is classed by what may be done next: a network fails for a while, a wrong password until somebody
//! changes it. No error names what guards a service. [`TelegramControl`] also reads what people write to the bot;
//! [`SlackControl`] and [`DiscordControl`] read the calls of their services, which are signed.

mod chat_webhook;
mod command;
mod control;
mod discord;
mod discord_control;
mod email;
mod file;
mod letter;
mod log;
mod ntfy;
mod pagerduty;
mod post;
mod preview;
mod secrets;
mod settings;
mod slack;
mod slack_control;
mod telegram;
mod telegram_control;
mod text;
mod tls;
mod try_out;
mod webhook;

#[cfg(test)]
mod fake_http;
#[cfg(test)]
mod fake_smtp;

pub use command::{CommandChannel, CommandSettings};
pub use discord::DiscordChannel;
pub use discord_control::{DiscordControl, DiscordControlSettings, DiscordSettings};
pub use email::{EmailChannel, EmailError, letterhead};
pub use file::FileChannel;
pub use letter::{LetterError, Letterhead, self_contained_page};
pub use log::{LogChannel, LogSettings};
pub use ntfy::{NtfyChannel, NtfySettings};
pub use pagerduty::{PagerDutyChannel, PagerDutySettings};
pub use post::ChannelSetupError;
pub(crate) use post::address;
pub use preview::{CHANNELS, Preview, PreviewSettings};
pub use settings::{EmailSettings, Security};
pub use slack::SlackChannel;
pub use slack_control::{SlackControl, SlackControlSettings, SlackSettings};
pub use telegram::{TelegramChannel, TelegramControlSettings, TelegramSettings};
pub use telegram_control::TelegramControl;
pub use try_out::{TriedOut, reach};
pub use webhook::{WebhookChannel, WebhookSettings};
