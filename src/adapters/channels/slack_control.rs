//! What people write to Slack's slash command: calls that Slack has signed, their replies, and answers that come later.

use async_trait::async_trait;
use daybook_core::time::{Span, Timestamp};
use reqwest::Url;
use reqwest::header::HeaderMap;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::chat_webhook::ChatWebhookSettings;
use super::control;
use super::post::{ChannelSetupError, Poster, address};
use super::slack::{SlackChannel, escaped};
use super::text::within;
use crate::ports::{
    CallHeaders, CallRefused, Called, CalledMessage, CallingChat, ChannelError, ChatMessage, ServiceCall,
};

/// Characters of an answer, escaped: Slack advises less than 4,000.
const TEXT_MAX: usize = 3_000;
/// The shortest signing secret that is taken for one; Slack's have 32 characters.
const SECRET_MIN: usize = 16;
/// Where the answers of workspaces of the government go.
const SERVER_GOV: &str = "https://hooks.slack-gov.com";

/// A channel of Slack, and what people may ask for there.
pub type SlackSettings = ChatWebhookSettings<SlackControlSettings>;

/// What people may ask for by a slash command: status, positions, halt, resume, close.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlackControlSettings {
    /// Whether Slack's calls are listened to.
    pub enabled: bool,
    /// Who is heard: Slack's ids of people.
    pub users: Vec<String>,
    /// The ids of the channels in which they are heard, besides direct messages.
    pub chats: Vec<String>,
    /// What Slack signs its calls with.
    #[serde(skip_serializing)]
    pub signing_secret: Option<SecretString>,
    /// Where answers go that come later; another for a server of one's own.
    pub server: String,
    /// How long a person has for the yes to what moves money or opens entries.
    pub confirm_within: Span,
}

impl Default for SlackControlSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            users: Vec::new(),
            chats: Vec::new(),
            signing_secret: None,
            server: "https://hooks.slack.com".to_owned(),
            confirm_within: Span::minutes(1),
        }
    }
}

impl SlackControlSettings {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        match self.signing_secret.as_ref().map(ExposeSecret::expose_secret) {
            None => {
                let told =
                    "is missing, and control.enabled is true; expected a reference such as ${SLACK_SIGNING_SECRET}";
                problems.push(("control.signing_secret", told.to_owned()));
            }
            Some(secret) if secret.len() < SECRET_MIN || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                let told = "is no signing secret; expected the 32 letters and digits of the app's Basic Information";
                problems.push(("control.signing_secret", told.to_owned()));
            }
            Some(_) => {}
        }
        if self.users.is_empty() {
            let told = "is empty, and nobody would be heard; expected people's ids, such as [U012AB3CD]";
            problems.push(("control.users", told.to_owned()));
        }
        if let Some(user) = self.users.iter().find(|user| !is_id(user, &['U', 'W'])) {
            let told = format!("has \"{user}\", which is no person; expected ids such as U012AB3CD");
            problems.push(("control.users", told));
        }
        if let Some(chat) = self.chats.iter().find(|chat| !is_id(chat, &['C', 'G'])) {
            let told = format!("has \"{chat}\", which is no channel; expected ids such as C012AB3CD");
            problems.push(("control.chats", told));
        }
        problems.extend(address(&self.server).err().map(|problem| ("control.server", problem)));
        problems.extend(control::problem_of_confirm_within(self.confirm_within));
        problems
    }
}

fn is_id(id: &str, kinds: &[char]) -> bool {
    id.len() > 1 && id.starts_with(kinds) && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

impl SlackSettings {
    /// Whether Slack's calls are to be listened to.
    #[must_use]
    pub const fn is_listened_to(&self) -> bool {
        self.enabled && self.control.enabled
    }

    /// Everything that is wrong: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let of_control = if self.is_listened_to() { self.control.problems() } else { Vec::new() };
        self.problem_of_webhook().into_iter().chain(of_control).collect()
    }
}

/// The slash command's ears and mouth.
pub struct SlackControl {
    key: hmac::Key,
    poster: Poster,
    webhook: Option<Url>,
    /// Where an answer may go that comes later.
    servers: Vec<Url>,
}

