//! People ask for things in a chat: against a bot's service that answers as it is told, with kills in between.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::clocks::SystemClock;
use daybook::engine::chat::{self, Guard};
use daybook::ports::{ChannelError, ChatMessage, ChatUpdate, Clock, ControlChat};
use daybook_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::place::Place;
use crate::support::simulation::{rows, wire};

const TOKEN: &str = "123456:ABCDEFGHIJKLMNOP";
const OWNER: i64 = 42;
/// How long an answer may take: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service that speaks `getUpdates` and `sendMessage`. It ends with the process.
struct Telegram {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    updates: Vec<Value>,
    /// What was said, and where.
    said: Vec<(i64, String)>,
    /// What it answers first: status and body.
    trouble: VecDeque<(u16, &'static str)>,
    /// It shows every update again and again, whatever was taken.
    forgets_nothing: bool,
    /// What was asked with another token.
    strangers: u32,
}

impl Telegram {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::<Mutex<State>>::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                // Who was killed hangs up in the middle.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self { port, state }
    }

    /// A person writes in the private chat with the bot.
    fn receives(&self, sender: i64, text: &str) {
        let date = SystemClock::new().wall().0 / 1_000;
        let mut state = self.state.lock().unwrap();
        let number = 870_001 + state.updates.len();
        state.updates.push(json!({"update_id": number, "message": {"message_id": 1, "date": date, "text": text,
            "chat": {"id": sender, "type": "private"}, "from": {"id": sender, "is_bot": false}}}));
    }

    fn said(&self) -> Vec<(i64, String)> {
        self.state.lock().unwrap().said.clone()
    }

