//! What people write to the bot: long polling of `getUpdates`, and answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::time::{Span, Timestamp};
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::post::{Answer, ChannelSetupError, Poster};
use super::telegram::{TelegramChannel, TelegramSettings, refused};
use super::text::within;
use crate::ports::{ChannelError, ChatMessage, ChatUpdate, ControlChat};

/// How long Telegram holds an empty answer back.
const POLL: Duration = Duration::from_secs(25);
/// Updates of one answer.
const UPDATES_MAX: u32 = 10;
/// What is read of an answer, in bytes: ten of the longest messages, each with another that it replies to, stay below.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// What an answer to a person may hold, in UTF-16 units.
const TEXT_MAX: usize = 4_096;

/// The bot's ears.
pub struct TelegramControl {
    ears: Poster,
    mouth: Poster,
    updates: Url,
    send: Url,
    me: Url,
    /// The bot's own name, once Telegram has told it.
    name: Mutex<Option<String>>,
}

impl TelegramControl {
    /// The bot of these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &TelegramSettings) -> Result<Self, ChannelSetupError> {
        let channel = TelegramChannel::NAME;
        let url = |method| {
            settings.url(method).map_err(|(key, problem)| ChannelSetupError::Settings { channel, key, problem })
        };
        let secrets = || settings.bot_token.iter().cloned().collect();
        let held = u64::try_from(POLL.as_millis()).unwrap_or(u64::MAX);
        let patience = Span::millis(settings.timeout.as_millis().saturating_add(held));
        Ok(Self {
            ears: Poster::new(channel, patience, secrets())?.reading(ANSWER_MAX),
            mouth: Poster::new(channel, settings.timeout, secrets())?,
            updates: url("getUpdates")?,
            send: url("sendMessage")?,
            me: url("getMe")?,
            name: Mutex::default(),
        })
    }

    /// The bot's own name; `None` if Telegram does not tell it.
    ///
    /// # Errors
    /// What passes by: nothing is lost, the messages are read again.
    async fn own_name(&self) -> Result<Option<String>, ChannelError> {
        if let Some(known) = self.name.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(Some(known));
        }
        let answer = self.mouth.post(&self.me, HeaderMap::new(), b"{}".to_vec()).await?;
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let told = said.get("result").and_then(|me| me.get("username")?.as_str()).map(str::to_owned);
        if is_taken(&answer) && told.is_some() {
            self.name.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&told);
            return Ok(told);
        }
        match refused(&self.mouth, &answer) {
            error @ ChannelError::Transient { .. } => Err(error),
            error @ ChannelError::Permanent { .. } => {
                tracing::warn!(%error, "telegram.nameless: what names a bot is passed over");
                Ok(None)
            }
        }
    }

    /// The updates without what was said to other bots: `/halt@other_bot` is none of ours.
    async fn ours(&self, mut updates: Vec<ChatUpdate>) -> Result<Vec<ChatUpdate>, ChannelError> {
        for update in &mut updates {
            let Some(named) = update.message.as_ref().and_then(|message| bot_of(&message.text)) else { continue };
            let own = self.own_name().await?;
            if !own.is_some_and(|own| own.eq_ignore_ascii_case(named)) {
                tracing::info!(number = update.number, "telegram.of_others: a message to another bot is passed over");
                update.message = None;
            }
        }
        Ok(updates)
    }
}

