//! What people write to Discord's slash command: interactions that Discord has signed, their replies, and answers that
//! come later.

use async_trait::async_trait;
use daybook_core::time::{Span, Timestamp};
use reqwest::header::{HeaderMap, USER_AGENT};
use reqwest::{Method, Url};
use ring::signature::{ED25519, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chat_webhook::ChatWebhookSettings;
use super::control;
use super::discord::{AGENT, DiscordChannel, escaped, refused};
use super::post::{ChannelSetupError, Poster, address};
use crate::ports::{
    CallHeaders, CallRefused, Called, CalledMessage, CallingChat, ChannelError, ChatMessage, ServiceCall,
};

/// Characters of an answer, escaped: what a message's content may have.
const TEXT_MAX: usize = 2_000;
/// Digits of a Discord id, which counts milliseconds since 2015.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 15..=20;
/// Milliseconds of the instant from which Discord's ids count: 2015-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_420_070_400_000;
/// Bits of an id below its milliseconds.
const ID_BITS: u32 = 22;
/// The flag of a message that only who asked can see.
const EPHEMERAL: u32 = 64;
/// An interaction that asks whether somebody is there, and its reply.
const PING: u64 = 1;
/// A slash command.
const COMMAND: u64 = 2;
/// A reply that is a message.
const MESSAGE: u32 = 4;
/// A reply that promises one.
const DEFERRED: u32 = 5;

/// A channel of Discord, and what people may ask for there.
pub type DiscordSettings = ChatWebhookSettings<DiscordControlSettings>;

/// What people may ask for by a slash command: status, positions, halt, resume, close.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscordControlSettings {
    /// Whether Discord's interactions are listened to.
    pub enabled: bool,
    /// Who is heard: Discord's ids of people.
    pub users: Vec<String>,
    /// The ids of the channels in which they are heard, besides their own chats with the app.
    pub chats: Vec<String>,
    /// The application's id.
    pub application_id: String,
    /// The application's public key, by which its interactions are told from others: 64 hexadecimal digits.
    pub public_key: String,
    /// The service's address; another for a server of one's own.
    pub server: String,
    /// How long a person has for the yes to what moves money or opens entries.
    pub confirm_within: Span,
}

impl Default for DiscordControlSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            users: Vec::new(),
            chats: Vec::new(),
            application_id: String::new(),
            public_key: String::new(),
            server: "https://discord.com".to_owned(),
            confirm_within: Span::minutes(1),
        }
    }
}

impl DiscordControlSettings {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !is_id(&self.application_id) {
            let told =
                format!("is \"{}\"; expected the application's id, such as 123456789012345678", self.application_id);
            problems.push(("control.application_id", told));
        }
        if self.key().is_none() {
            let told = "is no public key; expected the 64 hexadecimal digits of the application's General Information";
            problems.push(("control.public_key", told.to_owned()));
        } else if self.key().is_some_and(is_weak) {
            let told =
                "is no application's public key: anybody could sign under it; expected the one of General Information";
            problems.push(("control.public_key", told.to_owned()));
        }
        if self.users.is_empty() {
            let told = "is empty, and nobody would be heard; expected people's ids, such as [\"123456789012345678\"]";
            problems.push(("control.users", told.to_owned()));
        }
        if let Some(user) = self.users.iter().find(|user| !is_id(user)) {
            let told = format!("has \"{user}\", which is no person; expected ids such as 123456789012345678");
            problems.push(("control.users", told));
        }
        if let Some(chat) = self.chats.iter().find(|chat| !is_id(chat)) {
            let told = format!("has \"{chat}\", which is no channel; expected ids such as 123456789012345678");
            problems.push(("control.chats", told));
        }
        problems.extend(address(&self.server).err().map(|problem| ("control.server", problem)));
        problems.extend(control::problem_of_confirm_within(self.confirm_within));
        problems
    }

    fn key(&self) -> Option<[u8; 32]> {
        control::bytes_of(&self.public_key)
    }
}

