//! Kills, case by case, on all processors.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;

use super::host::Trouble;
use super::world::{Account, End, Kill, Rows, State, World, first_difference};
use super::{OF_THE_NIGHT, POINTS, TROUBLES};
use daybook::engine::commands::Command as Asked;

/// Failures that are told; the rest is counted.
const TOLD_MAX: usize = 5;

/// What a case begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// No ledger.
    Nothing,
    /// A ledger with a command that waits for the scheduler.
    Ledger,
}

/// A day and the kills in it, one after another.
#[derive(Debug, Clone)]
pub struct Case {
    pub start: Start,
    pub kills: Vec<Kill>,
    /// What trouble the broker makes, by its place in [`TROUBLES`].
    pub trouble: Option<usize>,
    /// Whether the account is at an exchange, behind Alpaca's API.
    pub at_exchange: bool,
    /// Whether a person halts entries after the first kill.
    pub halted: bool,
    /// What is broken in the program.
    pub sabotage: Option<&'static str>,
}

impl Case {
    pub fn new(start: Start, kills: Vec<Kill>) -> Self {
        Self { start, kills, trouble: None, at_exchange: false, halted: false, sabotage: None }
    }

    /// Whether the day must be the one that was not killed.
    fn is_whole(&self) -> bool {
        self.trouble.is_none() && !self.halted
    }

    /// The day that it must be, where it must be one.
    fn whole(&self) -> &'static Whole {
        if self.at_exchange { &AT_EXCHANGE } else { &WHOLE }
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<String> = self.kills.iter().map(Kill::to_string).collect();
        write!(f, "DAYBOOK_KILLS={}", kills.join(","))?;
        if let Some(trouble) = self.trouble {
            write!(f, " DAYBOOK_TROUBLE={trouble}")?;
        }
        if self.at_exchange {
            f.write_str(" DAYBOOK_EXCHANGE=1")?;
        }
        if self.start == Start::Nothing { f.write_str(" DAYBOOK_FIRST=1") } else { Ok(()) }
    }
}

/// The day that is not killed.
pub struct Whole {
    /// The world as it is before it, with a ledger and a command.
    pub before: World,
    passes: Vec<String>,
    pub rows: Rows,
    pub findings: Vec<String>,
}

pub static WHOLE: LazyLock<Whole> = LazyLock::new(|| Whole::with(Account::Broker(None)));

/// The same at our own exchange, through Alpaca's API.
pub static AT_EXCHANGE: LazyLock<Whole> = LazyLock::new(|| Whole::with(Account::Exchange));

/// The day that is not killed, of a broker that fills orders bit by bit.
pub static PARTIAL: LazyLock<Whole> = LazyLock::new(|| Whole::with(Account::Broker(Some(Trouble::PartialFills))));

impl Whole {
    fn with(account: Account) -> Self {
        let before = prepared(World::new(account));
        let whole = before.fork();
        let mut passes = World::new(account).logged_life();
        let of_a_start = passes.iter().position(|point| point == "lease.after").unwrap();
        passes.truncate(of_a_start);
        passes.extend(whole.logged_life().into_iter().skip_while(|point| point != "lease.after"));
        Whole { before, passes, rows: whole.rows(), findings: whole.findings() }
    }

    /// How often the day comes to a point.
    pub fn passes(&self, point: &str) -> u64 {
        self.passes.iter().filter(|passed| *passed == point).count() as u64
    }

    /// How often it comes to any.
    pub fn all_passes(&self) -> u64 {
        self.passes.len() as u64
    }
}

/// The world with a ledger that nothing has run on, in which a command waits.
fn prepared(mut world: World) -> World {
    assert_eq!(world.life(Some(&Kill::at("lease.before", 1))), Ok(End::Killed));
    world.ask(&Asked::Resume { reason: "a test".to_owned() });
    world
}

/// Kills that struck, in all cases so far.
pub static KILLED: AtomicUsize = AtomicUsize::new(0);

/// Every point of the program.
pub fn points() -> impl Iterator<Item = &'static str> {
    POINTS.into_iter().chain(OF_THE_NIGHT)
}

/// Holds every case to its promises.
pub fn survives(cases: &[Case]) {
    let failures = failures(cases);
    assert!(failures.is_empty(), "{} of {} cases failed:\n{}", failures.len(), cases.len(), told(&failures));
}

