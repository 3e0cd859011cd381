//! Minutes: the path through a session, and the bars that trade along it.

use std::sync::Arc;

use daybook_core::calendar::Session;
use daybook_core::market::{Bar, MINUTE};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::Timestamp;

use super::SimulatedMarket;
use super::company::Company;
use super::days::{self, Move, Walk};
use super::draw::{Purpose, exp, share, whole};

/// Shares of a day's regular volume that trade before the open and after the close.
const PRE_MARKET_VOLUME: f64 = 0.02;
const POST_MARKET_VOLUME: f64 = 0.012;

/// Minutes between the knots of a session's own spells of volatility.
const SPELL_MINUTES: usize = 16;

/// Shares expected in a minute at which it trades half of the time, in and out of regular hours:
/// orders come in hundreds, and out of hours in larger clips.
const HALF_TRADED: f64 = 15.0;
const HALF_TRADED_EXTENDED: f64 = 150.0;

/// A part of a session's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Before the open.
    PreMarket,
    /// Regular hours.
    Regular,
    /// After the close.
    PostMarket,
}

impl Part {
    /// All parts, in order.
    pub const ALL: [Self; 3] = [Self::PreMarket, Self::Regular, Self::PostMarket];

    /// When it begins and ends; empty where an exchange has no such hours.
    #[must_use]
    pub const fn interval(self, session: &Session) -> (Timestamp, Timestamp) {
        match self {
            Self::PreMarket => (session.pre_open, session.open),
            Self::Regular => (session.open, session.close),
            Self::PostMarket => (session.close, session.post_close),
        }
    }

    pub(super) fn minutes(self, session: &Session) -> usize {
        let (start, end) = self.interval(session);
        usize::try_from(end.since(start).as_secs() / MINUTE.as_secs()).unwrap_or(0)
    }

    /// The spread at a price, in cents.
    pub(super) fn spread(self, company: &Company, cents: i64) -> i64 {
        let widened = match self {
            Self::Regular => company.spread,
            Self::PreMarket | Self::PostMarket => 3.0 * company.spread,
        };
        whole(cents as f64 * widened).max(1)
    }
}

/// How variance and volume spread over the regular minutes of a session.
#[derive(Debug)]
pub(super) struct Profile {
    /// Standard deviation of each minute, that of the session being 1.
    deviation: Vec<f64>,
    /// The share of the variance that is over at the end of each minute.
    elapsed: Vec<f64>,
    /// The share of the volume that each minute has.
    volume: Vec<f64>,
}

impl Profile {
    /// Both are lively at the open, calm at noon and lively again at the close; the auctions at both
    /// ends are part of the first and the last minute.
    pub(super) fn of(minutes: usize) -> Self {
        let place = |minute: usize| (minute as f64 + 0.5) / minutes as f64;
        let variances = (0..minutes).map(place).map(|x| 0.5 + 3.0 / (1.0 + 25.0 * x) + 0.6 / (1.0 + 25.0 * (1.0 - x)));
        let variance = shares(variances.collect());
        let volumes = (0..minutes).map(|minute| {
            let x = place(minute);
            let auction = if minute + 1 == minutes {
                4.0
            } else if minute == 0 {
                2.0
            } else {
                1.0
            };
            auction * (0.6 + 2.0 / (1.0 + 20.0 * x) + 1.8 / (1.0 + 25.0 * (1.0 - x)))
        });
        let mut over = 0.0;
        let elapsed = variance.iter().map(|share| {
            over += share;
            over
        });
        Self {
            elapsed: elapsed.collect(),
            deviation: variance.iter().map(|share| share.sqrt()).collect(),
            volume: shares(volumes.collect()),
        }
    }

    fn minutes(&self) -> usize {
        self.elapsed.len()
    }
}

/// Scaled so that they add up to one.
fn shares(weights: Vec<f64>) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// One minute of a course.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The logarithm of the price at its end.
    end: f64,
    /// Standard deviation of its move.
    deviation: f64,
    /// Shares expected to trade.
    shares: f64,
}

