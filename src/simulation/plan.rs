//! Which sessions a life has, and what goes wrong in them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use daybook_core::calendar::{Calendar, Session, SessionKind};
use daybook_core::schedule::JobKind;
use daybook_core::time::{SessionDate, Timestamp};

use super::Life;
use super::job::JobFault;
use crate::adapters::faulty::{BrokerFault, ChannelFault, FeedFault, Side, Site};
use crate::engine::commands::Command;

/// No fault but a crash begins or lasts in the last minutes before the close: the flatten begins ten minutes before it,
/// and what it needs has to be there at some time.
const LEFT_TO_FLATTEN: Duration = Duration::from_secs(7 * 60);

/// Days of the week, for the clock changes.
const SUNDAY: chrono::Weekday = chrono::Weekday::Sun;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Nothing
    None,
    /// The process dies at a call of the broker, the feed, a channel or at a commit, before it or after it, and is started again
    Crash,
    /// Prices are absurd or stand still, minutes are missing, the feed is down
    Market,
    /// The broker is down or overrun, answers get lost, orders are accepted and canceled late, fills come late, twice and out of order
    Broker,
    /// The clock is stepped, forwards and backwards, and set right again
    Clock,
    /// The disk is full, the ledger is busy
    Disk,
    /// Jobs are slow, panic, or take their process down with them
    Jobs,
    /// Messages are not taken, or taken without an answer
    Mail,
    /// All of these, on the same days
    All,
    /// A fill is kept from the program for ever, among other faults: the audit must find it
    Planted,
}

impl Profile {
    /// Its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Crash => "crash",
            Self::Market => "market",
            Self::Broker => "broker",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Jobs => "jobs",
            Self::Mail => "mail",
            Self::All => "all",
            Self::Planted => "planted",
        }
    }
}

/// The name of a fault: the session in which it happens, and which of that session's it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId {
    /// The session.
    pub session: SessionDate,
    /// From 1.
    pub number: u32,
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

impl FromStr for FaultId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not the name of a fault: expected one such as 2026-11-16.3");
        let (session, number) = text.rsplit_once('.').ok_or_else(wrong)?;
        Ok(Self { session: session.parse().map_err(|_| wrong())?, number: number.parse().map_err(|_| wrong())? })
    }
}

/// Something that goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub id: FaultId,
    /// When it begins.
    pub from: Timestamp,
    /// When it is over.
    pub until: Timestamp,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The process dies at the n-th such call from then on, and is started again after a while.
    Crash {
        site: Site,
        nth: u32,
        side: Side,
        down: Duration,
    },
    Feed(FeedFault),
    Broker(BrokerFault),
    Clock {
        by_ms: i64,
    },
    Channel(ChannelFault),
    Disk(DiskFault),
    Job {
        kind: JobKind,
        fault: JobFault,
    },
    /// What trades meanwhile is never shown to the program.
    LostFill,
}

/// What goes wrong with the ledger's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// Nothing can be written.
    Full,
    /// Another process keeps the write lock for longer than is waited.
    Busy,
}

