//! Whether a channel would work, as far as that shows without telling anybody anything.
//!
//! A service is asked only for what is no message: Discord for its webhook, Telegram for its bot. Of the others the host is
//! looked up and the connection protected, by a `HEAD` of its root. No answer names what guards the service.

use std::time::Duration;

use daybook_core::time::Span;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::post::{Answer, Poster, address};
use super::text::{one_line, shortened};
use super::{
    CommandSettings, DiscordSettings, EmailChannel, EmailSettings, NtfySettings, PagerDutySettings, SlackSettings,
    TelegramSettings, WebhookSettings,
};
use crate::ports::ChannelError;

/// How long one look may take: a person waits for it.
const WITHIN: Duration = Duration::from_secs(8);
/// Characters of a name that a service tells.
const NAME_MAX: usize = 60;

/// What was found, or why the channel would not work, in words for a person.
pub type TriedOut = Result<String, String>;

impl EmailSettings {
    /// Connects, protects the connection, signs in and takes leave.
    pub async fn try_out(&self) -> TriedOut {
        let (host, port) = (self.host.as_str(), self.port());
        let within = self.timeout.as_duration().min(WITHIN);
        let signed_in = self.username.as_ref().map_or("takes letters", |_| "takes the sign-in");
        let tried = EmailChannel::try_out(self, within).await;
        tried.map(|()| format!("{host}:{port} {signed_in}")).map_err(|why| format!("{host}:{port}: {why}"))
    }
}

impl DiscordSettings {
    /// Looks for the webhook, which is there for who knows its address.
    pub async fn try_out(&self) -> TriedOut {
        let (poster, url) = self.poster("discord").map_err(|error| error.to_string())?;
        let answer = bounded(poster.ask(Method::GET, &url, HeaderMap::new())).await?;
        match answer.status {
            200 => Ok(format!("the webhook{} is there", named(&answer, "/name"))),
            401 | 404 => Err(format!("{}: the webhook is gone, or its address is wrong", answer.status)),
            _ => Err(reason(poster.refused(&answer))),
        }
    }
}

impl SlackSettings {
    /// Looks for the host.
    pub async fn try_out(&self) -> TriedOut {
        reach("slack", &self.webhook_url.clone().unwrap_or_default()).await
    }
}

impl TelegramSettings {
    /// Asks whose token it is.
    pub async fn try_out(&self) -> TriedOut {
        let url = self.url("getMe").map_err(|(key, problem)| format!("{key} {problem}"))?;
        let secrets = self.bot_token.iter().cloned().collect();
        let poster = poster("telegram", secrets)?;
        let answer = bounded(poster.ask(Method::GET, &url, HeaderMap::new())).await?;
        match answer.status {
            200 => Ok(format!("the token is that of the bot{}", named(&answer, "/result/username"))),
            401 | 404 => Err(format!("{}: the token is refused", answer.status)),
            _ => Err(reason(poster.refused(&answer))),
        }
    }
}

impl NtfySettings {
    /// Looks for the server.
    pub async fn try_out(&self) -> TriedOut {
        reach("ntfy", &self.server.value().into()).await
    }
}

impl PagerDutySettings {
    /// Looks for the server.
    pub async fn try_out(&self) -> TriedOut {
        reach("pagerduty", &self.url.value().into()).await
    }
}

impl WebhookSettings {
    /// Looks for the receiver's host.
    pub async fn try_out(&self) -> TriedOut {
        reach("webhook", &self.url.clone().unwrap_or_default()).await
    }
}

impl CommandSettings {
    /// Looks for the program; it is not run.
    pub fn try_out(&self) -> TriedOut {
        self.program().map(|path| format!("{} is there", path.display()))
    }
}

/// Looks whether the host of an address answers, with a certificate that is trusted. The address itself is not asked for.
pub async fn reach(what: &'static str, secret: &SecretString) -> TriedOut {
    let mut url: Url = address(secret.expose_secret()).map_err(|problem| format!("its address {problem}"))?;
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    let poster = poster(what, vec![secret.clone()])?;
    bounded(poster.ask(Method::HEAD, &url, HeaderMap::new())).await?;
    let trusted = if url.scheme() == "https" { ", and its certificate is trusted" } else { "" };
    Ok(format!("its host answers{trusted}"))
}

fn poster(what: &'static str, secrets: Vec<SecretString>) -> Result<Poster, String> {
    let within = Span::seconds(u32::try_from(WITHIN.as_secs()).unwrap_or(u32::MAX));
    Poster::new(what, within, secrets).map_err(|error| error.to_string())
}

async fn bounded(asked: impl Future<Output = Result<Answer, ChannelError>>) -> Result<Answer, String> {
    match tokio::time::timeout(WITHIN, asked).await {
        Ok(answer) => answer.map_err(reason),
        Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
    }
}

