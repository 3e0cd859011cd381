//! The demonstration that was promised: `trade paper serve` in one process, `scheduler` in another with the adapter for
//! Alpaca pointed at it, a week as fast as it is worked off, and both killed all the time. At the end the books agree.
//!
//! Where the processes are killed is drawn from a seed and counted in the scheduler's own steps, so nothing here waits
//! or measures time. `DAYBOOK_LONG=1` lives the whole week; otherwise its first two days.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Sender, channel};

use crate::crash::world::findings;
use crate::repository;
use crate::support::exchange::{KEY, SECRET, environment, record};
use crate::support::market::new_york;
use crate::support::simulation::open;
use crate::support::{drawn, simulation};

/// The first day of the week.
const MONDAY: &str = "2026-11-16";

/// Steps of the scheduler until the exchange is killed are drawn below this, and below its double until the scheduler
/// is: some ten kills a day.
const STEPS_MAX: i64 = 250;

/// Orders that are sent until the exchange is killed.
const ORDERS: usize = 40;

/// The exchange, in a process of its own that is started again after each kill.
struct Exchange<'a> {
    folder: &'a Path,
    address: String,
    process: Child,
    kills: u32,
}

impl<'a> Exchange<'a> {
    fn start(folder: &'a Path) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        // The port is free when it is let go; the next process takes it, and so does each one after it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Self::spawn(folder, &address);
        Self { folder, address, process, kills: 0 }
    }

    fn spawn(folder: &Path, address: &str) -> Child {
        Command::new(assert_cmd::cargo::cargo_bin!("trade"))
            .args(["paper", "serve", "--clock", "stepped", "--start", &format!("{MONDAY}T00:00")])
            .args(["--listen", address, "--file", "exchange.db", "--key", &format!("{KEY}:{SECRET}"), "--config"])
            .arg(configuration())
            .current_dir(folder)
            .env_clear()
            .env("DAYBOOK__JOBS_DIR", jobs())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = Self::spawn(self.folder, &self.address);
        self.kills += 1;
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn configuration() -> PathBuf {
    repository::root().join("tests/it/crash/daybook.yaml")
}

fn jobs() -> PathBuf {
    repository::root().join("tests/it/crash/jobs")
}

/// Starts the scheduler, to be killed after so many steps; each step is a line of its output.
fn scheduler(folder: &Path, address: &str, last: &str, steps: i64) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("scheduler"))
        .args(["--simulate", &format!("{MONDAY}..{last}"), "--speed", "max", "--exit-when-done"])
        .args(["--ledger", "week.db", "--config"])
        .arg(configuration())
        .current_dir(folder)
        .env_clear()
        .env("DAYBOOK__JOBS_DIR", jobs())
        .envs(environment(address))
        .env("DAYBOOK_CRASH", format!("*:{steps}"))
        .env("DAYBOOK_CRASH_LOG", "/dev/stdout")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn both_processes_are_killed_at_will_and_the_books_agree_at_the_end_of_the_week() {
    let is_long = std::env::var_os("DAYBOOK_LONG").is_some();
    let last = if is_long { "2026-11-20" } else { "2026-11-17" };
    let folder = tempfile::tempdir().unwrap();
    let mut exchange = Exchange::start(folder.path());
    let mut draw = drawn(7);
    let mut lives = 0;
    loop {
        lives += 1;
        let mut process = scheduler(folder.path(), &exchange.address, last, 1 + draw(2 * STEPS_MAX));
        let mut until = 1 + draw(STEPS_MAX);
        let steps = BufReader::new(process.stdout.take().unwrap()).lines();
        for line in steps {
            // What was killed in the middle of a line has ended.
            let Ok(_) = line else { break };
            until -= 1;
            if until == 0 {
                exchange.kill();
                until = 1 + draw(STEPS_MAX);
            }
        }
        let ended = process.wait_with_output().unwrap();
        if ended.status.success() {
            break;
        }
        let killed = ended.status.signal() == Some(libc::SIGKILL);
        assert!(killed, "life {lives}: {}", String::from_utf8_lossy(&ended.stderr));
        assert!(lives < 1_000, "it does not come to an end");
    }
    assert!(lives > 2 && exchange.kills > 2, "{lives} lives, {} kills of the exchange", exchange.kills);
    let books = Runtime::new().unwrap().block_on(record(&exchange.address));
    let ledger = open(&folder.path().join("week.db"));
    let end = new_york(last, "23:59");
    assert_eq!(findings(&ledger, &books, end), Vec::<String>::new());
    let days = simulation::rows(&ledger, "SELECT count(DISTINCT session) FROM v_trade");
    assert_ne!(days, ["0"], "nothing was traded");
    println!("{lives} lives of the scheduler, {} of the exchange, {} fills", exchange.kills + 1, books.fills.len());
}

/// Sends orders one after another until the exchange is gone; the names that were answered, with their ids.
async fn send_orders(http: reqwest::Client, address: String, sender: usize, answered: Sender<(String, String)>) {
    for number in 0..1_000 {
        let name = format!("order-{sender}-{number}");
        let order = json!({
            "symbol": "ABTA", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc",
            "client_order_id": name,
        });
        let sent = post(&http, &format!("http://{address}/v2/orders")).body(order.to_string()).send().await;
        let Ok(answer) = sent else { return };
        let Ok(text) = answer.text().await else { return };
        let order: Value = serde_json::from_str(&text).unwrap();
        let id = order["id"].as_str().unwrap_or_else(|| panic!("{order}")).to_owned();
        if answered.send((name, id)).await.is_err() {
            return;
        }
    }
}

fn post(http: &reqwest::Client, url: &str) -> reqwest::RequestBuilder {
    http.post(url).header("APCA-API-KEY-ID", KEY).header("APCA-API-SECRET-KEY", SECRET)
}

#[test]
fn an_order_that_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut exchange = Exchange::start(folder.path());
    let runtime = Runtime::new().unwrap();
    let address = exchange.address.clone();
    let mut answered: Vec<(String, String)> = runtime.block_on(async {
        let http = reqwest::Client::new();
        let price = json!({"symbol": "ABTA", "price": "100"}).to_string();
        // It has to start first.
        while post(&http, &format!("http://{address}/admin/price")).body(price.clone()).send().await.is_err() {
            tokio::task::yield_now().await;
        }
        let (sender, mut receiver) = channel(1_000);
        for n in 0..4 {
            tokio::spawn(send_orders(http.clone(), address.clone(), n, sender.clone()));
        }
        drop(sender);
        let mut answered = Vec::new();
        while let Some(one) = receiver.recv().await {
            answered.push(one);
            if answered.len() == ORDERS {
                exchange.kill();
            }
        }
        answered
    });
    let books = runtime.block_on(async {
        while reqwest::Client::new().get(format!("http://{address}/v2/clock")).send().await.is_err() {
            tokio::task::yield_now().await;
        }
        record(&address).await
    });
    assert!(answered.len() >= ORDERS);
    answered.retain(|(name, _)| !books.orders.iter().any(|order| order.name.as_str() == name));
    assert_eq!(answered, [], "answered, and not in the books");
}