/// The points of small order on the curve, as the y of their encodings, the lowest byte first; in the last three y is that
/// of an earlier one and the field's size. Under such a key a signature holds that nobody made.
const WEAK_KEYS: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Whether a key is one of those, whatever its sign.
fn is_weak(mut key: [u8; 32]) -> bool {
    key[31] &= 0x7f;
    WEAK_KEYS.iter().any(|weak| control::bytes_of(weak) == Some(key))
}

fn is_id(id: &str) -> bool {
    ID_DIGITS.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

impl DiscordSettings {
    /// Whether Discord's interactions are to be listened to.
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
pub struct DiscordControl {
    key: UnparsedPublicKey<[u8; 32]>,
    poster: Poster,
    webhook: Option<Url>,
    /// `/api/v10/webhooks/{application_id}` of the service.
    answers: Url,
}

impl DiscordControl {
    /// The slash command of these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &DiscordSettings) -> Result<Self, ChannelSetupError> {
        let channel = DiscordChannel::NAME;
        let failed = |key, problem| ChannelSetupError::Settings { channel, key, problem };
        let control = &settings.control;
        if let Some((key, problem)) = control.problems().into_iter().next() {
            return Err(failed(key, problem));
        }
        let (poster, mut webhook) = settings.mouth(channel)?;
        if let Some(url) = &mut webhook {
            // Without it Discord does not say whether it has kept the message.
            url.query_pairs_mut().append_pair("wait", "true");
        }
        let answers = format!("{}/api/v10/webhooks/{}", control.server.trim_end_matches('/'), control.application_id);
        Ok(Self {
            key: UnparsedPublicKey::new(&ED25519, control.key().unwrap_or_default()),
            poster,
            webhook,
            answers: address(&answers).map_err(|problem| failed("control.server", problem))?,
        })
    }

    /// The address of an interaction's reply, by its token.
    fn reply_of(&self, token: &str) -> Url {
        let mut url = self.answers.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([token, "messages", "@original"]); // escaped: whatever the token holds, it is one part
        }
        url
    }
}

/// An interaction, of what is used.
#[derive(Debug, Deserialize)]
struct Interaction {
    #[serde(rename = "type")]
    kind: u64,
    id: Option<String>,
    token: Option<String>,
    channel_id: Option<String>,
    /// Who, in a server; with it the chat is one that others read.
    member: Option<Member>,
    /// Who, where nobody else reads along.
    user: Option<User>,
    data: Option<Data>,
    /// Where it was asked for: in a server, with the bot, in a group of people.
    context: Option<u64>,
}

/// The context of a group of people, in which others read along.
const GROUP: u64 = 2;

#[derive(Debug, Deserialize)]
struct Member {
    user: User,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Data {
    name: String,
    #[serde(default)]
    options: Vec<Chosen>,
}

#[derive(Debug, Deserialize)]
struct Chosen {
    value: Option<Value>,
}

impl Interaction {
    /// What a person asks for; an error names what is missing.
    fn asked(self) -> Result<CalledMessage, &'static str> {
        let data = self.data.ok_or("data")?;
        let number = self.id.and_then(|id| id.parse::<i64>().ok()).filter(|number| *number >= 0).ok_or("id")?;
        let is_private = self.member.is_none() && self.context != Some(GROUP);
        let sender = self.member.map(|member| member.user).or(self.user).ok_or("user")?.id;
        let text = data.options.first().and_then(|chosen| chosen.value.as_ref()).and_then(Value::as_str);
        Ok(CalledMessage {
            number,
            message: ChatMessage {
                at: Timestamp((number >> ID_BITS) + EPOCH_MS),
                chat: self.channel_id.ok_or("channel_id")?,
                is_private,
                sender,
                text: control::with_stroke(text.unwrap_or_default()),
                prefix: format!("/{} ", data.name),
            },
            back: self.token.map(SecretString::from),
        })
    }
}

/// A message that only who asked can see, in which nothing is markup and nobody is called.
fn said(text: &str) -> Value {
    json!({ "content": escaped(text, TEXT_MAX), "flags": EPHEMERAL, "allowed_mentions": { "parse": [] } })
}

#[async_trait]
impl CallingChat for DiscordControl {
    fn name(&self) -> &str {
        DiscordChannel::NAME
    }

