//! A person buys and sells: through the gate, under the rules of every other order, and once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook::engine::audit::audit_ledger;
use daybook::engine::commands::{Command, Trade, take_all};
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::engine::verify::verify;
use daybook::ledger::approval::Answer;
use daybook::ledger::command::{self, CommandState};
use daybook::ledger::{Ledger, record};
use daybook::wiring::Wired;
use daybook_core::market::Symbol;
use daybook_core::money::Quantity;
use daybook_core::order::Side;
use daybook_core::risk::{HandOrder, HandSize};
use daybook_core::time::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::market::new_york;
use crate::support::simulation::{rows, wire_with};

const MONDAY: &str = "2026-11-16";

/// No strategy ever gets as far as to enter: what is traded is traded by hand.
const BY_HAND_ALONE: &str = "risk.warm_up_cycles=100000";

/// A day on which a person trades.
struct Desk {
    wired: Wired,
    symbol: Symbol,
}

impl Desk {
    /// A quiet day in a folder, lived until `wall`.
    async fn at(folder: &Path, wall: &str, settings: &[&str]) -> Self {
        let settings = [&[BY_HAND_ALONE], settings].concat();
        let wired = wire_with(&folder.join("day.db"), MONDAY, MONDAY, &settings).await;
        let universe = wired.parts.sources.feed.universe().await.unwrap();
        let desk = Self { wired, symbol: universe[0].symbol };
        desk.until(wall).await;
        desk
    }

    fn ledger(&self) -> &Ledger {
        &self.wired.parts.sources.ledger
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        rows(self.ledger(), sql)
    }

    /// Another life of the process, until `wall`.
    async fn until(&self, wall: &str) {
        // A test's thread has a small stack, and several lives follow one another.
        Box::pin(self.live(new_york(MONDAY, wall))).await;
    }

    async fn live(&self, until: Timestamp) {
        let limits = Limits {
            stop: CancellationToken::new(),
            until: Some(until),
            drain: Duration::from_secs(1),
            on_turn: Arc::new(|| {}),
            jobs: None,
            stuck_after: Duration::from_secs(1),
        };
        let mut driver = Driver::new(self.wired.parts.clone(), limits, Arc::new(Notify::new()));
        driver.boot().await.unwrap();
        assert_eq!(driver.run().await.unwrap(), Ended::Finished);
    }

    /// Has a command taken; its answer.
    async fn says(&self, asked: Command) -> String {
        let (new, parts) = (asked.into_new("owner").unwrap(), self.wired.parts.clone());
        let now = parts.sources.clock.wall();
        let done = self.ledger().write(move |tx| {
            let command_id = command::enqueue(tx, &new, now)?.command_id;
            take_all(tx, &parts, now)?;
            command::get(tx, command_id)
        });
        let done = done.await.unwrap();
        assert_eq!(done.state, CommandState::Done, "{done:?}");
        done.result.unwrap_or_default()
    }

    /// Gives an order and lives on for two minutes; why it was refused, if it was.
    async fn gives(&self, side: Side, shares: i64) -> Option<String> {
        let size = HandSize::Shares(Quantity::whole(shares));
        let order = HandOrder { symbol: self.symbol, side, size, short: false, limit: None, stop: None, target: None };
        let answer = self.says(Command::Trade(Trade::Order(order))).await;
        let run_id = serde_json::from_str::<serde_json::Value>(&answer).unwrap()["run_id"].as_i64().unwrap();
        self.live(self.wired.parts.sources.clock.wall().after(Duration::from_secs(120))).await;
        self.ledger().read(|conn| record::refused(conn, run_id)).unwrap()
    }

    /// Everything that the program promises of the day.
    fn is_sound(&self) {
        let sources = &self.wired.parts.sources;
        let audit = audit_ledger(self.ledger(), &self.wired.parts.definitions, &sources.calendar, sources.clock.wall());
        assert_eq!(audit.unwrap().findings(), Vec::<String>::new());
        let verified = verify(self.ledger(), &self.wired.parts.jobs, &sources.calendar, None, |_, _| {}).unwrap();
        assert_eq!(verified.differences, Vec::new());
    }
}

/// What is held, and which stops work for how many shares.
const HELD: &str = "SELECT state, direction, quantity_e9 / 1000000000, strategy, exit_reason FROM position";
const STOPS: &str = "SELECT quantity_e9 / 1000000000, status FROM broker_order
    WHERE order_type = 'stop' AND status IN ('new', 'accepted', 'held')";

