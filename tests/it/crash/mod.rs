//! The process is killed wherever something can go wrong, started again, and what is left is looked at.
//!
//! The program marks the instants with `crash_point!`; the broker lives in this process and survives. With a broker
//! that is well the killed day must be, row by row, the day that was not killed.
//!
//! What fails is named with its kills: `DAYBOOK_KILLS=submit.after:2,look-up.before:1 cargo test --test it crash::again`
//! does it again, with `DAYBOOK_TROUBLE=2` beside it where the broker made that trouble of the list.
//! `DAYBOOK_LONG=1` tries every trouble at every point, and 10,000 kills drawn at random.

mod by_hand;
pub mod host;
mod matrix;
mod week;
pub mod world;
mod zombie;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daybook::adapters::faulty::BrokerFault;

use self::host::Trouble;
use self::matrix::{AT_EXCHANGE, Case, KILLED, PARTIAL, Start, WHOLE, failures, points, survives, survives_pairs};
use self::world::Kill;
use crate::repository;
use crate::support::drawn;

/// Every point of the program, in the order in which a day comes to them.
const POINTS: [&str; 49] = [
    "boot",
    "lock.before",
    "lock.after",
    "migrate.before",
    "migrate.commit",
    "migrate.after",
    "identity.before",
    "identity.after",
    "lease.before",
    "lease.after",
    "recover",
    "command.taken",
    "plan",
    "claim",
    "commit.before",
    "commit.after",
    "gather.before",
    "look.answered",
    "look.stored",
    "decision.before",
    "decision.after",
    "submitting.before",
    "submit.before",
    "submit.after",
    "answer.before",
    "answer.after",
    "look-up.before",
    "look-up.after",
    "finish.before",
    "finish.after",
    "fills.before",
    "fills.page",
    "fills.stored",
    "replace.before",
    "replace.after",
    "cancel.before",
    "cancel.sent",
    "flatten.begin",
    "close.begin",
    "close.cancel.before",
    "close.cancel.sent",
    "close.before",
    "close.sent",
    "outbox.sending",
    "deliver.before",
    "mail.written",
    "deliver.after",
    "outbox.sent",
    "backup.before",
];

/// Points after `backup.before`, apart so that the list above is in the order of a day.
const OF_THE_NIGHT: [&str; 2] = ["backup.copied", "backup.after"];

/// Points of a configuration that changes while the process runs, which `reload` kills it at.
const OF_A_RELOAD: [&str; 3] = ["configuration.before", "configuration.recorded", "configuration.after"];

/// Points of what people ask for in a chat, which `chat` kills the process at.
const OF_A_CHAT: [&str; 7] =
    ["chat.read", "chat.taken", "chat.after", "chat.said", "call.read", "call.after", "call.said"];

/// Points that only a process comes to that was started again: the kill that leads there.
const AFTER_A_KILL: [(&str, &str); 2] = [("look-up.before", "submit.after"), ("look-up.after", "submit.before")];

/// Points of a start with no ledger.
const OF_A_FIRST_START: [&str; 10] = [
    "boot",
    "lock.before",
    "lock.after",
    "migrate.before",
    "migrate.commit",
    "migrate.after",
    "identity.before",
    "identity.after",
    "lease.before",
    "lease.after",
];

/// What a broker can do all day without anybody losing by it.
const TROUBLES: [Trouble; 8] = [
    Trouble::PartialFills,
    Trouble::TakesTwice,
    Trouble::Fault(BrokerFault::AnswerLost),
    Trouble::Fault(BrokerFault::AcceptsLate { by: Duration::from_secs(20) }),
    Trouble::Fault(BrokerFault::Forgetful),
    Trouble::Fault(BrokerFault::CancelsLate { by: Duration::from_secs(2) }),
    Trouble::Fault(BrokerFault::FillsTwice),
    Trouble::Fault(BrokerFault::FillsUnordered),
];

/// Points that the day comes to where orders fill in part.
const OF_PARTIAL_FILLS: [&str; 2] = ["cancel.before", "cancel.sent"];