impl FaultKind {
    /// Its name in the table of figures.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crash { side: Side::Before, .. } => "crash before a call",
            Self::Crash { side: Side::After, .. } => "crash after a call",
            Self::Feed(FeedFault::Down) => "feed down",
            Self::Feed(FeedFault::Gap) => "minutes missing",
            Self::Feed(FeedFault::Frozen) => "prices frozen",
            Self::Feed(FeedFault::Absurd { .. }) => "prices absurd",
            Self::Broker(BrokerFault::Down) => "broker down",
            Self::Broker(BrokerFault::Busy) => "broker overrun",
            Self::Broker(BrokerFault::AnswerLost) => "broker's answer lost",
            Self::Broker(BrokerFault::AcceptsLate { .. }) => "order accepted late",
            Self::Broker(BrokerFault::Forgetful) => "order not found",
            Self::Broker(BrokerFault::CancelsLate { .. }) => "cancel acted on late",
            Self::Broker(BrokerFault::FillsTwice) => "fills told twice",
            Self::Broker(BrokerFault::FillsLate) => "fills told late",
            Self::Broker(BrokerFault::FillsUnordered) => "fills out of order",
            Self::Clock { by_ms } if by_ms < 0 => "clock stepped back",
            Self::Clock { .. } => "clock stepped ahead",
            Self::Channel(ChannelFault::Down) => "channel down",
            Self::Channel(ChannelFault::AnswerLost) => "channel's answer lost",
            Self::Disk(DiskFault::Full) => "disk full",
            Self::Disk(DiskFault::Busy) => "ledger busy",
            Self::Job { fault: JobFault::Slow { .. }, .. } => "slow job",
            Self::Job { fault: JobFault::Panic, .. } => "panicking job",
            Self::Job { fault: JobFault::Poison, .. } => "poison slot",
            Self::LostFill => "lost fill",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, from, until, kind } = self;
        match kind {
            FaultKind::Crash { site, nth, side, down } => {
                let side = if *side == Side::Before { "before" } else { "after" };
                write!(
                    f,
                    "{id}: from {from} on the process dies {side} call {nth} of {site:?}, for {} s",
                    down.as_secs()
                )
            }
            FaultKind::Job { kind: job, fault } => {
                write!(f, "{id}: {from} to {until}: {} ({job}: {fault:?})", kind.name())
            }
            FaultKind::Clock { by_ms } => write!(f, "{id}: {from} to {until}: {} by {by_ms} ms", kind.name()),
            FaultKind::Feed(FeedFault::Absurd { percent }) => {
                write!(f, "{id}: {from} to {until}: {}, {percent} percent", kind.name())
            }
            FaultKind::Broker(BrokerFault::AcceptsLate { by } | BrokerFault::CancelsLate { by }) => {
                write!(f, "{id}: {from} to {until}: {}, by {} s", kind.name(), by.as_secs())
            }
            FaultKind::Feed(_)
            | FaultKind::Broker(_)
            | FaultKind::Channel(_)
            | FaultKind::Disk(_)
            | FaultKind::LostFill => {
                write!(f, "{id}: {from} to {until}: {}", kind.name())
            }
        }
    }
}

/// A life that cannot be lived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The calendar does not reach that far.
    #[error("the calendar has no {days} sessions from {from} on: name an earlier --from, or fewer --days")]
    NoSessions { days: usize, from: SessionDate },
    /// A fault that was not drawn.
    #[error("there is no fault {id} in these sessions with this seed and profile: `trade simulate --json` lists them")]
    NoSuchFault { id: FaultId },
}

/// A life, as it was drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// What tells it from others.
    pub(super) name: String,
    /// The sessions, in order.
    pub(super) sessions: Vec<Session>,
    /// The faults, in the order of their names.
    pub(super) faults: Vec<Fault>,
    /// What a person asks for, if anybody does.
    pub(super) asked: Option<Asked>,
}

/// What a person asks for from an instant on, once a position is held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) from: Timestamp,
    pub(super) command: Command,
}

impl Plan {
    /// Draws a life.
    pub(super) fn draw(life: &Life, calendar: &Calendar) -> Result<Self, PlanError> {
        let from = life.from.unwrap_or_else(|| first_date(life.seed, calendar));
        let last = calendar.last_date();
        let sessions: Vec<Session> = calendar.sessions(from, last).take(life.days).collect();
        if sessions.len() < life.days || sessions.is_empty() {
            return Err(PlanError::NoSessions { days: life.days, from });
        }
        let mut faults: Vec<Fault> =
            sessions.iter().flat_map(|session| faults_of(life.seed, life.profile, session)).collect();
        if let Some(only) = &life.only {
            if let Some(id) = only.iter().find(|id| faults.iter().all(|fault| fault.id != **id)) {
                return Err(PlanError::NoSuchFault { id: *id });
            }
            faults.retain(|fault| only.contains(&fault.id));
        }
        let name = format!("seed={} from={from} days={} faults={}", life.seed, life.days, life.profile.as_str());
        Ok(Self { name, sessions, faults, asked: None })
    }

    /// The instants between which it is lived: the midnights around its sessions in the exchange's zone.
    pub(super) fn bounds(&self, calendar: &Calendar) -> (Timestamp, Timestamp) {
        let midnight =
            |date: SessionDate| Timestamp::from_wall(date.0.and_time(chrono::NaiveTime::MIN), calendar.zone());
        let first = self.sessions.first().map_or_else(|| calendar.first_date(), |session| session.date);
        let last = self.sessions.last().map_or(first, |session| session.date);
        (midnight(first), midnight(last.plus_days(1)))
    }
}