    fn headers(&self) -> CallHeaders {
        CallHeaders { signature: "x-signature-ed25519", timestamp: "x-signature-timestamp" }
    }

    fn read(&self, call: &ServiceCall, now: Timestamp) -> Result<Called, CallRefused> {
        let ServiceCall { signature, timestamp, body } = call;
        control::called_at(timestamp, now)?;
        let signature = control::bytes_of::<64>(signature).ok_or(CallRefused::Unsigned)?;
        let signed = [timestamp.as_bytes(), body].concat();
        self.key.verify(&signed, &signature).map_err(|_| CallRefused::Unsigned)?;
        let unreadable = |what: String| CallRefused::Unreadable(what);
        let interaction: Interaction =
            serde_json::from_slice(body).map_err(|error| unreadable(format!("line {}", error.line())))?;
        match interaction.kind {
            PING => Ok(Called::Probe(json!({ "type": PING }).to_string())),
            COMMAND => {
                let asked = interaction.asked().map_err(|field| unreadable(format!("{field} is missing")))?;
                Ok(Called::Asked(asked))
            }
            kind => Err(unreadable(format!("an interaction of type {kind}"))),
        }
    }

    fn reply(&self, text: &str) -> String {
        json!({ "type": MESSAGE, "data": said(text) }).to_string()
    }

    fn reply_later(&self) -> String {
        json!({ "type": DEFERRED, "data": { "flags": EPHEMERAL } }).to_string()
    }

