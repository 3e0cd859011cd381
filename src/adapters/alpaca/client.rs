use std::sync::Arc;
use std::time::Duration;

use daybook_core::time::{Span, Timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::budget::{Budget, Urgency};
use crate::ports::Clock;

/// How long nothing is sent after a 429 that does not say how long.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// Characters of an unreadable answer that are told.
const TOLD_MAX: usize = 120;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A half of the key is missing.
    #[error(
        "the key of Alpaca is not set: give alpaca.key_id and alpaca.secret_key by reference, such as ${{ALPACA_KEY_ID}}"
    )]
    NoKey,
    /// A half of the key is no header: a line break or a blank came with it.
    #[error("the key of Alpaca has characters that no key has: was a line break copied with it?")]
    NotAKey,
    /// The address is none.
    #[error("\"{url}\" is no address")]
    Address { url: String },
    /// The HTTP client cannot be built.
    #[error("building the HTTP client")]
    Build(#[source] reqwest::Error),
}

/// Alpaca's own no: a status with, mostly, a code and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Alpaca's code; some refusals have none.
    pub code: Option<u64>,
    /// Its message, with the figures that came with it.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "{} ({} {code})", self.message, self.status),
            None => write!(f, "{} ({})", self.message, self.status),
        }
    }
}

/// Why a call has no answer, told apart by what may have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There was no connection: nothing was sent.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    /// Too many requests: nothing was done.
    #[error("{host} has had too many requests")]
    Throttled { host: String },
    /// The request left, and its answer never came, or not whole.
    #[error("{host} did not answer: {reason}")]
    Lost { host: String, reason: String },
    /// What came is not what this service answers: a page of a proxy, half a document.
    #[error("{host} answered {status} with what is no answer: {told}")]
    Garbled { host: String, status: u16, told: String },
    /// The service has refused.
    #[error("{0}")]
    Refused(Refusal),
}

impl CallError {
    /// Whether the call was certainly not carried out, and may be made again.
    #[must_use]
    pub const fn is_void(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Throttled { .. })
    }

    /// The refusal, if the service has said no for good; a failure of its own is none.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.status < 500 && refusal.status != 408 => Some(refusal),
            Self::Refused(_)
            | Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::Lost { .. }
            | Self::Garbled { .. } => None,
        }
    }
}