/// Numbers that look drawn, the same for the same seed (`SplitMix64`, Steele, Lea and Flood 2014).
struct Draw(u64);

impl Draw {
    fn new(seed: u64, place: u64) -> Self {
        let mut draw = Self(seed ^ place.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        draw.next();
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn seconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_secs(self.between(low, high))
    }

    fn one_of<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let place = self.between(0, others.len() as u64);
        usize::try_from(place)
            .ok()
            .and_then(|place| place.checked_sub(1))
            .and_then(|place| others.get(place))
            .copied()
            .unwrap_or(first)
    }

    /// An instant between two; the first of them if they are in no order.
    fn instant(&mut self, from: Timestamp, until: Timestamp) -> Timestamp {
        from.after(Duration::from_millis(self.between(0, u64::try_from(until.since(from).as_millis()).unwrap_or(0))))
    }
}

/// The first date of a life: before a clock change or a half day more often than not.
fn first_date(seed: u64, calendar: &Calendar) -> SessionDate {
    let mut draw = Draw::new(seed, 1);
    let year = i32::try_from(draw.between(2024, 2028)).unwrap_or(2026);
    // New York's clocks change on the second Sunday of March and on the first of November.
    let sunday = |month, nth: i64| {
        let first = SessionDate::of(year, month, 1)?;
        let days = i64::from(first.weekday().days_since(SUNDAY));
        Some(first.plus_days((7 - days) % 7 + 7 * (nth - 1)))
    };
    let before = |date: SessionDate| calendar.session_before(date).map(|session| session.date);
    let chosen = match draw.between(0, 4) {
        0 => sunday(3, 2).and_then(before),
        1 => sunday(11, 1).and_then(before),
        2 => {
            let (first, last) = (SessionDate::of(year, 1, 1), SessionDate::of(year, 12, 31));
            let days = first.zip(last).map(|(first, last)| calendar.sessions(first, last));
            let early: Vec<SessionDate> = days
                .into_iter()
                .flatten()
                .filter(|session| session.kind == SessionKind::Early)
                .map(|session| session.date)
                .collect();
            let place = usize::try_from(draw.next() % early.len().max(1) as u64).unwrap_or(0);
            early.get(place).copied()
        }
        _ => SessionDate::of(year, 1, 2).map(|date| date.plus_days(i64::try_from(draw.between(0, 350)).unwrap_or(0))),
    };
    chosen.unwrap_or_else(|| calendar.first_date())
}

/// The faults of a session; they do not depend on which sessions are lived besides.
fn faults_of(seed: u64, profile: Profile, session: &Session) -> Vec<Fault> {
    let day = session.open.0.cast_unsigned() / 86_400_000;
    let mut draw = Draw::new(seed, day << 8 | profile as u64);
    let mut drawn: Vec<(Timestamp, Timestamp, FaultKind)> = Vec::new();
    let mut add =
        |draw: &mut Draw, one: fn(&mut Draw, &Session) -> (Timestamp, Timestamp, FaultKind), times: (u64, u64)| {
            for _ in 0..draw.between(times.0, times.1) {
                let fault = one(draw, session);
                drawn.push(fault);
            }
        };
    match profile {
        Profile::None => {}
        Profile::Crash => add(&mut draw, crash, (4, 10)),
        Profile::Market => add(&mut draw, market, (2, 5)),
        Profile::Broker => add(&mut draw, broker, (2, 6)),
        Profile::Clock => add(&mut draw, clock, (1, 3)),
        Profile::Disk => add(&mut draw, disk, (1, 4)),
        Profile::Jobs => add(&mut draw, job, (2, 5)),
        Profile::Mail => add(&mut draw, mail, (1, 4)),
        Profile::All => {
            add(&mut draw, crash, (1, 4));
            add(&mut draw, market, (0, 2));
            add(&mut draw, broker, (0, 3));
            add(&mut draw, clock, (0, 1));
            add(&mut draw, disk, (0, 2));
            add(&mut draw, job, (0, 2));
            add(&mut draw, mail, (0, 2));
        }
        Profile::Planted => {
            add(&mut draw, crash, (1, 3));
            add(&mut draw, mail, (0, 2));
            add(&mut draw, lost_fill, (1, 1));
        }
    }
    let named = (1..).zip(drawn).map(|(number, (from, until, kind))| Fault {
        id: FaultId { session: session.date, number },
        from,
        until,
        kind,
    });
    named.collect()
}

