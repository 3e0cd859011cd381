use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::alert::AlertLevel;
use daybook_core::time::Span;
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::control;
use super::post::{Answer, ChannelSetupError, Poster, address};
use super::text::{footer, headline, shortened, within};
use crate::adapters::Veiled;
use crate::ports::{Channel, ChannelError, Message};

/// What a message may hold, in UTF-16 units.
const TEXT_MAX: usize = 4_096;
/// Characters of the first line.
const HEADLINE_MAX: usize = 512;

/// A bot of Telegram, and whom it tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelegramSettings {
    /// Whether it is told anything.
    pub enabled: bool,
    /// The bot's token; none: nothing is sent.
    #[serde(skip_serializing)]
    pub bot_token: Option<SecretString>,
    /// The chat: a number, negative for a group, or `@name` of a public channel.
    pub chat_id: String,
    /// The service's address; another for a server of one's own.
    pub server: Veiled,
    /// The least level that it is told of; none: `notifications.min_level`.
    pub min_level: Option<AlertLevel>,
    /// How long one message may take.
    pub timeout: Span,
    /// What people may ask for by writing to the bot.
    pub control: TelegramControlSettings,
}

/// What people may ask for by writing to the bot: status, positions, halt, resume, close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelegramControlSettings {
    /// Whether the bot is listened to.
    pub enabled: bool,
    /// Who is heard: Telegram's numbers of people.
    pub users: Vec<i64>,
    /// The groups in which they are heard, besides their own chats with the bot.
    pub chats: Vec<i64>,
    /// How long a person has for the yes to what moves money or opens entries.
    pub confirm_within: Span,
}

impl Default for TelegramControlSettings {
    fn default() -> Self {
        Self { enabled: false, users: Vec::new(), chats: Vec::new(), confirm_within: Span::minutes(1) }
    }
}

impl TelegramControlSettings {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.users.is_empty() {
            let told = "is empty, and nobody would be heard; expected people's numbers, such as [123456789]";
            problems.push(("control.users", told.to_owned()));
        }
        if let Some(user) = self.users.iter().find(|user| **user <= 0) {
            problems.push(("control.users", format!("has {user}, which is no person; expected numbers above 0")));
        }
        if let Some(chat) = self.chats.iter().find(|chat| **chat >= 0) {
            problems.push(("control.chats", format!("has {chat}, which is no group; expected numbers below 0")));
        }
        problems.extend(control::problem_of_confirm_within(self.confirm_within));
        problems
    }
}

impl Default for TelegramSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            bot_token: None,
            chat_id: String::new(),
            server: "https://api.telegram.org".into(),
            min_level: None,
            timeout: Span::seconds(15),
            control: TelegramControlSettings::default(),
        }
    }
}

impl TelegramSettings {
    /// Whether messages are to be sent.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.enabled && self.bot_token.is_some()
    }

    /// Whether the bot is to be listened to.
    #[must_use]
    pub const fn is_listened_to(&self) -> bool {
        self.is_on() && self.control.enabled
    }

    /// Everything that is wrong: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            let is_deaf = self.enabled && self.control.enabled;
            let told = "is missing, and control.enabled is true; expected a reference such as ${TELEGRAM_BOT_TOKEN}";
            return is_deaf.then(|| ("bot_token", told.to_owned())).into_iter().collect();
        }
        let mut problems: Vec<_> = self.url("sendMessage").err().into_iter().collect();
        problems.extend(self.chat().err().map(|problem| ("chat_id", problem)));
        if self.control.enabled {
            problems.extend(self.control.problems());
        }
        problems
    }

    fn chat(&self) -> Result<Value, String> {
        if let Ok(number) = self.chat_id.parse::<i64>() {
            return Ok(Value::from(number));
        }
        if self.chat_id.len() > 1 && self.chat_id.starts_with('@') {
            return Ok(Value::from(self.chat_id.as_str()));
        }
        Err(format!("is \"{}\"; expected a number such as -1001234567890, or @name of a channel", self.chat_id))
    }

    /// The address of a method of the bot.
    pub(super) fn url(&self, method: &str) -> Result<Url, (&'static str, String)> {
        let token = self.bot_token.as_ref().map_or("", |token| token.expose_secret());
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
        if !token.contains(':') || !token.chars().all(letters) {
            return Err(("bot_token", "is no token; expected one as @BotFather gives it, 123456:ABC...".to_owned()));
        }
        address(&format!("{}/bot{token}/{method}", self.server.value().trim_end_matches('/')))
            .map_err(|problem| ("server", problem))
    }
}