#[tokio::test]
async fn what_is_bought_by_hand_has_its_stop_and_is_sold_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::at(folder.path(), "10:00", &[]).await;
    assert_eq!(desk.gives(Side::Buy, 10).await, None);
    assert_eq!(desk.rows(HELD), ["monitoring|long|10|by_hand|"]);
    assert_eq!(desk.rows(STOPS), ["10|new"]);
    let approved = "SELECT strategy, confidence_bps, quantity_e9 / 1000000000, json_array_length(checks) > 10
        FROM signal JOIN verdict USING (signal_id) WHERE strategy = 'by_hand'";
    assert_eq!(desk.rows(approved), ["by_hand|10000|10|1"]);

    let again = desk.gives(Side::Buy, 10).await.unwrap();
    assert!(again.contains("one entry a symbol and day"), "{again}");
    let more = desk.gives(Side::Sell, 11).await.unwrap();
    assert!(more.starts_with("10 shares of"), "{more}");

    assert_eq!(desk.gives(Side::Sell, 4).await, None);
    assert_eq!(desk.rows(HELD), ["monitoring|long|6|by_hand|"]);
    assert_eq!(desk.rows(STOPS), ["6|new"], "the rest has its stop");
    let unprotected = "SELECT count(*) FROM alert WHERE event GLOB 'position.*protected'";
    assert_eq!(desk.rows(unprotected), ["0"], "the monitor had nothing to mend");

    desk.says(Command::Halt { reason: "lunch".to_owned() }).await;
    assert_eq!(desk.gives(Side::Sell, 6).await, None, "a halt keeps nobody from leaving");
    assert_eq!(desk.rows(HELD), ["closed|long|0|by_hand|sold by hand"]);
    assert_eq!(desk.rows(STOPS), Vec::<String>::new());
    let halted = desk.gives(Side::Buy, 10).await.unwrap();
    assert!(halted.contains("halted: manual: lunch, against no halt"), "{halted}");
    let none = desk.gives(Side::Sell, 1).await.unwrap();
    assert!(none.starts_with("no shares of"), "{none}");
    let orders = "SELECT count(*) FROM intent JOIN run USING (run_id) WHERE job = 'operator'";
    assert_eq!(desk.rows(orders), ["4"], "an entry, a part with the stop of its rest, the end");
    desk.until("17:00").await;
    desk.is_sound();
}

#[tokio::test]
async fn nothing_is_entered_before_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::at(folder.path(), "08:00", &[]).await;
    let early = desk.gives(Side::Buy, 10).await.unwrap();
    assert!(early.starts_with("the market is closed: the session is from 2026-11-16 09:30:00 EST to 16:00"), "{early}");
    assert_eq!(desk.rows("SELECT count(*) FROM intent"), ["0"]);
    desk.is_sound();
}

#[tokio::test]
async fn above_its_size_it_waits_for_another_person_and_else_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let supervised = ["session_mode=supervised", "execution.approval_above=1"];
    let desk = Desk::at(folder.path(), "10:00", &supervised).await;
    assert_eq!(desk.gives(Side::Buy, 10).await, None);
    assert_eq!(desk.rows(HELD), Vec::<String>::new());
    let waiting = "SELECT state, submitted_at_ms IS NULL FROM intent JOIN approval USING (intent_id)";
    assert_eq!(desk.rows(waiting), ["pending|1"]);
    let entry = Some(desk.symbol.to_string());
    desk.says(Command::Answer { answer: Answer::Approved, entry, reason: None }).await;
    desk.until("10:10").await;
    assert_eq!(desk.rows(HELD), ["monitoring|long|10|by_hand|"]);
    assert_eq!(desk.gives(Side::Sell, 10).await, None, "an exit waits for nobody");
    assert_eq!(desk.rows(HELD), ["closed|long|0|by_hand|sold by hand"]);

    let other = tempfile::tempdir().unwrap();
    let desk = Desk::at(other.path(), "10:00", &["session_mode=supervised"]).await;
    assert_eq!(desk.gives(Side::Buy, 10).await, None);
    assert_eq!(desk.rows(HELD), ["monitoring|long|10|by_hand|"]);
    desk.until("17:00").await;
    desk.is_sound();
}
