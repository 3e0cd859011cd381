use std::time::Duration;

use async_trait::async_trait;
use daybook_core::alert::AlertLevel;
use daybook_core::time::Span;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::post::{Answer, ChannelSetupError, Poster, address};
use super::text::{footer, headline, shortened, within};
use crate::adapters::Veiled;
use crate::ports::{Channel, ChannelError, Message};

/// What a message may hold, in bytes: a longer one becomes a file.
const MESSAGE_MAX: usize = 4_096;
/// Characters of the title.
const TITLE_MAX: usize = 200;
/// Topics that the server keeps for itself.
const RESERVED: [&str; 9] = ["docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login"];
/// The code of a used-up daily quota, and how long nothing is sent then.
const QUOTA: u64 = 42_908;
const QUOTA_WAIT: Duration = Duration::from_secs(60 * 60);
/// One request comes back in this time once a burst is used up.
const REFILL: Duration = Duration::from_secs(5);

/// A topic of ntfy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NtfySettings {
    /// Whether it is told anything.
    pub enabled: bool,
    /// The topic, whose name is all that guards it on a public server; none: nothing is sent.
    #[serde(skip_serializing)]
    pub topic: Option<SecretString>,
    /// The access token of a server that wants one.
    #[serde(skip_serializing)]
    pub token: Option<SecretString>,
    /// The server's address.
    pub server: Veiled,
    /// The least level that it is told of; none: `notifications.min_level`.
    pub min_level: Option<AlertLevel>,
    /// How long one message may take.
    pub timeout: Span,
}

impl Default for NtfySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            topic: None,
            token: None,
            server: "https://ntfy.sh".into(),
            min_level: None,
            timeout: Span::seconds(10),
        }
    }
}

impl NtfySettings {
    /// Whether messages are to be sent.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.enabled && self.topic.is_some()
    }

    /// Everything that is wrong: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        let topic = self.topic.as_ref().map_or("", |topic| topic.expose_secret());
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=64).contains(&topic.len()) || !topic.chars().all(letters) || RESERVED.contains(&topic) {
            let expected = "expected 1 to 64 of A-Z, a-z, 0-9, '-' and '_'; on a public server at least 20 random ones";
            problems.push(("topic", format!("is no topic; {expected}")));
        }
        problems.extend(address(self.server.value()).err().map(|problem| ("server", problem)));
        problems.extend(self.headers().err().map(|problem| ("token", problem)));
        problems
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
                .map_err(|_| "is no token; expected one as the server gives it, tk_...".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// Publishes messages to a topic of ntfy.
pub struct NtfyChannel {
    poster: Poster,
    url: Url,
    topic: SecretString,
    headers: HeaderMap,
}

impl NtfyChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "ntfy";

    /// A channel; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &NtfySettings) -> Result<Self, ChannelSetupError> {
        let failed = |key, problem| ChannelSetupError::Settings { channel: Self::NAME, key, problem };
        if let Some((key, problem)) = settings.problems().into_iter().next() {
            return Err(failed(key, problem));
        }
        let url = address(settings.server.value()).map_err(|problem| failed("server", problem))?;
        let headers = settings.headers().map_err(|problem| failed("token", problem))?;
        let secrets = settings.topic.iter().chain(&settings.token).cloned().collect();
        let topic = settings.topic.clone().unwrap_or_default();
        Ok(Self { poster: Poster::new(Self::NAME, settings.timeout, secrets)?, url, topic, headers })
    }

    fn refused(&self, answer: &Answer) -> ChannelError {
        let code = serde_json::from_str::<Value>(&answer.body).ok().and_then(|said| said.get("code")?.as_u64());
        let wait = if code == Some(QUOTA) { QUOTA_WAIT } else { REFILL };
        match answer.status {
            // The server names no wait of its own.
            429 => self.poster.refused(&Answer { retry_after: answer.retry_after.or(Some(wait)), ..answer.clone() }),
            _ => self.poster.refused(answer),
        }
    }
}

/// ntfy reads no markup unless it is asked to.
pub(super) fn payload(message: &Message, topic: &str) -> Value {
    let (priority, tag) = match message.level {
        AlertLevel::Info => (3, "information_source"),
        AlertLevel::Warning => (4, "warning"),
        AlertLevel::Critical => (5, "rotating_light"),
    };
    let last = footer(message);
    let summary = within(message.summary.trim(), MESSAGE_MAX.saturating_sub(last.len() + 2), char::len_utf8);
    let between = if summary.is_empty() { "" } else { "\n\n" };
    json!({
        "topic": topic,
        "title": shortened(&headline(message), TITLE_MAX),
        "message": format!("{summary}{between}{last}"),
        "priority": priority,
        "tags": [tag],
        "markdown": false,
    })
}