fn told(failures: &[String]) -> String {
    failures.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("\n")
}

/// Tries every case, and collects what went wrong.
pub fn failures(cases: &[Case]) -> Vec<String> {
    let failed = Mutex::new(Vec::new());
    in_parallel(cases, |case| {
        if let Err(error) = lived(begun(case), case, &case.kills) {
            failed.lock().unwrap().push(format!("{case}\n    {error}"));
        }
    });
    failed.into_inner().unwrap()
}

/// Does the work of every item, on all processors.
pub fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    LazyLock::force(&WHOLE);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// The world in which a case begins.
fn begun(case: &Case) -> World {
    let trouble = case.trouble.map(|trouble| TROUBLES[trouble]);
    let account = if case.at_exchange { Account::Exchange } else { Account::Broker(trouble) };
    let new = || World::new(account).sabotaged(case.sabotage);
    match (case.start, trouble) {
        (Start::Nothing, _) => new(),
        (Start::Ledger, None) => case.whole().before.fork().sabotaged(case.sabotage),
        (Start::Ledger, Some(_)) => prepared(new()),
    }
}

/// What days were lived from to their end.
static LIVED_FROM: LazyLock<Mutex<HashSet<State>>> = LazyLock::new(Mutex::default);

/// What every second kill was tried from.
static KILLED_AT: LazyLock<Mutex<HashSet<State>>> = LazyLock::new(Mutex::default);

/// Whether the day was over before the last kill: a process that starts then has nothing to do, and says so.
pub fn was_over(error: &str) -> bool {
    error.contains("finished: name another file")
}

/// Lives the day through the kills to its end, and looks at it. What ends as another case has ended is not lived again.
fn lived(mut world: World, case: &Case, kills: &[Kill]) -> Result<(), String> {
    let mut entered = None;
    for kill in kills {
        match world.life(Some(kill)) {
            Ok(End::Killed) => {}
            Ok(End::Finished) => break, // it never came there
            Err(error) if was_over(&error) => break,
            Err(error) => return Err(error),
        }
        KILLED.fetch_add(1, Ordering::Relaxed);
        if case.halted && entered.is_none() {
            world.ask(&Asked::Halt { reason: "a test".to_owned() });
            entered = Some(entries(&world));
        }
    }
    if case.is_whole() && case.sabotage.is_none() && !LIVED_FROM.lock().unwrap().insert(world.state()) {
        return Ok(()); // or told of already
    }
    let ended = world.life(None);
    match ended {
        Ok(End::Finished) => {}
        Ok(End::Killed) => return Err("the last life was killed".to_owned()),
        Err(error) if was_over(&error) => {}
        Err(error) => return Err(error),
    }
    let mut findings = world.findings();
    if entered.is_some_and(|entered| entries(&world) > entered) {
        findings.push("an entry was sent after a person had halted them".to_owned());
    }
    if !findings.is_empty() {
        return Err(findings.join("\n    "));
    }
    if case.is_whole() { first_difference(&case.whole().rows, &world.rows()).map_or(Ok(()), Err) } else { Ok(()) }
}

/// Orders at the broker that could open a position.
fn entries(world: &World) -> usize {
    world.record().orders.iter().filter(|order| order.is_entry).count()
}

/// Kills the day where each of the cases does, and what goes on from there once more at each point that it comes to.
///
/// The second life is lived once, and stands still at each point while its files are copied: a world that is killed
/// there, at the cost of a copy.
pub fn survives_pairs(firsts: &[Case]) {
    let failed = Mutex::new(Vec::new());
    in_parallel(firsts, |case| {
        let mut killed = begun(case);
        if let Err(error) = killed.life(case.kills.first()) {
            failed.lock().unwrap().push(format!("{case}\n    {error}"));
            return;
        }
        if !KILLED_AT.lock().unwrap().insert(killed.state()) {
            return; // what comes after it is tried already
        }
        let second_life = killed.fork();
        second_life.walk(|point| {
            let kills = [&case.kills[..], &[Kill::at(point, 1)]].concat();
            let both = Case { kills, ..case.clone() };
            if let Err(error) = lived(second_life.fork(), &both, &[]) {
                failed.lock().unwrap().push(format!("{both}\n    {error}"));
            }
        });
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), told(&failed));
}