impl SlackControl {
    /// The slash command of these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &SlackSettings) -> Result<Self, ChannelSetupError> {
        let channel = SlackChannel::NAME;
        let failed = |key, problem| ChannelSetupError::Settings { channel, key, problem };
        if let Some((key, problem)) = settings.control.problems().into_iter().next() {
            return Err(failed(key, problem));
        }
        let secret = settings.control.signing_secret.clone().unwrap_or_default();
        let (poster, webhook) = settings.mouth(channel)?;
        let servers = [settings.control.server.as_str(), SERVER_GOV].map(address);
        let servers =
            servers.into_iter().collect::<Result<_, _>>().map_err(|problem| failed("control.server", problem))?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()),
            poster: poster.guarding(secret),
            webhook,
            servers,
        })
    }

    /// The address of a call's later answers, if it is one that answers may go to.
    fn back(&self, response_url: &str) -> Option<SecretString> {
        let url = address(response_url).ok()?;
        let is_known = self.servers.iter().any(|server| server.origin() == url.origin());
        if !is_known {
            tracing::warn!(host = url.host_str(), "slack.response_url: it is not Slack's, and gets nothing");
        }
        is_known.then(|| SecretString::from(response_url))
    }
}

/// What a slash command sends, of what is used.
#[derive(Default)]
struct Form {
    user_id: String,
    channel_id: String,
    command: String,
    text: String,
    response_url: String,
    is_check: bool,
}

impl Form {
    fn of(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match name.as_ref() {
                "user_id" => form.user_id = value.into_owned(),
                "channel_id" => form.channel_id = value.into_owned(),
                "command" => form.command = value.into_owned(),
                "text" => form.text = value.into_owned(),
                "response_url" => form.response_url = value.into_owned(),
                "ssl_check" => form.is_check = value == "1",
                _ => {}
            }
        }
        form
    }
}

/// Nothing in it is markup, a mention or a link.
fn said(text: &str) -> String {
    let length = |c: char| match c {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        _ => 1,
    };
    escaped(&within(text.trim(), TEXT_MAX, length))
}

#[async_trait]
impl CallingChat for SlackControl {
    fn name(&self) -> &str {
        SlackChannel::NAME
    }

    fn headers(&self) -> CallHeaders {
        CallHeaders { signature: "x-slack-signature", timestamp: "x-slack-request-timestamp" }
    }

    fn read(&self, call: &ServiceCall, now: Timestamp) -> Result<Called, CallRefused> {
        let ServiceCall { signature, timestamp, body } = call;
        let form = Form::of(body);
        // Slack looks at the certificate in front of us; the reply tells nothing.
        if form.is_check {
            return Ok(Called::Probe(String::new()));
        }
        let at = control::called_at(timestamp, now)?;
        let tag = signature.strip_prefix("v0=").and_then(control::bytes_of::<32>).ok_or(CallRefused::Unsigned)?;
        let signed = [b"v0:", timestamp.as_bytes(), b":", body].concat();
        hmac::verify(&self.key, &signed, &tag).map_err(|_| CallRefused::Unsigned)?;
        let Form { user_id, channel_id, command, text, response_url, .. } = form;
        for (field, value) in [("user_id", &user_id), ("channel_id", &channel_id), ("command", &command)] {
            if value.is_empty() {
                return Err(CallRefused::Unreadable(format!("{field} is missing")));
            }
        }
        let [a, b, c, d, e, f, g, h, ..] = tag;
        Ok(Called::Asked(CalledMessage {
            // Slack numbers nothing: the beginning of what only Slack can have made is as good. Never below 0.
            number: i64::from_be_bytes([a, b, c, d, e, f, g, h]) & i64::MAX,
            message: ChatMessage {
                at,
                is_private: channel_id.starts_with('D'),
                chat: channel_id,
                sender: user_id,
                text: control::with_stroke(&text),
                prefix: format!("{command} "),
            },
            back: self.back(&response_url),
        }))
    }

    fn reply(&self, text: &str) -> String {
        json!({ "response_type": "ephemeral", "text": said(text), "mrkdwn": false }).to_string()
    }

    fn reply_later(&self) -> String {
        self.reply("it is under way: what comes of it follows here")
    }

