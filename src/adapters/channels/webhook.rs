use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_core::alert::AlertLevel;
use daybook_core::time::{Span, Timestamp};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::post::{Answer, ChannelSetupError, Poster, address};
use super::text::{one_line, shortened};
use crate::adapters::Veiled;
use crate::ports::{Channel, ChannelError, Clock, Message};

/// Characters of the text: with everything around it the body stays below the 20 KB that receivers expect.
const TEXT_MAX: usize = 3_000;
/// What a signing secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a signing secret has.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Headers that the channel sets itself begin with this, or are this.
const OWN_HEADERS: [&str; 4] = ["webhook-", "content-", "authorization", "host"];
/// Headers of the connection, and of how the body is delimited on it (RFC 9110, 7.6.1): with another than the client's own,
/// a receiver reads no body, or another one.
const CONNECTION_HEADERS: [&str; 10] = [
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// A receiver of one's own, told as Standard Webhooks 1.0 has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Whether it is told anything.
    pub enabled: bool,
    /// The receiver's address; none: nothing is sent.
    #[serde(skip_serializing)]
    pub url: Option<SecretString>,
    /// What messages are signed with: `whsec_` and 24 to 64 bytes in base64; none: they are not signed.
    #[serde(skip_serializing)]
    pub signing_secret: Option<SecretString>,
    /// The `Authorization` header, for a receiver that wants one.
    #[serde(skip_serializing)]
    pub authorization: Option<SecretString>,
    /// More headers, whose values may be secrets: they are told as they were written, by reference.
    pub headers: BTreeMap<String, Veiled>,
    /// The least level that it is told of; none: `notifications.min_level`.
    pub min_level: Option<AlertLevel>,
    /// How long one message may take.
    pub timeout: Span,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            url: None,
            signing_secret: None,
            authorization: None,
            headers: BTreeMap::new(),
            min_level: None,
            timeout: Span::seconds(15),
        }
    }
}

impl WebhookSettings {
    /// Whether messages are to be sent.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.enabled && self.url.is_some()
    }

    /// Everything that is wrong: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems: Vec<_> = self.url().err().map(|problem| ("url", problem)).into_iter().collect();
        problems.extend(self.key().err().map(|problem| ("signing_secret", problem)));
        problems.extend(self.headers().err().unwrap_or_default());
        problems
    }

    fn url(&self) -> Result<Url, String> {
        address(self.url.as_ref().map_or("", |url| url.expose_secret()))
    }

    fn key(&self) -> Result<Option<hmac::Key>, String> {
        let Some(secret) = &self.signing_secret else { return Ok(None) };
        let bytes = secret.expose_secret().strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        match bytes {
            Some(bytes) if SECRET_BYTES.contains(&bytes.len()) => Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
            _ => Err("is no signing secret; expected whsec_ and 24 to 64 random bytes in base64".to_owned()),
        }
    }

    /// The headers, or everything that is wrong with them.
    fn headers(&self) -> Result<HeaderMap, Vec<(&'static str, String)>> {
        let (mut headers, mut problems) = (HeaderMap::new(), Vec::new());
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            if OWN_HEADERS.iter().any(|own| lower.starts_with(own)) {
                problems.push(("headers", format!("has \"{name}\", which is set by Daybook; remove it")));
                continue;
            }
            if CONNECTION_HEADERS.contains(&lower.as_str()) {
                problems.push(("headers", format!("has \"{name}\", which belongs to the connection; remove it")));
                continue;
            }
            match HeaderName::try_from(&lower).ok().zip(HeaderValue::try_from(value.value()).ok()) {
                Some((name, mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                None => problems.push(("headers", format!("\"{name}\" and its value are no header; correct them"))),
            }
        }
        match self.authorization.as_ref().map(|secret| HeaderValue::try_from(secret.expose_secret())) {
            Some(Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Some(Err(_)) => problems.push(("authorization", "is no value of a header; correct it".to_owned())),
            None => {}
        }
        if problems.is_empty() { Ok(headers) } else { Err(problems) }
    }
}

/// Posts messages, signed, to a receiver of one's own.
pub struct WebhookChannel {
    poster: Poster,
    url: Url,
    key: Option<hmac::Key>,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
}

impl WebhookChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "webhook";

    /// A channel; nothing is connected yet. The clock's time stands in each attempt.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, ChannelSetupError> {
        let failed = |key, problem| ChannelSetupError::Settings { channel: Self::NAME, key, problem };
        let secrets = [&settings.url, &settings.signing_secret, &settings.authorization];
        let headers = settings.headers.values().map(|value| SecretString::from(value.value()));
        let secrets = secrets.into_iter().flatten().cloned().chain(headers).collect();
        Ok(Self {
            poster: Poster::new(Self::NAME, settings.timeout, secrets)?,
            url: settings.url().map_err(|problem| failed("url", problem))?,
            key: settings.key().map_err(|problem| failed("signing_secret", problem))?,
            headers: settings.headers().map_err(|problems| {
                let (key, problem) = problems.into_iter().next().unwrap_or_default();
                failed(key, problem)
            })?,
            clock,
        })
    }

    /// The headers of an attempt: those of every one, its id and time, and the signature of the very bytes that are sent.
    fn headers(&self, message: &Message, body: &[u8], now: Timestamp) -> Result<HeaderMap, ChannelError> {
        // The id is the same for every attempt. A dot in it would let a receiver take part of it for the time.
        let id = message.key.replace('.', "-");
        let seconds = now.0.div_euclid(1_000).to_string();
        let mut own = vec![("webhook-id", id.clone()), ("webhook-timestamp", seconds.clone())];
        own.extend(self.key.as_ref().map(|key| ("webhook-signature", signature(key, &id, &seconds, body))));
        let mut headers = self.headers.clone();
        for (name, value) in own {
            let value = HeaderValue::try_from(value).map_err(|_| {
                self.poster.permanent(&format!("the message's key \"{}\" is no value of a header", message.key))
            })?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// A receiver may be down behind any status: only what says that it has gone for good needs a person at once.
    fn refused(&self, answer: &Answer) -> ChannelError {
        let reason = format!("{} {}", answer.status, answer.body);
        match answer.status {
            300..=399 | 410 => self.poster.permanent(&reason),
            _ => self.poster.transient(&reason, answer.retry_after),
        }
    }
}

/// The signature as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time and body.
fn signature(key: &hmac::Key, id: &str, seconds: &str, body: &[u8]) -> String {
    let signed = [id.as_bytes(), b".", seconds.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)))
}