    async fn say(&self, back: Option<&SecretString>, text: &str) -> Result<(), ChannelError> {
        let headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
        let (poster, answer) = match (back, &self.webhook) {
            (Some(token), _) => {
                let poster = self.poster.guarding(token.clone());
                let body = json!({ "content": escaped(text, TEXT_MAX), "allowed_mentions": { "parse": [] } });
                let url = self.reply_of(token.expose_secret());
                let answer = poster.send(Method::PATCH, &url, headers, body.to_string().into_bytes()).await?;
                if answer.status == 404 {
                    // What was promised a moment ago may not be there yet.
                    return Err(poster.transient(&format!("404 {}", answer.body), None));
                }
                (poster, answer)
            }
            (None, Some(webhook)) => {
                let content = escaped(text, TEXT_MAX);
                let body = json!({ "username": "Daybook", "content": content, "allowed_mentions": { "parse": [] } });
                let answer = self.poster.post(webhook, headers, body.to_string().into_bytes()).await?;
                (self.poster.clone(), answer)
            }
            (None, None) => return Err(self.poster.permanent("no way leads back, and there is no webhook_url")),
        };
        if answer.status == 200 { Ok(()) } else { Err(refused(&poster, &answer)) }
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::super::fake_http::{FakeHttp, Reply, is_permanent};
    use super::*;

    const AT: &str = "1794848400";
    const NOW: Timestamp = Timestamp(1_794_848_402_000);
    /// An interaction of 2026-11-16T17:00:00.123Z.
    const ID: i64 = (1_794_848_400_123 - EPOCH_MS) << ID_BITS | 7;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn settings() -> DiscordSettings {
        let control = DiscordControlSettings {
            enabled: true,
            users: vec!["123456789012345678".to_owned()],
            application_id: "987654321098765432".to_owned(),
            public_key: hex(pair().public_key().as_ref()),
            ..DiscordControlSettings::default()
        };
        DiscordSettings { control, timeout: Span::millis(300), ..DiscordSettings::default() }
    }

    fn discord() -> DiscordControl {
        DiscordControl::new(&settings()).unwrap()
    }

    fn signed(body: &str) -> ServiceCall {
        let signature = hex(pair().sign(format!("{AT}{body}").as_bytes()).as_ref());
        ServiceCall { signature, timestamp: AT.to_owned(), body: body.as_bytes().to_vec() }
    }

    fn interaction() -> Value {
        json!({
            "type": 2, "id": ID.to_string(), "application_id": "987654321098765432", "token": "aW50ZXI.hunter2_-",
            "channel_id": "111111111111111111", "guild_id": "222222222222222222", "version": 1,
            "member": {"user": {"id": "123456789012345678", "username": "road"}, "roles": []},
            "data": {"id": "3", "name": "daybook", "type": 1, "options": [{"name": "text", "type": 3, "value": "halt news"}]},
        })
    }

    fn asked(interaction: &Value) -> CalledMessage {
        match discord().read(&signed(&interaction.to_string()), NOW) {
            Ok(Called::Asked(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_interaction_is_read() {
        let read = asked(&interaction());
        let message = ChatMessage {
            at: Timestamp(1_794_848_400_123),
            chat: "111111111111111111".to_owned(),
            is_private: false,
            sender: "123456789012345678".to_owned(),
            text: "/halt news".to_owned(),
            prefix: "/daybook ".to_owned(),
        };
        assert_eq!((read.number, read.message), (ID, message));
        assert_eq!(read.back.unwrap().expose_secret(), "aW50ZXI.hunter2_-");
        let mut private = interaction();
        private["user"] = private["member"]["user"].take();
        private.as_object_mut().unwrap().retain(|key, _| key != "member" && key != "guild_id");
        private["data"]["options"].take();
        private["data"].as_object_mut().unwrap().remove("options");
        let read = asked(&private).message;
        assert_eq!((read.is_private, read.sender.as_str(), read.text.as_str()), (true, "123456789012345678", "/"));
        let pong = discord().read(&signed(r#"{"type":1,"id":"1"}"#), NOW);
        assert!(matches!(&pong, Ok(Called::Probe(reply)) if reply == r#"{"type":1}"#), "{pong:?}");
    }

    #[test]
    fn what_discord_has_not_signed_now_is_refused() {
        let good = || signed(r#"{"type":1}"#);
        let changed = |change: &dyn Fn(&mut ServiceCall)| {
            let mut call = good();
            change(&mut call);
            call
        };
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let others = hex(other.sign(format!("{AT}{{\"type\":1}}").as_bytes()).as_ref());
        for (call, now, refused) in [
            (changed(&|call| call.body.push(b' ')), NOW, CallRefused::Unsigned),
            (changed(&|call| call.timestamp = "1794848401".to_owned()), NOW, CallRefused::Unsigned),
            (changed(&|call| call.timestamp.clear()), NOW, CallRefused::Unsigned),
            (changed(&|call| call.signature.clear()), NOW, CallRefused::Unsigned),
            (changed(&|call| call.signature.truncate(126)), NOW, CallRefused::Unsigned),
            (changed(&|call| call.signature = "zz".repeat(64)), NOW, CallRefused::Unsigned),
            (changed(&|call| call.signature = others.clone()), NOW, CallRefused::Unsigned),
            (good(), Timestamp(NOW.0 + 299_000), CallRefused::Stale { off_s: 301 }),
            (good(), Timestamp(NOW.0 - 303_000), CallRefused::Stale { off_s: 301 }),
        ] {
            assert_eq!(discord().read(&call, now).unwrap_err(), refused, "{call:?}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let without = |key: &str| {
            let mut interaction = interaction();
            interaction.as_object_mut().unwrap().remove(key);
            interaction.to_string()
        };
        let mut of_a_button = interaction();
        of_a_button["type"] = json!(3);
        let bad = ["data", "id", "member", "channel_id", "type"].map(without);
        let others = ["", "[]", "{}", "{\"type\":\"2\"}", "\u{0}", "{\"type\":2"].map(str::to_owned);
        for body in bad.into_iter().chain(others).chain([of_a_button.to_string()]) {
            let refused = discord().read(&signed(&body), NOW).unwrap_err();
            assert!(matches!(refused, CallRefused::Unreadable(_)), "{body}: {refused}");
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        let mut negative = interaction();
        negative["id"] = json!("-5");
        assert!(discord().read(&signed(&negative.to_string()), NOW).is_err());
    }

    #[test]
    fn nothing_that_is_said_becomes_a_mention_or_markup_and_the_largest_fits() {
        let reply: Value = serde_json::from_str(&discord().reply("@everyone *flat* <@1>")).unwrap();
        assert_eq!(reply["type"], 4);
        assert_eq!(reply["data"]["content"], r"\@everyone \*flat\* \<\@1\>");
        assert_eq!(
            (&reply["data"]["flags"], &reply["data"]["allowed_mentions"]),
            (&json!(64), &json!({ "parse": [] }))
        );
        let later: Value = serde_json::from_str(&discord().reply_later()).unwrap();
        assert_eq!(later, json!({ "type": 5, "data": { "flags": 64 } }));
        for filling in ["*", "x", "\u{1f642}"] {
            let reply: Value = serde_json::from_str(&discord().reply(&filling.repeat(9_000))).unwrap();
            assert!(reply["data"]["content"].as_str().unwrap().chars().count() <= TEXT_MAX, "{filling}");
        }
    }

    #[tokio::test]
    async fn an_answer_goes_back_or_to_the_channel_and_its_token_is_told_nobody() {
        let unknown = Reply::of(404, r#"{"message":"Unknown Webhook hunter2hunter2","code":10015}"#);
        let expired = Reply::of(401, r#"{"message":"Invalid Webhook Token hunter2hunter2","code":50027}"#);
        let server = FakeHttp::start(vec![Reply::of(200, "{}"), Reply::of(200, "{}"), unknown, expired]).await;
        let webhook_url = Some(server.url("/api/webhooks/1/hunter3hunter3").into());
        let control = DiscordControlSettings { server: server.url(""), ..settings().control };
        let discord = DiscordControl::new(&DiscordSettings { webhook_url, control, ..settings() }).unwrap();
        let token = SecretString::from("../hunter2hunter2");
        discord.say(Some(&token), "done: *flat*").await.unwrap();
        discord.say(None, "done").await.unwrap();
        let requests = server.requests();
        assert_eq!(requests[0].path, "/api/v10/webhooks/987654321098765432/..%2Fhunter2hunter2/messages/@original");
        assert_eq!(requests[0].json()["content"], r"done\: \*flat\*");
        assert_eq!(requests[0].json()["allowed_mentions"], json!({ "parse": [] }));
        assert_eq!(requests[1].path, "/api/webhooks/1/hunter3hunter3?wait=true");
        for needs_a_person in [false, true] {
            let error = discord.say(Some(&token), "again").await.map(|()| String::new());
            assert_eq!(is_permanent(&error), needs_a_person);
            assert!(!error.unwrap_err().to_string().contains("hunter2"));
        }
        let nowhere = self::discord().say(None, "x").await.map(|()| String::new());
        assert!(is_permanent(&nowhere));
    }

    #[test]
    fn each_mistake_names_its_key() {
        let with = |change: &dyn Fn(&mut DiscordControlSettings)| {
            let mut control = settings().control;
            change(&mut control);
            DiscordSettings { control, ..settings() }
        };
        assert!(settings().problems().is_empty() && DiscordSettings::default().problems().is_empty());
        assert!(settings().is_listened_to() && !DiscordSettings { enabled: false, ..settings() }.is_listened_to());
        let list = |id: &str| vec![id.to_owned()];
        for (settings, key) in [
            (with(&|control| control.application_id = "daybook".to_owned()), "control.application_id"),
            (with(&|control| control.public_key.truncate(62)), "control.public_key"),
            (with(&|control| control.public_key = "g".repeat(64)), "control.public_key"),
            (with(&|control| control.public_key = "0".repeat(64)), "control.public_key"),
            (with(&|control| control.public_key = format!("01{}80", "0".repeat(60))), "control.public_key"),
            (with(&|control| control.public_key = WEAK_KEYS[3].to_uppercase()), "control.public_key"),
            (with(&|control| control.users.clear()), "control.users"),
            (with(&|control| control.users = list("road#1234")), "control.users"),
            (with(&|control| control.chats = list("trading")), "control.chats"),
            (with(&|control| control.server = "http://example.com".to_owned()), "control.server"),
            (with(&|control| control.confirm_within = Span::seconds(9)), "control.confirm_within"),
        ] {
            let problems = settings.problems();
            assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
        }
    }
}
