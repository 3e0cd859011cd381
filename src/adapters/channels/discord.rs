use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, USER_AGENT};
use serde_json::{Value, json};

use super::DiscordSettings;
use super::post::{Answer, ChannelSetupError, Poster};
use super::text::{colour, footer, headline, within};
use crate::ports::{Channel, ChannelError, Message};

/// Characters of an embed's title.
const TITLE_MAX: usize = 256;
/// Characters of an embed's description.
const DESCRIPTION_MAX: usize = 4_096;
/// Characters of an embed's footer; far below the service's 2,048.
const FOOTER_MAX: usize = 256;
/// Characters of all embeds together.
const TOTAL_MAX: usize = 6_000;
/// What a program that posts says of itself: the network in front of Discord refuses others.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("DiscordBot (https://example.org, 1.0) Daybook");
/// How long nothing is sent after the network in front of Discord has refused this machine.
const BLOCKED_FOR: Duration = Duration::from_secs(10 * 60);

/// Posts messages to a channel of Discord.
pub struct DiscordChannel {
    poster: Poster,
    url: Url,
}

impl DiscordChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "discord";

    /// A channel; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &DiscordSettings) -> Result<Self, ChannelSetupError> {
        let (poster, mut url) = settings.poster(Self::NAME)?;
        // Without it Discord does not say whether it has kept the message.
        url.query_pairs_mut().append_pair("wait", "true");
        Ok(Self { poster, url })
    }
}

/// What a refusal means.
pub(super) fn refused(poster: &Poster, answer: &Answer) -> ChannelError {
    let reason = format!("{} {}", answer.status, answer.body);
    match answer.status {
        403 => poster.transient(&reason, Some(BLOCKED_FOR)),
        // The header has whole seconds, the body a fraction: the longer one is right.
        429 => poster.transient(&reason, answer.retry_after.max(retry_after(&answer.body))),
        _ => poster.refused(answer),
    }
}

fn retry_after(body: &str) -> Option<Duration> {
    let seconds = serde_json::from_str::<Value>(body).ok()?.get("retry_after")?.as_f64()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// How many characters Discord's markup needs for one: a backslash stands before what it would read.
fn escaped_length(c: char) -> usize {
    1 + usize::from(is_markup(c))
}

const fn is_markup(c: char) -> bool {
    matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '@' | ':' | '-')
}

/// The beginning of `text` that fits escaped into `max` characters, escaped.
pub(super) fn escaped(text: &str, max: usize) -> String {
    let mut escaped = String::new();
    for c in within(text.trim(), max, escaped_length).chars() {
        if is_markup(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Everything stands in one embed, where no mention reaches anybody, and none is allowed besides.
pub(super) fn payload(message: &Message) -> Value {
    let title = escaped(&headline(message), TITLE_MAX);
    let footer = within(&footer(message), FOOTER_MAX, |_| 1); // a footer has no markup
    let left = TOTAL_MAX - title.chars().count() - footer.chars().count();
    let mut embed = json!({
        "title": title,
        "color": colour(message.level),
        "timestamp": message.at.to_string(),
        "footer": { "text": footer },
    });
    let description = escaped(&message.summary, DESCRIPTION_MAX.min(left));
    if !description.is_empty() {
        embed["description"] = Value::String(description);
    }
    json!({ "username": "Daybook", "allowed_mentions": { "parse": [] }, "embeds": [embed] })
}

#[async_trait]
impl Channel for DiscordChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_chat(&self) -> bool {
        true
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let body = payload(message).to_string().into_bytes();
        let answer = self.poster.post(&self.url, HeaderMap::from_iter([(USER_AGENT, AGENT)]), body).await?;
        match answer.status {
            200 => {
                let id = serde_json::from_str::<Value>(&answer.body).ok();
                let id = id.as_ref().and_then(|saved| saved.get("id")?.as_str());
                Ok(format!("message {}", id.unwrap_or("of an unknown number")))
            }
            201..=299 => Err(self.poster.permanent(&format!("{}: it does not say that it was kept", answer.status))),
            _ => Err(refused(&self.poster, &answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::time::Span;

    use super::super::fake_http::{FakeHttp, Reply, is_permanent, wait_of};
    use super::super::text::samples::hostile_note;
    use super::*;

    async fn outcome(reply: Reply) -> (Result<String, ChannelError>, FakeHttp) {
        let server = FakeHttp::start(vec![reply]).await;
        let webhook_url = Some(server.url("/api/webhooks/1/hunter2hunter2").into());
        let settings = DiscordSettings { webhook_url, timeout: Span::millis(300), ..DiscordSettings::default() };
        let outcome = DiscordChannel::new(&settings).unwrap().deliver(&hostile_note()).await;
        (outcome, server)
    }

    #[test]
    fn nothing_that_is_said_becomes_a_mention_or_markup() {
        let payload = payload(&hostile_note());
        assert_eq!(payload["allowed_mentions"], json!({ "parse": [] }));
        assert!(payload.get("content").is_none());
        let embed = &payload["embeds"][0];
        assert_eq!(embed["title"], r"Daybook critical\: \<!channel\> \@everyone \*down\* & out");
        assert!(embed["description"].as_str().unwrap().contains(r"\[click\]\(https\://evil.example\) \`code\` \_x\_"));
        assert_eq!(embed["color"], 0xDC_26_26);
        assert_eq!(embed["timestamp"], "2026-11-16T16:42:05Z");
    }

    #[test]
    fn the_largest_message_keeps_to_the_limits() {
        for filling in ["*", "x", "🙂"] {
            let note = Message { summary: filling.repeat(20_000), subject: filling.repeat(5_000), ..hostile_note() };
            let embed = payload(&note)["embeds"][0].clone();
            let length = |key: &str| embed[key].as_str().unwrap().chars().count();
            assert!(length("title") <= TITLE_MAX && length("description") <= DESCRIPTION_MAX, "{filling}");
            let footer = embed["footer"]["text"].as_str().unwrap().chars().count();
            assert!(length("title") + length("description") + footer <= TOTAL_MAX);
            assert!(embed["description"].as_str().unwrap().ends_with('…'));
        }
        let empty = payload(&Message { summary: String::new(), ..hostile_note() });
        assert!(empty["embeds"][0].get("description").is_none(), "an empty value is refused");
    }

    #[tokio::test]
    async fn what_discord_says_is_understood() {
        let (sent, server) = outcome(Reply::of(200, r#"{"id":"4711"}"#)).await;
        assert_eq!(sent, Ok("message 4711".to_owned()));
        assert_eq!(server.requests()[0].path, "/api/webhooks/1/hunter2hunter2?wait=true");

        let body = r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#;
        let (busy, _) = outcome(Reply::of(429, body).with_header("Retry-After", "64")).await;
        assert_eq!(wait_of(&busy), Some(64_570));
        let (blocked, _) = outcome(Reply::of(429, "<html>1015</html>").with_header("Retry-After", "5")).await;
        assert_eq!(wait_of(&blocked), Some(5_000));
        assert_eq!(wait_of(&outcome(Reply::of(403, "<html>")).await.0), Some(600_000));
        for passes_by in [Reply::of(502, "<html>"), Reply::Hang, Reply::CloseMidway] {
            assert!(!is_permanent(&outcome(passes_by).await.0));
        }
        for needs_a_person in [
            Reply::of(404, r#"{"code":10015}"#),
            Reply::of(400, r#"{"code":50035}"#),
            Reply::of(204, ""),
            Reply::of(413, ""),
        ] {
            assert!(is_permanent(&outcome(needs_a_person).await.0));
        }
    }
}
