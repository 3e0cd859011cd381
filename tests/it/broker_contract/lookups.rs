use super::*;

pub async fn an_order_is_found_under_its_id_with_its_legs<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    assert_eq!(venue.broker().orders_by_client_id(&id("a")).await.unwrap(), [], "it was never sent");
    let sent = bracket("a", 10, limit(9_900), 9_800, 10_200);
    let answered = send(&venue, &sent).await.unwrap();
    send(&venue, &bracket("b", 10, limit(9_900), 9_800, 10_200)).await.unwrap();
    let found = venue.broker().orders_by_client_id(&id("a")).await.unwrap();
    assert_eq!(found, answered);
    assert!(found[0].has_terms_of(&sent) && found[0].parent.is_none());
    assert_eq!((found[1].order_type, found[2].order_type), (limit(10_200), stop(9_800)));
    let leg = venue.broker().orders_by_client_id(&found[2].client_order_id).await.unwrap();
    assert_eq!(leg, found[2..]);
    let open = venue.broker().open_orders().await.unwrap();
    assert_eq!((open.len(), &open[..3]), (6, &found[..]));
}

pub async fn orders_are_found_by_the_brokers_id<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    let orders = send(&venue, &bracket("a", 10, limit(9_900), 9_800, 10_200)).await.unwrap();
    venue.broker().cancel(&orders[0].broker_order_id).await.unwrap();
    let ids = [orders[2].broker_order_id.clone(), "unknown".to_owned(), orders[0].broker_order_id.clone()];
    let found = venue.broker().orders(&ids).await.unwrap();
    assert_eq!(found.len(), 2, "unknown ids are left out");
    assert!(found.iter().all(|order| order.status == OrderStatus::Canceled && order.reason.is_some()));
}

pub async fn fills_come_in_pages<V: Venue>() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let venue: V = monday(tenth, "10:00").await;
    send(&venue, &bracket("a", 130, limit(10_000), 9_900, 10_200)).await.unwrap();
    let empty = venue.broker().fills(None).await.unwrap();
    assert_eq!((empty.fills.len(), empty.more), (0, false));
    for n in 0..130 {
        let start = at("10:00").after(MINUTE * n);
        venue.market().minute_of("AAPL", start, [10_000; 4], Quantity::whole(10));
    }
    venue.wait_until(at("13:00")).await;
    let first = venue.broker().fills(Some(&empty.cursor)).await.unwrap();
    assert!(first.more && first.fills.len() <= 100);
    let all = fills(&venue).await;
    assert_eq!(all.len(), 130);
    assert_eq!(all[..first.fills.len()], first.fills);
    let mut executions: Vec<_> = all.iter().map(|fill| fill.execution_id.clone()).collect();
    executions.sort();
    executions.dedup();
    assert_eq!(executions.len(), 130, "each execution has an id of its own");
    assert!(all.is_sorted_by_key(|fill| fill.at) && all.iter().all(|fill| fill.client_order_id == id("a")));
    let strange = venue.broker().fills(Some("not a cursor")).await;
    assert!(matches!(strange, Err(BrokerError::Rejected { .. })), "{strange:?}");
}

pub async fn an_id_is_used_once<V: Venue>() {
    let mut venue: V = monday(exact(), "10:00").await;
    let sent = bracket("a", 10, limit(9_900), 9_800, 10_200);
    let orders = send(&venue, &sent).await.unwrap();
    let refused = |error| matches!(error, BrokerError::Duplicate { client_order_id, .. } if client_order_id == id("a"));
    assert!(refused(send(&venue, &sent).await.unwrap_err()), "it works");
    venue.broker().cancel(&orders[0].broker_order_id).await.unwrap();
    assert!(refused(send(&venue, &sent).await.unwrap_err()), "it was canceled");
    venue.restart().await;
    let other = bracket("a", 5, limit(9_700), 9_600, 9_800);
    assert!(refused(send(&venue, &other).await.unwrap_err()), "it has other terms, and the broker was down");
    assert_eq!(venue.broker().orders_by_client_id(&id("a")).await.unwrap().len(), 3);
}

pub async fn an_order_by_hand_is_shown_as_what_it_is<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    let by_hand = ticket("by-hand", Side::Buy, 7, limit(9_900));
    venue.by_hand(&by_hand).await;
    send(&venue, &bracket("dbk-1f3a9c2e-ours", 10, limit(10_000), 9_800, 10_200)).await.unwrap();
    let open = venue.broker().open_orders().await.unwrap();
    let shown = open.iter().find(|order| order.order_type == limit(9_900)).expect("it is shown");
    assert_eq!((shown.quantity, shown.side, &shown.parent), (Quantity::whole(7), Side::Buy, &None));
    assert!(!shown.client_order_id.belongs_to("1f3a9c2e"), "{}", shown.client_order_id);
    venue.market().minute("AAPL", at("10:00"), [9_900; 4]);
    venue.wait_until(at("10:01")).await;
    assert_eq!(held(&venue).await, 17, "what it bought is held with ours");
    let bought: Vec<_> = fills(&venue).await.into_iter().map(|fill| (fill.quantity, fill.client_order_id)).collect();
    assert!(bought.contains(&(Quantity::whole(7), shown.client_order_id.clone())), "{bought:?}");
}
