use daybook_core::money::{Price, Quantity};
use secrecy::SecretString;

use super::*;
use crate::adapters::alpaca::scripted::{Answer, Scripted};
use crate::adapters::clocks::{SimulatedClock, Speed};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

async fn served(bodies: &[&str]) -> (Scripted, AlpacaFeed) {
    let server = Scripted::start(bodies.iter().map(|body| Answer::json(200, body)).collect()).await;
    let feed = feed(server.url());
    (server, feed)
}

fn feed(url: &str) -> AlpacaFeed {
    let key = Some(SecretString::from("PK1"));
    let settings = AlpacaSettings {
        data_url: url.into(),
        key_id: key.clone(),
        secret_key: key,
        symbols: vec![symbol("AAPL"), symbol("BRK.B")],
        ..AlpacaSettings::default()
    };
    let clock = Arc::new(SimulatedClock::new(at("2026-11-16T15:00:00Z"), Speed::Max));
    AlpacaFeed::new(&settings, Calendar::xnys(), clock).unwrap()
}

#[tokio::test]
async fn minutes_are_told_once_they_are_complete_and_pages_are_followed() {
    let (server, feed) = served(&[
        r#"{"bars":{"AAPL":[{"t":"2026-11-16T14:58:00Z","o":150.1,"h":150.4,"l":149.95,"c":150.2,"v":120034,"n":981,"vw":150.11}]},"next_page_token":"abc"}"#,
        r#"{"bars":{"AAPL":[{"t":"2026-11-16T14:59:00Z","o":1,"h":1,"l":1,"c":1,"v":1,"n":1,"vw":1},{"t":"2026-11-16T15:00:00Z","o":1,"h":1,"l":1,"c":1,"v":1,"n":1,"vw":1}]},"next_page_token":null}"#,
        r#"{"bars":null,"next_page_token":null}"#,
    ])
    .await;
    let (from, as_of) = (at("2026-11-16T14:30:00Z"), at("2026-11-16T15:00:30Z"));
    let bars = feed.minute_bars(symbol("AAPL"), from, as_of).await.unwrap();
    assert_eq!(
        bars.iter().map(|bar| bar.start.to_string()).collect::<Vec<_>>(),
        ["2026-11-16T14:58:00Z", "2026-11-16T14:59:00Z"]
    );
    assert_eq!(
        (bars[0].open, bars[0].low, bars[0].volume),
        (Price::from_cents(15_010), Price::from_cents(14_995), Quantity::whole(120_034))
    );
    assert_eq!(feed.minute_bars(symbol("BRK.B"), from, as_of).await, Ok(Vec::new()));
    assert_eq!(feed.minute_bars(symbol("AAPL"), as_of, as_of).await, Ok(Vec::new()), "nothing can be there");
    let asked = server.asked().await;
    assert!(
        asked[0].contains("symbols=AAPL&timeframe=1Min&start=2026-11-16T14%3A30%3A00Z&end=2026-11-16T14%3A59%3A30Z"),
        "{asked:?}"
    );
    assert!(asked[0].contains("adjustment=split&feed=iex") && asked[1].ends_with("&page_token=abc"));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn the_days_of_all_symbols_come_at_once_and_are_kept() {
    // Midnight in New York, before and after the change of the clocks.
    let (server, feed) = served(&[r#"{"bars":{
        "AAPL":[{"t":"2026-10-30T04:00:00Z","o":9,"h":9,"l":9,"c":9,"v":9},{"t":"2026-11-02T05:00:00Z","o":10,"h":10,"l":10,"c":10,"v":10}],
        "BRK.B":[{"t":"2026-11-02T05:00:00Z","o":400,"h":400,"l":400,"c":400,"v":7}]},"next_page_token":null}"#])
    .await;
    let before = SessionDate::of(2026, 11, 3).unwrap();
    let starts = |bars: Vec<Bar>| bars.iter().map(|bar| bar.start.to_string()).collect::<Vec<_>>();
    let days = feed.daily_bars(symbol("AAPL"), 2, before).await.unwrap();
    assert_eq!(starts(days), ["2026-10-30T13:30:00Z", "2026-11-02T14:30:00Z"], "each begins with its session");
    assert_eq!(starts(feed.daily_bars(symbol("BRK.B"), 2, before).await.unwrap()), ["2026-11-02T14:30:00Z"]);
    assert_eq!(starts(feed.daily_bars(symbol("AAPL"), 1, before).await.unwrap()), ["2026-11-02T14:30:00Z"]);
    let asked = server.asked().await;
    assert_eq!(asked.len(), 1);
    assert!(asked[0].contains("symbols=AAPL%2CBRK.B&timeframe=1Day&start=2026-10-30&end=2026-11-02"), "{asked:?}");
}

#[tokio::test]
async fn a_quote_is_the_one_that_was_known() {
    let latest = |t: &str, bid: &str| {
        format!(
            r#"{{"quotes":{{"AAPL":{{"t":"{t}","bx":"V","bp":{bid},"bs":200,"ax":"V","ap":150.02,"as":300,"c":["R"],"z":"C"}}}}}}"#
        )
    };
    let as_of = at("2026-11-16T15:00:00Z");
    let (_server, told) = served(&[&latest("2026-11-16T14:59:59.9Z", "150.01")]).await;
    let quote = told.quote(symbol("AAPL"), as_of).await.unwrap().unwrap();
    assert_eq!(
        (quote.bid, quote.ask, quote.ask_size),
        (Price::from_cents(15_001), Price::from_cents(15_002), Quantity::whole(300))
    );
    let earlier =
        r#"{"quotes":{"AAPL":[{"t":"2026-11-16T14:59:58Z","bp":149.9,"bs":1,"ap":150,"as":1}]},"next_page_token":"x"}"#;
    let (server, told) = served(&[&latest("2026-11-16T15:00:00.2Z", "150.01"), earlier]).await;
    let quote = told.quote(symbol("AAPL"), as_of).await.unwrap().unwrap();
    assert_eq!(quote.at, at("2026-11-16T14:59:58Z"), "nobody looks ahead");
    assert!(server.asked().await[1].contains("end=2026-11-16T15%3A00%3A00Z&limit=1&sort=desc"));
    let (_server, told) = served(&[&latest("2026-11-16T14:59:59Z", "0"), r#"{"quotes":{}}"#]).await;
    assert_eq!(told.quote(symbol("AAPL"), as_of).await, Ok(None), "a bid of zero is none");
    assert_eq!(told.quote(symbol("AAPL"), as_of).await, Ok(None), "an unknown symbol is silently absent");
}

#[tokio::test]
async fn news_count_from_when_they_were_first_told() {
    let item = |id: u32, created: &str, headline: &str| {
        format!(
            r#"{{"id":{id},"headline":"{headline}","summary":"","url":null,"symbols":["AAPL"],"created_at":"{created}","updated_at":"{created}"}}"#
        )
    };
    let page = format!(
        r#"{{"news":[{},{},{}],"next_page_token":null}}"#,
        item(2, "2026-11-16T14:00:00Z", "second"),
        item(1, "2026-11-16T13:00:00Z", "first"),
        item(3, "2026-11-12T13:00:00Z", "old, and updated today")
    );
    let (_server, feed) = served(&[&page]).await;
    let news = feed.news(symbol("AAPL"), at("2026-11-15T21:00:00Z"), at("2026-11-16T15:00:00Z")).await.unwrap();
    assert_eq!(news.iter().map(|item| item.headline.as_str()).collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test]
async fn what_the_subscription_does_not_hold_is_refused_and_a_failure_may_pass() {
    let answers = vec![
        Answer::json(403, r#"{"message":"subscription does not permit querying recent SIP data"}"#),
        Answer::json(500, r#"{"message":"internal server error"}"#),
        Answer::json(200, r#"{"quotes":{"AAPL":{"t":"2026-11-16T15:00:00Z","bp":1e300,"bs":1,"ap":1,"as":1}}}"#),
    ];
    let server = Scripted::start(answers).await;
    let feed = feed(server.url());
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(feed.quote(symbol("AAPL"), at("2026-11-16T15:00:00Z")).await.unwrap_err());
    }
    assert!(matches!(&told[0], FeedError::Rejected { reason, .. } if reason.contains("recent SIP")), "{told:?}");
    assert!(
        matches!(told[1], FeedError::Retryable { .. }) && matches!(told[2], FeedError::Rejected { .. }),
        "{told:?}"
    );
}
