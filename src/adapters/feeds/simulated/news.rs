//! News: each jump has its item, and some items have no jump.

use std::time::Duration;

use daybook_core::market::MINUTE;
use daybook_core::time::{SessionDate, Timestamp};

use super::company::Company;
use super::days::{self, Walk};
use super::draw::{Purpose, Stream};
use super::minutes::{jump_minute, overnight_minute};
use super::{Part, SimulatedMarket};
use crate::ports::NewsItem;

/// How often a company is in the news on a day without anything coming of it.
const IDLE_NEWS: f64 = 0.06;

/// When news of a weekday without a session is published, after midnight UTC.
const HOLIDAY_NEWS: Duration = Duration::from_secs(13 * 3_600);

const GOOD: [&str; 6] = [
    "raises its outlook for the year",
    "reports earnings above expectations",
    "wins a contract worth more than expected",
    "is said to be a takeover target",
    "announces a larger buyback",
    "is upgraded by two brokers",
];
const BAD: [&str; 6] = [
    "cuts its outlook for the year",
    "reports earnings below expectations",
    "loses its largest customer",
    "faces an inquiry by its regulator",
    "announces a share offering",
    "is downgraded by two brokers",
];
const IDLE: [&str; 4] = [
    "presents at an industry conference",
    "appoints a new member of the board",
    "opens a new site",
    "declares its regular dividend",
];

impl SimulatedMarket {
    /// The items of a company published in `(from, as_of]`, in order.
    pub(super) fn news_between(&self, company: &Company, from: Timestamp, as_of: Timestamp) -> Vec<NewsItem> {
        let first = from.date_in(self.calendar.zone()).plus_days(-1).max(self.calendar.first_date());
        let last = as_of.date_in(self.calendar.zone()).plus_days(1).min(self.calendar.last_date());
        let dates = first.0.iter_days().take_while(|date| *date <= last.0).map(SessionDate);
        let mut items: Vec<NewsItem> = dates.flat_map(|date| self.news_of(company, date)).collect();
        items.retain(|item| item.at > from && item.at <= as_of);
        items.sort_by_key(|item| item.at);
        items
    }

    fn news_of(&self, company: &Company, date: SessionDate) -> Vec<NewsItem> {
        let walk = Walk::company(self.seed, company);
        let day = days::number(date);
        let jumps = walk.jumps(day);
        let draws = walk.stream(day, Purpose::IdleNews);
        let item = |at: Timestamp, texts: &[&str], index: u64| NewsItem {
            at,
            headline: format!("{} {}", company.symbol, pick(texts, draws, index)),
        };
        let told = |size: f64| if size > 0.0 { &GOOD } else { &BAD };

        let Some(session) = self.calendar.session(date) else {
            let at = Timestamp::from_utc(date.0.and_time(chrono::NaiveTime::MIN).and_utc()).after(HOLIDAY_NEWS);
            return jumps.iter().flatten().map(|jump| item(at, told(jump.size), 2)).collect();
        };
        let at_minute = |part: Part, minute: usize| {
            let (start, _) = part.interval(&session);
            start.after(MINUTE * u32::try_from(minute).unwrap_or(u32::MAX))
        };
        let [overnight, intraday] = jumps;
        let mut items = Vec::new();
        if let Some(jump) = overnight {
            let minute = overnight_minute(jump.place, Part::PreMarket.minutes(&session));
            items.push(item(at_minute(Part::PreMarket, minute), told(jump.size), 2));
        }
        if let Some(jump) = intraday {
            let minute = jump_minute(jump.place, Part::Regular.minutes(&session));
            items.push(item(at_minute(Part::Regular, minute), told(jump.size), 3));
        }
        if draws.uniform(0) < IDLE_NEWS {
            let minute = (draws.uniform(1) * Part::Regular.minutes(&session) as f64) as usize;
            items.push(item(at_minute(Part::Regular, minute), &IDLE, 4));
        }
        items
    }
}

fn pick<'a>(texts: &[&'a str], draws: Stream, index: u64) -> &'a str {
    let place = draws.bits(index) % texts.len().max(1) as u64;
    usize::try_from(place).ok().and_then(|place| texts.get(place)).copied().unwrap_or("is in the news")
}
