//! The real files, torn in every way: each is read or refused with places, and nothing panics.
//!
//! A thousand by default; `DAYBOOK_LONG=1` tries ten million on all cores, `DAYBOOK_FUZZ=N` so many.

use std::path::Path;
use std::sync::Arc;

use daybook_core::calendar::Calendar;
use daybook_core::strategy::StrategySettings;

use super::files::text_of;
use super::init::DOCUMENTED;
use super::jobs::{BUILT_IN, read_job};
use super::load::check_document;
use super::problem::{Origin, Problem};
use super::reference::Environment;
use super::{ConfigError, yaml};

/// Files that are tried by default, and on a long night.
const TRIED: u64 = 1_000;
const TRIED_LONG: u64 = 10_000_000;

/// What slips into a file: what YAML, references and numbers are made of.
const TOKENS: [&str; 40] = [
    ":",
    ": ",
    "\t",
    "&a ",
    "*a",
    "[",
    "]",
    "{",
    "}",
    "- ",
    "\"",
    "'",
    "|\n",
    ">\n",
    "<<: ",
    "!!int ",
    "---\n",
    "...\n",
    "%",
    "#",
    "\r",
    "\r\n",
    "${",
    "${X}",
    "$${",
    "-1",
    "1e999",
    ".nan",
    "~",
    "?",
    ", ",
    "18446744073709551616",
    "0x",
    "\u{feff}",
    "\0",
    "é",
    "null",
    "true",
    "99999999999h",
    "-0.00000000000000000001%",
];

/// SplitMix64: the same seed, the same files.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`.
    fn below(&mut self, sides: usize) -> usize {
        (self.roll() % sides.max(1) as u64) as usize
    }
}

/// One tear: something typed, cut out, doubled, moved, or a byte turned over.
fn tear(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(40)).min(bytes.len());
    match dice.below(7) {
        0 | 1 => {
            let token = TOKENS[dice.below(TOKENS.len())];
            bytes.splice(at..at, token.bytes());
        }
        2 => {
            let token = TOKENS[dice.below(TOKENS.len())];
            bytes.splice(at..end, token.bytes());
        }
        3 => {
            bytes.drain(at..end);
        }
        4 => {
            let piece = bytes[at..end].to_vec();
            let to = dice.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        5 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        _ => bytes.truncate(at),
    }
}

/// What is torn: one time in sixteen all settings, otherwise one section of them, or a job.
fn sound(dice: &mut Dice) -> (usize, Vec<u8>) {
    // Half of them are settings, half a job.
    let which = if dice.below(2) == 0 { 0 } else { 1 + dice.below(BUILT_IN.len()) };
    let text = match which.checked_sub(1) {
        Some(job) => BUILT_IN[job].1.to_owned(),
        None if dice.below(8) == 0 => DOCUMENTED.to_owned(),
        None => {
            let begins = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase());
            let lines: Vec<&str> = DOCUMENTED.split_inclusive('\n').collect();
            let sections: Vec<&[&str]> = lines.chunk_by(|_, next| !begins(next)).collect();
            sections[dice.below(sections.len())].concat()
        }
    };
    (which, text.into_bytes())
}

/// Whether every problem has a message, and a place that exists or a layer that has none.
fn are_told(problems: &[Problem]) -> bool {
    !problems.is_empty()
        && problems.iter().all(|problem| {
            let placed = !matches!(problem.origin, Origin::File { line: 0, .. } | Origin::File { column: 0, .. });
            placed && !problem.message.is_empty() && !problem.to_string().is_empty()
        })
}

/// Reads a file as the program does; the answer is whether it was read, or refused as it should be.
fn try_one(which: usize, bytes: Vec<u8>, environment: &Environment, calendar: &Calendar) -> bool {
    let path = Path::new("torn.yaml");
    let text = match text_of(bytes, path) {
        Ok(text) => text,
        Err(ConfigError::Invalid { problems }) => return are_told(&problems),
        Err(_) => return false,
    };
    match which.checked_sub(1).and_then(|job| BUILT_IN.get(job)) {
        Some((name, _)) => read_job(name, path, &text, environment, calendar, StrategySettings::NAMES)
            .map_or_else(|problems| are_told(&problems), |_| true),
        None => match yaml::parse(&text, &Arc::from(path)) {
            Err(problems) => are_told(&problems),
            Ok(document) => match check_document(document, environment) {
                Ok(settings) => settings.version().is_ok(),
                Err(problems) => are_told(&problems),
            },
        },
    }
}

#[test]
fn torn_files_are_read_or_refused_and_nothing_panics() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let long = std::env::var_os("DAYBOOK_LONG").is_some_and(|set| set == "1");
    let tried = number("DAYBOOK_FUZZ").unwrap_or(if long { TRIED_LONG } else { TRIED });
    let environment: Environment = [("X", "y"), ("SMTP_PASSWORD", "p")].into_iter().collect();
    let calendar = Calendar::xnys();
    let try_seed = |seed: u64| {
        let mut dice = Dice(seed);
        let (which, mut bytes) = sound(&mut dice);
        for _ in 0..=dice.below(6) {
            tear(&mut bytes, &mut dice);
        }
        let torn = bytes.clone();
        let outcome = std::panic::catch_unwind(|| try_one(which, bytes, &environment, &calendar));
        assert!(matches!(outcome, Ok(true)), "seed {seed}: {outcome:?} for\n{}", String::from_utf8_lossy(&torn));
    };
    let threads = if long { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    std::thread::scope(|scope| {
        for first in 0..threads as u64 {
            scope.spawn(move || (first..tried).step_by(threads).for_each(try_seed));
        }
    });
}
