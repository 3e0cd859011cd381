//! What a broker's side can be instead of well: each has a name in the adapter, and a person is told of it.
//!
//! A row says what is wrong, the alert that comes of it in the ledger, and words of its reason. `trade doctor` prints what
//! the adapter's `inspect` answers, so the same words must stand there, but for what only an order or a stream brings.

mod alpaca;
mod gateway;

use crate::support::followed::Followed;

/// Follows the broker until the alert is there, and checks its words.
async fn is_told(what: &str, followed: Followed, event: &str, words: &[&str]) {
    followed.until(&format!("v_alert WHERE event = '{event}'"), 1).await;
    let told = followed.alerts();
    followed.stop().await;
    let alert = told.iter().find(|alert| alert.starts_with(event)).unwrap();
    assert!(words.iter().all(|word| alert.contains(word)), "{what}: {alert}");
}
