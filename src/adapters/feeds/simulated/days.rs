//! Days: how wild each is, how far it moves, and where it closes.

use chrono::Datelike;
use daybook_core::time::SessionDate;

use super::company::Company;
use super::draw::{Purpose, Stream, exp};

/// Days in a block. At its ends a walk stands at a level drawn on its own, so that a close is found
/// from one block's days, and the walk cannot stray for good.
const BLOCK_DAYS: i32 = 128;

/// Standard deviation of the level at the ends of a block, in daily deviations. Two such levels differ
/// by about as much as 128 days of moves add up to, so the pinning is hardly seen: `√(128 / 2)`, and
/// a fifth more for the wild days.
const REACH: f64 = 9.5;

/// The share of a day's variance that falls overnight; about a third for American shares.
const OVERNIGHT: f64 = 0.3;

/// The variance of a weekend day against a weekday.
const WEEKEND: f64 = 0.08;

/// How often a company's price jumps before the open, and within the session.
const OVERNIGHT_JUMPS: f64 = 0.016;
const INTRADAY_JUMPS: f64 = 0.010;

/// Standard deviation of an ordinary day of the market, and of a sector beyond the market.
const MARKET_DEVIATION: f64 = 0.005_5;
const SECTOR_DEVIATION: f64 = 0.004;

/// What moves on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Series {
    /// The whole market.
    Market,
    /// A sector beyond the market, by its place.
    Sector(u32),
    /// A company beyond market and sector, by its place in the listing.
    Company(u32),
}

impl Series {
    /// Its part in the address of random numbers.
    fn address(self) -> u64 {
        match self {
            Self::Market => 0,
            Self::Sector(place) => 1 + u64::from(place),
            Self::Company(place) => 1_000 + u64::from(place),
        }
    }
}

/// A sudden move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jump {
    /// How far, as a difference of logarithms.
    pub(super) size: f64,
    /// When, as a share of the hours in which it may come.
    pub(super) place: f64,
}

/// What a series does on one day, as differences of logarithms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    /// From the close before to the open, without a jump.
    pub(super) overnight: f64,
    /// From the open to the close, without a jump.
    pub(super) intraday: f64,
    /// Before the open.
    pub(super) overnight_jump: Option<Jump>,
    /// Within the session.
    pub(super) intraday_jump: Option<Jump>,
    /// The variance of the day.
    pub(super) variance: f64,
    /// Standard deviation of the minutes' moves, added up.
    pub(super) noise: f64,
    /// How wild the day is: 1 is ordinary.
    pub(super) wildness: f64,
}

impl Move {
    /// The whole day.
    fn total(&self) -> f64 {
        self.overnight + jump_size(self.overnight_jump) + self.session()
    }

    /// From the open to the close.
    pub(super) fn session(&self) -> f64 {
        self.intraday + jump_size(self.intraday_jump)
    }
}

fn jump_size(jump: Option<Jump>) -> f64 {
    jump.map_or(0.0, |jump| jump.size)
}

/// A day's number: 1 is Monday, January 1st of the year 1.
pub(super) fn number(date: SessionDate) -> i32 {
    date.0.num_days_from_ce()
}

fn is_weekend(day: i32) -> bool {
    matches!(day.rem_euclid(7), 0 | 6)
}

/// A series under a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    seed: u64,
    pub(super) series: Series,
    /// Standard deviation of an ordinary day.
    deviation: f64,
}

impl Walk {
    pub(super) const fn market(seed: u64) -> Self {
        Self { seed, series: Series::Market, deviation: MARKET_DEVIATION }
    }

    pub(super) const fn sector(seed: u64, company: &Company) -> Self {
        Self { seed, series: Series::Sector(company.sector), deviation: SECTOR_DEVIATION }
    }

    pub(super) const fn company(seed: u64, company: &Company) -> Self {
        Self { seed, series: Series::Company(company.place), deviation: company.own_deviation }
    }

    pub(super) fn stream(self, day: i32, purpose: Purpose) -> Stream {
        Stream::new(self.seed, self.series.address(), day, purpose)
    }

