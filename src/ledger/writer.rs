//! The one connection that writes: on a thread of its own, or in turn with everything else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{LedgerError, lease};

/// Transactions that may wait for the writer; the next one waits for room.
pub(super) const QUEUE_MAX: usize = 256;

/// A transaction and the way back of its answer, as the writer takes it.
type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// The writing connection; it closes with this value.
pub(super) enum Writer {
    /// Beside the callers, who go on with something else meanwhile.
    Thread { sender: Option<SyncSender<Work>>, thread: Option<JoinHandle<()>> },
    /// On the caller's thread: where one thing happens at a time, handing it over costs more than the work.
    InTurn(Box<Mutex<Connection>>),
}

impl Writer {
    pub(super) fn in_turn(conn: Connection) -> Self {
        Self::InTurn(Box::new(Mutex::new(conn)))
    }

    pub(super) fn start(mut conn: Connection, path: &Path) -> Result<Self, LedgerError> {
        let (sender, receiver): (_, Receiver<Work>) = sync_channel(QUEUE_MAX);
        let thread = thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || {
                for work in receiver {
                    work(&mut conn);
                }
            })
            .map_err(|source| LedgerError::io("starting the writer of", path, source))?;
        Ok(Self::Thread { sender: Some(sender), thread: Some(thread) })
    }

    /// The connection, where it works in turn and nobody uses it: its cache is warm, and another one's
    /// is emptied by every commit.
    pub(super) fn idle(&self) -> Option<MutexGuard<'_, Connection>> {
        match self {
            Self::Thread { .. } => None,
            Self::InTurn(conn) => match conn.try_lock() {
                Ok(conn) => Some(conn),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            },
        }
    }

    /// Queues a transaction, or does it, in the order of the calls; `answer` gets what became of it. Waits for room.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        held: Option<i64>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
        answer: impl FnOnce(Result<T, LedgerError>) + Send + 'static,
    ) -> Result<(), LedgerError> {
        self.with(move |conn| answer(transact(conn, held, work)))
    }

    /// Does `work` with the connection when its turn has come, outside of any transaction. Waits for room.
    pub(super) fn with(&self, work: impl FnOnce(&mut Connection) + Send + 'static) -> Result<(), LedgerError> {
        match self {
            Self::Thread { sender, .. } => {
                let work: Work = Box::new(work);
                sender.as_ref().ok_or(LedgerError::Closed)?.send(work).map_err(|_| LedgerError::Closed)
            }
            Self::InTurn(conn) => {
                // A panic in it was caught and rolled back: the connection is sound.
                work(&mut conn.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(())
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Self::Thread { sender, thread } = self else { return };
        *sender = None;
        if let Some(thread) = thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // The thread catches what panics in it; it ends once the queue is empty.
            let _ = thread.join();
        }
    }
}

/// Runs `work` in one transaction, under the lease if there is one. What fails or panics is rolled back.
fn transact<T>(
    conn: &mut Connection,
    held: Option<i64>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let run = AssertUnwindSafe(|| {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(held) = held {
            lease::verify(&tx, held)?;
        }
        let done = work(&tx)?;
        crash_point!("commit.before");
        tx.commit()?;
        crash_point!("commit.after");
        Ok(done)
    });
    // The connection is sound after a panic: the transaction's own drop has rolled it back.
    catch_unwind(run).unwrap_or_else(|panic| Err(LedgerError::Panicked { message: panic_message(panic.as_ref()) }))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