#[async_trait]
impl Channel for NtfyChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_chat(&self) -> bool {
        true
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        // JSON is read at the root alone: at the topic's own address it would be the message.
        let body = payload(message, self.topic.expose_secret()).to_string().into_bytes();
        let answer = self.poster.post(&self.url, self.headers.clone(), body).await?;
        if answer.status != 200 {
            return Err(self.refused(&answer));
        }
        let id = serde_json::from_str::<Value>(&answer.body).ok();
        let id = id.as_ref().and_then(|published| published.get("id")?.as_str());
        id.map(|id| format!("message {id}")).ok_or_else(|| self.poster.permanent("the answer is not that of ntfy"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_http::{FakeHttp, Reply, is_permanent, wait_of};
    use super::super::text::samples::hostile_note;
    use super::*;

    fn settings(server: &str) -> NtfySettings {
        NtfySettings {
            topic: Some("dbk-hunter2hunter2".into()),
            token: Some("tk_hunter3hunter3".into()),
            server: server.into(),
            timeout: Span::millis(300),
            ..NtfySettings::default()
        }
    }

    async fn outcome(reply: Reply) -> (Result<String, ChannelError>, FakeHttp) {
        let server = FakeHttp::start(vec![reply]).await;
        let channel = NtfyChannel::new(&settings(&server.url(""))).unwrap();
        (channel.deliver(&hostile_note()).await, server)
    }

    #[tokio::test]
    async fn a_message_is_published_at_the_root_with_the_token() {
        let (sent, server) = outcome(Reply::of(200, r#"{"id":"xE73Iyuabi","event":"message"}"#)).await;
        assert_eq!(sent, Ok("message xE73Iyuabi".to_owned()));
        let request = &server.requests()[0];
        assert_eq!((request.path.as_str(), request.header("authorization")), ("/", Some("Bearer tk_hunter3hunter3")));
        let body = request.json();
        assert_eq!((&body["priority"], &body["markdown"]), (&json!(5), &json!(false)));
        assert_eq!(body["tags"], json!(["rotating_light"]));
    }

    #[test]
    fn the_largest_message_keeps_to_the_limit() {
        for filling in ["x", "ä", "🙂"] {
            let note = Message { summary: filling.repeat(9_000), subject: filling.repeat(9_000), ..hostile_note() };
            let payload = payload(&note, "t");
            assert!(payload["message"].as_str().unwrap().len() <= MESSAGE_MAX);
            assert!(payload["title"].as_str().unwrap().chars().count() <= TITLE_MAX);
        }
        let empty = payload(&Message { summary: String::new(), ..hostile_note() }, "t");
        assert!(empty["message"].as_str().unwrap().starts_with("risk.breached"));
    }

    #[tokio::test]
    async fn what_ntfy_says_is_understood() {
        let quota = Reply::of(429, r#"{"code":42908,"http":429,"error":"limit reached"}"#);
        assert_eq!(wait_of(&outcome(quota).await.0), Some(3_600_000));
        assert_eq!(wait_of(&outcome(Reply::of(429, r#"{"code":42901}"#)).await.0), Some(5_000));
        for passes_by in [Reply::of(500, ""), Reply::Hang, Reply::CloseMidway] {
            assert!(!is_permanent(&outcome(passes_by).await.0));
        }
        for needs_a_person in [Reply::of(403, r#"{"code":40301}"#), Reply::of(413, ""), Reply::of(200, "<html>")] {
            let error = outcome(needs_a_person).await.0;
            assert!(is_permanent(&error) && !error.unwrap_err().to_string().contains("hunter"));
        }
    }

    #[test]
    fn each_mistake_names_its_key() {
        let good = || settings("https://ntfy.sh");
        assert!(good().problems().is_empty() && NtfySettings::default().problems().is_empty());
        for (settings, key) in [
            (NtfySettings { topic: Some("hunter2 a".into()), ..good() }, "topic"),
            (NtfySettings { topic: Some("settings".into()), ..good() }, "topic"),
            (NtfySettings { token: Some("hunter2\n".into()), ..good() }, "token"),
            (NtfySettings { server: "http://example.com".into(), ..good() }, "server"),
        ] {
            let problems = settings.problems();
            assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
            assert!(!problems[0].1.contains("hunter2"));
        }
    }
}
