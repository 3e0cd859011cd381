//! One request to a service, and what its answer means.
//!
//! The client follows no redirect and never repeats a request: the outbox does, under the same key. What
//! guards a service (an address, a token) is taken out of everything that is told of a failure.

use std::time::Duration;

use daybook_core::time::Span;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use secrecy::SecretString;

use super::secrets::Secrets;
use super::text::{one_line, shortened};
use super::tls::wrong_certificate;
use crate::ports::{ChannelError, with_causes};

/// What is read of an answer, in bytes; the services' own answers have some hundred.
const ANSWER_MAX: usize = 4 * 1024;
/// What is told of an answer, in characters.
const TOLD_MAX: usize = 200;
/// The longest wait that a service is granted: what stands in the outbox must not be stopped for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// How long the connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a channel that make none.
#[derive(Debug, thiserror::Error)]
pub enum ChannelSetupError {
    /// A key's value is not usable.
    #[error("notifications.{channel}.{key} {problem}")]
    Settings {
        /// The channel.
        channel: &'static str,
        /// The key.
        key: &'static str,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up for the channel {channel}; install the package ca-certificates")]
    Client {
        /// The channel.
        channel: &'static str,
        /// What went wrong.
        source: reqwest::Error,
    },
}

/// What a service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The wait that its `Retry-After` names.
    pub retry_after: Option<Duration>,
    /// The beginning of its body.
    pub body: String,
}

/// Posts to one service.
#[derive(Clone)]
pub(super) struct Poster {
    channel: &'static str,
    client: Client,
    timeout: Duration,
    secrets: Secrets,
    answer_max: usize,
}

impl Poster {
    /// A client of the channel's service; nothing is connected yet. `secrets` are what is never told.
    pub(super) fn new(
        channel: &'static str,
        timeout: Span,
        secrets: Vec<SecretString>,
    ) -> Result<Self, ChannelSetupError> {
        // An error means that the process has a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let timeout = timeout.as_duration();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .user_agent(concat!("Daybook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| ChannelSetupError::Client { channel, source })?;
        Ok(Self { channel, client, timeout, secrets: Secrets::of(&secrets), answer_max: ANSWER_MAX })
    }

    /// The same client, which reads so many bytes of an answer.
    pub(super) fn reading(self, answer_max: usize) -> Self {
        Self { answer_max, ..self }
    }

    /// The same client, which never tells this either.
    pub(super) fn guarding(&self, secret: SecretString) -> Self {
        Self { secrets: self.secrets.and(&secret), ..self.clone() }
    }

    /// Posts `body` as JSON and reads the answer, whatever it is.
    ///
    /// # Errors
    /// If there is no answer: then nobody knows whether the service has it.
    pub(super) async fn post(&self, url: &Url, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, ChannelError> {
        self.send(Method::POST, url, headers, body).await
    }

    /// Sends `body` as JSON by another method than POST.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, ChannelError> {
        let request =
            self.client.request(method, url.clone()).header("content-type", "application/json").headers(headers);
        let response = request.body(body).send().await.map_err(|error| self.unanswered(error))?;
        self.answer(response).await
    }