    async fn say(&self, back: Option<&SecretString>, text: &str) -> Result<(), ChannelError> {
        let (url, poster, body) = match (back, &self.webhook) {
            (Some(back), _) => {
                let url = address(back.expose_secret()).map_err(|problem| self.poster.permanent(&problem))?;
                (url, self.poster.guarding(back.clone()), self.reply(text))
            }
            (None, Some(webhook)) => {
                let body = json!({ "text": said(text), "mrkdwn": false }).to_string();
                (webhook.clone(), self.poster.clone(), body)
            }
            (None, None) => return Err(self.poster.permanent("no way leads back, and there is no webhook_url")),
        };
        let answer = poster.post(&url, HeaderMap::new(), body.into_bytes()).await?;
        if answer.status == 200 { Ok(()) } else { Err(poster.refused(&answer)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_http::{FakeHttp, Reply, is_permanent};
    use super::*;

    /// What Slack's own documentation shows.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: &str = "1531420618";
    const NOW: Timestamp = Timestamp(1_531_420_620_000);
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn settings() -> SlackSettings {
        let control = SlackControlSettings {
            enabled: true,
            users: vec!["U2CERLKJA".to_owned()],
            signing_secret: Some(SECRET.into()),
            ..SlackControlSettings::default()
        };
        SlackSettings { control, timeout: Span::millis(300), ..SlackSettings::default() }
    }

    fn slack() -> SlackControl {
        SlackControl::new(&settings()).unwrap()
    }

    fn call(body: &str, timestamp: &str, signature: &str) -> ServiceCall {
        let [timestamp, signature] = [timestamp, signature].map(str::to_owned);
        ServiceCall { signature, timestamp, body: body.as_bytes().to_vec() }
    }

    fn signed(body: &str) -> ServiceCall {
        let tag = hmac::sign(&slack().key, format!("v0:{AT}:{body}").as_bytes());
        let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        call(body, AT, &format!("v0={digits}"))
    }

    fn asked(call: &ServiceCall) -> CalledMessage {
        match slack().read(call, NOW) {
            Ok(Called::Asked(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_is_read_as_slack_s_documentation_signs_it() {
        let read = asked(&call(BODY, AT, SIGNATURE));
        let message = ChatMessage {
            at: Timestamp(1_531_420_618_000),
            chat: "G8PSS9T3V".to_owned(),
            is_private: false,
            sender: "U2CERLKJA".to_owned(),
            text: "/".to_owned(),
            prefix: "/webhook-collect ".to_owned(),
        };
        assert_eq!((read.number, read.message), (0x2211_4d57_b48e_ac39, message)); // the signature without its first bit
        let back = read.back.unwrap();
        assert_eq!(
            back.expose_secret(),
            "https://hooks.slack.com/commands/T1DC2JH3J/397700885554/96rGlfmibIGlgcZRskXaIFfN"
        );
    }

    #[test]
    fn what_slack_has_not_signed_now_is_refused() {
        let other = SIGNATURE.replace("a2114d", "a2114e");
        let body = BODY.replace("U2CERLKJA", "U2CERLKJB");
        for (call, now, refused) in [
            (call(BODY, AT, &other), NOW, CallRefused::Unsigned),
            (call(&body, AT, SIGNATURE), NOW, CallRefused::Unsigned),
            (call(BODY, "1531420619", SIGNATURE), NOW, CallRefused::Unsigned),
            (call(BODY, AT, SIGNATURE.trim_start_matches("v0=")), NOW, CallRefused::Unsigned),
            (call(BODY, AT, &SIGNATURE[..60]), NOW, CallRefused::Unsigned),
            (call(BODY, AT, ""), NOW, CallRefused::Unsigned),
            (call(BODY, "", SIGNATURE), NOW, CallRefused::Unsigned),
            (call(BODY, AT, SIGNATURE), Timestamp(NOW.0 + 299_000), CallRefused::Stale { off_s: 301 }),
            (call(BODY, AT, SIGNATURE), Timestamp(NOW.0 - 303_000), CallRefused::Stale { off_s: 301 }),
        ] {
            assert_eq!(slack().read(&call, now).unwrap_err(), refused, "{call:?}");
        }
        let secret = Some("0123456789abcdef0123456789abcdef".into());
        let control = SlackControlSettings { signing_secret: secret, ..settings().control };
        let other = SlackControl::new(&SlackSettings { control, ..settings() }).unwrap();
        assert_eq!(other.read(&call(BODY, AT, SIGNATURE), NOW).unwrap_err(), CallRefused::Unsigned);
    }

    #[test]
    fn two_calls_of_a_second_have_two_numbers_and_a_repetition_has_one() {
        let of = |text: &str| signed(&format!("user_id=U1&channel_id=C1&command=%2Fdaybook&text={text}"));
        assert_eq!(asked(&of("halt")).number, asked(&of("halt")).number);
        assert_ne!(asked(&of("halt")).number, asked(&of("halt+")).number);
        assert!(["a", "b", "c", "d"].iter().all(|text| asked(&of(text)).number >= 0));
    }

    #[test]
    fn what_a_form_may_hold() {
        let of = |rest: &str| signed(&format!("user_id=U1&channel_id=D1&command=%2Fdaybook{rest}"));
        let read = asked(&of("&text=close+AAPL%20%26"));
        assert_eq!((read.message.text.as_str(), read.message.is_private), ("/close AAPL &", true));
        assert_eq!(read.message.prefix, "/daybook ");
        assert!(read.back.is_none());
        for (url, is_taken) in [
            ("https%3A%2F%2Fhooks.slack-gov.com%2Fcommands%2F1", true),
            ("http%3A%2F%2Fhooks.slack.com%2Fcommands%2F1", false),
            ("https%3A%2F%2Fhooks.slack.com.evil.example%2F1", false),
            ("https%3A%2F%2Fhooks.slack.com%40evil.example%2F1", false),
            ("https%3A%2F%2Fhooks.slack.com%3A8443%2F1", false),
            ("http%3A%2F%2F127.0.0.1%2F", false),
            ("no+address", false),
        ] {
            assert_eq!(asked(&of(&format!("&response_url={url}"))).back.is_some(), is_taken, "{url}");
        }
        for bad in ["", "user_id=U1", "user_id=U1&channel_id=C1", "{\"user_id\":1}", "%ff%fe=%00", "&&&==="] {
            let refused = slack().read(&signed(bad), NOW).unwrap_err();
            assert!(matches!(refused, CallRefused::Unreadable(_)), "{bad}: {refused}");
        }
        let check = slack().read(&call("token=x&ssl_check=1", "", ""), NOW);
        assert!(matches!(&check, Ok(Called::Probe(reply)) if reply.is_empty()), "{check:?}");
    }

    #[test]
    fn nothing_that_is_said_becomes_a_mention_or_markup_and_the_largest_fits() {
        let reply: serde_json::Value = serde_json::from_str(&slack().reply("<!channel> @here *flat* & out")).unwrap();
        assert_eq!(reply["text"], "&lt;!channel&gt; @here *flat* &amp; out");
        assert_eq!((&reply["response_type"], &reply["mrkdwn"]), (&json!("ephemeral"), &json!(false)));
        for filling in ["&", "<", "x", "\u{1f642}"] {
            let text = said(&filling.repeat(9_000));
            assert!(text.chars().count() <= TEXT_MAX && text.ends_with('…'), "{filling}");
        }
    }

    #[tokio::test]
    async fn an_answer_goes_back_or_to_the_channel_and_its_address_is_told_nobody() {
        let replies =
            vec![Reply::of(200, "ok"), Reply::of(200, "ok"), Reply::of(404, "used_url /commands/hunter2hunter2")];
        let server = FakeHttp::start(replies).await;
        let webhook_url = Some(server.url("/services/hunter3hunter3").into());
        let slack = SlackControl::new(&SlackSettings { webhook_url, ..settings() }).unwrap();
        let back = SecretString::from(server.url("/commands/hunter2hunter2"));
        slack.say(Some(&back), "done: <flat>").await.unwrap();
        slack.say(None, "done").await.unwrap();
        let requests = server.requests();
        assert_eq!(
            (requests[0].path.as_str(), requests[1].path.as_str()),
            ("/commands/hunter2hunter2", "/services/hunter3hunter3")
        );
        assert_eq!(requests[0].json()["text"], "done: &lt;flat&gt;");
        assert_eq!(
            (&requests[0].json()["response_type"], requests[1].json().get("response_type")),
            (&json!("ephemeral"), None)
        );
        let used = slack.say(Some(&back), "again").await.map(|()| String::new());
        assert!(is_permanent(&used) && !used.unwrap_err().to_string().contains("hunter2"));
        let nowhere = SlackControl::new(&settings()).unwrap().say(None, "x").await.map(|()| String::new());
        assert!(is_permanent(&nowhere));
    }

    #[test]
    fn each_mistake_names_its_key() {
        let with = |change: &dyn Fn(&mut SlackControlSettings)| {
            let mut control = settings().control;
            change(&mut control);
            SlackSettings { control, ..settings() }
        };
        assert!(settings().problems().is_empty() && SlackSettings::default().problems().is_empty());
        assert!(settings().is_listened_to() && !SlackSettings { enabled: false, ..settings() }.is_listened_to());
        let list = |id: &str| vec![id.to_owned()];
        for (settings, key) in [
            (with(&|control| control.signing_secret = None), "control.signing_secret"),
            (with(&|control| control.signing_secret = Some("hunter2".into())), "control.signing_secret"),
            (
                with(&|control| control.signing_secret = Some("https://hooks.slack.com/hunter2".into())),
                "control.signing_secret",
            ),
            (with(&|control| control.users.clear()), "control.users"),
            (with(&|control| control.users = list("roadrunner")), "control.users"),
            (with(&|control| control.users = list("C012AB3CD")), "control.users"),
            (with(&|control| control.chats = list("#trading")), "control.chats"),
            (with(&|control| control.chats = list("D012AB3CD")), "control.chats"),
            (with(&|control| control.server = "http://example.com".to_owned()), "control.server"),
            (with(&|control| control.confirm_within = Span::minutes(11)), "control.confirm_within"),
        ] {
            let problems = settings.problems();
            assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
            assert!(!problems[0].1.contains("hunter2"), "{}", problems[0].1);
        }
    }
}
