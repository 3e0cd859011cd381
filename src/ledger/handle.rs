use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::file::{identity, resolved};
use super::open::{open_checked, open_reader};
use super::writer::{QUEUE_MAX, Writer};
use super::{LedgerError, LedgerLock, Meta, OpenOptions};

/// Reading connections that are kept open between reads. More may be open while reads overlap.
const READERS_KEPT_MAX: usize = 2;

/// Stands before and behind every write of a handle, for a made-up world: the process may end there, and the disk
/// may be full. A future that never ends is a process that went no further.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Lets a transaction begin, or refuses it.
    async fn enter(&self) -> Result<(), LedgerError>;
    /// Lets the caller know that it was committed.
    async fn leave(&self);
}

/// A handle on a ledger; its copies share one writer and one set of readers.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    gate: Option<Arc<dyn Gate>>,
    /// The epoch that every write verifies; `None` for a process that holds no lease.
    epoch: Option<i64>,
}

/// Dropped in this order: the writer, last, closes the file and empties the write-ahead log.
struct Shared {
    path: PathBuf,
    /// Which file was opened there.
    identity: Option<(u64, u64)>,
    meta: Meta,
    /// Room in the writer's queue for asynchronous callers, who must not block their thread on it.
    room: Semaphore,
    readers: Mutex<Vec<Connection>>,
    /// Told after each write that was committed.
    committed: Notify,
    writer: Writer,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("path", &self.shared.path).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger at `path`. Where the file has to be made or its schema brought up to date, the
    /// lock is taken for as long as that lasts.
    ///
    /// # Errors
    /// Each way in which a file is no usable ledger has its own variant of [`LedgerError`];
    /// [`LedgerError::AlreadyHeld`] if the schema is old and another process holds the lock.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, LedgerError> {
        Self::start(&resolved(path), options, None)
    }

    /// Opens the ledger whose lock the caller holds.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_locked(lock: &LedgerLock, options: &OpenOptions) -> Result<Self, LedgerError> {
        Self::start(lock.ledger(), options, Some(lock))
    }

    fn start(path: &Path, options: &OpenOptions, lock: Option<&LedgerLock>) -> Result<Self, LedgerError> {
        let (conn, meta) = open_checked(path, options, lock).map_err(|error| error.at_opening(path))?;
        let shared = Shared {
            path: path.to_owned(),
            identity: identity(path),
            meta,
            room: Semaphore::new(QUEUE_MAX),
            readers: Mutex::new(Vec::new()),
            committed: Notify::new(),
            writer: if options.in_turn { Writer::in_turn(conn) } else { Writer::start(conn, path)? },
        };
        Ok(Self { shared: Arc::new(shared), gate: None, epoch: None })
    }

    /// The same ledger, whose writes go through `gate`.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Whether the file that was opened still stands where it stood.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        identity(self.path()) == self.shared.identity
    }

    /// What the file is.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.shared.meta
    }

    /// The epoch of the lease that this handle writes under.
    #[must_use]
    pub const fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    pub(super) fn leased(&self, epoch: i64) -> Self {
        Self { shared: Arc::clone(&self.shared), gate: self.gate.clone(), epoch: Some(epoch) }
    }

    pub(super) fn unleased(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), gate: self.gate.clone(), epoch: None }
    }

    /// Runs `work` in one `BEGIN IMMEDIATE` transaction on the writing connection, and commits it if it
    /// succeeds. Writes are done in the order of the calls.
    ///
    /// Once it is queued the transaction runs, even if the caller stops waiting for it.
    ///
    /// # Errors
    /// What `work` returns; [`LedgerError::LeaseLost`], [`LedgerError::DiskFull`], [`LedgerError::Busy`]
    /// and [`LedgerError::Panicked`] with nothing written.
    pub async fn write<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        if let Some(gate) = &self.gate {
            gate.enter().await?;
        }
        let _room = self.shared.room.acquire().await.map_err(|_| LedgerError::Closed)?;
        let (sender, receiver) = oneshot::channel();
        // Who has stopped waiting needs no answer.
        self.shared.writer.submit(self.epoch, work, move |answer| drop(sender.send(answer)))?;
        let done = receiver.await.map_err(|_| LedgerError::Closed)?;
        if done.is_ok() {
            self.shared.committed.notify_one();
        }
        if let Some(gate) = &self.gate {
            gate.leave().await;
        }
        done
    }

    /// Waits until this process has committed something since the last wait: for one task at a time.
    pub async fn committed(&self) {
        self.shared.committed.notified().await;
    }

    /// Runs `work` with the writing connection, outside of any transaction.
    pub(super) async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        // Who has stopped waiting needs no answer.
        self.shared.writer.with(move |conn| drop(sender.send(work(conn))))?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }

    /// [`write`](Ledger::write) for a thread that may wait.
    ///
    /// # Errors
    /// As [`write`](Ledger::write).
    pub fn write_blocking<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let (sender, receiver) = sync_channel(1);
        self.shared.writer.submit(self.epoch, work, move |answer| drop(sender.send(answer)))?;
        let done = receiver.recv().map_err(|_| LedgerError::Closed)?;
        if done.is_ok() {
            self.shared.committed.notify_one();
        }
        done
    }

    /// Runs `work` on one snapshot of the ledger, on the caller's thread; nothing that it writes stays. It
    /// must be short: while it lasts the write-ahead log grows.
    ///
    /// # Errors
    /// What `work` returns, and what keeps the ledger from being read.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        if let Some(conn) = self.shared.writer.idle() {
            return on_snapshot(&conn, work);
        }
        let kept = self.readers().pop();
        let conn = match kept {
            Some(conn) => conn,
            None => open_reader(&self.shared.path)?,
        };
        let answer = on_snapshot(&conn, work);
        let mut readers = self.readers();
        if readers.len() < READERS_KEPT_MAX {
            readers.push(conn);
        }
        answer
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // The list is whole at every instant, so that a panic elsewhere does not spoil it.
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` in a transaction that is rolled back. Its statements are kept prepared, since reads are many
/// and short.
fn on_snapshot<T>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    /// Ends the transaction also when `work` panics.
    struct Snapshot<'a>(&'a Connection);
    impl Drop for Snapshot<'_> {
        fn drop(&mut self) {
            // Rolling back fails only where there is no transaction any more.
            let _ = self.0.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute([]));
        }
    }
    conn.prepare_cached("BEGIN DEFERRED")?.execute([])?;
    let snapshot = Snapshot(conn);
    work(snapshot.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ledger::testing::TestLedger;

    const INSERT: &str = "INSERT INTO config_version (hash, body, origin, recorded_at_ms) VALUES (?1, 'x', 'test', 0)";
    const COUNT: &str = "SELECT count(*) FROM config_version";

    fn count(ledger: &Ledger) -> i64 {
        ledger.read(|conn| Ok(conn.query_row(COUNT, [], |row| row.get(0))?)).unwrap()
    }

    #[tokio::test]
    async fn a_write_is_all_or_nothing() {
        let day = TestLedger::new();
        let answer = day.ledger.write(|tx| Ok(tx.execute(INSERT, ["a"])?)).await.unwrap();
        assert_eq!((answer, count(&day.ledger)), (1, 1));
        let failed = day
            .ledger
            .write(|tx| {
                tx.execute(INSERT, ["b"])?;
                Err::<(), _>(LedgerError::Refused { what: "test", key: "b".to_owned(), reason: "no".to_owned() })
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(count(&day.ledger), 1);
    }

    #[tokio::test]
    async fn a_panic_is_rolled_back_and_the_writer_lives() {
        let day = TestLedger::new();
        let panicked = day
            .ledger
            .write(|tx| -> Result<(), LedgerError> {
                tx.execute(INSERT, ["a"])?;
                panic!("a broken assumption");
            })
            .await
            .unwrap_err();
        assert!(
            matches!(&panicked, LedgerError::Panicked { message } if message == "a broken assumption"),
            "{panicked}"
        );
        assert_eq!(count(&day.ledger), 0);
        day.ledger.write(|tx| Ok(tx.execute(INSERT, ["b"])?)).await.unwrap();
        assert_eq!(count(&day.ledger), 1);
    }

    #[tokio::test]
    async fn who_stops_waiting_does_not_stop_the_transaction() {
        let day = TestLedger::new();
        let mut writing = Box::pin(day.ledger.write(|tx| Ok(tx.execute(INSERT, ["a"])?)));
        let polled = Cell::new(0);
        std::future::poll_fn(|context| {
            polled.set(polled.get() + 1);
            let _ = writing.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
        drop(writing);
        // The queue is in order: this write comes after that one.
        day.ledger.write(|tx| Ok(tx.execute(INSERT, ["b"])?)).await.unwrap();
        assert_eq!((polled.get(), count(&day.ledger)), (1, 2));
    }

    #[test]
    fn a_reader_cannot_write_and_sees_one_snapshot() {
        let day = TestLedger::new();
        let refused = day.ledger.read(|conn| Ok(conn.execute(INSERT, ["a"])?));
        assert!(refused.is_err());
        let writer = day.ledger.clone();
        let (before, after) = day
            .ledger
            .read(|conn| {
                let before: i64 = conn.query_row(COUNT, [], |row| row.get(0))?;
                writer.write_blocking(|tx| Ok(tx.execute(INSERT, ["b"])?))?;
                Ok((before, conn.query_row(COUNT, [], |row| row.get::<_, i64>(0))?))
            })
            .unwrap();
        assert_eq!((before, after, count(&day.ledger)), (0, 0, 1));
    }

    #[test]
    fn in_turn_it_is_the_same_ledger() {
        let day = TestLedger::in_turn();
        let (inner, outer) = (day.ledger.clone(), day.ledger.clone());
        day.ledger
            .write_blocking(move |tx| {
                tx.execute(INSERT, ["a"])?;
                assert_eq!(count(&inner), 0, "what is not committed is not there");
                Ok(())
            })
            .unwrap();
        let panicked = day
            .ledger
            .write_blocking(|tx| -> Result<(), LedgerError> {
                tx.execute(INSERT, ["b"])?;
                panic!("a broken assumption");
            })
            .unwrap_err();
        assert!(matches!(panicked, LedgerError::Panicked { .. }), "{panicked}");
        day.ledger
            .read(|conn| {
                conn.execute(INSERT, ["c"])?;
                assert_eq!(count(&outer), 1, "a read in a read");
                Ok(())
            })
            .unwrap();
        assert_eq!(count(&day.ledger), 1, "nothing that a read writes stays");
    }

    #[test]
    fn a_full_disk_has_its_name_and_writes_nothing() {
        let day = TestLedger::new();
        let full = day
            .ledger
            .write_blocking(|tx| {
                let pages: i64 = tx.pragma_query_value(None, "page_count", |row| row.get(0))?;
                tx.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
                for row in 0..100 {
                    tx.execute(INSERT, [format!("{row}").repeat(1_000)])?;
                }
                Ok(())
            })
            .unwrap_err();
        assert!(matches!(full, LedgerError::DiskFull), "{full}");
        assert_eq!(count(&day.ledger), 0);
    }

    #[test]
    fn closing_empties_the_log() {
        let day = TestLedger::new();
        day.ledger.write_blocking(|tx| Ok(tx.execute(INSERT, ["a"])?)).unwrap();
        assert_eq!(count(&day.ledger), 1);
        let (path, folder) = day.close();
        assert!(path.exists());
        assert!(!path.with_extension("db-wal").exists());
        drop(folder);
    }
}
