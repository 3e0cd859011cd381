//! What alerts cost: `cargo bench --bench alerts`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::clocks::SystemClock;
use daybook::ledger::alert::{self, Route, Routes};
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook::outbox::{Outbox, Pace, Policy};
use daybook::ports::{Channel, ChannelError, Clock, Message};
use daybook::process;
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::time::Timestamp;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tempfile::TempDir;

/// Alerts of one transaction: its sync is their common one, and hardly counts.
const COMMITTED: usize = 1_000;
/// Alerts of a burst.
const BURST: usize = 10_000;

fn main() {
    divan::main();
}

/// An alert with its deliveries on three channels, beside the other rows of its transaction. Promised: under 50 µs each.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn alerts_in_a_transaction(bencher: Bencher) {
    let routes = ["slack", "email", "pagerduty"].map(Route::every);
    bencher
        .counter(ItemsCount::new(COMMITTED))
        .with_inputs(ledger)
        .bench_refs(|(ledger, _folder)| raise(ledger, COMMITTED, &Routes::from(routes.clone())));
}

/// A burst on a channel that people read, from the first claim to the last receipt. Promised: under 10 s, memory flat.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn burst_of_ten_thousand(bencher: Bencher) {
    let with_burst = || {
        let (ledger, folder) = ledger();
        raise(&ledger, BURST, &Routes::from([Route::every("slack")]));
        (ledger, folder)
    };
    bencher.counter(ItemsCount::new(BURST)).with_inputs(with_burst).bench_refs(|(ledger, _folder)| {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let pace = Pace { cool_down: Duration::from_secs(60), hourly_max: Some(30) };
        let policy = Policy { pace, ..Policy::default() };
        let outbox = Outbox::new(ledger.clone(), clock.clone(), vec![Arc::new(Chat)], policy);
        let before = process::resident_kib();
        let runtime = tokio::runtime::Runtime::new();
        let sent = runtime.map(|runtime| runtime.block_on(outbox.deliver_due(clock.wall())));
        assert!(matches!(&sent, Ok(Ok(summary)) if usize::try_from(summary.sent) == Ok(BURST)), "{sent:?}");
        let (after, messages) = (process::resident_kib(), messages(ledger));
        eprintln!("{BURST} alerts were {messages} messages; resident memory {before} KiB before, {after} KiB after");
    });
}

/// A chat that takes everything at once.
struct Chat;

#[async_trait]
impl Channel for Chat {
    fn name(&self) -> &str {
        "slack"
    }
    fn is_chat(&self) -> bool {
        true
    }
    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        Ok(black_box(message).key.clone())
    }
}

fn ledger() -> (Ledger, TempDir) {
    let folder = tempfile::tempdir().expect("a folder for a scratch ledger");
    let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "bench", Timestamp(0));
    let ledger = Ledger::open(&folder.path().join("bench.db"), &OpenOptions::create_or_open(new));
    (ledger.expect("a scratch ledger"), folder)
}

fn raise(ledger: &Ledger, alerts: usize, routes: &Routes) {
    let routes = routes.clone();
    let raised = ledger.write_blocking(move |tx| {
        (0..alerts).try_for_each(|number| {
            let told = Alert::new(AlertEvent::OrderFilled, format!("AAPL: bought {number} at 99.50"));
            alert::raise(tx, None, black_box(&told), &routes, Timestamp(0)).map(drop)
        })
    });
    raised.expect("a scratch ledger that takes alerts");
}

fn messages(ledger: &Ledger) -> usize {
    let rows = ledger.query("SELECT DISTINCT receipt FROM delivery WHERE state = 'sent'");
    rows.expect("a scratch ledger that can be read").rows.len()
}
