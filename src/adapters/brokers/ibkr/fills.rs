//! The account's executions in the order in which they traded, page by page.
//!
//! The gateway lists all that it remembers and knows no pages. An execution may be listed after one that traded later,
//! so a page begins a little before its cursor and leaves out what this process has told already; what a restart tells
//! a second time the ledger knows by its id.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{ClientOrderId, Fill, Side};
use daybook_core::time::Timestamp;
use ibapi::orders::{Execution, ExecutionData, ExecutionSide};

use super::terms::{Reference, Strange, symbol};
use crate::adapters::brokers::cursor::Cursor;
use crate::ports::FillPage;

/// Executions in a page.
const PAGE: usize = 100;

/// How long before its cursor a page begins: far longer than an execution takes to be listed.
const OVERLAP: Duration = Duration::from_secs(60);

/// How long an execution waits for its commission, which comes in a message of its own; then it is told without.
const COMMISSION_WAIT: Duration = Duration::from_secs(5);

/// Makes pages of listings, and remembers what of their end was told.
#[derive(Debug, Default)]
pub(super) struct Tape(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    told: HashMap<String, Timestamp>,
    /// When an execution without its commission was first listed, on the monotonic clock.
    waiting: HashMap<String, Duration>,
}

impl Tape {
    /// The page after `cursor` of what is listed. `fee` knows commissions by the gateway's own id of an execution.
    pub(super) fn page(
        &self,
        listed: &[ExecutionData],
        cursor: Option<Cursor>,
        now: Duration,
        fee: impl Fn(&str) -> Option<Money>,
    ) -> Result<FillPage, Strange> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<(Cursor, Fill)> = Vec::new();
        for data in corrected(listed) {
            let place = Cursor { at: traded_at(&data.execution)?, id: execution_id(&data.execution.execution_id) };
            let late = cursor.as_ref().is_some_and(|cursor| place <= *cursor);
            let too_old = cursor.as_ref().is_some_and(|cursor| place.at < cursor.at.before(OVERLAP));
            if late && (too_old || memory.told.contains_key(&place.id)) {
                continue;
            }
            let fee = fee(&data.execution.execution_id);
            let since = *memory.waiting.entry(place.id.clone()).or_insert(now);
            if fee.is_none() && now.saturating_sub(since) < COMMISSION_WAIT {
                continue;
            }
            if fee.is_none() {
                tracing::warn!(execution_id = place.id, "fill.without_commission");
            }
            let Some(fill) = fill(data, &place, fee.unwrap_or_default())? else { continue };
            new.push((place, fill));
        }
        new.sort_by(|(a, _), (b, _)| a.cmp(b));
        let more = new.len() > PAGE;
        new.truncate(PAGE);
        let reached = new.iter().map(|(place, _)| place).max().max(cursor.as_ref()).cloned();
        for (place, _) in &new {
            memory.waiting.remove(&place.id);
            memory.told.insert(place.id.clone(), place.at);
        }
        if let Some(newest) = memory.told.values().max().copied() {
            memory.told.retain(|_, at| *at >= newest.before(OVERLAP * 2));
        }
        let cursor = reached.map(|cursor| cursor.to_string()).unwrap_or_default();
        Ok(FillPage { fills: new.into_iter().map(|(_, fill)| fill).collect(), cursor, more })
    }
}

/// Executions as they stand after corrections. A correction repeats the id with another number after the last dot; the
/// ledger, which knows the execution without that number, tells a person if it is not what it was.
fn corrected(listed: &[ExecutionData]) -> impl Iterator<Item = &ExecutionData> {
    let mut last: BTreeMap<String, &ExecutionData> = BTreeMap::new();
    for data in listed {
        let entry = last.entry(execution_id(&data.execution.execution_id)).or_insert(data);
        if entry.execution.execution_id < data.execution.execution_id {
            *entry = data;
        }
    }
    last.into_values()
}

/// The execution's id without the number of its correction.
fn execution_id(id: &str) -> String {
    id.rsplit_once('.').map_or(id, |(base, _)| base).to_owned()
}

fn fill(data: &ExecutionData, place: &Cursor, fee: Money) -> Result<Option<Fill>, Strange> {
    let execution = &data.execution;
    let Some(symbol) = symbol(&data.contract) else {
        tracing::warn!(execution_id = place.id, symbol = %data.contract.symbol, "fill.foreign");
        return Ok(None);
    };
    let broker_order_id = execution.perm_id.to_string();
    let own_name = || broker_order_id.parse::<ClientOrderId>().map_err(|error| strange(execution, "perm id", error));
    let name = Reference::read(&execution.order_reference).and_then(|reference| reference.client_order_id());
    Ok(Some(Fill {
        execution_id: place.id.clone(),
        client_order_id: name.map_or_else(own_name, Ok)?,
        symbol,
        side: match execution.side {
            ExecutionSide::Bought => Side::Buy,
            ExecutionSide::Sold => Side::Sell,
        },
        quantity: Quantity::from_f64(execution.shares).map_err(|error| strange(execution, "shares", error))?,
        price: Price::from_f64(execution.price).map_err(|error| strange(execution, "price", error))?,
        fee,
        at: place.at,
        broker_order_id,
    }))
}