    /// Asks without saying anything, and reads the answer, whatever it is.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn ask(&self, method: Method, url: &Url, headers: HeaderMap) -> Result<Answer, ChannelError> {
        let response = self.client.request(method, url.clone()).headers(headers).send().await;
        self.answer(response.map_err(|error| self.unanswered(error))?).await
    }

    async fn answer(&self, mut response: Response) -> Result<Answer, ChannelError> {
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(|wish| wait(wish, header(DATE)));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unanswered(error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() >= self.answer_max {
                bytes.truncate(self.answer_max);
                break;
            }
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { status: response.status().as_u16(), retry_after, body })
    }

    /// What a refusal means where the service has no rules of its own: an overload and a fault of its own pass
    /// by, anything else needs a person.
    pub(super) fn refused(&self, answer: &Answer) -> ChannelError {
        let reason = format!("{} {}", answer.status, answer.body);
        match answer.status {
            408 | 425 | 429 | 500..=599 => self.transient(&reason, answer.retry_after),
            _ => self.permanent(&reason),
        }
    }

    /// It may work later.
    pub(super) fn transient(&self, reason: &str, after: Option<Duration>) -> ChannelError {
        let after = after.map(|after| after.min(RETRY_AFTER_MAX));
        ChannelError::Transient { channel: self.channel.to_owned(), reason: self.told(reason), after }
    }

    /// It will not work until somebody changes something.
    pub(super) fn permanent(&self, reason: &str) -> ChannelError {
        ChannelError::Permanent { channel: self.channel.to_owned(), reason: self.told(reason) }
    }

    fn unanswered(&self, error: reqwest::Error) -> ChannelError {
        let error = error.without_url();
        if error.is_builder() {
            return self.permanent(&with_causes(&error));
        }
        if let Some(wrong) = wrong_certificate(&error) {
            return self.permanent(&wrong);
        }
        if error.is_timeout() {
            let reason = format!("no answer within {:?}; it may have been delivered", self.timeout);
            return self.transient(&reason, None);
        }
        self.transient(&with_causes(&error), None)
    }

    /// One line without what guards the service.
    fn told(&self, reason: &str) -> String {
        shortened(&self.secrets.masked(&one_line(reason)), TOLD_MAX)
    }
}

/// The wait that `Retry-After` names: seconds, or a date. A date is measured by that of the answer itself: how far the
/// clock of this machine is off does not matter.
fn wait(wish: &str, answered: Option<&str>) -> Option<Duration> {
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    seconds(wish).or_else(|| Some(date(wish)?.duration_since(date(answered?)?).unwrap_or_default()))
}

/// Seconds, with or without a fraction.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// An address that secrets may be sent to: `https`, or `http` on this machine. No message repeats it.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let expected = "expected an address that begins with https://";
    let url: Url = text.parse().map_err(|_| format!("is no address; {expected}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a name or a password before its host; expected an address without them".to_owned());
    }
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        scheme => Err(format!("begins with {scheme}:// and leaves this machine; {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encrypted_or_stays_here() {
        for good in ["https://hooks.example.com/a", "http://127.0.0.1:80/a", "http://localhost/x", "http://[::1]:1/"] {
            assert!(address(good).is_ok(), "{good}");
        }
        let signed_in = address("https://user:token@hooks.example.com/").unwrap_err();
        assert!(signed_in.starts_with("has a name or a password") && !signed_in.contains("token"), "{signed_in}");
        for bad in ["http://hooks.example.com/token", "ftp://localhost/", "hooks.example.com/token", ""] {
            let problem = address(bad).unwrap_err();
            assert!(problem.contains("https://") && !problem.contains("token"), "{problem}");
        }
    }

    #[test]
    fn a_wait_is_in_seconds_and_has_a_bound() {
        assert_eq!(seconds("3"), Some(Duration::from_secs(3)));
        assert_eq!(seconds(" 0.25 "), Some(Duration::from_millis(250)));
        for none in ["", "-1", "soon", "NaN", "1e300", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(seconds(none), None, "{none}");
        }
        let (at, later) = ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:29:30 GMT");
        assert_eq!(wait(later, Some(at)), Some(Duration::from_secs(90)));
        assert_eq!(wait(at, Some(later)), Some(Duration::ZERO), "it is over already");
        assert_eq!((wait(later, None), wait("7", None)), (None, Some(Duration::from_secs(7))));
        let poster = Poster::new("slack", Span::seconds(1), vec![]).unwrap();
        let answer = Answer { status: 429, retry_after: seconds("86400"), body: String::new() };
        assert!(matches!(poster.refused(&answer), ChannelError::Transient { after: Some(RETRY_AFTER_MAX), .. }));
    }

    #[test]
    fn what_an_answer_means_follows_from_its_status() {
        let poster = Poster::new("slack", Span::seconds(1), vec!["https://h/T000/hunter2hunter2".into()]).unwrap();
        for status in 300..600 {
            let answer = Answer { status, retry_after: None, body: "at /T000/hunter2hunter2".to_owned() };
            let error = poster.refused(&answer);
            let passes_by = matches!(status, 408 | 425 | 429 | 500..);
            assert_eq!(matches!(error, ChannelError::Transient { .. }), passes_by, "{status}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