#[test]
fn the_points_are_those_of_the_sources() {
    let mut marked = BTreeSet::new();
    for path in repository::files("src", ".rs") {
        let text = repository::read(&path.to_string_lossy());
        for after in text.split("crash_point!(\"").skip(1) {
            let name = after.split('"').next().unwrap();
            assert!(name == "name" || marked.insert(name.to_owned()), "{name} is marked twice");
        }
    }
    let known = POINTS.iter().chain(&OF_THE_NIGHT).chain(&OF_A_RELOAD).chain(&OF_A_CHAT);
    let known: BTreeSet<String> = known.map(|point| (*point).to_owned()).collect();
    assert_eq!(marked, known);
}

#[test]
fn the_day_comes_to_every_point() {
    let never: Vec<&str> = points().filter(|point| WHOLE.passes(point) == 0).collect();
    let elsewhere = AFTER_A_KILL.map(|(point, _)| point).into_iter().chain(OF_PARTIAL_FILLS);
    assert_eq!(never, elsewhere.collect::<Vec<_>>());
    assert_eq!(OF_PARTIAL_FILLS.map(|point| PARTIAL.passes(point) > 0), [true; 2]);
    let of_the_day = |view| WHOLE.rows[view].len();
    assert!(["v_trade", "v_signal", "v_position"].into_iter().all(|view| of_the_day(view) > 3));
    assert_eq!((&WHOLE.findings, &PARTIAL.findings), (&Vec::new(), &Vec::new()));
}

/// Where a day is killed once: the first, a middle and the last pass of each point that a broker without trouble
/// leads to, and the first passes of those that only a second life comes to.
fn single_kills() -> Vec<Case> {
    let mut cases = Vec::new();
    for point in points() {
        let last = WHOLE.passes(point);
        let chosen: BTreeSet<u64> = [1, last.div_ceil(2), last].into_iter().filter(|pass| *pass > 0).collect();
        cases.extend(chosen.into_iter().map(|pass| Case::new(start_for(point), vec![Kill::at(point, pass)])));
    }
    for (point, before) in AFTER_A_KILL {
        cases.extend(
            (1..=WHOLE.passes(before))
                .map(|pass| Case::new(Start::Ledger, vec![Kill::at(before, pass), Kill::at(point, 1)])),
        );
    }
    cases
}

fn start_for(point: &str) -> Start {
    if OF_A_FIRST_START.contains(&point) { Start::Nothing } else { Start::Ledger }
}

#[test]
fn a_day_that_is_killed_at_any_point_is_the_day_that_was_not() {
    survives(&single_kills());
}

/// Where a day is killed twice: in the middle of each point's passes, and at the first pass of each point after that.
#[test]
fn a_day_that_is_killed_at_any_two_points_is_the_day_that_was_not() {
    let first = |point| {
        let pass = WHOLE.passes(point).div_ceil(2);
        (pass > 0).then(|| Case::new(start_for(point), vec![Kill::at(point, pass)]))
    };
    survives_pairs(&points().filter_map(first).collect::<Vec<_>>());
}

/// Kills at passes that are drawn, several in a day.
fn random_kills(seed: u64, cases: usize) -> Vec<Case> {
    let mut draw = drawn(seed);
    let mut kills = || {
        let lives = 1 + draw(4);
        (0..lives).map(|_| Kill::at("*", 1 + draw(WHOLE.all_passes().cast_signed()).cast_unsigned())).collect()
    };
    (0..cases).map(|_| Case::new(Start::Nothing, kills())).collect()
}

#[test]
fn a_day_that_is_killed_at_random_is_the_day_that_was_not() {
    if !is_long() {
        return survives(&random_kills(1, 24));
    }
    for seed in 2.. {
        survives(&random_kills(seed, 100));
        let killed = KILLED.load(Ordering::Relaxed);
        println!("seeds 2 to {seed}: {killed} kills");
        if killed >= 10_000 {
            return;
        }
    }
}

/// Where a broker makes trouble the day may be another one, and every promise holds all the same.
#[test]
fn no_promise_is_broken_where_the_broker_makes_trouble_too() {
    let mut cases = Vec::new();
    for (number, point) in points().enumerate() {
        for trouble in (0..TROUBLES.len()).filter(|trouble| is_long() || (number + trouble).is_multiple_of(3)) {
            let whole = if TROUBLES[trouble] == Trouble::PartialFills { &PARTIAL } else { &WHOLE };
            let kill = Kill::at(point, whole.passes(point).div_ceil(2).max(1));
            cases.push(Case { trouble: Some(trouble), ..Case::new(start_for(point), vec![kill]) });
        }
    }
    survives(&cases);
}

