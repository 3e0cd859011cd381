//! The paper broker's own promises: its file, and what it does when its market cannot be read.

use std::fs;
use std::path::Path;

use daybook::adapters::brokers::paper::{PaperBroker, PaperError};
use daybook::ports::{Broker, BrokerError, FeedError};
use daybook_core::exchange::ExchangeSettings;
use daybook_core::money::Quantity;
use daybook_core::order::{OrderClass, OrderTicket, OrderType, Side, TimeInForce};
use daybook_core::risk::{Approved, Verdict, approve_entry};

use crate::broker_contract::{PaperVenue, Venue};
use crate::support::market::{cents, new_york};

const MONDAY: &str = "2026-11-16";

fn entry(name: &str) -> Approved<OrderTicket> {
    let ticket = OrderTicket {
        client_order_id: name.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        quantity: Quantity::whole(10),
        order_type: OrderType::Limit { limit: cents(10_000) },
        time_in_force: TimeInForce::Day,
        class: OrderClass::Bracket { take_profit: cents(10_200), stop_loss: cents(9_900) },
    };
    let verdict = Verdict { quantity: Some(ticket.quantity), refused_by: None, checks: Vec::new() };
    approve_entry(ticket, &verdict).unwrap()
}

async fn venue() -> PaperVenue {
    let venue = PaperVenue::open(ExchangeSettings::default(), new_york(MONDAY, "10:00")).await;
    venue.market().minute("AAPL", new_york(MONDAY, "09:59"), [10_000; 4]);
    venue
}

/// What a broker shows.
async fn shown(broker: &PaperBroker) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        broker.account().await.unwrap(),
        broker.positions().await.unwrap(),
        broker.open_orders().await.unwrap(),
        broker.fills(None).await.unwrap(),
    )
}

/// The file and its write-ahead log as a kill leaves them.
fn copy_of(path: &Path, folder: &Path) -> std::path::PathBuf {
    let copy = folder.join("killed.db");
    for suffix in ["", "-wal"] {
        let of = |path: &Path| format!("{}{suffix}", path.display());
        let _ = fs::remove_file(of(&copy));
        let _ = fs::copy(of(path), of(&copy));
    }
    copy
}

#[tokio::test]
async fn a_kill_at_any_instant_loses_nothing_that_was_answered() {
    let venue = venue().await;
    let folder = tempfile::tempdir().unwrap();
    let market = venue.market();
    market.minute("AAPL", new_york(MONDAY, "10:00"), [10_000, 10_050, 9_950, 10_020]);
    market.minute("AAPL", new_york(MONDAY, "10:01"), [10_020, 10_050, 9_850, 10_020]);
    for (wall, step) in
        [("10:00", "submit"), ("10:01", "fill"), ("10:01:30", "submit"), ("10:02", "stop"), ("16:00", "")]
    {
        venue.wait_until(new_york(MONDAY, wall)).await;
        if step == "submit" {
            venue.broker().submit(&entry(&format!("entry at {wall}").replace(' ', "-"))).await.unwrap();
        }
        let here = venue.broker_on(&venue.path());
        let expected = shown(&here).await;
        let killed = venue.broker_on(&copy_of(&venue.path(), folder.path()));
        assert_eq!(shown(&killed).await, expected, "at {wall}");
    }
}

#[tokio::test]
async fn two_processes_see_one_account() {
    let venue = venue().await;
    let (one, two) = (venue.broker_on(&venue.path()), venue.broker_on(&venue.path()));
    let orders = one.submit(&entry("one")).await.unwrap();
    assert_eq!(two.open_orders().await.unwrap(), orders);
    assert!(matches!(two.submit(&entry("one")).await, Err(BrokerError::Duplicate { .. })));
    let more = two.submit(&entry("two")).await.unwrap();
    one.cancel(&more[0].broker_order_id).await.unwrap();
    assert_eq!(two.open_orders().await.unwrap(), orders);
}

#[tokio::test]
async fn a_market_that_cannot_be_read_changes_nothing() {
    let venue = venue().await;
    venue.broker().submit(&entry("a")).await.unwrap();
    venue.market().minute("AAPL", new_york(MONDAY, "10:00"), [10_000; 4]);
    venue.wait_until(new_york(MONDAY, "10:01")).await;
    venue.market().goes_down(Some(FeedError::Retryable { feed: "scripted".into(), reason: "it is down".into() }));
    let refused = venue.broker().positions().await;
    assert!(matches!(refused, Err(BrokerError::Retryable { .. })), "{refused:?}");
    assert!(matches!(venue.broker().submit(&entry("b")).await, Err(BrokerError::Retryable { .. })));
    venue.market().goes_down(None);
    assert_eq!(venue.broker().positions().await.unwrap().len(), 1);
    venue.broker().submit(&entry("b")).await.expect("the id is still free");
    let mut unknown = entry("c").get().clone();
    unknown.symbol = "NONE".parse().unwrap();
    let verdict = Verdict { quantity: Some(unknown.quantity), refused_by: None, checks: Vec::new() };
    let refused = venue.broker().submit(&approve_entry(unknown, &verdict).unwrap()).await;
    assert!(matches!(refused, Err(BrokerError::Rejected { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_cursor_of_another_account_is_refused() {
    let venue = venue().await;
    for cursor in ["1", "-1", "", "x"] {
        let refused = venue.broker().fills(Some(cursor)).await;
        assert!(matches!(refused, Err(BrokerError::Rejected { .. })), "{cursor:?}: {refused:?}");
    }
    assert!(venue.broker().fills(Some("0")).await.is_ok());
}

#[tokio::test]
async fn the_file_is_its_owners_and_named_when_it_is_none() {
    let venue = venue().await;
    venue.broker().submit(&entry("a")).await.unwrap();
    #[cfg(unix)]
    for file in ["paper.db", "paper.db-wal"] {
        let path = venue.path().with_file_name(file);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    let open = |path: &Path| {
        let venue = &venue;
        venue.try_broker_on(path).map(drop).unwrap_err()
    };
    let other = |name: &str| venue.path().with_file_name(name);
    fs::write(other("text"), "symbol,ts_utc,open\n".repeat(100)).unwrap();
    assert!(matches!(open(&other("text")), PaperError::NotAnAccount { .. }));
    let foreign = rusqlite::Connection::open(other("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(open(&other("foreign")), PaperError::NotAnAccount { .. }));
    fs::copy(copy_of(&venue.path(), venue.path().parent().unwrap()), other("newer")).unwrap();
    let newer = rusqlite::Connection::open(other("newer")).unwrap();
    newer.execute_batch("PRAGMA application_id = 0x44424b50; PRAGMA user_version = 99").unwrap();
    assert!(matches!(open(&other("newer")), PaperError::Newer { found: 99, .. }));
    assert!(matches!(open(&other("no/such/folder/paper.db")), PaperError::Make { .. }));
}