/// An instant at which something is going on: mostly while the market is open.
fn busy_instant(draw: &mut Draw, session: &Session) -> Timestamp {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    match draw.between(0, 9) {
        0 => draw.instant(session.pre_open, session.open),
        1 => draw.instant(session.open.before(minutes(91)), session.open),
        2 => draw.instant(session.close, session.post_close),
        3 => draw.instant(session.close.before(minutes(14)), session.close.before(minutes(8))),
        4..=6 => draw.instant(session.open.after(minutes(15)), session.open.after(minutes(120))),
        _ => draw.instant(session.open, session.close.before(minutes(12))),
    }
}

/// A stretch of so many seconds that leaves the flatten its time.
fn spell(draw: &mut Draw, session: &Session, seconds: (u64, u64)) -> (Timestamp, Timestamp) {
    let from = busy_instant(draw, session);
    let until = from.after(draw.seconds(seconds.0, seconds.1));
    let latest = session.close.before(LEFT_TO_FLATTEN);
    if from < session.close && until > latest {
        let moved = until.since(latest);
        return (from.before(moved), latest);
    }
    (from, until)
}

fn crash(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let from = match draw.between(0, 7) {
        // The flatten, from its slot on.
        0 => session.close.before(Duration::from_secs(600)),
        // The digest, or the night's copy of the ledger.
        1 => session.close.after(Duration::from_secs(900)),
        2 => session.open.before(Duration::from_secs(7 * 3_600 + 15 * 60)),
        _ => busy_instant(draw, session),
    };
    let site =
        draw.one_of(Site::Commit, &[Site::Broker, Site::Broker, Site::Broker, Site::Feed, Site::Channel, Site::Commit]);
    let side = draw.one_of(Side::Before, &[Side::After]);
    let nth = u32::try_from(draw.between(1, 24)).unwrap_or(1);
    let down = draw.seconds(0, 100);
    (from, session.post_close, FaultKind::Crash { site, nth, side, down })
}

fn market(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let percent = draw.one_of(10, &[150, 300, 50]);
    let absurd = FeedFault::Absurd { percent };
    let fault = draw.one_of(FeedFault::Frozen, &[FeedFault::Gap, FeedFault::Down, absurd]);
    let (from, until) = spell(draw, session, (20, 900));
    (from, until, FaultKind::Feed(fault))
}

fn broker(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let by = draw.seconds(1, 20);
    let fault = draw.one_of(
        BrokerFault::Down,
        &[
            BrokerFault::Busy,
            BrokerFault::AnswerLost,
            BrokerFault::AnswerLost,
            BrokerFault::AcceptsLate { by },
            BrokerFault::AcceptsLate { by },
            BrokerFault::Forgetful,
            BrokerFault::CancelsLate { by },
            BrokerFault::FillsTwice,
            BrokerFault::FillsLate,
            BrokerFault::FillsUnordered,
        ],
    );
    let (from, until) = spell(draw, session, (20, 900));
    (from, until, FaultKind::Broker(fault))
}

fn clock(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let by = i64::try_from(draw.between(1, 180)).unwrap_or(1) * 1_000;
    let by_ms = if draw.between(0, 1) == 0 { -by } else { by };
    let (from, until) = spell(draw, session, (30, 3_600));
    (from, until, FaultKind::Clock { by_ms })
}

fn disk(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let fault = draw.one_of(DiskFault::Full, &[DiskFault::Busy]);
    let (from, until) = spell(draw, session, (5, 240));
    (from, until, FaultKind::Disk(fault))
}

fn job(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    use JobKind::{Analysis, DailySummary, MarketCloseFlatten, PremarketScan, Reconcile, RiskMonitor};
    let by = draw.seconds(20, 150);
    let fault = draw.one_of(JobFault::Slow { by }, &[JobFault::Panic, JobFault::Poison]);
    let (from, until) = spell(draw, session, (60, 300));
    let around = |kind, at: Timestamp| (kind, at.before(Duration::from_secs(30)), at.after(Duration::from_secs(120)));
    let (kind, from, until) = match (draw.between(0, 6), fault) {
        (0, _) => around(PremarketScan, session.open.before(Duration::from_secs(300))),
        (1, _) => around(DailySummary, session.close.after(Duration::from_secs(900))),
        (2, JobFault::Panic) => around(MarketCloseFlatten, session.close.before(Duration::from_secs(600))),
        (3, JobFault::Panic) => (RiskMonitor, from, until),
        (4, JobFault::Panic) => (Reconcile, from, until),
        _ => (Analysis, from, until),
    };
    (from, until, FaultKind::Job { kind, fault })
}