/// What can be killed on its way to the broker and back, where the way is Alpaca's API.
const OF_THE_WIRE: [&str; 8] = [
    "submit.before",
    "submit.after",
    "answer.before",
    "fills.page",
    "replace.after",
    "close.cancel.sent",
    "close.before",
    "close.sent",
];

/// The exchange fills by the same bars, so the day at it must be as whole as any.
#[test]
fn a_day_at_an_exchange_that_is_killed_is_the_day_that_was_not() {
    assert_eq!(AT_EXCHANGE.findings, Vec::<String>::new());
    let of_the_day = |view| AT_EXCHANGE.rows[view].len();
    assert!(["v_trade", "v_signal", "v_position"].into_iter().all(|view| of_the_day(view) > 3));
    let mut cases = Vec::new();
    for point in points().filter(|point| is_long() || OF_THE_WIRE.contains(point)) {
        let last = AT_EXCHANGE.passes(point);
        let chosen = if is_long() { BTreeSet::from([1, last.div_ceil(2), last]) } else { [last.div_ceil(2)].into() };
        let kills = chosen.into_iter().filter(|pass| *pass > 0).map(|pass| vec![Kill::at(point, pass)]);
        cases.extend(kills.map(|kills| Case { at_exchange: true, ..Case::new(start_for(point), kills) }));
    }
    for (point, before) in AFTER_A_KILL {
        let kills = vec![Kill::at(before, 1), Kill::at(point, 1)];
        cases.push(Case { at_exchange: true, ..Case::new(Start::Ledger, kills) });
    }
    assert!(cases.len() >= OF_THE_WIRE.len(), "the day comes to {} of them", cases.len());
    survives(&cases);
}

/// Kills between a decision to enter and the broker's answer.
fn kills_of_entries() -> Vec<Case> {
    let of = |point| (1..=WHOLE.passes("submit.before")).map(move |pass| vec![Kill::at(point, pass)]);
    ["submitting.before", "submit.before", "submit.after", "answer.before", "answer.after"]
        .into_iter()
        .flat_map(of)
        .map(|kills| Case::new(Start::Ledger, kills))
        .collect()
}

#[test]
fn no_entry_is_sent_once_a_person_has_halted_them_while_the_process_was_away() {
    let halted = kills_of_entries().into_iter().map(|case| Case { halted: true, ..case });
    survives(&halted.collect::<Vec<_>>());
}

/// Whether the same kills find what is broken in the program.
fn is_found(sabotage: &'static str, trouble: Option<Trouble>, halted: bool) -> bool {
    let trouble = trouble.map(|trouble| TROUBLES.iter().position(|listed| *listed == trouble).unwrap());
    let cases = kills_of_entries().into_iter().map(|case| Case { halted, trouble, sabotage: Some(sabotage), ..case });
    !failures(&cases.collect::<Vec<_>>()).is_empty()
}

#[test]
fn a_program_that_sends_under_a_fresh_name_is_found() {
    assert!(is_found("fresh-id", None, false));
}

/// A broker that refuses a name twice saves even this program; not every broker does.
#[test]
fn a_program_that_does_not_look_before_it_sends_again_is_found() {
    assert!(is_found("no-look-up", Some(Trouble::TakesTwice), false));
}

#[test]
fn a_program_without_a_latch_is_found() {
    assert!(is_found("no-latch", None, true));
}

/// Tries again what `DAYBOOK_KILLS` names; nothing where it names nothing.
#[test]
fn again() {
    let variable = |name| std::env::var(name).ok();
    let Some(kills) = variable("DAYBOOK_KILLS") else { return };
    let kill = |text: &str| {
        let (point, pass) = text.rsplit_once(':').expect("POINT:PASS");
        Kill::at(point, pass.parse().expect("a number"))
    };
    let start = if variable("DAYBOOK_FIRST").is_some() { Start::Nothing } else { Start::Ledger };
    let trouble = variable("DAYBOOK_TROUBLE").map(|number| number.parse().expect("a number"));
    let at_exchange = variable("DAYBOOK_EXCHANGE").is_some();
    survives(&[Case { trouble, at_exchange, ..Case::new(start, kills.split(',').map(kill).collect()) }]);
}

fn is_long() -> bool {
    std::env::var_os("DAYBOOK_LONG").is_some()
}
