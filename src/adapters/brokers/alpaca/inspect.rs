//! Whether Alpaca stands on the same ground: the account, the clock, the calendar, the symbols.

use std::collections::{BTreeMap, BTreeSet};

use daybook_core::calendar::Calendar;
use daybook_core::market::Symbol;
use daybook_core::time::{SessionDate, Timestamp};
use serde::Deserialize;

use super::wire::WireAccount;
use super::{AlpacaBroker, Kind, classed};
use crate::adapters::alpaca::Urgency;
use crate::ports::BrokerError;

/// How far the clocks may be apart, in milliseconds: orders are dated, and sessions end, by both.
const SKEW_MAX_MS: i64 = 1_000;

/// Days whose sessions are compared: two months have their holidays and early closes in time for a person.
const DAYS_COMPARED: i64 = 60;

/// What was found at Alpaca.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The account's number.
    pub account: String,
    /// What a person should know, a line each: blocks, clocks and calendars that disagree, symbols that cannot be traded.
    pub remarks: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct WireClock {
    timestamp: Timestamp,
}

/// A session, its times on New York's wall clock.
#[derive(Debug, Deserialize)]
struct WireDay {
    date: SessionDate,
    open: String,
    close: String,
}

#[derive(Debug, Deserialize)]
struct WireAsset {
    symbol: String,
    #[serde(default)]
    tradable: bool,
}

impl AlpacaBroker {
    /// Asks for the account, and compares clock, calendar and the symbols that are to be traded.
    ///
    /// # Errors
    /// If Alpaca does not answer, or refuses the key.
    pub async fn inspect(&self, calendar: &Calendar) -> Result<Inspection, BrokerError> {
        let account: WireAccount = self.read("/v2/account", &[]).await?;
        let mut remarks: Vec<String> = account.block().into_iter().collect();
        if let Some(expected) = self.live_account.as_ref().filter(|expected| *expected != account.number()) {
            remarks.push(format!("alpaca.live_account names {expected}: no order is sent"));
        }
        remarks.extend(self.skew().await?);
        remarks.extend(self.calendar_differences(calendar).await?);
        remarks.extend(self.untradable().await?);
        Ok(Inspection { account: account.number().to_owned(), remarks })
    }

    async fn skew(&self) -> Result<Option<String>, BrokerError> {
        let before = self.clock.wall();
        let theirs: WireClock = self.read("/v2/clock", &[]).await?;
        let after = self.clock.wall();
        // It was read at some instant between the two: what lies outside of them is the least difference.
        let ahead = (theirs.timestamp.0 - after.0).max(0) - (before.0 - theirs.timestamp.0).max(0);
        Ok((ahead.abs() > SKEW_MAX_MS).then(|| {
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            format!("this machine's clock is {:.1} s {way} Alpaca's: keep it with NTP", ahead.abs() as f64 / 1000.0)
        }))
    }

    async fn calendar_differences(&self, calendar: &Calendar) -> Result<Vec<String>, BrokerError> {
        let from = self.clock.wall().date_in(calendar.zone());
        let to = from.plus_days(DAYS_COMPARED);
        let (start, end) = (from.to_string(), to.to_string());
        let days: Vec<WireDay> = self.read("/v2/calendar", &[("start", &start), ("end", &end)]).await?;
        let theirs: BTreeMap<SessionDate, String> = days
            .into_iter()
            .filter(|day| (from..=to).contains(&day.date))
            .map(|day| (day.date, format!("{} to {}", day.open, day.close)))
            .collect();
        let wall = |at: Timestamp| at.in_zone(calendar.zone()).format("%H:%M").to_string();
        let ours: BTreeMap<SessionDate, String> = calendar
            .sessions(from, to)
            .map(|session| (session.date, format!("{} to {}", wall(session.open), wall(session.close))))
            .collect();
        let dates: BTreeSet<&SessionDate> = theirs.keys().chain(ours.keys()).collect();
        let hours = |sessions: &BTreeMap<SessionDate, String>, date| {
            sessions.get(date).map_or_else(|| "no session".to_owned(), String::clone)
        };
        let differing = dates.into_iter().filter(|date| theirs.get(date) != ours.get(date));
        Ok(differing
            .map(|date| {
                let (theirs, ours) = (hours(&theirs, date), hours(&ours, date));
                format!("{date} is {theirs} at Alpaca and {ours} in the calendar {}", calendar.name())
            })
            .collect())
    }

    async fn untradable(&self) -> Result<Vec<String>, BrokerError> {
        if self.settings.symbols.is_empty() {
            return Ok(Vec::new());
        }
        let query = [("status", "active"), ("asset_class", "us_equity")];
        let assets: Vec<WireAsset> = self
            .client
            .get(Urgency::Ordinary, "/v2/assets", &query)
            .await
            .map_err(|error| classed(error, Kind::Read))?;
        let known: BTreeMap<&str, bool> = assets.iter().map(|asset| (asset.symbol.as_str(), asset.tradable)).collect();
        let told = |symbol: &Symbol| match known.get(symbol.as_str()) {
            Some(true) => None,
            Some(false) => Some(format!("{symbol} cannot be traded at Alpaca now: a halt, or a delisting")),
            None => Some(format!("{symbol} is no active share at Alpaca: correct alpaca.symbols")),
        };
        Ok(self.settings.symbols.iter().filter_map(told).collect())
    }
}