fn mail(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let fault = draw.one_of(ChannelFault::Down, &[ChannelFault::AnswerLost]);
    let from = busy_instant(draw, session);
    let until = from.after(draw.seconds(10, 3_600));
    (from, until, FaultKind::Channel(fault))
}

fn lost_fill(draw: &mut Draw, session: &Session) -> (Timestamp, Timestamp, FaultKind) {
    let from = draw.instant(session.open, session.open.after(Duration::from_secs(3_600)));
    (from, session.close, FaultKind::LostFill)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(seed: u64, profile: Profile) -> Life {
        Life { seed, days: 3, profile, from: None, only: None }
    }

    #[test]
    fn the_same_seed_is_the_same_life() {
        let calendar = Calendar::xnys();
        for seed in 0..50 {
            let drawn = Plan::draw(&life(seed, Profile::All), &calendar).unwrap();
            assert_eq!(drawn, Plan::draw(&life(seed, Profile::All), &calendar).unwrap());
            assert_eq!(drawn.sessions.len(), 3);
        }
    }

    #[test]
    fn a_session_has_the_same_faults_whatever_is_lived_besides() {
        let calendar = Calendar::xnys();
        let whole = Plan::draw(&life(7, Profile::All), &calendar).unwrap();
        let from = Some(whole.sessions[2].date);
        let last = Plan::draw(&Life { days: 1, from, ..life(7, Profile::All) }, &calendar).unwrap();
        let of_last: Vec<_> = whole.faults.iter().filter(|fault| fault.id.session == last.sessions[0].date).collect();
        assert_eq!(last.faults.iter().collect::<Vec<_>>(), of_last);
        let only = last.faults.first().map(|fault| fault.id).into_iter().collect::<Vec<_>>();
        let one = Plan::draw(&Life { days: 1, from, only: Some(only.clone()), ..life(7, Profile::All) }, &calendar);
        assert_eq!(one.unwrap().faults.len(), only.len());
    }

    #[test]
    fn clock_changes_and_half_days_occur() {
        let calendar = Calendar::xnys();
        let lives: Vec<Plan> = (0..40).map(|seed| Plan::draw(&life(seed, Profile::None), &calendar).unwrap()).collect();
        let has_half_day = |plan: &&Plan| plan.sessions.iter().any(|session| session.kind == SessionKind::Early);
        assert!(lives.iter().filter(has_half_day).count() > 4);
        let offset = |at: Timestamp| (at.in_zone(calendar.zone()).naive_local() - at.to_utc().naive_utc()).num_hours();
        let changes = |plan: &&Plan| offset(plan.sessions[0].open) != offset(plan.sessions[2].open);
        assert!(lives.iter().filter(changes).count() > 8);
    }

    #[test]
    fn what_is_at_fault_leaves_the_flatten_its_time() {
        let calendar = Calendar::xnys();
        for seed in 0..200 {
            let plan = Plan::draw(&life(seed, Profile::All), &calendar).unwrap();
            for fault in plan.faults {
                let session = calendar.session(fault.id.session).unwrap();
                let spares =
                    matches!(fault.kind, FaultKind::Crash { .. } | FaultKind::Channel(_) | FaultKind::Job { .. });
                let over = fault.until <= session.close.before(LEFT_TO_FLATTEN) || fault.from >= session.close;
                assert!(spares || over, "seed {seed}: {fault}");
            }
        }
    }

    #[test]
    fn names_of_faults_are_read_as_they_are_written() {
        let id: FaultId = "2026-11-16.3".parse().unwrap();
        assert_eq!((id.number, id.to_string().as_str()), (3, "2026-11-16.3"));
        for text in ["", "3", "2026-11-16", "2026-11-16.", "tomorrow.1"] {
            assert!(text.parse::<FaultId>().is_err(), "{text:?}");
        }
    }
}