    /// How far a day's deviation lies from an ordinary one, as a logarithm: spells of weeks, spells of
    /// days, and the day itself. A sector and a company take on most of the market's.
    fn heat(self, day: i32) -> f64 {
        let spell = |purpose, days| self.stream(0, purpose).smooth(day, days);
        let of_the_day = self.stream(day, Purpose::DayVolatility).normal(0);
        match self.series {
            Series::Market => {
                0.60 * spell(Purpose::SlowSpell, 24) + 0.40 * spell(Purpose::FastSpell, 5) + 0.20 * of_the_day
            }
            Series::Sector(_) | Series::Company(_) => {
                let market = Self::market(self.seed).heat(day);
                0.75 * market + 0.30 * spell(Purpose::FastSpell, 12) + 0.25 * of_the_day
            }
        }
    }

    /// What the series does on a day.
    pub(super) fn day(self, day: i32) -> Move {
        let wildness = exp(self.heat(day));
        let deviation = self.deviation * wildness;
        let variance = deviation * deviation * if is_weekend(day) { WEEKEND } else { 1.0 };
        let [overnight_jump, intraday_jump] = self.jumps(day);
        // News is digested through the day: it moves more, in both directions.
        let stirred = if overnight_jump.is_some() { 1.5 } else { 1.0 };
        let noise = ((1.0 - OVERNIGHT) * variance).sqrt() * stirred;
        // A quarter of the days trend, a quarter go nowhere.
        let shape = self.stream(day, Purpose::DayShape).uniform(0);
        let (reach, noise) = match shape {
            trend if trend < 0.25 => (1.7 * noise, 0.75 * noise),
            range if range < 0.5 => (0.35 * noise, noise),
            _ => (noise, noise),
        };
        Move {
            overnight: (OVERNIGHT * variance).sqrt() * self.stream(day, Purpose::Overnight).normal(0),
            intraday: reach * self.stream(day, Purpose::Intraday).normal(0),
            overnight_jump,
            intraday_jump,
            variance,
            noise,
            wildness,
        }
    }

    /// The jumps of a day, overnight and intraday; only companies jump, and only on weekdays.
    pub(super) fn jumps(self, day: i32) -> [Option<Jump>; 2] {
        let Series::Company(_) = self.series else { return [None, None] };
        if is_weekend(day) {
            return [None, None];
        }
        [(Purpose::OvernightJump, OVERNIGHT_JUMPS), (Purpose::IntradayJump, INTRADAY_JUMPS)].map(
            |(purpose, frequency)| {
                let draws = self.stream(day, purpose);
                (draws.uniform(0) < frequency).then(|| {
                    let direction = if draws.uniform(1) < 0.5 { -1.0 } else { 1.0 };
                    let size = (2.0 + 4.0 * draws.uniform(2)) * self.deviation;
                    Jump { size: direction * size, place: draws.uniform(3) }
                })
            },
        )
    }

    /// The block that a day lies in, and its place there.
    pub(super) fn block_of(day: i32) -> (i32, usize) {
        (day.div_euclid(BLOCK_DAYS), usize::try_from(day.rem_euclid(BLOCK_DAYS)).unwrap_or(0))
    }

    /// The level at the close of each day of a block, as a logarithm.
    ///
    /// The days' moves add up to a free walk; it is tilted so that it ends where the next block begins,
    /// each day taking its share by its variance (a Brownian bridge on the clock of variance).
    pub(super) fn closes(self, block: i32) -> Vec<f64> {
        let end = |block: i32| REACH * self.deviation * self.stream(block, Purpose::BlockEnd).normal(0);
        let (begin, end) = (end(block), end(block + 1));
        let (mut level, mut clock) = (begin, 0.0);
        let free: Vec<(f64, f64)> = (0..BLOCK_DAYS)
            .map(|place| {
                let day = self.day(block * BLOCK_DAYS + place);
                level += day.total();
                clock += day.variance;
                (level, clock)
            })
            .collect();
        let tilt = (end - level) / clock;
        free.into_iter().map(|(level, clock)| level + tilt * clock).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_numbers_know_the_weekend() {
        let number_of = |day| number(SessionDate::of(2026, 11, day).unwrap());
        let weekend: Vec<u32> = (14..=22).filter(|day| is_weekend(number_of(*day))).collect();
        assert_eq!(weekend, [14, 15, 21, 22]);
    }

    #[test]
    fn blocks_join() {
        let walk = Walk::market(5);
        for block in 5_600..5_620 {
            let (this, next) = (walk.closes(block), walk.closes(block + 1));
            let step = next.first().unwrap() - this.last().unwrap();
            assert!(step.abs() < 0.08, "the market moves {step} between blocks {block} and the next");
        }
    }
}