    /// Waits until so much was said, and answers the last of it.
    fn await_said(&self, count: usize) -> String {
        let clock = SystemClock::new();
        let began = clock.monotonic();
        loop {
            let said = self.said();
            if said.len() >= count {
                return said[said.len() - 1].1.clone();
            }
            assert!(clock.monotonic() - began < PATIENCE, "{said:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Has the configuration listen to the bot, and hear this person.
    fn configure(&self, place: &Place, user: i64) {
        let text = format!(
            "exchange_calendar: 24/7\njobs_dir: jobs\nledger: {{path: day.db}}\nmarket: {{simulated: {{symbols: 5}}}}\n\
             notifications:\n  folder: mail\n  min_level: critical\n  telegram:\n    bot_token: ${{TOKEN}}\n    chat_id: 1\n    \
             server: http://127.0.0.1:{}\n    control: {{enabled: true, users: [{user}]}}\n",
            self.port
        );
        fs::write(place.path("daybook.yaml"), text).unwrap();
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, answer) = match path.strip_prefix(&format!("/bot{TOKEN}/")) {
        Some("getUpdates") => updates(&body, state),
        Some("sendMessage") => {
            let said = (body["chat_id"].as_i64().unwrap(), body["text"].as_str().unwrap().to_owned());
            state.lock().unwrap().said.push(said);
            (200, json!({"ok": true, "result": {"message_id": 1}}).to_string())
        }
        _ => {
            state.lock().unwrap().strangers += 1;
            (404, String::new())
        }
    };
    write!(stream, "HTTP/1.1 {status} said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len())
}

/// What came after the offset, which is forgotten up to there; an empty answer is held back for a while.
fn updates(asked: &Value, state: &Mutex<State>) -> (u16, String) {
    let offset = asked["offset"].as_i64().unwrap_or(0);
    for _ in 0..20 {
        let mut state = state.lock().unwrap();
        if let Some((status, body)) = state.trouble.pop_front() {
            return (status, body.to_owned());
        }
        let forgets_nothing = state.forgets_nothing;
        let of = |update: &&Value| forgets_nothing || update["update_id"].as_i64().unwrap() >= offset;
        let found: Vec<Value> = state.updates.iter().filter(of).cloned().collect();
        drop(state);
        if !found.is_empty() {
            if forgets_nothing {
                std::thread::sleep(Duration::from_millis(20)); // so that it is not asked without end
            }
            return (200, json!({ "ok": true, "result": found }).to_string());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    (200, json!({"ok": true, "result": []}).to_string())
}

const VARIABLES: [(&str, &str); 1] = [("TOKEN", TOKEN)];

/// A scheduler that listens to a bot, and hears its owner.
fn listening() -> (Place, Telegram) {
    let (mut place, telegram) = (Place::new("24/7"), Telegram::start());
    telegram.configure(&place, OWNER);
    place.start(&VARIABLES);
    (place, telegram)
}

/// The code that the last answer asks a yes for.
fn code_in(said: &str) -> String {
    said.rsplit_once("/yes ").unwrap_or_else(|| panic!("{said}")).1.to_owned()
}

#[test]
fn a_person_asks_halts_resumes_and_closes() {
    let (place, telegram) = listening();
    telegram.receives(7, "/halt");
    telegram.receives(OWNER, "/positions");
    assert_eq!(telegram.await_said(1), "nothing is held");
    telegram.receives(OWNER, "/halt lunch");
    assert_eq!(telegram.await_said(2), "new entries are stopped");
    assert_eq!(place.rows("SELECT reason FROM halt WHERE cleared_at_ms IS NULL"), ["lunch"]);
    telegram.receives(OWNER, "/status");
    assert!(telegram.await_said(3).contains("entries are stopped: lunch"));
    telegram.receives(OWNER, "/resume");
    let code = code_in(&telegram.await_said(4));
    assert_eq!(place.rows("SELECT reason FROM halt WHERE cleared_at_ms IS NULL").len(), 1, "not before the yes");
    telegram.receives(OWNER, &format!("/yes {code}"));
    assert_eq!(telegram.await_said(5), "1 latch cleared: entries are open again");
    telegram.receives(OWNER, "/resume");
    telegram.receives(OWNER, &format!("/yes {}", code_in(&telegram.await_said(6))));
    assert_eq!(telegram.await_said(7), "refused: nothing is halted");
    telegram.receives(OWNER, "/close all");
    telegram.receives(OWNER, &format!("/yes {}", code_in(&telegram.await_said(8))));
    assert_eq!(telegram.await_said(9), "done: nothing to close: no position is held");

    assert!(telegram.said().iter().all(|(chat, _)| *chat == OWNER), "a stranger gets no answer");
    let asked = "SELECT requested_by || ' ' || name || ' ' || state FROM command ORDER BY command_id";
    let by = |what: &str| format!("telegram:42 {what}");
    assert_eq!(place.rows(asked), [by("halt done"), by("resume done"), by("resume refused"), by("trade done")]);
    let strangers = "SELECT subject FROM alert WHERE event = 'chat.stranger'";
    assert_eq!(place.rows(strangers), ["telegram: somebody who is not heard has asked for something"]);
    let open = "SELECT 1 FROM chat_request WHERE outcome <> 'stranger' AND (answer IS NULL OR answered_at_ms IS NULL)";
    assert_eq!(place.await_rows("SELECT 1 FROM chat_request WHERE answered_at_ms IS NOT NULL", 9).len(), 9);
    assert_eq!(place.rows(open), Vec::<String>::new(), "each stands in the ledger with its answer");
    assert_eq!(telegram.state.lock().unwrap().strangers, 0);
}

#[test]
fn whatever_dies_what_was_asked_for_is_done_once_and_answered() {
    for point in ["chat.read", "chat.taken", "chat.after", "command.taken", "chat.said"] {
        let (mut place, telegram) = (Place::new("24/7"), Telegram::start());
        telegram.configure(&place, OWNER);
        telegram.state.lock().unwrap().forgets_nothing = true;
        place.start(&[VARIABLES[0], ("DAYBOOK_CRASH", &format!("{point}:1"))]);
        telegram.receives(OWNER, "/halt lunch");
        place.await_death();
        place.start(&VARIABLES);
        assert_eq!(telegram.await_said(1), "new entries are stopped", "{point}");
        place.await_rows("SELECT 1 FROM chat_request WHERE answered_at_ms IS NOT NULL", 1);
        for (rows, what) in [
            ("SELECT state FROM command", "command"),
            ("SELECT reason FROM halt", "halt"),
            ("SELECT subject FROM alert WHERE event = 'entries.halted'", "alert"),
        ] {
            assert_eq!(place.rows(rows).len(), 1, "{point}: {what}");
        }
    }
}

#[test]
fn the_bot_is_listened_to_as_the_configuration_says_now() {
    let (mut place, telegram) = (Place::new("24/7"), Telegram::start());
    place.start(&VARIABLES);
    telegram.receives(OWNER, "/positions");
    telegram.configure(&place, OWNER);
    assert_eq!(telegram.await_said(1), "nothing is held", "from then on, without a restart");
    telegram.configure(&place, 43);
    place.await_rows("SELECT 1 FROM config_version", 3);
    telegram.receives(OWNER, "/positions");
    telegram.receives(43, "/positions");
    telegram.await_said(2);
    assert_eq!(telegram.said()[1].0, 43, "who was heard before is a stranger now");
}

#[test]
fn trouble_at_the_service_passes_by() {
    let (mut place, telegram) = (Place::new("24/7"), Telegram::start());
    telegram.configure(&place, OWNER);
    let conflict = r#"{"ok":false,"error_code":409,"description":"Conflict: terminated by other getUpdates request"}"#;
    telegram.state.lock().unwrap().trouble = [(409, conflict)].into();
    place.start(&VARIABLES);
    telegram.receives(OWNER, "/positions");
    assert_eq!(telegram.await_said(1), "nothing is held");
    assert_eq!(place.rows("SELECT 1 FROM alert WHERE event = 'chat.deaf'"), Vec::<String>::new());
}

/// A service with a script; at its end it asks for an end.
struct Scripted {
    script: Mutex<VecDeque<Result<Vec<ChatUpdate>, ChannelError>>>,
    asked_at: Mutex<Vec<Timestamp>>,
    clock: Arc<dyn Clock>,
    say: Mutex<VecDeque<Result<(), ChannelError>>>,
    said: Mutex<Vec<String>>,
    stop: CancellationToken,
}

#[async_trait]
impl ControlChat for Scripted {
    fn name(&self) -> &str {
        "telegram"
    }

    async fn updates(&self, _after: Option<i64>) -> Result<Vec<ChatUpdate>, ChannelError> {
        self.asked_at.lock().unwrap().push(self.clock.wall());
        let next = self.script.lock().unwrap().pop_front();
        match next {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }

    async fn say(&self, _chat: &str, text: &str) -> Result<(), ChannelError> {
        let next = self.say.lock().unwrap().pop_front();
        if let Some(Err(error)) = next {
            return Err(error);
        }
        self.said.lock().unwrap().push(text.to_owned());
        if text == "nothing is held" {
            self.stop.cancel();
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_deaf_bot_is_told_of_once_and_an_answer_that_is_not_taken_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let wired = wire(&folder.path().join("day.db"), "2026-11-16", "2026-11-16").await;
    let clock = wired.parts.sources.clock.clone();
    let transient = |after: Option<u64>| ChannelError::Transient {
        channel: "telegram".to_owned(),
        reason: "409 Conflict".to_owned(),
        after: after.map(Duration::from_secs),
    };
    let permanent = || ChannelError::Permanent { channel: "telegram".to_owned(), reason: "401".to_owned() };
    let message = |number, text: &str| ChatUpdate {
        number,
        message: Some(ChatMessage {
            at: clock.wall().after(Duration::from_secs(45 * 60)),
            chat: "42".to_owned(),
            is_private: true,
            sender: "42".to_owned(),
            text: text.to_owned(),
            prefix: "/".to_owned(),
        }),
    };
    let script = [
        Err(transient(None)),
        Err(transient(Some(35))),
        Err(permanent()),
        Err(permanent()),
        Ok(Vec::new()),
        Ok(vec![message(1, "/what"), message(2, "/positions")]),
    ];
    let stop = CancellationToken::new();
    let scripted = Arc::new(Scripted {
        script: Mutex::new(script.into()),
        asked_at: Mutex::default(),
        clock: clock.clone(),
        say: Mutex::new([Err(transient(Some(60))), Err(permanent())].into()),
        said: Mutex::default(),
        stop: stop.clone(),
    });
    let guard = Guard { users: vec!["42".to_owned()], chats: Vec::new(), confirm_within: Duration::from_secs(60) };
    let (_keep, in_force) = watch::channel(wired.parts.clone());
    chat::run(scripted.clone(), guard, in_force, stop).await.unwrap();

    let asked_at = scripted.asked_at.lock().unwrap().clone();
    let waits: Vec<i64> = asked_at.windows(2).map(|pair| (pair[1].0 - pair[0].0) / 1_000).collect();
    assert_eq!(waits[..5], [5, 35, 900, 900, 1]);
    let ledger = &wired.parts.sources.ledger;
    let told = rows(ledger, "SELECT subject FROM alert WHERE event = 'chat.deaf'");
    assert_eq!(told, ["what people write to telegram cannot be read"]);
    assert_eq!(*scripted.said.lock().unwrap(), ["nothing is held"], "the first answer is refused for good");
    let refused = "SELECT answer_error FROM chat_request WHERE number = 1";
    assert_eq!(rows(ledger, refused), ["401"]);
}