/// Where the price of a company goes in a part of a session.
#[derive(Debug)]
struct Course {
    /// The logarithm of the price at the beginning.
    begin: f64,
    steps: Vec<Step>,
}

impl SimulatedMarket {
    /// The bars of a part of a session.
    pub(super) fn trade(&self, company: &Company, session: &Session, part: Part) -> Vec<Bar> {
        if part.minutes(session) == 0 {
            return Vec::new();
        }
        let course = match part {
            Part::PreMarket => self.pre_market(company, session),
            Part::Regular => self.regular(company, session),
            Part::PostMarket => self.post_market(company, session),
        };
        let walk = Walk::company(self.seed, company);
        let draws = walk.stream(days::number(session.date), Purpose::Trades);
        let (half_traded, address) = match part {
            Part::Regular => (HALF_TRADED, 0),
            Part::PreMarket => (HALF_TRADED_EXTENDED, 1 << 32),
            Part::PostMarket => (HALF_TRADED_EXTENDED, 2 << 32),
        };
        let (start, _) = part.interval(session);
        let last = course.steps.len() - 1; // a part without minutes is answered above
        let mut price = cents(course.begin);
        let mut bars = Vec::with_capacity(course.steps.len());
        for (minute, step) in course.steps.iter().enumerate() {
            let open = price;
            price = cents(step.end);
            let lanes = draws.bits(address + minute as u64);
            let [trades, above, below, size] = [0, 16, 32, 48].map(|shift| share((lanes >> shift & 0xffff) << 16));
            let is_auction = part == Part::Regular && (minute == 0 || minute == last);
            if trades * (step.shares + half_traded) >= step.shares && !is_auction {
                continue;
            }
            // What is expected in a minute that trades; (0.5 + u)² has mean 13/12.
            let shares = (step.shares + half_traded) * (0.5 + size) * (0.5 + size) * (12.0 / 13.0);
            let (low, high) = extremes(open, price, step.deviation, [below, above], part.spread(company, open));
            bars.push(Bar {
                start: Timestamp(start.0 + 60_000 * minute as i64),
                open: Price::from_cents(open),
                high: Price::from_cents(high),
                low: Price::from_cents(low),
                close: Price::from_cents(price),
                volume: Quantity::whole(whole(shares).max(1)),
            });
        }
        bars
    }

    /// From the open to the close: market and sector along their paths, the company along a bridge of its
    /// own, and its jump.
    fn regular(&self, company: &Company, session: &Session) -> Course {
        let day = days::number(session.date);
        let profile = self.profile(Part::Regular.minutes(session));
        let walk = Walk::company(self.seed, company);
        let own = walk.day(day);
        let (market, sector) = (Walk::market(self.seed), Walk::sector(self.seed, company));
        let (market_path, sector_path) = (self.path(market, day, &profile), self.path(sector, day, &profile));
        let jump = own.intraday_jump.map(|jump| (jump_minute(jump.place, profile.minutes()), jump.size));
        let stir = |minute: usize| jump.map_or(1.0, |(at, _)| stirred(at, minute));

        let begin = self.open_level(company, day);
        let (market_noise, sector_noise) = (company.beta * market.day(day).noise, sector.day(day).noise);
        let common = market_noise * market_noise + sector_noise * sector_noise;
        let volume = day_shares(company, walk, day, &own);
        let path = bridge(walk, day, &own, &profile, stir);
        let steps = path.into_iter().enumerate().map(|(minute, (moved, spell))| {
            let at = |values: &[f64]| values.get(minute).copied().unwrap_or(0.0);
            let jumped = jump.map_or(0.0, |(place, size)| if minute >= place { size } else { 0.0 });
            let stir = stir(minute);
            Step {
                end: begin + company.beta * at(&market_path) + at(&sector_path) + moved + jumped,
                deviation: at(&profile.deviation) * (common + own.noise * own.noise * spell * spell * stir).sqrt(),
                shares: volume * at(&profile.volume) * spell * stir,
            }
        });
        Course { begin, steps: steps.collect() }
    }

