//! The week's mail, wherever the process is killed from the run that sums the week up to the row that the mail is out.
//!
//! The mail server lives in this process and survives. Its letters are what a person got.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use daybook_core::money::Money;
use daybook_core::report::words::signed_dollars;
use serde_json::Value;

use super::matrix::was_over;
use super::world::{Account, End, Kill, World};
use crate::support::simulation::rows;

/// The last two sessions of a week.
const DAYS: (&str, &str) = ("2026-11-19", "2026-11-20");

/// Where a run begins.
const GATHER: &str = "gather.before";

/// What there is between the run and the row of its mail, at least.
const OF_ITS_WAY: [&str; 7] = [
    "decision.before",
    "decision.after",
    "outbox.sending",
    "deliver.before",
    "mail.written",
    "deliver.after",
    "outbox.sent",
];

/// The mail's deliveries: the folder's and the server's.
const CHANNELS: usize = 2;

/// A mail server that takes every letter.
struct Post {
    address: SocketAddr,
    letters: Arc<Mutex<Vec<String>>>,
}

impl Post {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let letters: Arc<Mutex<Vec<String>>> = Arc::default();
        let box_ = letters.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let letters = box_.clone();
                // A sender that was killed in the middle has sent nothing.
                thread::spawn(move || drop(take(stream, &letters)));
            }
        });
        Self { address, letters }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DAYBOOK__NOTIFICATIONS__EMAIL__HOST", self.address.ip().to_string()),
            ("DAYBOOK__NOTIFICATIONS__EMAIL__PORT", self.address.port().to_string()),
            ("DAYBOOK__NOTIFICATIONS__EMAIL__SECURITY", "none".to_owned()),
            ("DAYBOOK__NOTIFICATIONS__EMAIL__FROM", "Daybook <daybook@example.com>".to_owned()),
            ("DAYBOOK__NOTIFICATIONS__EMAIL__TO", "[owner@example.com]".to_owned()),
            ("DAYBOOK__NOTIFICATIONS__EMAIL__SIMULATED", "true".to_owned()),
        ]
    }

    /// The letters since the last call.
    fn emptied(&self) -> Vec<String> {
        std::mem::take(&mut *self.letters.lock().unwrap())
    }
}

fn is_end(line: &std::io::Result<String>) -> bool {
    line.as_ref().is_ok_and(|line| line == ".")
}

/// Hears one sender until it goes away.
fn take(stream: TcpStream, letters: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    answers.write_all(b"220 post\r\n")?;
    while let Some(line) = lines.next() {
        let line = line?;
        let answer = match line.split(' ').next().unwrap_or_default() {
            "QUIT" => return answers.write_all(b"221 bye\r\n"),
            "DATA" => {
                answers.write_all(b"354 go on\r\n")?;
                let letter: Vec<String> = lines.by_ref().take_while(|line| !is_end(line)).collect::<Result<_, _>>()?;
                letters.lock().unwrap().push(letter.join("\n"));
                "250 taken"
            }
            _ => "250 yes",
        };
        answers.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

/// What came of the week in a world that has ended.
#[derive(Debug, PartialEq)]
struct Week {
    /// The report, as it was decided.
    report: Value,
    /// The id of its mail.
    id: String,
    /// How each delivery stands.
    deliveries: Vec<String>,
}

impl Week {
    /// Reads the one week that there is.
    fn of(world: &World) -> Self {
        let ledger = world.ledger();
        let reports = "SELECT decision -> '$.week' FROM run JOIN run_record USING (run_id)
            WHERE kind = 'weekly-summary' AND decided_at_ms IS NOT NULL";
        let [report] = &rows(&ledger, reports)[..] else { panic!("{:?}", rows(&ledger, reports)) };
        let of_week = |what| {
            rows(
                &ledger,
                &format!(
                    "SELECT {what} FROM delivery JOIN alert USING (alert_id) WHERE event = 'week.ended' ORDER BY channel"
                ),
            )
        };
        let [mail, _] = &of_week("message_id")[..] else { panic!("{:?}", of_week("message_id")) };
        Self { report: serde_json::from_str(report).unwrap(), id: mail.clone(), deliveries: of_week("channel, state") }
    }

    /// The letters about a week among those that came; all of them are this one's.
    fn letters(&self, came: &[String]) -> Vec<String> {
        let of_week =
            came.iter().filter(|letter| letter.lines().any(|line| line.starts_with("Subject: Daybook week of ")));
        let id = format!("Message-ID: <{}@example.com>", self.id);
        let letters: Vec<String> = of_week.cloned().collect();
        assert!(letters.iter().all(|letter| letter.lines().any(|line| line == id)), "{id}: {letters:?}");
        letters
    }

    /// The same but for how often the process was started: that is told as it is.
    fn without_starts(mut self) -> Self {
        self.report["watch"]["starts"].take();
        self
    }
}

/// What a letter says of the week, up to how much of it was watched: that depends on how often the process was started.
fn figures(letter: &str) -> Vec<&str> {
    let lines = letter.lines().skip_while(|line| !line.starts_with("DAYBOOK "));
    lines.take_while(|line| !line.starts_with("WATCHED")).collect()
}

/// The world as another life has left it that was killed when it had to sum the week up, and where the next one is
/// killed: at each point of the run and of its two deliveries.
fn before_the_run(world: &World, whole: &World, passes: &[String]) -> (World, Vec<Kill>) {
    let decided = "SELECT count(*), count(*) FILTER (WHERE decided_at_ms <= (SELECT decided_at_ms FROM run
        WHERE kind = 'weekly-summary')) FROM run WHERE decided_at_ms IS NOT NULL";
    let gathers = passes.iter().filter(|point| *point == GATHER).count();
    let decided = rows(&whole.ledger(), decided);
    let (all, until) = decided[0].split_once('|').unwrap();
    assert_eq!(all, gathers.to_string(), "each run is gathered once");
    let mut before = world.fork();
    assert_eq!(before.life(Some(&Kill::at(GATHER, until.parse().unwrap()))), Ok(End::Killed));
    let next = before.fork().logged_life();
    // The reconcile of the start comes first.
    let first = next.iter().enumerate().filter(|(_, point)| *point == GATHER).nth(1).unwrap().0;
    let last = next.iter().enumerate().filter(|(_, point)| *point == "outbox.sent").nth(CHANNELS - 1).unwrap().0;
    let pass = |at: usize| next[..=at].iter().filter(|point| **point == next[at]).count() as u64;
    (before, (first..=last).map(|at| Kill::at(&next[at], pass(at))).collect())
}