fn strange(execution: &Execution, field: &'static str, text: impl ToString) -> Strange {
    Strange { document: format!("execution {}", execution.execution_id), field, text: text.to_string() }
}

/// When it traded: `20261120 10:00:01 US/Eastern` on the gateway's wall clock, or `20261120-15:00:01` in UTC.
fn traded_at(execution: &Execution) -> Result<Timestamp, Strange> {
    let unreadable = || strange(execution, "time", &execution.time);
    let text = execution.time.as_str();
    if let Ok(utc) = NaiveDateTime::parse_from_str(text, "%Y%m%d-%H:%M:%S") {
        return Ok(Timestamp::from_utc(utc.and_utc()));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let [date, time, zone @ ..] = words.as_slice() else { return Err(unreadable()) };
    let wall = NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%Y%m%d %H:%M:%S").map_err(|_| unreadable())?;
    let zone: chrono_tz::Tz = zone.join(" ").parse().map_err(|_| unreadable())?;
    Ok(Timestamp::from_wall(wall, zone))
}

#[cfg(test)]
mod tests {
    use ibapi::contracts::Contract;

    use super::*;

    fn execution(id: &str, time: &str) -> ExecutionData {
        let execution = Execution {
            execution_id: id.to_owned(),
            time: time.to_owned(),
            shares: 10.0,
            price: 100.25,
            perm_id: 900_001,
            order_reference: "dbk-1-a-0-0-0/stop".to_owned(),
            side: ExecutionSide::Sold,
            ..Execution::default()
        };
        ExecutionData { request_id: -1, contract: Contract::stock("BRK B").build(), execution }
    }

    const LATER: Duration = Duration::from_secs(60);

    #[test]
    fn an_execution_is_read_as_it_traded() {
        let page = Tape::default().page(&[execution("00.1.01", "20261120 10:00:01 US/Eastern")], None, LATER, |id| {
            assert_eq!(id, "00.1.01");
            Some(Money::whole(1))
        });
        let fill = &page.unwrap().fills[0];
        assert_eq!((fill.symbol.as_str(), fill.execution_id.as_str()), ("BRK.B", "00.1"));
        assert_eq!((fill.client_order_id.as_str(), fill.side), ("dbk-1-a-0-0-0/stop", Side::Sell));
        assert_eq!((fill.at.to_string(), fill.fee), ("2026-11-20T15:00:01Z".to_owned(), Money::whole(1)));
        assert_eq!(traded_at(&execution("1", "20261120-15:00:01").execution).unwrap(), fill.at);
        for strange in ["20261120 10:00:01", "20261120 10:00:01 Mars/North", "yesterday", ""] {
            assert!(traded_at(&execution("1", strange).execution).is_err(), "{strange}");
        }
    }

    #[test]
    fn a_correction_takes_the_place_of_what_it_corrects() {
        let corrected = ExecutionData {
            execution: Execution { shares: 7.0, ..execution("00.1.02", "20261120 10:00:01 US/Eastern").execution },
            ..execution("", "")
        };
        let first = execution("00.1.01", "20261120 10:00:01 US/Eastern");
        let fee = |_: &str| Some(Money::ZERO);
        let page = Tape::default().page(&[corrected.clone(), first], None, LATER, fee).unwrap();
        assert_eq!((page.fills.len(), page.fills[0].quantity), (1, Quantity::whole(7)));
        assert_eq!(page.fills[0].execution_id, "00.1", "the ledger has it under this id, and tells of the difference");
    }

    #[test]
    fn an_execution_waits_for_its_commission_and_not_for_ever() {
        let tape = Tape::default();
        let listed = [execution("00.1.01", "20261120 10:00:01 US/Eastern")];
        assert_eq!(tape.page(&listed, None, Duration::ZERO, |_| None).unwrap().fills, []);
        let told = tape.page(&listed, None, Duration::from_secs(1), |_| Some(Money::whole(1))).unwrap();
        assert_eq!(told.fills[0].fee, Money::whole(1));
        let tape = Tape::default();
        assert_eq!(tape.page(&listed, None, Duration::ZERO, |_| None).unwrap().fills, []);
        assert_eq!(tape.page(&listed, None, COMMISSION_WAIT, |_| None).unwrap().fills[0].fee, Money::ZERO);
    }

    #[test]
    fn a_late_entry_in_the_listing_is_told_once_and_after_a_restart_again() {
        let fee = |_: &str| Some(Money::ZERO);
        let tape = Tape::default();
        let (early, late) = (
            execution("00.1.01", "20261120 10:00:01 US/Eastern"),
            execution("00.2.01", "20261120 10:00:30 US/Eastern"),
        );
        let first = tape.page(std::slice::from_ref(&late), None, LATER, fee).unwrap();
        let cursor: Cursor = first.cursor.parse().unwrap();
        let both = [late, early];
        let second = tape.page(&both, Some(cursor.clone()), LATER, fee).unwrap();
        assert_eq!((second.fills.len(), second.fills[0].execution_id.as_str()), (1, "00.1"));
        assert_eq!(second.cursor, first.cursor, "the cursor never goes back");
        assert_eq!(tape.page(&both, Some(cursor.clone()), LATER, fee).unwrap().fills, []);
        assert_eq!(Tape::default().page(&both, Some(cursor), LATER, fee).unwrap().fills.len(), 2);
    }
}