    /// From the close before to the open. Half of an ordinary gap is there at once, the rest comes by and
    /// by; a jump comes in its minute.
    fn pre_market(&self, company: &Company, session: &Session) -> Course {
        let day = days::number(session.date);
        let minutes = Part::PreMarket.minutes(session);
        let walk = Walk::company(self.seed, company);
        let own = walk.day(day);
        let open = self.open_level(company, day);
        let before = self.calendar.session_before(session.date);
        let close = before.map_or(open, |before| self.close_level(company, days::number(before.date)));
        let jump = own.overnight_jump.map(|jump| (overnight_minute(jump.place, minutes), jump.size));
        let gap = open - close - jump.map_or(0.0, |(_, size)| size);

        let deviation = 0.35 * own.variance.sqrt() / (minutes as f64).sqrt();
        let noise = free_walk(walk, day, minutes, 1 << 32, deviation);
        let excess = noise.last().copied().unwrap_or(0.0);
        let volume = day_shares(company, walk, day, &own) * PRE_MARKET_VOLUME / minutes as f64;
        let steps = noise.into_iter().enumerate().map(|(minute, moved)| {
            let over = (minute as f64 + 1.0) / minutes as f64;
            let jumped = jump.map_or(0.0, |(place, size)| if minute >= place { size } else { 0.0 });
            let stir = jump.map_or(1.0, |(at, _)| stirred(at, minute));
            Step {
                end: close + gap * (0.5 + 0.5 * over) + jumped + moved - excess * over,
                deviation,
                shares: volume * (0.3 + 2.0 * over * over) * stir,
            }
        });
        Course { begin: close + 0.5 * gap, steps: steps.collect() }
    }

    /// After the close the price drifts a little; the volume dries up.
    fn post_market(&self, company: &Company, session: &Session) -> Course {
        let day = days::number(session.date);
        let minutes = Part::PostMarket.minutes(session);
        let walk = Walk::company(self.seed, company);
        let own = walk.day(day);
        let begin = self.close_level(company, day);
        let deviation = 0.15 * own.variance.sqrt() / (minutes as f64).sqrt();
        let volume = day_shares(company, walk, day, &own) * POST_MARKET_VOLUME / minutes as f64;
        let steps = free_walk(walk, day, minutes, 2 << 32, deviation).into_iter().enumerate().map(|(minute, moved)| {
            let over = (minute as f64 + 0.5) / minutes as f64;
            Step { end: begin + moved, deviation, shares: volume * 4.2 / (1.0 + 10.0 * over) }
        });
        Course { begin, steps: steps.collect() }
    }

    /// The logarithm of a company's price at the close of a day.
    fn close_level(&self, company: &Company, day: i32) -> f64 {
        let [market, sector, own] = self.walks(company).map(|walk| {
            let (block, place) = Walk::block_of(day);
            let closes = self.blocks.get_or((walk.series, block), || walk.closes(block).into());
            closes.get(place).copied().unwrap_or(0.0)
        });
        company.base + company.beta * market + sector + own
    }

    /// The logarithm of a company's price at the open of a day.
    fn open_level(&self, company: &Company, day: i32) -> f64 {
        let [market, sector, own] = self.walks(company).map(|walk| walk.day(day).session());
        self.close_level(company, day) - (company.beta * market + sector + own)
    }

    fn walks(&self, company: &Company) -> [Walk; 3] {
        [Walk::market(self.seed), Walk::sector(self.seed, company), Walk::company(self.seed, company)]
    }

    fn profile(&self, minutes: usize) -> Arc<Profile> {
        self.profiles.get_or(minutes, || Arc::new(Profile::of(minutes)))
    }