#[test]
fn the_weeks_mail_is_decided_once_and_never_lost_wherever_the_process_is_killed() {
    let post = Post::open();
    let world = World::new(Account::Broker(None)).living(DAYS.0, DAYS.1).told(post.settings());
    let whole = world.fork();
    let passes = whole.logged_life();
    let expected = Week::of(&whole);
    let [letter] = &expected.letters(&post.emptied())[..] else { panic!("one letter") };
    let result = rows(&whole.ledger(), "SELECT sum(pnl_e8) FROM day_report")[0].parse().unwrap();
    let headline = signed_dollars(Money(result));
    assert!(figures(letter).iter().any(|line| line.starts_with(&headline)), "{headline}: {letter}");
    let (before, kills) = before_the_run(&world, &whole, &passes);
    let points: BTreeSet<&str> = kills.iter().map(|kill| kill.point.as_str()).collect();
    assert!(OF_ITS_WAY.iter().all(|point| points.contains(point)), "{points:?}");
    post.emptied();

    let expected = expected.without_starts();
    let (mut ends, mut repetitions) = (0, 0);
    for kill in &kills {
        let mut killed = before.fork();
        assert_eq!(killed.life(Some(kill)), Ok(End::Killed), "{kill}");
        let came = post.emptied();
        // The life after it is killed, too, or is not: when both mails are out, and not both of them written down.
        for again in [None, Some(Kill::at("deliver.after", CHANNELS as u64))] {
            let mut world = killed.fork();
            if let Some(again) = &again {
                world.life(Some(again)).unwrap();
            }
            match world.life(None) {
                Err(error) if again.is_some() && was_over(&error) => {} // it never came there
                ended => assert_eq!(ended, Ok(End::Finished), "{kill}, {again:?}"),
            }
            let week = Week::of(&world);
            let letters = week.letters(&[&came[..], &post.emptied()].concat());
            assert!(!letters.is_empty(), "{kill}, {again:?}: nobody was told");
            for repetition in &letters {
                assert_eq!(figures(repetition), figures(letter), "{kill}, {again:?}");
            }
            assert_eq!(week.without_starts(), expected, "{kill}, {again:?}");
            assert_eq!(world.findings(), Vec::<String>::new(), "{kill}, {again:?}");
            (ends, repetitions) = (ends + 1, repetitions + letters.len() - 1);
        }
    }
    println!("{} points, {ends} ends, {repetitions} mails came again", kills.len());
    assert!(repetitions > 0, "no kill struck between a mail and its row");
}
