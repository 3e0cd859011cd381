//! A reading that callers share who wait for it together.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// What somebody reads who may have asked together with others: one reading answers all who asked before it began. So each
/// answer is as new as if its caller had read alone, and many callers need few requests.
pub(super) struct Joined<T> {
    asked: AtomicU64,
    /// The last reading, and who of those who asked had done so before it began.
    last: Mutex<(u64, Option<T>)>,
}

impl<T> Default for Joined<T> {
    fn default() -> Self {
        Self { asked: AtomicU64::new(0), last: Mutex::new((0, None)) }
    }
}

impl<T: Clone> Joined<T> {
    /// The answer of a reading that began after this call.
    pub(super) async fn get<F: Future<Output = T>>(&self, read: impl FnOnce() -> F) -> T {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if let (until, Some(answer)) = &*last
            && *until >= mine
        {
            return answer.clone();
        }
        let until = self.asked.load(Ordering::SeqCst);
        let answer = read().await;
        *last = (until, Some(answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_together_are_answered_together_by_what_began_after_they_asked() {
        let (joined, begun, gate) = (Joined::default(), AtomicU64::new(0), Arc::new(Semaphore::new(0)));
        let read = || async {
            joined
                .get(|| async {
                    let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    number
                })
                .await
        };
        let opened = async {
            // The others have asked by now, while the first reading is on its way.
            tokio::task::yield_now().await;
            gate.add_permits(2);
        };
        let answers = tokio::join!(read(), read(), read(), opened);
        assert_eq!((answers.0, answers.1, answers.2), (1, 2, 2), "the first had begun before the others asked");
        gate.add_permits(1);
        assert_eq!(read().await, 3, "what was read before is not told again");
    }
}
