//! A made-up market: 500 companies in 11 sectors, from one seed.
//!
//! Any answer is a function of the seed, the symbol, the session and the minute alone. Nothing is
//! played forward: the price of a minute in 2027 is computed without the years before it, so a
//! replay, a restart and a test that asks in another order all see the same market. That is what the
//! pieces are for:
//!
//! - `draw`: random numbers by address, not in sequence;
//! - `days`: closes as a random walk pinned at the ends of 128-day blocks, for the market, the sectors and each company;
//! - `minutes`: a session's minutes as a bridge from its open to its close;
//! - `quotes`: a path through the minute's four prices;
//! - `news`: the jumps of `days`, told.
//!
//! A company moves with the market (by its beta), with its sector and by itself. Days are calm or wild
//! in spells, mornings are livelier than noons, some days trend and some go nowhere. Levels return to
//! where they began, so prices stay sane from 1990 to 2030.
//!
//! Only `+ - × ÷ √` and rounding are used, which IEEE 754 defines to the last bit: the market is the
//! same on every machine.

mod company;
mod days;
mod draw;
mod memo;
mod minutes;
mod news;
mod quotes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use daybook_core::analysis::Problem;
use daybook_core::calendar::{Calendar, Session};
use daybook_core::market::{Bar, Quote, Symbol, complete_minutes, session_bar};
use daybook_core::time::{SessionDate, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ports::{FeedError, MarketFeed, NewsItem, SymbolInfo};
use company::{COMPANIES, Company};
use days::Series;
use memo::Memo;
pub use minutes::Part;
use minutes::Profile;

/// Which market is made up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedMarketSettings {
    /// What everything is drawn from: the same seed is the same market.
    pub seed: u64,
    /// How many companies are listed, 1 to 500.
    pub symbols: u32,
}

/// A seed whose November of 2026 has wild, ordinary and calm days.
const SEED: u64 = 7;

impl Default for SimulatedMarketSettings {
    fn default() -> Self {
        Self { seed: SEED, symbols: COMPANIES }
    }
}

impl SimulatedMarketSettings {
    /// What is wrong with the settings, field by field.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        if (1..=COMPANIES).contains(&self.symbols) {
            return Vec::new();
        }
        vec![("symbols", format!("is {}: expected 1 to {COMPANIES}", self.symbols))]
    }
}

/// The made-up market. It keeps what was computed lately, within a few megabytes.
#[derive(Debug)]
pub struct SimulatedMarket {
    seed: u64,
    calendar: Calendar,
    companies: Vec<Company>,
    places: HashMap<Symbol, usize>,
    /// Closes of a block of days, by series and block.
    blocks: Memo<(Series, i32), Arc<[f64]>>,
    /// The market's and the sectors' path through a session, by series, day and minutes.
    paths: Memo<(Series, i32, usize), Arc<[f64]>>,
    /// The shape of a session, by its number of minutes.
    profiles: Memo<usize, Arc<Profile>>,
    /// Minutes of a part of a session, by company, day and part.
    minutes: Memo<(Symbol, i32, Part), Arc<[Bar]>>,
    /// Regular sessions as one bar, by company and day.
    daily: Memo<(Symbol, i32), Option<Bar>>,
}

impl SimulatedMarket {
    /// Makes a market up. Nothing is computed before it is asked for.
    #[must_use]
    pub fn new(settings: &SimulatedMarketSettings, calendar: Calendar) -> Self {
        let companies: Vec<Company> = (0..settings.symbols.min(COMPANIES)).filter_map(company::company).collect();
        let places = companies.iter().enumerate().map(|(place, company)| (company.symbol, place)).collect();
        Self {
            seed: settings.seed,
            calendar,
            companies,
            places,
            // Two blocks of every series: a month looked back on may lie across a boundary.
            blocks: Memo::new(1_100),
            // The 12 common series over the 20 sessions that a scan looks back on.
            paths: Memo::new(300),
            profiles: Memo::new(8),
            // Candidates and positions of a day in all three parts; 20 kB each.
            minutes: Memo::new(96),
            // 500 companies over 20 sessions, and room to move on.
            daily: Memo::new(14_000),
        }
    }