    /// How far market or sector have moved from the open at the end of each minute.
    fn path(&self, walk: Walk, day: i32, profile: &Profile) -> Arc<[f64]> {
        self.paths.get_or((walk.series, day, profile.minutes()), || {
            bridge(walk, day, &walk.day(day), profile, |_| 1.0).into_iter().map(|(moved, _)| moved).collect()
        })
    }
}

/// A series' way from open to close: for each minute how far it has moved by the minute's end, and
/// how lively the minute is (1 is usual).
fn bridge(walk: Walk, day: i32, of_day: &Move, profile: &Profile, stir: impl Fn(usize) -> f64) -> Vec<(f64, f64)> {
    let draws = walk.stream(day, Purpose::Minute);
    let spells = walk.stream(day, Purpose::MinuteSpell);
    let knot = |knot: usize| 0.85 * exp(0.45 * spells.normal(knot as u64));
    let (mut before, mut after) = (1.0, knot(0));
    let mut moved = 0.0;
    let free: Vec<(f64, f64)> = (0..)
        .zip(&profile.deviation)
        .map(|(minute, deviation)| {
            let into = minute % SPELL_MINUTES;
            if into == 0 {
                (before, after) = (after, knot(minute / SPELL_MINUTES + 1));
            }
            let spell = before + (after - before) * (into as f64 / SPELL_MINUTES as f64);
            moved += of_day.noise * deviation * spell * stir(minute).sqrt() * draws.normal(minute as u64);
            (moved, spell)
        })
        .collect();
    let missing = of_day.intraday - moved;
    free.into_iter().zip(&profile.elapsed).map(|((moved, spell), over)| (moved + missing * over, spell)).collect()
}

/// Moves of equal size, added up.
fn free_walk(walk: Walk, day: i32, minutes: usize, address: u64, deviation: f64) -> Vec<f64> {
    let draws = walk.stream(day, Purpose::Minute);
    let mut moved = 0.0;
    (0..minutes as u64)
        .map(|minute| {
            moved += deviation * draws.normal(address + minute);
            moved
        })
        .collect()
}

/// Shares expected on a day: more on wild days, far more on days that begin with news.
fn day_shares(company: &Company, walk: Walk, day: i32, own: &Move) -> f64 {
    let draws = walk.stream(day, Purpose::Activity);
    let news = if own.overnight_jump.is_some() { 2.0 + 2.0 * draws.uniform(1) } else { 1.0 };
    company.shares * own.wildness.sqrt() * exp(0.15 * draws.normal(0)) * news
}

/// How much livelier a minute is because of a jump: six times at first, twice after half an hour.
fn stirred(jump: usize, minute: usize) -> f64 {
    match minute.checked_sub(jump) {
        None => 1.0,
        Some(since) => 1.0 + 5.0 / (1.0 + since as f64 / 8.0),
    }
}

/// The minute of the session in which a jump comes: neither in the first minutes nor in the last.
pub(super) fn jump_minute(place: f64, minutes: usize) -> usize {
    ((0.05 + 0.8 * place) * minutes as f64) as usize
}

/// The minute of the pre-market in which a jump comes: early, so that the open has digested it.
pub(super) fn overnight_minute(place: f64, minutes: usize) -> usize {
    ((0.1 + 0.5 * place) * minutes as f64) as usize
}

/// A logarithm of a price as cents, at least one.
fn cents(level: f64) -> i64 {
    whole(exp(level) * 100.0).max(1)
}

/// Low and high of a minute: beyond open and close by part of its deviation, and at least a spread
/// apart, so that the quotes of the minute lie between them.
fn extremes(open: i64, close: i64, deviation: f64, beyond: [f64; 2], spread: i64) -> (i64, i64) {
    let reach = deviation * open as f64;
    let [below, above] = beyond.map(|share| (1.1 * share * share * reach) as i64);
    let (low, high) = (open.min(close) - below, open.max(close) + above);
    let missing = (spread - (high - low)).max(0);
    let low = (low - missing / 2).max(1);
    (low, high.max(low + spread))
}
