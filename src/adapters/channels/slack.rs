use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::SlackSettings;
use super::post::{ChannelSetupError, Poster};
use super::text::{colour, footer, headline, shortened};
use crate::ports::{Channel, ChannelError, Message};

/// Characters of the text above the blocks: what a phone shows.
const TEXT_MAX: usize = 3_000;
/// Characters of a section.
const SECTION_MAX: usize = 3_000;
/// Blocks of a message.
const BLOCKS_MAX: usize = 50;

/// A webhook takes a message a second (Slack, "Rate limits").
const PAUSE: Duration = Duration::from_secs(1);

/// Posts messages to a channel of Slack.
pub struct SlackChannel {
    poster: Poster,
    url: Url,
}

impl SlackChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "slack";

    /// A channel; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &SlackSettings) -> Result<Self, ChannelSetupError> {
        let (poster, url) = settings.poster(Self::NAME)?;
        Ok(Self { poster, url })
    }
}

/// Slack reads `&`, `<` and `>` in a text; escaped, nothing in it can be a mention or a link.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The blocks are plain text, in which Slack reads nothing.
pub(super) fn payload(message: &Message) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let text = escaped(&shortened(&headline(message), TEXT_MAX / "&amp;".len()));
    // The last block is the footer's.
    let mut blocks: Vec<Value> = sections(message.summary.trim(), BLOCKS_MAX - 1)
        .iter()
        .map(|section| json!({ "type": "section", "text": plain(section) }))
        .collect();
    blocks.push(json!({ "type": "context", "elements": [plain(&footer(message))] }));
    json!({
        "text": text,
        "mrkdwn": false,
        "attachments": [{ "color": format!("#{:06x}", colour(message.level)), "blocks": blocks }],
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// Parts of at most [`SECTION_MAX`] characters, cut between lines where that is possible; at most `parts_max`.
fn sections(text: &str, parts_max: usize) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    for line in text.split_inclusive('\n').map(|line| shortened(line, SECTION_MAX)) {
        if part.chars().count() + line.chars().count() > SECTION_MAX {
            parts.push(std::mem::take(&mut part));
        }
        part.push_str(&line);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    if parts.len() > parts_max {
        parts.truncate(parts_max);
        if let Some(last) = parts.last_mut() {
            *last = last.chars().take(SECTION_MAX - 1).chain(['…']).collect();
        }
    }
    parts
}

#[async_trait]
impl Channel for SlackChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_chat(&self) -> bool {
        true
    }

    fn pause(&self) -> Duration {
        PAUSE
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let body = payload(message).to_string().into_bytes();
        let answer = self.poster.post(&self.url, HeaderMap::new(), body).await?;
        match (answer.status, answer.body.trim()) {
            (200, "ok") => Ok("ok".to_owned()),
            // Somebody else answers at this address.
            (200, other) => Err(self.poster.permanent(&format!("the answer is not \"ok\": {other}"))),
            _ => Err(self.poster.refused(&answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::time::Span;

    use super::super::fake_http::{FakeHttp, Reply, is_permanent, wait_of};
    use super::super::text::samples::hostile_note;
    use super::*;

    fn channel(server: &FakeHttp) -> SlackChannel {
        let webhook_url = Some(server.url("/services/T0001234/B0001234/hunter2hunter2").into());
        SlackChannel::new(&SlackSettings { webhook_url, timeout: Span::millis(300), ..SlackSettings::default() })
            .unwrap()
    }

    async fn outcome(reply: Reply) -> Result<String, ChannelError> {
        let server = FakeHttp::start(vec![reply]).await;
        channel(&server).deliver(&hostile_note()).await
    }

    #[test]
    fn nothing_that_is_said_becomes_a_mention_or_markup() {
        let payload = payload(&hostile_note());
        assert_eq!(payload["text"], "Daybook critical: &lt;!channel&gt; @everyone *down* &amp; out");
        assert_eq!(payload["mrkdwn"], false);
        let attachment = &payload["attachments"][0];
        assert_eq!(attachment["color"], "#dc2626");
        for block in attachment["blocks"].as_array().unwrap() {
            let text = if block["type"] == "section" { &block["text"] } else { &block["elements"][0] };
            assert_eq!((&text["type"], &text["emoji"]), (&json!("plain_text"), &json!(false)));
        }
    }

    #[test]
    fn the_largest_message_keeps_to_the_limits() {
        let summary = (0..20_000).map(|line| format!("{line} & some more words\n")).collect();
        let payload = payload(&Message { summary, subject: "&".repeat(10_000), ..hostile_note() });
        assert!(payload["text"].as_str().unwrap().chars().count() <= TEXT_MAX);
        let blocks = payload["attachments"][0]["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), BLOCKS_MAX);
        for block in &blocks[..BLOCKS_MAX - 1] {
            assert!(block["text"]["text"].as_str().unwrap().chars().count() <= SECTION_MAX);
        }
        assert!(blocks[BLOCKS_MAX - 2]["text"]["text"].as_str().unwrap().ends_with('…'));
        assert_eq!(sections("", 3), Vec::<String>::new());
        assert_eq!(sections(&"x".repeat(4_000), 3)[0].chars().count(), SECTION_MAX);
    }

    #[tokio::test]
    async fn what_slack_says_is_understood() {
        assert_eq!(outcome(Reply::of(200, "ok")).await, Ok("ok".to_owned()));
        let busy = Reply::of(429, "rate_limited").with_header("Retry-After", "3");
        assert_eq!(wait_of(&outcome(busy).await), Some(3_000));
        for passes_by in [Reply::of(500, "rollup_error"), Reply::Hang, Reply::CloseMidway] {
            assert!(!is_permanent(&outcome(passes_by).await));
        }
        for needs_a_person in [Reply::of(404, "no_service"), Reply::of(200, "<html>sign in</html>"), Reply::of(302, "")]
        {
            assert!(is_permanent(&outcome(needs_a_person).await));
        }
        assert_eq!(outcome(Reply::Slow(200, "ok")).await, Ok("ok".to_owned()));
    }

    #[tokio::test]
    async fn the_address_stands_in_no_error() {
        let refused = outcome(Reply::of(404, "no /services/T0001234/B0001234/hunter2hunter2 here")).await.unwrap_err();
        assert_eq!(refused.to_string(), "slack: 404 no /***/***/***/*** here");
        let server = FakeHttp::start(vec![]).await;
        let gone = channel(&server);
        server.stop().await;
        assert!(!gone.deliver(&hostile_note()).await.unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn an_address_that_is_none_is_told_without_it() {
        let settings = SlackSettings { webhook_url: Some("hunter2".into()), ..SlackSettings::default() };
        let problems = settings.problems();
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].1.contains("hunter2"));
        assert!(SlackSettings { enabled: false, ..settings }.problems().is_empty());
    }
}
