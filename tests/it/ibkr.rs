//! What only a gateway can do to an order, and what is said of one that is not what was meant.

use daybook::adapters::Environment;
use daybook::adapters::brokers::ibkr::{IbkrBroker, IbkrSettings};
use daybook::ports::{Broker, BrokerError, Clock};
use daybook_core::calendar::Calendar;
use daybook_core::money::Money;
use daybook_core::order::{OrderRole, OrderStatus, OrderTicket, OrderType};
use daybook_core::time::Span;
use futures_util::FutureExt;
use tokio::sync::Notify;

use crate::broker_contract::over_gateway::GatewayVenue;
use crate::broker_contract::{
    Venue, approved, at, bracket, exact, fills, held, holds, id, limit, monday, pair, sell, send,
};
use crate::ibkr_gateway::Behaviour;

/// A gateway on Monday at ten.
async fn open() -> GatewayVenue {
    monday(exact(), "10:00").await
}

/// A gateway that behaves so, before anybody has connected.
async fn open_as(behaviour: Behaviour) -> GatewayVenue {
    let venue = open().await;
    venue.gateway.behaves(behaviour);
    venue
}

fn entry(name: &str) -> OrderTicket {
    bracket(name, 10, limit(9_900), 9_800, 10_200)
}

/// The broker's own word that it will not do it.
async fn refusal(broker: &IbkrBroker) -> String {
    match broker.account().await.unwrap_err() {
        BrokerError::Rejected { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Why it does not work now.
async fn trouble(broker: &IbkrBroker) -> String {
    match broker.account().await.unwrap_err() {
        BrokerError::Retryable { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_what_was_meant_is_named() {
    let old = open_as(Behaviour { version: 180, ..Behaviour::default() }).await;
    let told = refusal(&old.broker).await;
    assert!(told.contains("too old") && told.contains("180") && told.contains("213"), "{told}");
    let sent = send(&old, &entry("a")).await;
    assert!(matches!(sent, Err(BrokerError::Rejected { .. })) && old.gateway.received().await == 0, "{sent:?}");

    let live = open_as(Behaviour { accounts: "U1".to_owned(), ..Behaviour::default() }).await;
    let told = refusal(&live.broker).await;
    assert!(told.contains("U1 is a live account"), "{told}");

    let two = open_as(Behaviour { accounts: "DU123,DU124".to_owned(), ..Behaviour::default() }).await;
    let told = refusal(&two.broker).await;
    assert!(told.contains("ibkr.account"), "{told}");

    let euros = open_as(Behaviour { currency: "EUR".to_owned(), ..Behaviour::default() }).await;
    let told = refusal(&euros.broker).await;
    assert!(told.contains("is in EUR"), "{told}");
}

#[tokio::test]
async fn what_keeps_a_connection_from_standing_is_named() {
    let venue = open_as(Behaviour { refuses: true, ..Behaviour::default() }).await;
    let told = trouble(&venue.broker).await;
    assert!(told.contains("trusted addresses"), "{told}");
    venue.gateway.behaves(Behaviour::default());
    venue.broker.account().await.expect("the next call connects");

    let second = venue.broker_with(&GatewayVenue::settings(&venue.gateway));
    let told = trouble(&second).await;
    assert!(told.contains("client id 17 is in use"), "{told}");
    venue.broker.account().await.expect("the first is not disturbed");

    let nobody = IbkrSettings { port: Some(1), ..IbkrSettings::default() };
    let told = trouble(&venue.broker_with(&nobody)).await;
    assert!(told.contains("no gateway at 127.0.0.1:1"), "{told}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let venue = open_as(Behaviour { truncates: true, ..Behaviour::default() }).await;
    let broken = venue.broker.positions().await.unwrap_err();
    assert!(
        matches!(&broken, BrokerError::Retryable { reason, .. } if reason.contains("closed the connection")),
        "{broken}"
    );
    venue.gateway.behaves(Behaviour::default());
    assert_eq!(venue.broker.positions().await.unwrap(), []);
}

#[tokio::test]
async fn without_its_line_to_the_broker_the_gateway_is_not_believed() {
    let venue = open().await;
    venue.broker.account().await.unwrap();
    let happened = Notify::new();
    let listening = venue.broker.listen(&happened);
    let watch = async {
        venue.gateway.says(1100, "Connectivity between IBKR and Trader Workstation has been lost.");
        while venue.broker.account().await.is_ok() {
            tokio::task::yield_now().await;
        }
        let told = trouble(&venue.broker).await;
        assert!(told.contains("lost its line") && told.contains("1100"), "{told}");
        let sent = send(&venue, &entry("a")).await;
        assert!(matches!(sent, Err(BrokerError::Retryable { .. })), "{sent:?}");
        venue.gateway.says(1102, "Connectivity has been restored - data maintained.");
        while venue.broker.account().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = listening => panic!("{ended:?}"),
        () = watch => {}
    }
    assert_eq!(venue.gateway.received().await, 0);
    send(&venue, &entry("a")).await.unwrap();
}

#[tokio::test]
async fn a_nightly_restart_is_survived() {
    let venue = open().await;
    send(&venue, &entry("a")).await.unwrap();
    let happened = Notify::new();
    let listening = async {
        tokio::join!(venue.broker.listen(&happened), async {
            happened.notified().await;
            venue.gateway.restarts();
        })
        .0
    };
    let ended = listening.await;
    assert!(matches!(ended, Err(BrokerError::Retryable { .. })), "{ended:?}");
    assert_eq!(venue.broker.open_orders().await.unwrap().len(), 3, "orders rest at the broker");
    let again = send(&venue, &entry("a")).await;
    assert!(matches!(again, Err(BrokerError::Duplicate { .. })), "{again:?}");
    send(&venue, &entry("b")).await.unwrap();
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_found_and_never_sent_twice() {
    for silent in [false, true] {
        let venue = open().await;
        venue.broker.account().await.unwrap();
        let hangs_up_after_orders = (!silent).then_some(3);
        venue.gateway.behaves(Behaviour { hangs_up_after_orders, is_silent: silent, ..Behaviour::default() });
        let hasty = IbkrSettings { timeout: Span::seconds(1), client_id: 18, ..GatewayVenue::settings(&venue.gateway) };
        let broker = venue.broker_with(&hasty);
        let lost = broker.submit(&approved(&entry("a"))).await;
        assert!(matches!(lost, Err(BrokerError::Unknown { .. })), "{lost:?}");
        venue.gateway.behaves(Behaviour::default());
        let found = broker.orders_by_client_id(&id("a")).await.unwrap();
        assert!(found.len() == 3 && found[0].has_terms_of(&entry("a")), "{found:?}");
        let again = broker.submit(&approved(&entry("a"))).await;
        assert!(matches!(again, Err(BrokerError::Duplicate { .. })), "{again:?}");
        assert_eq!(venue.gateway.received().await, 3);
    }
}

#[tokio::test]
async fn a_group_that_was_cut_short_counts_as_never_sent() {
    for orders in [1, 2] {
        let venue = open_as(Behaviour { hangs_up_after_orders: Some(orders), ..Behaviour::default() }).await;
        let lost = send(&venue, &entry("a")).await;
        assert!(matches!(lost, Err(BrokerError::Unknown { .. })), "{lost:?}");
        venue.gateway.behaves(Behaviour::default());
        assert_eq!(venue.broker.orders_by_client_id(&id("a")).await.unwrap(), []);
        assert_eq!(venue.broker.open_orders().await.unwrap(), [], "what was not transmitted is taken back");
        let sent = send(&venue, &entry("a")).await.unwrap();
        assert!(sent.len() == 3 && sent[0].has_terms_of(&entry("a")));
        assert_eq!(venue.broker.orders_by_client_id(&id("a")).await.unwrap(), sent);
    }
    let venue: GatewayVenue = monday(exact(), "09:58").await;
    holds(&venue, 10, "10:00").await;
    let cut = venue.gateway.received().await + 1;
    venue.gateway.behaves(Behaviour { hangs_up_after_orders: Some(cut), ..Behaviour::default() });
    let exits = pair("pair", 10, 9_900, 10_200);
    let lost = send(&venue, &exits).await;
    assert!(matches!(lost, Err(BrokerError::Unknown { .. })), "{lost:?}");
    venue.gateway.behaves(Behaviour::default());
    assert_eq!(venue.broker.orders_by_client_id(&id("pair")).await.unwrap(), []);
    let sent = send(&venue, &exits).await.unwrap();
    assert!(sent[0].has_terms_of(&exits));
    let open = venue.broker.open_orders().await.unwrap();
    assert_eq!(open.iter().map(|order| order.role).collect::<Vec<_>>(), [OrderRole::TakeProfit, OrderRole::StopLoss]);
}

#[tokio::test]
async fn an_order_of_which_only_the_executions_are_left_was_sent() {
    let mut venue: GatewayVenue = monday(exact(), "09:58").await;
    holds(&venue, 10, "10:00").await;
    venue.market.price("AAPL", at("10:00"), 10_000);
    let exit = sell("exit", 10, OrderType::Market);
    send(&venue, &exit).await.unwrap();
    venue.gateway.behaves(Behaviour { forgets: true, ..Behaviour::default() });
    venue.restart().await;
    let found = venue.broker.orders_by_client_id(&id("exit")).await.unwrap();
    assert!(found[0].has_terms_of(&exit) && found[0].status == OrderStatus::Filled, "{found:?}");
    let again = send(&venue, &exit).await;
    assert!(matches!(again, Err(BrokerError::Duplicate { .. })), "{again:?}");
    assert_eq!(held(&venue).await, 0);
}

#[tokio::test]
async fn a_fill_is_a_hint_and_reading_it_is_none() {
    let venue = open().await;
    send(&venue, &bracket("a", 10, limit(10_000), 9_800, 10_200)).await.unwrap();
    let happened = Notify::new();
    let watch = async {
        happened.notified().await;
        venue.market.minute("AAPL", at("10:00"), [10_000; 4]);
        venue.wait_until(at("10:01")).await;
        venue.gateway.tells_news();
        happened.notified().await;
        while fills(&venue).await.is_empty() {
            tokio::task::yield_now().await;
        }
        // What was news is told by now, or soon. Asking for it makes none: that would go on for ever.
        let mut hints = 0;
        for _ in 0..20 {
            fills(&venue).await;
            venue.broker.open_orders().await.unwrap();
            hints += usize::from(happened.notified().now_or_never().is_some());
        }
        assert!(hints <= 2, "{hints} hints");
    };
    tokio::select! {
        ended = venue.broker.listen(&happened) => panic!("{ended:?}"),
        () = watch => {}
    }
}

#[tokio::test]
async fn a_fill_waits_for_its_commission() {
    let venue = open().await;
    venue.gateway.tells_commissions(false).await;
    send(&venue, &bracket("a", 10, limit(10_000), 9_800, 10_200)).await.unwrap();
    venue.market.minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    assert_eq!(fills(&venue).await, []);
    venue.wait_until(at("10:01:05")).await;
    assert_eq!(fills(&venue).await[0].fee, Money::ZERO, "it waits no longer than that");
}

#[tokio::test]
async fn symbols_that_are_none_or_several_are_refused() {
    let venue = open().await;
    for (symbol, told) in [("NONE", "no share"), ("TWICE", "any of 2 contracts")] {
        let sent = send(&venue, &OrderTicket { symbol: symbol.parse().unwrap(), ..entry("a") }).await;
        assert!(matches!(&sent, Err(BrokerError::Rejected { reason, .. }) if reason.contains(told)), "{sent:?}");
    }
    assert_eq!(venue.gateway.received().await, 0);
}

#[tokio::test]
async fn what_others_have_sent_is_left_alone() {
    let venue = open().await;
    venue.by_hand(&OrderTicket { class: daybook_core::order::OrderClass::Simple, ..entry("hand") }).await;
    let shown = venue.broker.open_orders().await.unwrap().remove(0);
    let canceled = venue.broker.cancel(&shown.broker_order_id).await;
    assert!(
        matches!(&canceled, Err(BrokerError::Rejected { reason, .. }) if reason.contains("by hand")),
        "{canceled:?}"
    );
    assert_eq!(venue.broker.open_orders().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_doctor_sees_account_version_and_clock() {
    let venue = open().await;
    let found = venue.broker.inspect().await.unwrap();
    assert_eq!((found.account.as_str(), found.environment, found.server_version), ("DU123", Environment::Paper, 226));
    assert_eq!(found.remarks, [""; 0]);
    let beside = venue.broker_with(&GatewayVenue::settings(&venue.gateway).beside());
    venue.gateway.behaves(Behaviour { ahead_ms: 2_500, ..Behaviour::default() });
    let remarks = beside.disagreements(&Calendar::xnys()).await.unwrap();
    assert!(remarks.len() == 1 && remarks[0].contains("2.5 s behind"), "{remarks:?}");
    assert_eq!(venue.clock.wall(), at("10:00"));
}