/// Makes calls to one host of Alpaca under one key.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    host: String,
    budget: Budget,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// A client for the host at `base`.
    ///
    /// # Errors
    /// If the key is missing or malformed, or the address is none.
    pub fn new(
        base: &str,
        (key_id, secret_key): (Option<&SecretString>, Option<&SecretString>),
        requests_per_minute: u32,
        timeout: Span,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        // An error means that the process has a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let url = Url::parse(base).ok().filter(Url::has_host);
        let base = url.ok_or_else(|| ClientError::Address { url: base.to_owned() })?;
        let mut headers = HeaderMap::new();
        for (name, half) in [("apca-api-key-id", key_id), ("apca-api-secret-key", secret_key)] {
            let half = half.ok_or(ClientError::NoKey)?;
            let mut value = HeaderValue::from_str(half.expose_secret()).map_err(|_| ClientError::NotAKey)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout.as_duration())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(ClientError::Build)?;
        let host = base.host_str().unwrap_or_default().to_owned();
        Ok(Self { http, base, host, budget: Budget::new(requests_per_minute, clock.clone()), clock })
    }

    /// Reads what stands at a path.
    ///
    /// # Errors
    /// [`CallError`], also if the answer is not a `T`.
    pub async fn get<T: DeserializeOwned>(
        &self,
        urgency: Urgency,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CallError> {
        let (status, body) = self.call(urgency, Method::GET, path, query, None).await?;
        self.read(status, &body)
    }

    /// Sends a document, once, and reads the answer.
    ///
    /// # Errors
    /// As [`Client::get`]. [`CallError::Lost`] and [`CallError::Garbled`] leave open whether it was carried out.
    pub async fn send<T: DeserializeOwned>(
        &self,
        urgency: Urgency,
        method: Method,
        path: &str,
        document: &impl Serialize,
    ) -> Result<T, CallError> {
        let document = serde_json::to_vec(document)
            .map_err(|error| CallError::Unreachable { host: self.host.clone(), reason: error.to_string() })?;
        let (status, body) = self.call(urgency, method, path, &[], Some(document)).await?;
        self.read(status, &body)
    }

    /// Deletes what stands at a path; the answer's body does not matter.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, urgency: Urgency, path: &str) -> Result<(), CallError> {
        self.call(urgency, Method::DELETE, path, &[], None).await.map(drop)
    }

    async fn call(
        &self,
        urgency: Urgency,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        document: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Vec<u8>), CallError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.budget.take(urgency).await;
        let mut request = self.http.request(method, url);
        if let Some(document) = document {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(document);
        }
        let answer = request.send().await.map_err(|error| self.unanswered(error))?;
        let status = answer.status();
        let pause = self.pause_wanted(status, answer.headers());
        if let Some(pause) = pause {
            self.budget.pause(pause);
        }
        let body = answer.bytes().await.map_err(|error| self.unanswered(error))?.to_vec();
        if status.is_success() {
            return Ok((status, body));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(CallError::Throttled { host: self.host.clone() });
        }
        Err(match refusal(status, &body) {
            Some(refusal) => CallError::Refused(refusal),
            None => self.garbled(status, &String::from_utf8_lossy(&body)),
        })
    }

    /// How long the server wants no request: it says so with a 429, and with its last permitted answer.
    fn pause_wanted(&self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        if !throttled && number("x-ratelimit-remaining") != Some(0) {
            return None;
        }
        let after = number("retry-after").and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let reset =
            number("x-ratelimit-reset").map(|seconds| Timestamp(seconds.saturating_mul(1000)).since(self.clock.wall()));
        after.or(reset).or(throttled.then_some(THROTTLED_FOR))
    }

    fn unanswered(&self, error: reqwest::Error) -> CallError {
        let (is_connect, is_timeout) = (error.is_connect() || error.is_builder(), error.is_timeout());
        let host = self.host.clone();
        // An error's address would show what the call was about; its causes say what went wrong.
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        match (is_connect, is_timeout) {
            (true, _) => CallError::Unreachable { host, reason },
            (false, true) => CallError::Lost { host, reason: "not in time".to_owned() },
            (false, false) => CallError::Lost { host, reason },
        }
    }

    fn read<T: DeserializeOwned>(&self, status: StatusCode, body: &[u8]) -> Result<T, CallError> {
        serde_json::from_slice(body).map_err(|error| {
            let shown = String::from_utf8_lossy(body);
            self.garbled(status, &format!("{error} in: {shown}"))
        })
    }

    fn garbled(&self, status: StatusCode, text: &str) -> CallError {
        let mut told: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = told.char_indices().nth(TOLD_MAX) {
            told.truncate(end);
            told.push('…');
        }
        CallError::Garbled { host: self.host.clone(), status: status.as_u16(), told }
    }
}