fn reason(error: ChannelError) -> String {
    let (ChannelError::Transient { reason, .. } | ChannelError::Permanent { reason, .. }) = error;
    reason.trim_end_matches("; it may have been delivered").to_owned()
}

/// The name that an answer has at a place, as it is put behind a word.
fn named(answer: &Answer, place: &str) -> String {
    let said: Option<Value> = serde_json::from_str(&answer.body).ok();
    let name = said.as_ref().and_then(|said| said.pointer(place)?.as_str());
    name.map_or_else(String::new, |name| format!(" \"{}\"", shortened(&one_line(name), NAME_MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::Security;
    use super::super::fake_http::{FakeHttp, Reply};
    use super::super::fake_smtp::{FakeSmtp, Script};
    use super::*;

    fn mail(server: &FakeSmtp, security: Security) -> EmailSettings {
        EmailSettings {
            host: "localhost".to_owned(),
            port: Some(server.port),
            security,
            username: Some("me".to_owned()),
            password: Some("hunter2hunter2".into()),
            from: "a@example.com".to_owned(),
            to: vec!["b@example.com".to_owned()],
            root_ca: Some(server.root_ca.clone()),
            timeout: Span::seconds(5),
            ..EmailSettings::default()
        }
    }

    async fn server(security: Security, is_expired: bool) -> FakeSmtp {
        let account = Some(("me", "hunter2hunter2"));
        FakeSmtp::start(Script { security, is_expired, account, ..Script::default() }).await
    }

    #[tokio::test]
    async fn a_mail_server_is_signed_in_to_and_sent_nothing() {
        for security in [Security::Starttls, Security::ImplicitTls] {
            let server = server(security, false).await;
            let told = mail(&server, security).try_out().await.unwrap();
            assert_eq!(told, format!("localhost:{} takes the sign-in", server.port));
            assert!(server.letters().is_empty() && server.commands().iter().any(|line| line.starts_with("AUTH")));
        }
    }

    #[tokio::test]
    async fn what_keeps_mail_from_being_sent_is_named() {
        let late = server(Security::ImplicitTls, true).await;
        let (sound, other) = (server(Security::ImplicitTls, false).await, server(Security::Starttls, false).await);
        let wrong_password =
            EmailSettings { password: Some("wrong-hunter2".into()), ..mail(&sound, Security::ImplicitTls) };
        let stranger = EmailSettings { root_ca: Some(other.root_ca.clone()), ..mail(&sound, Security::ImplicitTls) };
        for (settings, expected) in [
            (mail(&late, Security::ImplicitTls), "expired"),
            (stranger, "the server's certificate is not valid"),
            (wrong_password, "bad credentials"),
            (mail(&other, Security::ImplicitTls), "expected security: starttls"),
            (
                EmailSettings { timeout: Span::millis(300), ..mail(&sound, Security::Starttls) },
                "wants security: implicit_tls",
            ),
        ] {
            let why = settings.try_out().await.unwrap_err();
            assert!(why.to_lowercase().contains(&expected.to_lowercase()) && !why.contains("hunter2"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_service_is_asked_for_what_is_no_message() {
        let hook = r#"{"name":"Captain \u001b Hook","token":"hunter2hunter2"}"#;
        let replies = vec![Reply::of(200, hook), Reply::of(404, "hunter2hunter2"), Reply::of(401, "")];
        let server = FakeHttp::start(replies).await;
        let discord = DiscordSettings {
            webhook_url: Some(server.url("/api/webhooks/1/hunter2hunter2").into()),
            ..DiscordSettings::default()
        };
        assert!(discord.try_out().await.is_ok_and(|told| told.starts_with("the webhook \"Captain")));
        let gone = discord.try_out().await.unwrap_err();
        assert_eq!(gone, "404: the webhook is gone, or its address is wrong");
        let telegram = TelegramSettings {
            bot_token: Some("1:hunter2hunter2".into()),
            server: server.url("").into(),
            ..TelegramSettings::default()
        };
        assert_eq!(telegram.try_out().await.unwrap_err(), "401: the token is refused");
        let asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(asked[1..], ["/api/webhooks/1/hunter2hunter2", "/bot1:hunter2hunter2/getMe"]);
    }

    #[tokio::test]
    async fn of_a_switch_only_the_host_is_looked_for() {
        let server = FakeHttp::start(vec![Reply::of(404, "")]).await;
        let secret: SecretString = server.url("/ping/hunter2hunter2").into();
        assert_eq!(reach("switch", &secret).await, Ok("its host answers".to_owned()));
        assert_eq!(server.requests()[0].path, "/");
        server.stop().await;
        let why = reach("switch", &secret).await.unwrap_err();
        assert!(!why.contains("hunter2") && !why.is_empty(), "{why}");
    }
}