/// The same for every attempt.
pub(super) fn payload(message: &Message) -> Value {
    json!({
        "type": message.event,
        "timestamp": message.at.to_string(),
        "data": {
            "key": message.key,
            "level": message.level.as_str(),
            "symbol": message.symbol.map(|symbol| symbol.to_string()),
            "subject": shortened(&one_line(&message.subject), TEXT_MAX / 4),
            "text": shortened(message.summary.trim(), TEXT_MAX),
        },
    })
}

#[async_trait]
impl Channel for WebhookChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let body = payload(message).to_string().into_bytes();
        let headers = self.headers(message, &body, self.clock.wall())?;
        let answer = self.poster.post(&self.url, headers, body).await?;
        match answer.status {
            200..=299 => Ok(answer.status.to_string()),
            _ => Err(self.refused(&answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_http::{FakeHttp, Reply, is_permanent, wait_of};
    use super::super::text::samples::hostile_note;
    use super::*;
    use crate::adapters::clocks::{SimulatedClock, Speed};

    const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

    fn settings(url: String) -> WebhookSettings {
        WebhookSettings {
            url: Some(url.into()),
            signing_secret: Some(SECRET.into()),
            authorization: Some("Bearer hunter2hunter2".into()),
            headers: [("X-Team".to_owned(), "desk".into())].into(),
            timeout: Span::millis(300),
            ..WebhookSettings::default()
        }
    }

    fn channel(server: &FakeHttp, at: i64) -> WebhookChannel {
        let clock = SimulatedClock::new(Timestamp(at), Speed::Max);
        WebhookChannel::new(&settings(server.url("/hooks/hunter3hunter3")), Arc::new(clock)).unwrap()
    }

    async fn outcome(reply: Reply) -> Result<String, ChannelError> {
        let server = FakeHttp::start(vec![reply]).await;
        channel(&server, 0).deliver(&hostile_note()).await
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        let key = settings("https://example.com".to_owned()).key().unwrap().unwrap();
        let body = br#"{"type":"order.filled","timestamp":"2026-01-01T00:00:00Z","data":{"symbol":"AAPL","qty":"10"}}"#;
        let signature = signature(&key, "msg_daybook_0001", "1767225600", body);
        assert_eq!(signature, "v1,8z79H/aH8vkTACZIS10WYt6wicunIcEZ/qbBlMLsHdU=");
    }

    #[tokio::test]
    async fn attempts_share_their_id_and_body_and_differ_in_time_and_signature() {
        let server = FakeHttp::start(vec![Reply::of(500, ""), Reply::of(204, "")]).await;
        let note = hostile_note();
        assert!(channel(&server, 1_000).deliver(&note).await.is_err());
        let again = channel(&server, 61_000).deliver(&Message { attempt: 2, ..note }).await;
        assert_eq!(again, Ok("204".to_owned()));
        let requests = server.requests();
        let header = |request: usize, name| requests[request].header(name).unwrap().to_owned();
        assert_eq!((header(0, "webhook-id"), &requests[0].body), (header(1, "webhook-id"), &requests[1].body));
        assert_eq!((header(0, "webhook-timestamp"), header(1, "webhook-timestamp")), ("1".to_owned(), "61".to_owned()));
        assert_ne!(header(0, "webhook-signature"), header(1, "webhook-signature"));
        assert_eq!(
            (header(0, "x-team"), header(0, "authorization")),
            ("desk".to_owned(), "Bearer hunter2hunter2".to_owned())
        );
        let key = settings(String::new()).key().unwrap().unwrap();
        let expected = signature(&key, &header(1, "webhook-id"), "61", &requests[1].body);
        assert_eq!(header(1, "webhook-signature"), expected);
        assert_eq!(requests[0].json()["type"], "risk.breached");
        assert_eq!(requests[0].json()["timestamp"], "2026-11-16T16:42:05Z");
    }

    #[test]
    fn the_largest_body_stays_small() {
        let note = Message { subject: "🙂".repeat(9_000), summary: "🙂".repeat(90_000), ..hostile_note() };
        assert!(payload(&note).to_string().len() < 20 * 1_024);
    }

    #[tokio::test]
    async fn what_a_receiver_says_is_understood() {
        for taken in [Reply::of(200, "anything"), Reply::of(202, ""), Reply::Slow(200, "slow")] {
            assert!(outcome(taken).await.is_ok());
        }
        assert_eq!(wait_of(&outcome(Reply::of(503, "").with_header("retry-after", "90")).await), Some(90_000));
        for passes_by in [Reply::of(429, ""), Reply::of(404, ""), Reply::of(500, ""), Reply::Hang, Reply::CloseMidway] {
            assert!(!is_permanent(&outcome(passes_by).await));
        }
        let elsewhere = Reply::of(302, "").with_header("location", "https://evil.example");
        for needs_a_person in [Reply::of(410, "no hunter3hunter3 here"), elsewhere] {
            let error = outcome(needs_a_person).await;
            assert!(is_permanent(&error) && !error.unwrap_err().to_string().contains("hunter"));
        }
    }

    #[test]
    fn each_mistake_names_its_key() {
        let good = || settings("https://example.com/hook".to_owned());
        assert!(good().problems().is_empty() && WebhookSettings::default().problems().is_empty());
        let team = WebhookSettings { headers: [("Team".to_owned(), "desk".into())].into(), ..good() };
        assert!(team.problems().is_empty(), "no header of the connection, though it begins as one");
        let with_header =
            |name: &str, value: &str| WebhookSettings { headers: [(name.to_owned(), value.into())].into(), ..good() };
        for (settings, key) in [
            (settings("http://example.com/hunter2".to_owned()), "url"),
            (WebhookSettings { signing_secret: Some("hunter2".into()), ..good() }, "signing_secret"),
            (WebhookSettings { signing_secret: Some("whsec_aHVudGVyMg==".into()), ..good() }, "signing_secret"),
            (WebhookSettings { authorization: Some("hunter2\r\nX: y".into()), ..good() }, "authorization"),
            (with_header("Webhook-Id", "1"), "headers"),
            (with_header("Transfer-Encoding", "chunked"), "headers"),
            (with_header("CONNECTION", "close"), "headers"),
            (with_header("Content-Length", "0"), "headers"),
            (with_header("Host", "evil.example"), "headers"),
            (with_header("TE", "trailers"), "headers"),
            (with_header("Trailer", "x"), "headers"),
            (with_header("Upgrade", "h2c"), "headers"),
            (with_header("Expect", "100-continue"), "headers"),
            (with_header("X Y", "1"), "headers"),
            (with_header("X-Y", "1\r\nZ: 2"), "headers"),
        ] {
            let problems = settings.problems();
            assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
            assert!(!problems[0].1.contains("hunter2"), "{}", problems[0].1);
        }
    }
}
