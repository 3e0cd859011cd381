//! Kills, case by case, on all processors.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;

use daybook::engine::commands::Command as Asked;

use super::host::Trouble;
use super::world::{End, Kill, Rows, World, first_difference};
use super::{OF_THE_NIGHT, POINTS, TROUBLES};

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
}

impl Case {
    pub fn new(start: Start, kills: Vec<Kill>) -> Self {
        Self { start, kills, trouble: None }
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<String> = self.kills.iter().map(Kill::to_string).collect();
        write!(f, "DAYBOOK_KILLS={}", kills.join(","))?;
        if let Some(trouble) = self.trouble {
            write!(f, " DAYBOOK_TROUBLE={trouble}")?;
        }
        if self.start == Start::Nothing { f.write_str(" DAYBOOK_FIRST=1") } else { Ok(()) }
    }
}

/// The day that is not killed.
pub struct Whole {
    /// The world as it is before it, with a ledger and a command.
    before: World,
    passes: Vec<String>,
    pub rows: Rows,
    pub findings: Vec<String>,
}

pub static WHOLE: LazyLock<Whole> = LazyLock::new(|| Whole::with(None));

/// The day that is not killed, of a broker that fills orders bit by bit.
pub static PARTIAL: LazyLock<Whole> = LazyLock::new(|| Whole::with(Some(Trouble::PartialFills)));

impl Whole {
    fn with(trouble: Option<Trouble>) -> Self {
        let before = prepared(World::new(trouble));
        let whole = before.fork();
        let mut passes = World::new(trouble).logged_life();
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

/// Every point of the program.
pub fn points() -> impl Iterator<Item = &'static str> {
    POINTS.into_iter().chain(OF_THE_NIGHT)
}

/// Holds every case to its promises.
pub fn survives(cases: &[Case]) {
    let failures = failures(cases, |case| lived(begun(case), case, &case.kills).err());
    assert!(failures.is_empty(), "{} of {} cases failed:\n{}", failures.len(), cases.len(), told(&failures));
}

fn told(failures: &[String]) -> String {
    failures.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("\n")
}

/// Does the work of every item on all processors, and collects what went wrong.
pub fn failures<T: Sync + Display>(items: &[T], work: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    LazyLock::force(&WHOLE);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(failure) = work(item) {
                        failures.lock().unwrap().push(format!("{item}\n    {failure}"));
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

/// The world in which a case begins.
fn begun(case: &Case) -> World {
    let trouble = case.trouble.map(|trouble| TROUBLES[trouble]);
    match (case.start, trouble) {
        (Start::Nothing, trouble) => World::new(trouble),
        (Start::Ledger, None) => WHOLE.before.fork(),
        (Start::Ledger, trouble) => prepared(World::new(trouble)),
    }
}

/// Lives the day through the kills to its end, and looks at it.
pub fn lived(mut world: World, case: &Case, kills: &[Kill]) -> Result<(), String> {
    for kill in kills {
        if world.life(Some(kill))? == End::Finished {
            break; // it never came there
        }
    }
    let ended = world.life(None);
    match ended {
        Ok(End::Finished) => {}
        Ok(End::Killed) => return Err("the last life was killed".to_owned()),
        // The day was over before the last kill.
        Err(error) if error.contains("finished: name another file") => {}
        Err(error) => return Err(error),
    }
    let findings = world.findings();
    if !findings.is_empty() {
        return Err(findings.join("\n    "));
    }
    match case.trouble {
        None => first_difference(&WHOLE.rows, &world.rows()).map_or(Ok(()), Err),
        Some(_) => Ok(()),
    }
}
