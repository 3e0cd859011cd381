//! People ask for things in Slack and Discord: against services that sign their calls, with kills in between.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::channels::{SlackControl, SlackSettings};
use daybook::adapters::clocks::SystemClock;
use daybook::config;
use daybook::engine::chat::{Desk, Guard, Heard, Reception};
use daybook::ledger::command::{self, CommandEnd};
use daybook::ports::{CallHeaders, CallRefused, CallingChat, ChannelError, ChatMessage, Clock, ServiceCall};
use daybook::wiring;
use daybook_core::money::Money;
use daybook_core::time::Timestamp;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::place::Place;
use crate::support::simulation::{rows, wire};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const VARIABLES: [(&str, &str); 1] = [("SECRET", SECRET)];
const OWNER: &str = "U2CERLKJA";
const OWNER_OF_DISCORD: &str = "123456789012345678";
/// How long an answer may take: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// What answers are sent to that come later, and what is told a channel. It ends with the process.
struct Service {
    port: u16,
    said: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, said) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<_>>>::default());
        let heard = said.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Who was killed hangs up in the middle.
                drop(hear(stream, &heard));
            }
        });
        Self { port, said }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until so much was said at addresses that begin so, and gives the last of it.
    fn await_said(&self, path: &str, count: usize) -> Value {
        let clock = SystemClock::new();
        let began = clock.monotonic();
        loop {
            let said = self.said.lock().unwrap().clone();
            let mut here: Vec<Value> =
                said.iter().filter(|(at, _)| at.starts_with(path)).map(|(_, body)| body.clone()).collect();
            if here.len() >= count {
                return here.pop().unwrap();
            }
            assert!(clock.monotonic() - began < PATIENCE, "{path}: {said:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn hear(mut stream: TcpStream, said: &Mutex<Vec<(String, Value)>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (head, length) = head(&mut reader)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).unwrap().to_owned();
    said.lock().unwrap().push((path, serde_json::from_slice(&body)?));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

/// The first line, and how long what follows the head is.
fn head(reader: &mut impl BufRead) -> std::io::Result<(String, usize)> {
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            return Ok((first, length));
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
}

/// A call as it goes over the wire.
#[derive(Clone)]
struct Call {
    path: &'static str,
    headers: [(&'static str, String); 2],
    body: String,
}

impl Call {
    /// The status and the body of the reply; an error if there is none.
    fn make(&self, port: u16) -> std::io::Result<(u16, String)> {
        let [(signature, signed), (timestamp, at)] = &self.headers;
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(
            stream,
            "POST {} HTTP/1.1\r\nHost: here\r\n{signature}: {signed}\r\n{timestamp}: {at}\r\nContent-Length: {}\r\n\r\n{}",
            self.path,
            self.body.len(),
            self.body
        )?;
        let mut bytes = Vec::new();
        // Who does not read all of a call hangs up on the rest of it, after the reply.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = status.ok_or_else(|| std::io::Error::other("no reply"))?;
        Ok((status, body.to_owned()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now_s() -> i64 {
    SystemClock::new().wall().0 / 1_000
}

/// Slack's call for a slash command in a direct message. Each has a trigger of its own.
fn slack(service: &Service, user: &str, text: &str) -> Call {
    slack_at(service, user, text, now_s())
}

fn slack_at(service: &Service, user: &str, text: &str, at_s: i64) -> Call {
    static TRIGGER: Mutex<u32> = Mutex::new(0);
    let mut trigger = TRIGGER.lock().unwrap();
    *trigger += 1;
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("team_id", "T1"), ("channel_id", "D012AB3CD"), ("user_id", user), ("command", "/daybook")])
        .extend_pairs([("text", text), ("trigger_id", &trigger.to_string())])
        .append_pair("response_url", &service.url("/commands/hunter2hunter2"))
        .finish();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, format!("v0:{at_s}:{body}").as_bytes());
    let headers = [
        ("X-Slack-Signature", format!("v0={}", hex(signature.as_ref()))),
        ("X-Slack-Request-Timestamp", at_s.to_string()),
    ];
    Call { path: "/slack", headers, body }
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn discord(body: &Value) -> Call {
    let (at, body) = (now_s().to_string(), body.to_string());
    let signature = hex(pair().sign(format!("{at}{body}").as_bytes()).as_ref());
    Call { path: "/discord", headers: [("X-Signature-Ed25519", signature), ("X-Signature-Timestamp", at)], body }
}

/// Discord's interaction for a slash command in the private chat with the app.
fn interaction(user: &str, text: &str) -> Value {
    static COUNT: Mutex<i64> = Mutex::new(0);
    let mut count = COUNT.lock().unwrap();
    *count += 1;
    let id = (SystemClock::new().wall().0 - 1_420_070_400_000) << 22 | *count;
    json!({"type": 2, "id": id.to_string(), "token": "hunter2hunter2", "channel_id": "5", "user": {"id": user},
        "data": {"name": "daybook", "options": [{"name": "text", "type": 3, "value": text}]}})
}

/// Has the configuration listen there, to both, and hear their owners.
fn configure(place: &Place, service: &Service, listen: &str) {
    let key = hex(pair().public_key().as_ref());
    let text = format!(
        "exchange_calendar: 24/7\njobs_dir: jobs\nledger: {{path: day.db}}\nmarket: {{simulated: {{symbols: 5}}}}\n\
         api: {{listen: '{listen}'}}\nnotifications:\n  folder: mail\n  min_level: critical\n  slack:\n    \
         webhook_url: ${{WEBHOOK}}\n    control: {{enabled: true, users: [{OWNER}], signing_secret: '${{SECRET}}', server: '{}'}}\n  \
         discord:\n    control: {{enabled: true, users: [{OWNER_OF_DISCORD}], application_id: 987654321098765432, \
         public_key: '{key}', server: '{}'}}\n",
        service.url(""),
        service.url("")
    );
    fs::write(place.path("daybook.yaml"), text).unwrap();
}

/// A scheduler that is called, and where.
struct Called {
    place: Place,
    service: Service,
}

impl Called {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut called = Self { place: Place::new("24/7"), service: Service::start() };
        configure(&called.place, &called.service, "127.0.0.1:0");
        called.restart(variables);
        called
    }

    fn restart(&mut self, variables: &[(&str, &str)]) {
        let webhook = self.service.url("/services/hunter3hunter3");
        let mut all = vec![VARIABLES[0], ("WEBHOOK", &webhook)];
        all.extend(variables);
        let before = self.ports().len();
        self.place.start(&all);
        self.place.await_rows("SELECT 1 FROM event WHERE name = 'api.listening'", before + 1);
    }

    fn ports(&self) -> Vec<String> {
        self.place.rows("SELECT message FROM event WHERE name = 'api.listening' ORDER BY event_id")
    }

    /// Where it listens now.
    fn port(&self) -> u16 {
        self.ports().pop().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    fn call(&self, call: &Call) -> (u16, String) {
        call.make(self.port()).unwrap()
    }

    /// What who has written in Slack is told in the end, on whichever way.
    fn slack(&self, text: &str) -> String {
        let before = self.service.said.lock().unwrap().iter().filter(|(at, _)| at.starts_with("/commands/")).count();
        let (status, reply) = self.call(&slack(&self.service, OWNER, text));
        let reply: Value = serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{status} {reply}: {error}"));
        assert_eq!((status, &reply["response_type"]), (200, &json!("ephemeral")));
        let told = reply["text"].as_str().unwrap();
        if told.starts_with("it is under way") {
            return self.service.await_said("/commands/", before + 1)["text"].as_str().unwrap().to_owned();
        }
        told.to_owned()
    }

    /// The same in Discord.
    fn discord(&self, text: &str) -> String {
        let before = self.service.said.lock().unwrap().iter().filter(|(at, _)| at.starts_with("/api/")).count();
        let (status, reply) = self.call(&discord(&interaction(OWNER_OF_DISCORD, text)));
        let reply: Value = serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{status} {reply}: {error}"));
        assert_eq!((status, &reply["data"]["flags"]), (200, &json!(64)));
        let content = if reply["type"] == 5 {
            self.service.await_said("/api/v10/webhooks/987654321098765432/hunter2hunter2/messages/@original", before + 1)["content"].clone()
        } else {
            assert_eq!(reply["data"]["allowed_mentions"], json!({"parse": []}));
            reply["data"]["content"].clone()
        };
        content.as_str().unwrap().replace('\\', "")
    }
}

/// The code that the last answer asks a yes for.
fn code_in(said: &str) -> String {
    said.rsplit_once("/daybook yes ").unwrap_or_else(|| panic!("{said}")).1.to_owned()
}

#[test]
fn a_person_asks_halts_resumes_and_closes_in_slack() {
    let called = Called::start(&[]);
    let place = &called.place;
    let (status, refused) = called.call(&slack(&called.service, "U7", "halt"));
    assert_eq!((status, refused.contains("nobody listens to you here")), (200, true), "{refused}");
    assert_eq!(called.slack("positions"), "nothing is held");
    assert!(called.slack("").contains("/daybook close SYMBOL"));
    assert_eq!(called.slack("halt lunch"), "new entries are stopped");
    assert_eq!(place.rows("SELECT reason FROM halt WHERE cleared_at_ms IS NULL"), ["lunch"]);
    assert!(called.slack("/status").contains("entries are stopped: lunch"));
    let code = code_in(&called.slack("resume"));
    assert_eq!(place.rows("SELECT reason FROM halt WHERE cleared_at_ms IS NULL").len(), 1, "not before the yes");
    assert_eq!(called.slack(&format!("yes {code}")), "1 latch cleared: entries are open again");
    let code = code_in(&called.slack("close all"));
    assert_eq!(called.slack(&format!("yes {code}")), "done: nothing to close: no position is held");

    let asked = "SELECT requested_by || ' ' || name || ' ' || state FROM command ORDER BY command_id";
    let by = |what: &str| format!("slack:{OWNER} {what}");
    assert_eq!(place.rows(asked), [by("halt done"), by("resume done"), by("trade done")]);
    let strangers = "SELECT subject FROM alert WHERE event = 'chat.stranger'";
    assert_eq!(place.rows(strangers), ["slack: somebody who is not heard has asked for something"]);
    place.await_rows("SELECT 1 FROM chat_request WHERE answered_at_ms IS NOT NULL", 8);
    let open = "SELECT 1 FROM chat_request WHERE outcome <> 'stranger' AND (answer IS NULL OR answered_at_ms IS NULL)";
    assert_eq!(place.rows(open), Vec::<String>::new(), "each stands in the ledger with its answer");
    let ledger = fs::read(place.path("day.db")).unwrap();
    let wal = fs::read(place.path("day.db-wal")).unwrap_or_default();
    for file in [ledger, wal] {
        assert!(!String::from_utf8_lossy(&file).contains("hunter2"), "where answers go stands in no ledger");
    }
}

#[test]
fn a_person_asks_and_halts_in_discord() {
    let called = Called::start(&[]);
    let ping = json!({"type": 1, "id": "1", "application_id": "987654321098765432"});
    assert_eq!(called.call(&discord(&ping)), (200, r#"{"type":1}"#.to_owned()));
    let mut forged = discord(&ping);
    forged.body.push(' ');
    assert_eq!(called.call(&forged).0, 401, "Discord tries whether that is noticed");
    let (status, refused) = called.call(&discord(&interaction("777777777777777777", "halt")));
    assert_eq!((status, refused.contains("nobody listens to you here")), (200, true), "{refused}");
    assert_eq!(called.discord("positions"), "nothing is held");
    assert_eq!(called.discord("halt @everyone"), "new entries are stopped");
    assert!(called.discord("status").contains("entries are stopped: @everyone"));
    let code = code_in(&called.discord("close AAPL"));
    assert!(called.discord(&format!("yes {code}")).starts_with("done: nothing to close"));
    let asked = "SELECT requested_by || ' ' || name || ' ' || state FROM command ORDER BY command_id";
    let by = |what: &str| format!("discord:{OWNER_OF_DISCORD} {what}");
    assert_eq!(called.place.rows(asked), [by("halt done"), by("trade done")]);
}

#[test]
fn a_call_that_comes_again_does_nothing_in_this_life_and_the_next() {
    let mut called = Called::start(&[]);
    let calls = [slack(&called.service, OWNER, "halt"), discord(&interaction(OWNER_OF_DISCORD, "halt"))];
    for life in 0..2 {
        for call in &calls {
            for time in 0..2 {
                let (status, reply) = called.call(call);
                let is_first = life == 0 && time == 0;
                assert_eq!((status, reply.contains("taken before")), (200, !is_first), "{}: {reply}", call.path);
            }
        }
        assert_eq!(called.place.await_rows("SELECT 1 FROM command WHERE state = 'done'", 2).len(), 2);
        assert_eq!(called.place.rows("SELECT 1 FROM chat_request").len(), 2);
        called.place.kill();
        called.restart(&[]);
    }
    let late = slack_at(&called.service, OWNER, "halt", now_s() - 301);
    assert_eq!(called.call(&late).0, 401);
    assert_eq!(called.place.rows("SELECT 1 FROM command").len(), 2);
}

#[test]
fn whatever_dies_what_was_asked_for_is_done_once_and_told_in_the_channel() {
    for (point, is_taken) in [
        ("call.read", false),
        ("chat.taken", false),
        ("call.after", true),
        ("command.taken", true),
        ("call.said", true),
    ] {
        let mut called = Called::start(&[("DAYBOOK_CRASH", &format!("{point}:1"))]);
        let call = slack(&called.service, OWNER, "halt lunch");
        // The reply may be there before the end.
        let _ = call.make(called.port());
        called.place.await_death();
        called.restart(&[]);
        if is_taken {
            let told = called.service.await_said("/services/", 1);
            assert_eq!(told["text"], format!("to {OWNER}: new entries are stopped"), "{point}");
        }
        let (status, again) = called.call(&call);
        assert_eq!((status, again.contains("taken before")), (200, is_taken), "{point}: {again}");
        called.place.await_rows("SELECT 1 FROM chat_request WHERE answered_at_ms IS NOT NULL", 1);
        for (rows, what) in [
            ("SELECT state FROM command", "command"),
            ("SELECT reason FROM halt", "halt"),
            ("SELECT subject FROM alert WHERE event = 'entries.halted'", "alert"),
        ] {
            assert_eq!(called.place.rows(rows).len(), 1, "{point}: {what}");
        }
    }
}

#[test]
fn it_is_listened_where_the_configuration_says_now() {
    let called = Called::start(&[]);
    let before = called.port();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&called.place, &called.service, &taken.local_addr().unwrap().to_string());
    let subject = format!("{} cannot be listened on", taken.local_addr().unwrap());
    let deaf = called.place.await_rows("SELECT subject FROM alert WHERE event = 'api.deaf'", 1);
    assert_eq!(deaf, [subject]);
    assert!(TcpStream::connect(("127.0.0.1", before)).is_err(), "the old one is closed");
    let (status, halted) = called.place.trade(&["halt", "--reason", "deaf"]);
    assert_eq!(status, 0, "all else goes on: {halted}");
    configure(&called.place, &called.service, "127.0.0.1:0");
    called.place.await_rows("SELECT 1 FROM event WHERE name = 'api.listening'", 2);
    assert!(called.slack("status").contains("entries are stopped: deaf"));
    for (call, status) in [
        (Call { path: "/telegram", ..slack(&called.service, OWNER, "halt") }, 404),
        (Call { body: "x".repeat(65 * 1_024), ..slack(&called.service, OWNER, "halt") }, 413),
        (slack_at(&called.service, OWNER, "halt", now_s() + 400), 401),
    ] {
        assert_eq!(called.call(&call).0, status);
    }
    let now = called.port();
    called.place.write("24/7", "{}");
    called.place.await_rows("SELECT 1 FROM config_version", 4);
    let clock = SystemClock::new();
    let began = clock.monotonic();
    while TcpStream::connect(("127.0.0.1", now)).is_ok() {
        assert!(clock.monotonic() - began < PATIENCE, "nothing is listened on any more");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command that nobody takes: its end comes after the reply.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_is_told_the_way_that_the_call_names() {
    let (place, service) = (Place::new("24/7"), Service::start());
    let configuration = config::load(&config::Sources::new(
        Some(place.path("daybook.yaml")),
        config::Environment::from_iter([("HOME", "/")]),
    ))
    .unwrap();
    let wired = wiring::live(&configuration, &place.path("day.db")).await.unwrap();
    let mut settings = SlackSettings::default();
    settings.control.users = vec![OWNER.to_owned()];
    settings.control.signing_secret = Some(SECRET.into());
    settings.control.server = service.url("");
    let (chat, stop) = (Arc::new(SlackControl::new(&settings).unwrap()), CancellationToken::new());
    let users = settings.control.users.clone();
    let guard = Guard { users, chats: Vec::new(), confirm_within: Duration::from_secs(60) };
    let (_keep, in_force) = watch::channel(wired.parts.clone());
    let reception = Reception::new(chat, guard, in_force, stop.clone());

    let Call { headers: [(_, signature), (_, timestamp)], body, .. } = slack(&service, OWNER, "halt");
    let call = ServiceCall { signature, timestamp, body: body.into_bytes() };
    let reply = reception.take(call).await.unwrap().unwrap();
    assert!(reply.contains("it is under way"), "{reply}");
    assert_eq!(service.said.lock().unwrap().len(), 0);
    let now = wired.parts.sources.clock.wall();
    wired
        .parts
        .sources
        .ledger
        .write(move |tx| {
            let taken = command::take_pending(tx, now)?;
            command::finish(tx, taken[0].command_id, CommandEnd::Done, r#"{"message":"no entries < now"}"#, now)
        })
        .await
        .unwrap();
    let told = tokio::task::spawn_blocking(move || service.await_said("/commands/hunter2hunter2", 1)).await.unwrap();
    assert_eq!(told["text"], "no entries &lt; now");
    assert_eq!(told["response_type"], "ephemeral");
    stop.cancel();
}

/// A service that takes no answer, and remembers when it was offered one.
struct Unwilling {
    clock: Arc<dyn Clock>,
    offered: Mutex<Vec<(Timestamp, String)>>,
}

#[async_trait]
impl CallingChat for Unwilling {
    fn name(&self) -> &str {
        "slack"
    }

    fn headers(&self) -> CallHeaders {
        CallHeaders { signature: "signature", timestamp: "timestamp" }
    }

    fn read(&self, _call: &ServiceCall, _now: Timestamp) -> Result<daybook::ports::Called, CallRefused> {
        Err(CallRefused::Unsigned)
    }

    fn reply(&self, text: &str) -> String {
        text.to_owned()
    }

    fn reply_later(&self) -> String {
        String::new()
    }

    async fn say(&self, back: Option<&SecretString>, text: &str) -> Result<(), ChannelError> {
        assert!(back.is_none(), "the way back has ended with the process that knew it");
        let mut offered = self.offered.lock().unwrap();
        let after = offered.is_empty().then(|| Duration::from_secs(35));
        offered.push((self.clock.wall(), text.to_owned()));
        Err(ChannelError::Transient { channel: "slack".to_owned(), reason: "503".to_owned(), after })
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_offered_five_times() {
    let folder = tempfile::tempdir().unwrap();
    let wired = wire(&folder.path().join("day.db"), "2026-11-16", "2026-11-16").await;
    let (ledger, clock) = (&wired.parts.sources.ledger, wired.parts.sources.clock.clone());
    let guard = Guard { users: vec![OWNER.to_owned()], chats: Vec::new(), confirm_within: Duration::from_secs(60) };
    let shared = Arc::new(guard.clone());
    let desk =
        Desk { ledger, routes: &wired.parts.routes, channel: "slack", guard: &shared, loss_max: Money::whole(1) };
    let [chat, sender, text, prefix] = ["D1", OWNER, "/positions", "/daybook "].map(str::to_owned);
    let message = ChatMessage { at: clock.wall(), chat, is_private: true, sender, text, prefix };
    let taken = |message| desk.take_called(7, message, "0007".to_owned(), clock.wall());
    assert_eq!(taken(message.clone()).await.unwrap(), Heard::Request { chat_request_id: 1 });
    assert_eq!(taken(message).await.unwrap(), Heard::Before);

    let chat = Arc::new(Unwilling { clock: clock.clone(), offered: Mutex::default() });
    let (_keep, in_force) = watch::channel(wired.parts.clone());
    let reception = Reception::new(chat.clone(), guard, in_force, CancellationToken::new());
    reception.resume().unwrap();
    let real = SystemClock::new();
    let began = real.monotonic();
    while rows(ledger, "SELECT 1 FROM chat_request WHERE answered_at_ms IS NOT NULL").is_empty() {
        assert!(real.monotonic() - began < PATIENCE, "{:?}", chat.offered.lock().unwrap());
        tokio::task::yield_now().await;
    }
    let offered = chat.offered.lock().unwrap().clone();
    assert_eq!(offered[0].1, format!("to {OWNER}: nothing is held"));
    let waits: Vec<i64> = offered.windows(2).map(|pair| (pair[1].0.0 - pair[0].0.0) / 1_000).collect();
    assert_eq!(waits, [35, 10, 20, 40]);
    assert_eq!(rows(ledger, "SELECT answer_error FROM chat_request"), ["503"]);
}