/// Has a bot of Telegram write to a chat.
pub struct TelegramChannel {
    poster: Poster,
    url: Url,
    /// Another than the configured one once Telegram has said that the group has moved.
    chat: Mutex<Value>,
}

impl TelegramChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "telegram";

    /// A channel; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &TelegramSettings) -> Result<Self, ChannelSetupError> {
        let failed = |key, problem| ChannelSetupError::Settings { channel: Self::NAME, key, problem };
        let url = settings.url("sendMessage").map_err(|(key, problem)| failed(key, problem))?;
        let chat = settings.chat().map_err(|problem| failed("chat_id", problem))?;
        let secrets = settings.bot_token.iter().cloned().collect();
        Ok(Self { poster: Poster::new(Self::NAME, settings.timeout, secrets)?, url, chat: Mutex::new(chat) })
    }

    async fn send(&self, message: &Message) -> Result<(Answer, Reply), ChannelError> {
        let chat = self.chat.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let body = payload(message, &chat).to_string().into_bytes();
        let answer = self.poster.post(&self.url, HeaderMap::new(), body).await?;
        // What is no JSON was said by something in front of Telegram: the status is all there is.
        let reply = serde_json::from_str(&answer.body).unwrap_or_default();
        Ok((answer, reply))
    }
}

/// What a refusal means.
pub(super) fn refused(poster: &Poster, answer: &Answer) -> ChannelError {
    // What is no JSON was said by something in front of Telegram: the status is all there is.
    let reply: Reply = serde_json::from_str(&answer.body).unwrap_or_default();
    let code = reply.error_code.unwrap_or(answer.status);
    let reason = format!("{code} {}", reply.description.as_deref().unwrap_or(&answer.body));
    match code {
        429 => poster.transient(&reason, reply.parameters.retry_after.map(Duration::from_secs)),
        // Somebody else polls with this token at the moment.
        409 => poster.transient(&reason, None),
        _ => poster.refused(&Answer { status: code, body: reply.description.unwrap_or_default(), ..answer.clone() }),
    }
}

/// What Telegram says; the words of `description` may change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    ok: bool,
    result: Sent,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    message_id: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// The text is sent without a parse mode, so nothing in it is markup; that its first line is bold is said beside it.
pub(super) fn payload(message: &Message, chat: &Value) -> Value {
    let inert = |text: &str| text.replace('@', "@\u{2060}").replace('/', "/\u{2060}"); // neither a name nor a command
    let first = inert(&shortened(&headline(message), HEADLINE_MAX));
    let last = footer(message);
    let units = |text: &str| text.encode_utf16().count();
    let left = TEXT_MAX.saturating_sub(units(&first) + units(&last) + 4);
    let summary = within(&inert(message.summary.trim()), left, char::len_utf16);
    let between = if summary.is_empty() { String::new() } else { format!("\n{summary}\n") };
    json!({
        "chat_id": chat,
        "text": format!("{first}\n{between}\n{last}"),
        "entities": [{ "type": "bold", "offset": 0, "length": units(&first) }],
        "link_preview_options": { "is_disabled": true },
        "disable_notification": message.level == AlertLevel::Info,
    })
}

