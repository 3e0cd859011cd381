//! The account's executions in the order of Alpaca's own record, page by page.
//!
//! An execution may enter the record after one that traded later. So a page begins a little before
//! its cursor, and leaves out what this process has told already; what a restart tells a second time the ledger
//! knows by its id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daybook_core::time::Timestamp;

use super::wire::Activity;
use crate::adapters::alpaca::{CallError, Client, Urgency};
use crate::adapters::brokers::cursor::Cursor;

/// Executions in a page, Alpaca's most.
const PAGE: usize = 100;

/// How long before its cursor a page begins: far longer than an execution takes to be recorded.
const OVERLAP: Duration = Duration::from_secs(60);

/// Pages that are read in search of one with something new in it: a bound on what one call may cost. More than
/// these would be ten executions a second all through the overlap.
const PAGES_MAX: usize = 8;

/// A page of executions.
pub(super) struct Page {
    pub activities: Vec<Activity>,
    pub cursor: Option<Cursor>,
    pub more: bool,
}

/// Reads the record, and remembers what of its end was told.
#[derive(Debug, Default)]
pub(super) struct Tape {
    told: Mutex<HashMap<String, Timestamp>>,
}

impl Tape {
    /// The executions after `cursor`, or from the beginning.
    pub(super) async fn after(&self, client: &Client, cursor: Option<Cursor>) -> Result<Page, CallError> {
        let from = cursor.as_ref().map(|cursor| cursor.at.before(OVERLAP).to_string());
        let mut token: Option<String> = None;
        let mut reached = cursor.clone();
        for _ in 0..PAGES_MAX {
            let mut query = vec![("direction", "asc"), ("page_size", "100")];
            query.extend(from.as_deref().map(|from| ("after", from)));
            query.extend(token.as_deref().map(|token| ("page_token", token)));
            let mut activities: Vec<Activity> =
                client.get(Urgency::Urgent, "/v2/account/activities/FILL", &query).await?;
            let more = activities.len() >= PAGE;
            token = activities.last().map(|last| last.id.clone());
            let newest = activities.iter().map(place).max();
            activities.retain(|activity| self.is_new(activity, cursor.as_ref()));
            reached = reached.max(newest);
            if !activities.is_empty() || !more {
                return Ok(Page { activities, cursor: reached, more });
            }
        }
        Ok(Page { activities: Vec::new(), cursor: reached, more: true })
    }

    /// Whether an execution lies after the cursor, or before it and was never told.
    fn is_new(&self, activity: &Activity, cursor: Option<&Cursor>) -> bool {
        let Some(cursor) = cursor else { return true };
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        place(activity) > *cursor || !told.contains_key(&activity.id)
    }

    /// Remembers what was told, as far back as a page may begin.
    pub(super) fn remember(&self, activities: &[Activity]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend(activities.iter().map(|activity| (activity.id.clone(), activity.transaction_time)));
        if let Some(newest) = told.values().max().copied() {
            told.retain(|_, at| *at >= newest.before(OVERLAP * 2));
        }
    }
}

fn place(activity: &Activity) -> Cursor {
    Cursor { at: activity.transaction_time, id: activity.id.clone() }
}