/// The refusal in a body, if it is one of Alpaca's: an object with a message. Its figures go with the message.
fn refusal(status: StatusCode, body: &[u8]) -> Option<Refusal> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let Some(Value::String(mut message)) = fields.remove("message") else { return None };
    let code = fields.remove("code").and_then(|code| code.as_u64());
    for (name, value) in &fields {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => continue,
        };
        message.push_str(&format!(", {name} {shown}"));
    }
    Some(Refusal { status: status.as_u16(), code, message })
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Answer, Scripted};
    use super::*;
    use crate::adapters::clocks::{SimulatedClock, Speed};

    const START: Timestamp = Timestamp(1_794_840_605_000);

    fn client(url: &str, clock: &Arc<SimulatedClock>) -> Client {
        let (id, secret) = (SecretString::from("PK1"), SecretString::from("hush"));
        Client::new(url, (Some(&id), Some(&secret)), 200, Span::seconds(5), clock.clone()).unwrap()
    }

    async fn ask(answer: Answer) -> (Result<Value, CallError>, Arc<SimulatedClock>, Client) {
        let server = Scripted::start(vec![answer]).await;
        let clock = Arc::new(SimulatedClock::new(START, Speed::Max));
        let client = client(server.url(), &clock);
        let answered = client.get(Urgency::Urgent, "/v2/account", &[("a", "1 2")]).await;
        let requests = server.requests().await;
        assert!(requests[0].starts_with("GET /v2/account?a=1+2 HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[0].to_lowercase().contains("apca-api-key-id: pk1\r\n"));
        assert!(requests[0].to_lowercase().contains("apca-api-secret-key: hush\r\n"));
        (answered, clock, client)
    }

    #[tokio::test]
    async fn an_answer_is_read_and_a_refusal_keeps_its_code_and_figures() {
        assert_eq!(ask(Answer::json(200, r#"{"cash":"1.50"}"#)).await.0, Ok(serde_json::json!({"cash": "1.50"})));
        let body = r#"{"buying_power":"3388.32","code":40310000,"message":"insufficient buying power"}"#;
        let refused = ask(Answer::json(403, body)).await.0.unwrap_err();
        assert_eq!(refused.to_string(), "insufficient buying power, buying_power 3388.32 (403 40310000)");
        assert!(refused.refusal().is_some_and(|refusal| refusal.code == Some(40_310_000)));
        let bare = ask(Answer::json(401, r#"{"message":"unauthorized."}"#)).await.0.unwrap_err();
        assert_eq!(bare.to_string(), "unauthorized. (401)");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart_from_a_refusal() {
        for (status, body) in [(200, "<html>Welcome</html>"), (403, "<html>Blocked</html>"), (200, "{\"cash\":")] {
            let error = ask(Answer::new(status, &[("content-type", "text/html")], body)).await.0.unwrap_err();
            assert!(matches!(error, CallError::Garbled { .. }) && error.refusal().is_none(), "{error:?}");
        }
        let failed = ask(Answer::json(500, r#"{"code":50010000,"message":"internal server error"}"#)).await.0;
        assert!(failed.is_err_and(|error| error.refusal().is_none() && !error.is_void()));
        let cut = ask(Answer::Cut).await.0.unwrap_err();
        assert!(matches!(cut, CallError::Lost { .. }) && !cut.is_void(), "{cut:?}");
        let moved = ask(Answer::new(302, &[("location", "http://127.0.0.1:9/")], "")).await.0;
        assert!(matches!(moved, Err(CallError::Garbled { status: 302, .. })), "no redirect is followed: {moved:?}");
    }

    #[tokio::test]
    async fn nobody_at_home_means_that_nothing_was_sent() {
        let clock = Arc::new(SimulatedClock::new(START, Speed::Max));
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error =
            client(&format!("http://{closed}"), &clock).delete(Urgency::Urgent, "/v2/orders/x").await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }) && error.is_void(), "{error:?}");
        assert!(!error.to_string().contains("/v2/orders"), "{error}");
    }

    #[tokio::test]
    async fn the_servers_wish_for_quiet_is_heeded() {
        let wishes = [
            (429, vec![("retry-after", "7".to_owned())], 7_000),
            (429, vec![("x-ratelimit-reset", ((START.0 / 1000) + 9).to_string())], 9_000),
            (429, vec![], 1_000),
            (
                200,
                vec![
                    ("x-ratelimit-remaining", "0".to_owned()),
                    ("x-ratelimit-reset", ((START.0 / 1000) + 4).to_string()),
                ],
                4_000,
            ),
            (
                200,
                vec![
                    ("x-ratelimit-remaining", "3".to_owned()),
                    ("x-ratelimit-reset", ((START.0 / 1000) + 4).to_string()),
                ],
                0,
            ),
        ];
        for (status, headers, pause_ms) in wishes {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (answer, clock, client) =
                ask(Answer::new(status, &headers, r#"{"message":"rate limit exceeded"}"#)).await;
            assert_eq!(answer.is_err(), status == 429);
            client.budget.take(Urgency::Urgent).await;
            assert_eq!(clock.wall().since(START), Duration::from_millis(pause_ms), "{status} {headers:?}");
        }
    }

    #[test]
    fn a_key_with_a_line_break_is_refused_without_being_told() {
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(START, Speed::Max));
        let (id, torn) = (SecretString::from("PK1"), SecretString::from("hush\n"));
        let of = |url, keys| Client::new(url, keys, 200, Span::seconds(5), clock.clone()).err().map(|e| e.to_string());
        let told = of("http://127.0.0.1:1", (Some(&id), Some(&torn))).unwrap();
        assert!(told.contains("line break") && !told.contains("hush"), "{told}");
        assert!(of("http://127.0.0.1:1", (Some(&id), None)).unwrap().contains("alpaca.secret_key"));
        assert_eq!(of("alpaca", (Some(&id), Some(&id))).unwrap(), "\"alpaca\" is no address");
    }
}