#[async_trait]
impl Channel for TelegramChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_chat(&self) -> bool {
        true
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let (mut answer, mut reply) = self.send(message).await?;
        if let Some(moved_to) = reply.parameters.migrate_to_chat_id {
            tracing::warn!(
                chat_id = moved_to,
                "telegram.moved: the group has a new id; write it into notifications.telegram.chat_id"
            );
            *self.chat.lock().unwrap_or_else(PoisonError::into_inner) = Value::from(moved_to);
            (answer, reply) = self.send(message).await?;
        }
        if reply.ok && answer.status == 200 {
            return Ok(format!("message {}", reply.result.message_id));
        }
        Err(refused(&self.poster, &answer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_http::{FakeHttp, Reply as Answered, is_permanent, wait_of};
    use super::super::text::samples::hostile_note;
    use super::*;

    const SENT: &str = r#"{"ok":true,"result":{"message_id":42}}"#;

    fn settings(server: &str) -> TelegramSettings {
        TelegramSettings {
            bot_token: Some("123:hunter2hunter2".into()),
            chat_id: "-1001234567890".to_owned(),
            server: server.into(),
            timeout: Span::millis(300),
            ..TelegramSettings::default()
        }
    }

    async fn outcome(replies: Vec<Answered>) -> (Result<String, ChannelError>, FakeHttp) {
        let server = FakeHttp::start(replies).await;
        let channel = TelegramChannel::new(&settings(&server.url(""))).unwrap();
        (channel.deliver(&hostile_note()).await, server)
    }

    #[test]
    fn nothing_that_is_said_becomes_a_mention_a_command_or_markup() {
        let payload = payload(&hostile_note(), &json!(1));
        assert!(payload.get("parse_mode").is_none());
        let text = payload["text"].as_str().unwrap();
        assert!(!text.contains("@everyone") && !text.contains("@here") && text.contains("<script>"), "{text}");
        assert_eq!(payload["entities"].as_array().unwrap().len(), 1);
        assert_eq!(payload["disable_notification"], false);
    }

    #[test]
    fn the_largest_message_keeps_to_the_limit() {
        for filling in ["x", "🙂", "@", "/\n"] {
            let note = Message { summary: filling.repeat(9_000), subject: filling.repeat(9_000), ..hostile_note() };
            let payload = payload(&note, &json!(1));
            let text = payload["text"].as_str().unwrap();
            assert!(text.encode_utf16().count() <= TEXT_MAX, "{filling}");
            assert!(text.ends_with(&note.key));
        }
    }

    #[tokio::test]
    async fn what_telegram_says_is_understood() {
        let (sent, server) = outcome(vec![Answered::of(200, SENT)]).await;
        assert_eq!(sent, Ok("message 42".to_owned()));
        assert_eq!(server.requests()[0].path, "/bot123:hunter2hunter2/sendMessage");
        assert_eq!(server.requests()[0].json()["chat_id"], -1_001_234_567_890_i64);

        let busy = r#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":35}}"#;
        assert_eq!(wait_of(&outcome(vec![Answered::of(429, busy)]).await.0), Some(35_000));
        for passes_by in [Answered::of(502, "<html>"), Answered::Hang, Answered::CloseMidway] {
            assert!(!is_permanent(&outcome(vec![passes_by]).await.0));
        }
        let kicked = r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked"}"#;
        let through_a_proxy = r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#;
        for needs_a_person in [Answered::of(403, kicked), Answered::of(200, through_a_proxy), Answered::of(401, "")] {
            let error = outcome(vec![needs_a_person]).await.0;
            assert!(is_permanent(&error) && !error.unwrap_err().to_string().contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn a_group_that_has_moved_is_followed() {
        let moved = r#"{"ok":false,"error_code":400,"parameters":{"migrate_to_chat_id":-1009876543210}}"#;
        let (sent, server) = outcome(vec![Answered::of(400, moved), Answered::of(200, SENT)]).await;
        assert_eq!(sent, Ok("message 42".to_owned()));
        assert_eq!(server.requests()[1].json()["chat_id"], -1_009_876_543_210_i64);
    }

    #[test]
    fn each_mistake_names_its_key() {
        let good = || settings("https://api.telegram.org");
        let heard = |users: &[i64], chats: &[i64]| TelegramControlSettings {
            enabled: true,
            users: users.to_vec(),
            chats: chats.to_vec(),
            ..TelegramControlSettings::default()
        };
        assert!(good().problems().is_empty() && TelegramSettings::default().problems().is_empty());
        let listened_to = TelegramSettings { control: heard(&[1], &[-100]), ..good() };
        assert!(listened_to.problems().is_empty() && listened_to.is_listened_to() && !good().is_listened_to());
        for (settings, key) in [
            (TelegramSettings { bot_token: Some("hunter2/".into()), ..good() }, "bot_token"),
            (TelegramSettings { chat_id: "ops".to_owned(), ..good() }, "chat_id"),
            (TelegramSettings { server: "http://example.com".into(), ..good() }, "server"),
            (TelegramSettings { bot_token: None, control: heard(&[1], &[]), ..good() }, "bot_token"),
            (TelegramSettings { control: heard(&[], &[-100]), ..good() }, "control.users"),
            (TelegramSettings { control: heard(&[-7], &[]), ..good() }, "control.users"),
            (TelegramSettings { control: heard(&[1], &[42]), ..good() }, "control.chats"),
            (
                TelegramSettings {
                    control: TelegramControlSettings { confirm_within: Span::seconds(9), ..heard(&[1], &[]) },
                    ..good()
                },
                "control.confirm_within",
            ),
        ] {
            let problems = settings.problems();
            assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
            assert!(!problems[0].1.contains("hunter2"));
        }
    }
}
