//! The paper account that belongs to a ledger: beside it, under its name, and no other ledger's.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::Context;
use daybook_core::calendar::Calendar;
use daybook_core::exchange::ExchangeSettings;

use super::WiringError;
use crate::adapters::brokers::paper::{Durability, PaperBroker};
use crate::ledger::{Ledger, LedgerKind, order, run};
use crate::ports::{Clock, MarketFeed};

/// Opens the account of a ledger, or makes it for one that has none yet.
///
/// # Errors
/// [`WiringError::NoPaperAccount`] if the ledger has orders and the account is gone; [`WiringError::OthersPaperAccount`]
/// if another ledger has traded on it; also if the file cannot be read or made.
pub(super) async fn open(
    ledger: &Ledger,
    settings: ExchangeSettings,
    feed: Arc<dyn MarketFeed>,
    clock: Arc<dyn Clock>,
    calendar: Calendar,
) -> anyhow::Result<PaperBroker> {
    let file = ledger.path().with_extension("paper.db");
    let meta = ledger.meta();
    let durability = if meta.kind == LedgerKind::Live { Durability::PowerCut } else { Durability::Kill };
    let (is_new, has_traded) = ledger.read(|conn| Ok((!run::any(conn)?, order::any(conn, &meta.account)?)))?;
    if is_new && meta.kind != LedgerKind::Live {
        // A simulation that begins anew has its account anew; its orders have the same names again.
        for extension in ["paper.db", "paper.db-wal", "paper.db-shm"] {
            let left = ledger.path().with_extension(extension);
            match fs::remove_file(&left) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("making {} anew", left.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
    if has_traded && fs::metadata(&file).map_or(true, |account| account.len() == 0) {
        return Err(WiringError::NoPaperAccount { ledger: ledger.path().to_owned(), file }.into());
    }
    let account = PaperBroker::open(&file, durability, settings, feed, clock, calendar)?;
    match account.order_of_another(&meta.ledger_id).await? {
        Some(order) => Err(WiringError::OthersPaperAccount { ledger: ledger.path().to_owned(), file, order }.into()),
        None => Ok(account),
    }
}
