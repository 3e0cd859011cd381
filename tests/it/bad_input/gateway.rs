//! The gateway of Interactive Brokers, or what answers in its place.

use std::sync::Arc;

use daybook::adapters::brokers::ibkr::{IbkrBroker, IbkrSettings};
use daybook::ports::Broker;
use daybook_core::order::{OrderClass, OrderStatus};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::is_told;
use crate::broker_contract::over_gateway::GatewayVenue;
use crate::broker_contract::{Venue, bracket, exact, limit, monday};
use crate::ibkr_gateway::Behaviour;
use crate::support::followed::Followed;

async fn open_as(behaviour: Behaviour) -> GatewayVenue {
    let venue: GatewayVenue = monday(exact(), "10:00").await;
    venue.gateway.behaves(behaviour);
    venue
}

/// A program beside the venue's own.
fn another(venue: &GatewayVenue, settings: &IbkrSettings) -> Arc<IbkrBroker> {
    Arc::new(venue.broker_with(settings))
}

/// What the doctor would print.
async fn inspected(broker: &IbkrBroker) -> String {
    match broker.inspect().await {
        Ok(found) => found.remarks.join("\n"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_gateway_has_a_name_and_is_told() {
    let accounts = |accounts: &str| Behaviour { accounts: accounts.to_owned(), ..Behaviour::default() };
    let page = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = page.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = page.accept().await {
            drop(stream.write_all(b"HTTP/1.1 400 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await);
        }
    });
    let rows = [
        (
            "an old version",
            Behaviour { version: 180, ..Behaviour::default() },
            None,
            "broker.refuses",
            "too old: its interface has version 180",
        ),
        ("a live account", accounts("U1"), None, "broker.refuses", "U1 is a live account"),
        ("two accounts", accounts("DU123,DU124"), None, "broker.refuses", "ibkr.account"),
        (
            "a host that is not trusted",
            Behaviour { refuses: true, ..Behaviour::default() },
            None,
            "broker.unreachable",
            "trusted addresses",
        ),
        (
            "frames that break off",
            Behaviour { truncates: true, ..Behaviour::default() },
            None,
            "broker.unreachable",
            "closed the connection",
        ),
        ("nobody", Behaviour::default(), Some(1), "broker.unreachable", "no gateway at 127.0.0.1:1"),
        ("a web server", Behaviour::default(), Some(web), "broker.unreachable", "gateway at 127.0.0.1"),
        (
            "clocks",
            Behaviour { ahead_ms: 2_500, ..Behaviour::default() },
            None,
            "broker.disagrees",
            "2.5 s behind the gateway's",
        ),
    ];
    for (what, behaviour, port, event, words) in rows {
        let venue = open_as(behaviour).await;
        let settings = GatewayVenue::settings(&venue.gateway);
        let settings = IbkrSettings { port: port.or(settings.port), ..settings };
        let broker = another(&venue, &settings);
        let found = inspected(&broker).await;
        assert!(found.contains(words), "{what}: {found}");
        is_told(what, Followed::start(broker), event, &[words]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_under_one_client_id_are_told() {
    let venue = open_as(Behaviour::default()).await;
    venue.broker.account().await.unwrap();
    let second = another(&venue, &GatewayVenue::settings(&venue.gateway));
    let words = "client id 17 is in use by another program";
    assert!(inspected(&second).await.contains(words));
    is_told("one client id", Followed::start(second), "broker.unreachable", &[words]).await;
    venue.broker.account().await.expect("the first is not disturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_nobody_knows_counts_as_working_and_is_told_once() {
    let venue = open_as(Behaviour::default()).await;
    let by_hand = bracket("hand", 10, limit(9_900), 9_800, 10_200);
    venue.by_hand(&daybook_core::order::OrderTicket { class: OrderClass::Simple, ..by_hand }).await;
    venue.gateway.calls_orders("Frozen").await;
    let followed = Followed::start(another(&venue, &GatewayVenue::settings(&venue.gateway)));
    for _ in 0..3 {
        let view = followed.link.look().await.unwrap();
        let order = &view.open_orders[0];
        assert_eq!((order.status, order.unknown_status()), (OrderStatus::New, Some("Frozen")));
    }
    is_told("a word", followed, "order.unrecognised", &["AAPL", "\"Frozen\""]).await;
}
