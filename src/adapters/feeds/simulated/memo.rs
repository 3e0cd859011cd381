use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers what was computed lately: when it is full, the quarter that was not asked for the longest
/// goes.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    capacity: usize,
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    /// Counts the questions.
    now: u64,
    /// Each value with the question that it answered last.
    values: HashMap<K, (u64, V)>,
}

impl<K: Hash + Eq, V: Clone> Memo<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::new(Entries { now: 0, values: HashMap::new() }) }
    }

    /// The value of `key`, computed if it is not remembered. The lock is not held meanwhile: at worst
    /// two callers compute the same value.
    pub(super) fn get_or(&self, key: K, compute: impl FnOnce() -> V) -> V {
        if let Some(value) = self.recall(&key) {
            return value;
        }
        let value = compute();
        let mut entries = self.lock();
        if entries.values.len() >= self.capacity {
            entries.forget_a_quarter();
        }
        let now = entries.now;
        entries.values.insert(key, (now, value.clone()));
        value
    }

    fn recall(&self, key: &K) -> Option<V> {
        let mut entries = self.lock();
        entries.now += 1;
        let now = entries.now;
        let (asked, value) = entries.values.get_mut(key)?;
        *asked = now;
        Some(value.clone())
    }

    /// Values are inserted whole: a panic elsewhere leaves nothing half-made behind the lock.
    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Entries<K, V> {
    fn forget_a_quarter(&mut self) {
        let mut asked: Vec<u64> = self.values.values().map(|(asked, _)| *asked).collect();
        let quarter = asked.len() / 4;
        if asked.is_empty() {
            return;
        }
        let (_, cut, _) = asked.select_nth_unstable(quarter);
        let cut = *cut;
        self.values.retain(|_, (asked, _)| *asked > cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_lately_stays_and_the_number_is_bounded() {
        let memo = Memo::new(8);
        for key in 0..100 {
            assert_eq!(memo.get_or(key, || key * 2), key * 2);
            assert_eq!(memo.get_or(0, || unreachable!("0 is asked for all the time")), 0);
        }
        assert!(memo.lock().values.len() <= 8);
        assert_eq!(memo.get_or(50, || -1), -1, "50 was forgotten long ago");
    }
}