#[derive(Debug, Deserialize)]
struct Updates {
    ok: bool,
    /// Read one by one: what one of them holds must not hide the others.
    result: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Sent {
    date: i64,
    chat: Chat,
    from: Option<Sender>,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Chat {
    id: i64,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Sender {
    id: i64,
}

/// The bot that a message names in its first word.
fn bot_of(text: &str) -> Option<&str> {
    let (_, named) = text.split_whitespace().next()?.split_once('@')?;
    Some(named)
}

/// An update; `None` for one without a number, which nothing can be done with.
fn update(update: &Value) -> Option<ChatUpdate> {
    let number = update.get("update_id")?.as_i64()?;
    let message = update.get("message").and_then(|message| match Sent::deserialize(message) {
        Ok(sent) => written(sent),
        Err(error) => {
            tracing::warn!(number, %error, "telegram.unreadable: a message is passed over");
            None
        }
    });
    Some(ChatUpdate { number, message })
}

/// What a person wrote; `None` for a picture, a channel's post and the like.
fn written(sent: Sent) -> Option<ChatMessage> {
    let Sent { date, chat, from, text } = sent;
    Some(ChatMessage {
        at: Timestamp(date.saturating_mul(1_000)),
        chat: chat.id.to_string(),
        is_private: chat.kind == "private",
        sender: from?.id.to_string(),
        text: text?,
        prefix: "/".to_owned(),
    })
}

#[async_trait]
impl ControlChat for TelegramControl {
    fn name(&self) -> &str {
        TelegramChannel::NAME
    }

    async fn updates(&self, after: Option<i64>) -> Result<Vec<ChatUpdate>, ChannelError> {
        let mut body = json!({ "timeout": POLL.as_secs(), "limit": UPDATES_MAX, "allowed_updates": ["message"] });
        if let Some(after) = after {
            body["offset"] = json!(after.saturating_add(1));
        }
        let answer = self.ears.post(&self.updates, HeaderMap::new(), body.to_string().into_bytes()).await?;
        match serde_json::from_str::<Updates>(&answer.body) {
            Ok(updates) if updates.ok && answer.status == 200 => {
                self.ours(updates.result.iter().filter_map(update).collect()).await
            }
            // A page of something in front of Telegram, or half an answer: it passes by.
            Err(_) if answer.status == 200 => Err(self.ears.transient("the answer is not Telegram's", None)),
            Ok(_) | Err(_) => Err(refused(&self.ears, &answer)),
        }
    }

    async fn say(&self, chat: &str, text: &str) -> Result<(), ChannelError> {
        let chat = chat.parse::<i64>().map_or_else(|_| json!(chat), Value::from);
        let inert = text.replace('@', "@\u{2060}"); // nobody's name; a command may be one to touch
        let body = json!({
            "chat_id": chat,
            "text": within(inert.trim(), TEXT_MAX, char::len_utf16),
            "link_preview_options": { "is_disabled": true },
        });
        let answer = self.mouth.post(&self.send, HeaderMap::new(), body.to_string().into_bytes()).await?;
        if is_taken(&answer) { Ok(()) } else { Err(refused(&self.mouth, &answer)) }
    }
}

fn is_taken(answer: &Answer) -> bool {
    let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    answer.status == 200 && said["ok"] == true
}

#[cfg(test)]
mod tests {
    use super::super::fake_http::{FakeHttp, Reply, is_permanent, wait_of};
    use super::*;

    const TOKEN: &str = "123456:ABCDEFGHIJKLMNOP";
    const NONE: &str = r#"{"ok":true,"result":[]}"#;

    fn bot(server: &FakeHttp) -> TelegramControl {
        TelegramControl::new(&TelegramSettings {
            bot_token: Some(TOKEN.into()),
            chat_id: "1".to_owned(),
            server: server.url("").into(),
            timeout: Span::millis(300),
            ..TelegramSettings::default()
        })
        .unwrap()
    }

    async fn read(reply: Reply) -> Result<Vec<ChatUpdate>, ChannelError> {
        bot(&FakeHttp::start(vec![reply]).await).updates(None).await
    }

    fn said(status: u16, text: &str) -> Reply {
        Reply::of(status, &format!(r#"{{"ok":false,"error_code":{status},"description":"{text}"}}"#))
    }

    #[tokio::test]
    async fn messages_are_read_from_where_reading_ended() {
        let three = r#"{"ok":true,"result":[
            {"update_id":870001,"message":{"message_id":1,"date":1794848400,"chat":{"id":-100,"type":"group"},
             "from":{"id":42,"is_bot":false},"text":"/status"}},
            {"update_id":870002,"message":{"message_id":2,"date":1794848401,"chat":{"id":42,"type":"private"},
             "from":{"id":42,"is_bot":false},"photo":[]}},
            {"update_id":870003,"message":{"message_id":3,"date":"tomorrow"}}, {"who":"knows"}]}"#;
        let server = FakeHttp::start(vec![Reply::of(200, three), Reply::of(200, NONE)]).await;
        let bot = bot(&server);
        let got = bot.updates(None).await.unwrap();
        let asked = ChatMessage {
            at: Timestamp(1_794_848_400_000),
            chat: "-100".to_owned(),
            is_private: false,
            sender: "42".to_owned(),
            text: "/status".to_owned(),
            prefix: "/".to_owned(),
        };
        assert_eq!(got[0], ChatUpdate { number: 870_001, message: Some(asked) });
        let numbers = got[1..].iter().map(|update| (update.number, update.message.is_some()));
        assert_eq!(numbers.collect::<Vec<_>>(), [(870_002, false), (870_003, false)], "what is not read is counted");
        assert_eq!(bot.updates(Some(870_003)).await.unwrap(), []);
        let requests = server.requests();
        assert_eq!(requests[0].path, format!("/bot{TOKEN}/getUpdates"));
        assert_eq!(requests[0].json().get("offset"), None);
        let second = requests[1].json();
        assert_eq!((&second["timeout"], &second["offset"]), (&json!(25), &json!(870_004)));
        assert_eq!(second["allowed_updates"], json!(["message"]));
    }

    #[tokio::test]
    async fn what_is_said_to_another_bot_is_none_of_ours() {
        let said = |number: i64, text: &str| {
            json!({ "update_id": number, "message": { "date": 1, "chat": { "id": 1, "type": "group" },
                "from": { "id": 42 }, "text": text } })
        };
        let all = [said(1, "/halt@other_bot news"), said(2, "/halt@Daybook_Bot news"), said(3, "/halt ask @other_bot")];
        let all = Reply::of(200, &json!({ "ok": true, "result": all }).to_string());
        let me = Reply::of(200, r#"{"ok":true,"result":{"id":7,"is_bot":true,"username":"daybook_bot"}}"#);
        let heard = |updates: Vec<ChatUpdate>| {
            let heard = updates.iter().filter(|update| update.message.is_some()).map(|update| update.number);
            (updates.len(), heard.collect::<Vec<_>>())
        };
        let server = FakeHttp::start(vec![all.clone(), me, all.clone()]).await;
        let bot = bot(&server);
        for _ in 0..2 {
            assert_eq!(heard(bot.updates(None).await.unwrap()), (3, vec![2, 3]));
        }
        assert_eq!(server.requests()[1].path, format!("/bot{TOKEN}/getMe"));
        // Where its name is not told, it answers to none; where that passes by, the messages are read again.
        let nameless = FakeHttp::start(vec![all.clone(), said_status(404), said_status(404)]).await;
        assert_eq!(heard(self::bot(&nameless).updates(None).await.unwrap()), (3, vec![3]));
        let busy = FakeHttp::start(vec![all, said_status(502)]).await;
        assert!(self::bot(&busy).updates(None).await.is_err());
    }

    fn said_status(status: u16) -> Reply {
        said(status, "no")
    }

    #[tokio::test]
    async fn a_full_answer_is_read_to_its_end() {
        let text = "🙂".repeat(2_048);
        let one = |id: u32| {
            json!({"update_id": id, "message": {"date": 1, "chat": {"id": 1, "type": "private"}, "from": {"id": 1},
                "text": text, "reply_to_message": {"text": text}}})
        };
        let all = json!({ "ok": true, "result": (0..UPDATES_MAX).map(one).collect::<Vec<_>>() });
        assert_eq!(read(Reply::of(200, &all.to_string())).await.unwrap().len(), 10);
    }

    #[tokio::test]
    async fn an_answer_is_plain_text_within_the_limit() {
        let sent = Reply::of(200, r#"{"ok":true,"result":{"message_id":42}}"#);
        let server =
            FakeHttp::start(vec![sent.clone(), sent, said(403, "Forbidden: bot was blocked by the user")]).await;
        let bot = bot(&server);
        bot.say("-100", "<b>flat</b> @everyone\n/yes 0042").await.unwrap();
        bot.say("42", &"🙂".repeat(3_000)).await.unwrap();
        let requests = server.requests();
        let first = requests[0].json();
        assert_eq!(requests[0].path, format!("/bot{TOKEN}/sendMessage"));
        assert_eq!((&first["chat_id"], first.get("parse_mode")), (&json!(-100), None), "nothing in it is markup");
        assert_eq!(first["text"], "<b>flat</b> @\u{2060}everyone\n/yes 0042");
        assert!(requests[1].json()["text"].as_str().unwrap().encode_utf16().count() <= TEXT_MAX);
        assert!(is_permanent(&bot.say("42", "x").await.map(|()| String::new())));
    }

    #[tokio::test]
    async fn a_wrong_token_needs_a_person_and_trouble_passes_by() {
        for (reply, needs_a_person) in [
            (said(401, "Unauthorized"), true),
            (said(404, "Not Found"), true),
            (said(409, "Conflict: terminated by other getUpdates request"), false),
            (said(429, "Too Many Requests"), false),
            (Reply::of(502, "<html>"), false),
            (Reply::of(200, "<html>welcome to this hotel</html>"), false),
            (Reply::of(200, r#"{"ok":true,"result":[{"update_id":8700"#), false),
            (Reply::CloseMidway, false),
        ] {
            let error = read(reply.clone()).await.map(|updates| format!("{updates:?}"));
            assert_eq!(is_permanent(&error), needs_a_person, "{reply:?}");
            assert!(!error.unwrap_err().to_string().contains("ABCDEFGHIJ"));
        }
        let busy = r#"{"ok":false,"error_code":429,"description":"retry","parameters":{"retry_after":35}}"#;
        let busy = read(Reply::of(429, busy)).await.map(|updates| format!("{updates:?}"));
        assert_eq!(wait_of(&busy), Some(35_000));
        let server = FakeHttp::start(vec![Reply::Hang]).await;
        let hangs = bot(&server).say("42", "x").await.map(|()| String::new());
        assert!(!is_permanent(&hangs), "an answer that nobody takes is given again");
    }
}
