//! The lease: which process decides.
//!
//! The lock keeps a second scheduler out on one machine. The lease also stops a first one that was
//! thought dead (a machine that slept, a disk that was moved): each start raises the epoch, and every
//! write of a scheduler checks that the epoch is still its own. So does the dispatcher before each call that changes
//! something at the broker.

use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Ledger, LedgerError, LedgerLock};

const SQL_TAKE: &str = "
    INSERT INTO lease (one, epoch, holder, taken_at_ms) VALUES (1, 1, ?1, ?2)
    ON CONFLICT (one) DO UPDATE SET epoch = epoch + 1, holder = excluded.holder, taken_at_ms = excluded.taken_at_ms
    RETURNING epoch";
const SQL_EPOCH: &str = "SELECT epoch FROM lease WHERE one = 1";
const SQL_LEASE: &str = "SELECT epoch, holder, taken_at_ms FROM lease WHERE one = 1";

/// Who took the ledger last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Rises with each holder.
    pub epoch: i64,
    /// What the holder calls itself.
    pub holder: String,
    /// When it took the lease.
    pub taken_at: Timestamp,
}

/// Fails unless `held` is still the epoch in force.
pub(super) fn verify(conn: &Connection, held: i64) -> Result<(), LedgerError> {
    let found: i64 = conn.prepare_cached(SQL_EPOCH)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0);
    if found == held { Ok(()) } else { Err(LedgerError::LeaseLost { held, found }) }
}

/// The lease in force; `None` before the first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn current(conn: &Connection) -> Result<Option<Lease>, LedgerError> {
    let lease = conn
        .prepare_cached(SQL_LEASE)?
        .query_row([], |row| Ok(Lease { epoch: row.get(0)?, holder: row.get(1)?, taken_at: Timestamp(row.get(2)?) }))
        .optional()?;
    Ok(lease)
}

impl Ledger {
    /// Takes the lease for the holder of the lock; a former holder's next write fails. The answer is
    /// the handle whose every write verifies the lease; its [`epoch`](Ledger::epoch) is the new one.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub async fn take_lease(&self, _held: &LedgerLock, holder: &str, now: Timestamp) -> Result<Ledger, LedgerError> {
        let holder = holder.to_owned();
        crash_point!("lease.before");
        let epoch = self
            .unleased()
            .write(move |tx| Ok(tx.query_row(SQL_TAKE, params![holder, now.0], |row| row.get(0))?))
            .await?;
        crash_point!("lease.after");
        Ok(self.leased(epoch))
    }

    /// Fails unless the lease is still this handle's, as each of its writes does: for what is done elsewhere in the
    /// holder's name. A handle without a lease has none to lose.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or what keeps the ledger from being read.
    pub fn verify_lease(&self) -> Result<(), LedgerError> {
        self.epoch().map_or(Ok(()), |held| self.read(|conn| verify(conn, held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[tokio::test]
    async fn a_stale_holder_can_write_nothing() {
        let day = TestLedger::new();
        let lock = LedgerLock::acquire(day.path()).unwrap();
        let first = day.ledger.take_lease(&lock, "first", Timestamp(1)).await.unwrap();
        assert_eq!(first.epoch(), Some(1));
        first.write(|_| Ok(())).await.unwrap();
        let second = day.ledger.take_lease(&lock, "second", Timestamp(2)).await.unwrap();
        second.write(|_| Ok(())).await.unwrap();
        let stale = first.write(|_| Ok(())).await.unwrap_err();
        assert!(matches!(stale, LedgerError::LeaseLost { held: 1, found: 2 }), "{stale}");
        assert!(matches!(first.verify_lease(), Err(LedgerError::LeaseLost { held: 1, found: 2 })));
        assert!(second.verify_lease().is_ok() && day.ledger.verify_lease().is_ok());
        let lease = day.ledger.read(current).unwrap().unwrap();
        assert_eq!(lease, Lease { epoch: 2, holder: "second".to_owned(), taken_at: Timestamp(2) });
    }
}