    /// The minutes of one part of a session, in order; `None` if the symbol is not listed.
    #[must_use]
    pub fn minutes(&self, symbol: Symbol, session: &Session, part: Part) -> Option<Arc<[Bar]>> {
        let company = self.company(symbol)?;
        let key = (symbol, days::number(session.date), part);
        Some(self.minutes.get_or(key, || self.trade(company, session, part).into()))
    }

    /// All minutes of a session, extended hours included, in order; `None` if the symbol is not listed.
    #[must_use]
    pub fn bars(&self, symbol: Symbol, session: &Session) -> Option<Vec<Bar>> {
        let mut bars = Vec::new();
        for part in Part::ALL {
            bars.extend_from_slice(&self.minutes(symbol, session, part)?);
        }
        Some(bars)
    }

    /// The regular session as one bar: the aggregate of its minutes. `None` if the symbol is not listed.
    #[must_use]
    pub fn daily_bar(&self, symbol: Symbol, session: &Session) -> Option<Bar> {
        let company = self.company(symbol)?;
        // Volumes are bounded far below the overflow that `session_bar` reports.
        let aggregate = || session_bar(&self.trade(company, session, Part::Regular), session).ok().flatten();
        self.daily.get_or((symbol, days::number(session.date)), aggregate)
    }

    fn company(&self, symbol: Symbol) -> Option<&Company> {
        self.companies.get(*self.places.get(&symbol)?)
    }

    fn listed(&self, symbol: Symbol) -> Result<&Company, FeedError> {
        self.company(symbol).ok_or_else(|| FeedError::Rejected {
            feed: self.name().to_owned(),
            reason: format!("{symbol} is not listed; the simulated market has {} symbols", self.companies.len()),
        })
    }

    /// The sessions that overlap an interval, in order.
    fn sessions_between(&self, from: Timestamp, to: Timestamp) -> impl DoubleEndedIterator<Item = Session> + '_ {
        // A session may begin on the day before its date, or end on the day after.
        let first = from.date_in(self.calendar.zone()).plus_days(-1);
        let last = to.date_in(self.calendar.zone()).plus_days(1);
        self.calendar.sessions(first, last).filter(move |session| session.post_close > from && session.pre_open <= to)
    }
}

#[async_trait]
impl MarketFeed for SimulatedMarket {
    fn name(&self) -> &str {
        "simulated"
    }

    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError> {
        Ok(self.companies.iter().map(Company::info).collect())
    }

    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError> {
        self.listed(symbol)?;
        let mut bars = Vec::new();
        for session in self.sessions_between(from, as_of) {
            for part in Part::ALL {
                let (start, end) = part.interval(&session);
                if start < as_of && end > from {
                    let minutes = self.minutes(symbol, &session, part).unwrap_or_default();
                    bars.extend_from_slice(complete_minutes(&minutes, from, as_of));
                }
            }
        }
        Ok(bars)
    }

    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError> {
        self.listed(symbol)?;
        let earlier = self.calendar.sessions(self.calendar.first_date(), before.plus_days(-1));
        let mut bars: Vec<Bar> =
            earlier.rev().take(sessions).filter_map(|session| self.daily_bar(symbol, &session)).collect();
        bars.reverse();
        Ok(bars)
    }

    async fn quote(&self, symbol: Symbol, as_of: Timestamp) -> Result<Option<Quote>, FeedError> {
        self.listed(symbol)?;
        Ok(self.quote_at(symbol, as_of))
    }

    async fn news(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<NewsItem>, FeedError> {
        let company = self.listed(symbol)?;
        Ok(self.news_between(company, from, as_of))
    }
}
