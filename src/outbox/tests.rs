use std::sync::Mutex as StdMutex;

use async_trait::async_trait;
use daybook_core::alert::{Alert, AlertEvent, QuietHours};
use daybook_core::decision::Decision;

use super::*;
use crate::digest::samples;
use crate::ledger::alert::DeliveryState;
use crate::ledger::testing::TestLedger;

const NOON: Timestamp = Timestamp(1_794_848_400_000);

/// A clock that shows what it is set to; nothing here sleeps on it.
struct SetClock(StdMutex<Timestamp>);

#[async_trait]
impl Clock for SetClock {
    fn wall(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    fn wall_us(&self) -> i64 {
        self.wall().0 * 1_000
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}

/// A channel that answers as it was told, and keeps what it got.
struct Scripted {
    name: &'static str,
    answers: StdMutex<Vec<Result<String, ChannelError>>>,
    got: StdMutex<Vec<Message>>,
    chat: bool,
}

/// A service that is busy, and says for how long.
fn busy_for(seconds: u64) -> Result<String, ChannelError> {
    let after = Some(Duration::from_secs(seconds));
    Err(ChannelError::Transient { channel: "slack".to_owned(), reason: "429".to_owned(), after })
}

impl Scripted {
    /// Gives the answers in turn, and then takes everything.
    fn new(name: &'static str, mut answers: Vec<Result<String, ChannelError>>) -> Arc<Self> {
        answers.reverse();
        Arc::new(Self { name, answers: StdMutex::new(answers), got: StdMutex::default(), chat: name == "slack" })
    }

    fn subjects(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|message| message.subject.clone()).collect()
    }
}

#[async_trait]
impl Channel for Scripted {
    fn name(&self) -> &str {
        self.name
    }
    fn is_chat(&self) -> bool {
        self.chat
    }
    fn keeps_conditions(&self) -> bool {
        self.name == "pager"
    }
    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        self.got.lock().unwrap().push(message.clone());
        self.answers.lock().unwrap().pop().unwrap_or_else(|| Ok("taken".to_owned()))
    }
}

fn busy() -> Result<String, ChannelError> {
    Err(ChannelError::Transient { channel: "email".to_owned(), reason: "451 busy".to_owned(), after: None })
}

struct Day {
    books: TestLedger,
    clock: Arc<SetClock>,
    outbox: Outbox,
}

impl Day {
    fn with(channels: Vec<Arc<Scripted>>) -> Self {
        let books = TestLedger::new();
        let clock = Arc::new(SetClock(StdMutex::new(NOON)));
        let routes: Vec<_> = channels.iter().map(|channel| alert::Route::every(channel.name)).collect();
        let fallback = channels.iter().any(|channel| channel.name == "file").then(|| "file".to_owned());
        let pace = Pace { cool_down: Duration::ZERO, hourly_max: Some(2) };
        let channels = channels.into_iter().map(|channel| channel as Arc<dyn Channel>).collect();
        let policy = Policy { fallback, routes: routes.into(), pace, ..Policy::default() };
        let outbox = Outbox::new(books.ledger.clone(), clock.clone(), channels, policy);
        Self { books, clock, outbox }
    }

    fn raise(&self, alert: Alert) {
        let routes: Vec<_> = self.outbox.channel_names().iter().map(|name| alert::Route::every(name)).collect();
        let routes = Routes::from(routes);
        self.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &alert, &routes, NOON)).unwrap();
    }

    async fn deliver_at(&self, now: Timestamp) -> DeliverySummary {
        *self.clock.0.lock().unwrap() = now;
        self.outbox.deliver_due(now).await.unwrap()
    }

    fn delivery(&self, id: i64) -> Delivery {
        self.books.ledger.read(|conn| alert::get(conn, id)).unwrap()
    }
}

fn note(subject: &str) -> Alert {
    Alert::new(AlertEvent::PositionExit, subject)
}

#[tokio::test]
async fn what_is_due_goes_to_every_channel_and_the_receipt_is_kept() {
    let (email, file) = (Scripted::new("email", vec![]), Scripted::new("file", vec![]));
    let day = Day::with(vec![email.clone(), file.clone()]);
    day.raise(note("AAPL closed"));
    let summary = day.deliver_at(NOON).await;
    assert_eq!(summary, DeliverySummary { sent: 2, ..DeliverySummary::default() });
    assert_eq!(email.subjects(), ["Daybook info: AAPL closed"]);
    assert_eq!(email.subjects(), file.subjects());
    let delivery = day.delivery(1);
    assert_eq!((delivery.state, delivery.receipt.as_deref()), (DeliveryState::Sent, Some("taken")));
    assert_eq!(day.deliver_at(NOON).await, DeliverySummary::default());
}

#[tokio::test]
async fn a_failed_attempt_is_made_again_later_under_the_same_key() {
    let email = Scripted::new("email", vec![busy()]);
    let day = Day::with(vec![email.clone()]);
    day.raise(note("AAPL closed"));
    let first = day.deliver_at(NOON).await;
    let again_at = first.next_at.unwrap();
    assert_eq!((first.failed, again_at), (1, NOON.after(Duration::from_secs(1))));
    assert_eq!(day.deliver_at(NOON).await.failed, 0, "not before its time");
    assert_eq!(day.deliver_at(again_at).await.sent, 1);
    let got = email.got.lock().unwrap();
    assert_eq!((got[0].attempt, got[1].attempt), (1, 2));
    assert_eq!(got[0].key, got[1].key);
}

#[tokio::test]
async fn a_service_that_names_its_own_wait_gets_it() {
    let after = Some(Duration::from_secs(90));
    let answer = ChannelError::Transient { channel: "email".to_owned(), reason: "429".to_owned(), after };
    let day = Day::with(vec![Scripted::new("email", vec![Err(answer)])]);
    day.raise(note("AAPL closed"));
    assert_eq!(day.deliver_at(NOON).await.next_at, Some(NOON.after(Duration::from_secs(90))));
}

#[tokio::test]
async fn a_permanent_refusal_and_an_unknown_channel_are_given_up_at_once() {
    let refusal = ChannelError::Permanent { channel: "email".to_owned(), reason: "535 bad credentials".to_owned() };
    let day = Day::with(vec![Scripted::new("email", vec![Err(refusal)])]);
    day.raise(note("AAPL closed"));
    day.books
        .ledger
        .write_blocking(|tx| alert::raise(tx, None, &note("MSFT closed"), &[alert::Route::every("pager")].into(), NOON))
        .unwrap();
    assert_eq!(day.deliver_at(NOON).await.dead, 2);
    assert_eq!(day.delivery(1).last_error.as_deref(), Some("email: 535 bad credentials"));
    assert_eq!(day.delivery(2).last_error.as_deref(), Some("no channel \"pager\" is configured"));
}

fn refusal(channel: &str) -> Result<String, ChannelError> {
    Err(ChannelError::Permanent { channel: channel.to_owned(), reason: "404 no_service".to_owned() })
}

#[tokio::test]
async fn what_one_channel_gives_up_the_others_tell_and_the_fallback_delivers() {
    let (slack, file) = (Scripted::new("slack", vec![refusal("slack")]), Scripted::new("file", vec![]));
    let day = Day::with(vec![slack.clone(), file.clone()]);
    let note = note("AAPL closed");
    day.books
        .ledger
        .write_blocking(move |tx| alert::raise(tx, None, &note, &[alert::Route::every("slack")].into(), NOON))
        .unwrap();
    let summary = day.deliver_at(NOON).await;
    assert_eq!((summary.dead, summary.sent), (1, 2), "the alert itself, and that it is dead");
    let mut subjects = file.subjects();
    subjects.sort();
    assert_eq!(subjects, ["Daybook info: AAPL closed", "Daybook warning: slack could not deliver: AAPL closed"]);
    let told = file.got.lock().unwrap().iter().find(|told| told.event == "delivery.dead").unwrap().clone();
    assert!(told.summary.starts_with("slack: 404 no_service\n1  info: AAPL closed"), "{}", told.summary);
    assert_eq!(slack.subjects().len(), 1, "a channel is not told of its own death");
}

#[tokio::test]
async fn that_nobody_can_be_told_is_told_no_further() {
    let day = Day::with(vec![
        Scripted::new("slack", (0..9).map(|_| refusal("slack")).collect()),
        Scripted::new("pager", (0..9).map(|_| refusal("pager")).collect()),
    ]);
    day.raise(note("AAPL closed"));
    // On each the note, and on each that the other could not deliver it.
    assert_eq!(day.deliver_at(NOON).await.dead, 4);
    assert_eq!(day.deliver_at(NOON).await, DeliverySummary::default());
}

#[tokio::test]
async fn what_is_critical_goes_to_the_fallback_as_soon_as_a_channel_fails() {
    let file = Scripted::new("file", vec![]);
    let day = Day::with(vec![Scripted::new("slack", vec![busy(), busy()]), file.clone()]);
    for event in [AlertEvent::RiskBreached, AlertEvent::SymbolFailed] {
        let told = Alert::new(event, event.as_str());
        let routes = Routes::from([alert::Route::every("slack")]);
        day.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &told, &routes, NOON)).unwrap();
    }
    assert_eq!(day.deliver_at(NOON).await.failed, 2);
    assert_eq!(file.subjects(), ["Daybook critical: risk.breached"]);
}

#[tokio::test]
async fn a_burst_is_one_message_where_people_read_it_and_what_is_critical_stands_alone() {
    let (slack, file) = (Scripted::new("slack", vec![busy()]), Scripted::new("file", vec![]));
    let day = Day::with(vec![slack.clone(), file.clone()]);
    for number in 0..20 {
        day.raise(note(&format!("fill {number}")));
    }
    let first = day.deliver_at(NOON).await;
    assert_eq!((first.sent, first.failed), (20, 20));
    day.raise(Alert::new(AlertEvent::RiskBreached, "stop"));
    assert_eq!(day.deliver_at(first.next_at.unwrap()).await.sent, 22);
    let got = slack.subjects();
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got.contains(&"Daybook critical: stop".to_owned()) && got.contains(&"Daybook info: 20 alerts".to_owned()));
    assert_eq!(file.subjects().len(), 21);
    let states = (1..=42).map(|id| day.delivery(id).state);
    assert!(states.into_iter().all(|state| state == DeliveryState::Sent));
}

#[tokio::test]
async fn a_message_that_is_tried_again_is_the_same_message_whatever_came_since() {
    let slack = Scripted::new("slack", vec![busy(), busy()]);
    let day = Day::with(vec![slack.clone()]);
    for number in 0..4 {
        day.raise(note(&format!("fill {number}")));
    }
    let first = day.deliver_at(NOON).await;
    // A process that dies in the second attempt leaves it to the next.
    let again_at = first.next_at.unwrap();
    day.books.ledger.write_blocking(move |tx| alert::claim_due(tx, 2, &[], again_at)).unwrap();
    day.books.ledger.write_blocking(alert::release_sending).unwrap();
    for number in 4..9 {
        day.raise(note(&format!("fill {number}")));
    }
    let second = day.deliver_at(again_at).await;
    assert_eq!((second.failed, second.sent), (4, 5));
    assert_eq!(day.deliver_at(second.next_at.unwrap()).await.sent, 4);
    let got = slack.got.lock().unwrap();
    let of_four: Vec<&str> = got.iter().filter(|got| got.subject.contains("4 alerts")).map(|got| &*got.key).collect();
    assert_eq!((got.len(), of_four.len()), (4, 3));
    assert!(of_four.iter().all(|key| *key == of_four[0]), "{of_four:?}");
}

#[tokio::test]
async fn what_went_out_before_a_restart_counts() {
    let slack = Scripted::new("slack", vec![]);
    let day = Day::with(vec![slack.clone()]);
    for number in 0..2 {
        day.raise(note(&format!("note {number}")));
        day.deliver_at(NOON).await;
    }
    let (books, clock) = (&day.books, day.clock.clone());
    let pace = Pace { cool_down: Duration::ZERO, hourly_max: Some(2) };
    let policy = Policy { pace, ..Policy::default() };
    let after = Outbox::new(books.ledger.clone(), clock, vec![slack.clone()], policy);
    day.raise(note("note 2"));
    let held = after.deliver_due(NOON).await.unwrap();
    assert_eq!((held.sent, held.next_at), (0, Some(NOON.after(Duration::from_secs(3_600)))));
}

#[tokio::test]
async fn what_quiet_hours_held_back_comes_as_one_message_at_their_end() {
    let slack = Scripted::new("slack", vec![]);
    let day = Day::with(vec![slack.clone()]);
    let quiet = QuietHours {
        from: "11:00".parse().unwrap(),
        until: "13:00".parse().unwrap(),
        zone: chrono_tz::America::New_York,
    };
    let end = quiet.end(NOON).unwrap();
    let route = alert::Route { quiet: Some(quiet), ..alert::Route::every("slack") };
    for alert in [note("one"), note("two"), Alert::new(AlertEvent::RiskBreached, "stop")] {
        let routes = Routes::from([route.clone()]);
        day.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &alert, &routes, NOON)).unwrap();
    }
    let in_the_quiet = day.deliver_at(NOON).await;
    assert_eq!((in_the_quiet.sent, in_the_quiet.next_at), (1, Some(end)));
    assert_eq!(day.deliver_at(end).await.sent, 2);
    assert_eq!(slack.subjects(), ["Daybook critical: stop", "Daybook info: 2 alerts"]);
    assert!(slack.got.lock().unwrap()[1].summary.contains("2 of them were held back: quiet hours, too many"));
}

#[tokio::test]
async fn what_nobody_acknowledges_is_told_on_other_channels_and_the_pager_settles_what_somebody_does() {
    let (pager, phone) = (Scripted::new("pager", vec![]), Scripted::new("phone", vec![]));
    let books = TestLedger::new();
    let clock = Arc::new(SetClock(StdMutex::new(NOON)));
    let escalation = Some(Routes::from([alert::Route::every("phone")]));
    let policy = Policy { escalation, ..Policy::default() };
    let outbox = Outbox::new(books.ledger.clone(), clock, vec![pager.clone(), phone.clone()], policy);
    let routes = Routes {
        escalate_after: Some(Duration::from_secs(600)),
        ..Routes::from([alert::Route::pager("pager", AlertLevel::Critical)])
    };
    let (stop, raised_on) = (Alert::new(AlertEvent::PositionUnprotected, "no stop"), routes.clone());
    let id = books.ledger.write_blocking(move |tx| alert::raise(tx, None, &stop, &raised_on, NOON)).unwrap();
    let at_once = outbox.deliver_due(NOON).await.unwrap();
    let due_at = NOON.after(Duration::from_secs(600));
    assert_eq!((at_once.sent, at_once.next_at), (1, Some(due_at)));
    assert_eq!(outbox.deliver_due(due_at).await.unwrap(), DeliverySummary { sent: 1, ..DeliverySummary::default() });
    assert!(phone.subjects()[0].ends_with("no stop"), "{:?}", phone.subjects());
    books.ledger.write_blocking(move |tx| alert::acknowledge(tx, &[id], "ada", None, &routes, due_at)).unwrap();
    outbox.deliver_due(due_at).await.unwrap();
    let got = pager.got.lock().unwrap();
    assert_eq!(got[1].settled.iter().map(|settled| &settled.key).collect::<Vec<_>>(), [&got[0].key]);
}

#[tokio::test]
async fn what_is_too_much_for_an_hour_comes_as_one_message_after_it() {
    let slack = Scripted::new("slack", vec![]);
    let day = Day::with(vec![slack.clone()]);
    for number in 0..7 {
        day.raise(note(&format!("note {number}")));
        day.deliver_at(NOON.after(Duration::from_secs(number))).await;
    }
    day.raise(Alert::new(AlertEvent::RiskBreached, "stop"));
    let held = day.deliver_at(NOON.after(Duration::from_secs(10))).await;
    assert_eq!((held.sent, held.next_at), (1, Some(NOON.after(Duration::from_secs(3_600)))));
    assert_eq!(day.deliver_at(NOON.after(Duration::from_secs(3_600))).await.sent, 5);
    let expected = ["Daybook info: note 0", "Daybook info: note 1", "Daybook critical: stop", "Daybook info: 5 alerts"];
    assert_eq!(slack.subjects(), expected);
    assert_eq!(slack.got.lock().unwrap()[3].attempt, 1, "what was held back was not tried");
}

fn of_events(pager: &Scripted) -> Vec<String> {
    pager.got.lock().unwrap().iter().map(|message| message.event.clone()).collect()
}

#[tokio::test]
async fn the_end_of_a_condition_does_not_overtake_its_beginning() {
    let pager = Scripted::new("pager", vec![busy(), busy()]);
    let day = Day::with(vec![pager.clone()]);
    let raise = |event: AlertEvent| day.raise(Alert::new(event, event.as_str()));
    raise(AlertEvent::RiskBreached);
    let first = day.deliver_at(NOON).await;
    assert_eq!((first.failed, first.sent), (1, 0));
    // Its end, a condition that has nothing to do with it, and the same once more.
    for event in [AlertEvent::EntriesResumed, AlertEvent::SymbolFailed, AlertEvent::RiskBreached] {
        raise(event);
    }
    let mut now = NOON;
    for _ in 0..9 {
        now = now.after(Duration::from_secs(60));
        day.deliver_at(now).await;
    }
    let told = of_events(&pager);
    let about_risk: Vec<&str> = told.iter().map(String::as_str).filter(|event| *event != "symbol.failed").collect();
    assert_eq!(about_risk, ["risk.breached", "risk.breached", "risk.breached", "entries.resumed", "risk.breached"]);
    assert!((1..=4).all(|id| day.delivery(id).state == DeliveryState::Sent));
}

#[tokio::test]
async fn an_end_brings_the_beginning_that_it_waits_for_forward() {
    let pager = Scripted::new("pager", (0..9).map(|_| busy()).collect());
    let day = Day::with(vec![pager.clone()]);
    day.raise(Alert::new(AlertEvent::MarksStale, "stale"));
    let mut due = NOON;
    for _ in 0..9 {
        due = day.deliver_at(due).await.next_at.unwrap();
    }
    // It is away for minutes yet; what is raised now is told at once, in turn.
    let now = Timestamp(due.0 - 1);
    let routes = Routes::from([alert::Route::every("pager")]);
    let over = Alert::new(AlertEvent::MarksFresh, "fresh");
    day.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &over, &routes, now)).unwrap();
    assert_eq!(day.deliver_at(now).await.sent, 1);
    assert_eq!(day.deliver_at(due).await.sent, 1);
    assert_eq!(of_events(&pager)[9..], ["marks.stale", "marks.fresh"]);
}

#[tokio::test]
async fn an_acknowledgement_waits_and_what_is_over_is_not_opened_again() {
    let pager = Scripted::new("pager", vec![busy(), refusal("pager"), busy(), refusal("pager")]);
    let day = Day::with(vec![pager.clone()]);
    let acknowledge = |id: i64| {
        let routes = Routes::from([alert::Route::every("pager")]);
        day.books.ledger.write_blocking(move |tx| alert::acknowledge(tx, &[id], "ada", None, &routes, NOON)).unwrap();
    };
    day.raise(Alert::new(AlertEvent::PositionUnprotected, "no stop"));
    day.deliver_at(NOON).await;
    acknowledge(1);
    // The page was refused for good: its end goes out, and once revived it is not opened any more.
    let later = NOON.after(Duration::from_secs(60));
    day.deliver_at(later).await;
    day.deliver_at(later.after(Duration::from_secs(60))).await;
    day.deliver_at(later.after(Duration::from_secs(1_200))).await;
    assert_eq!(day.delivery(1).state, DeliveryState::Dead);
    let sent_or_dead = day.delivery(2).state;
    assert_eq!(sent_or_dead, DeliveryState::Dead, "it was tried after the page, and refused as it");
    for id in [2, 1] {
        let now = later.after(Duration::from_secs(2_000));
        day.books.ledger.write_blocking(move |tx| alert::retry(tx, id, now)).unwrap();
        day.deliver_at(now).await;
    }
    assert_eq!(day.delivery(1).receipt.as_deref(), Some("not sent: it was over by then"));
    assert_eq!(of_events(&pager).last().map(String::as_str), Some("alert.acknowledged"));
}

#[tokio::test]
async fn while_a_service_wants_nothing_its_channel_is_left_alone() {
    let (slack, file) = (Scripted::new("slack", vec![busy_for(90)]), Scripted::new("file", vec![]));
    let day = Day::with(vec![slack.clone(), file.clone()]);
    let told_at = |seconds: u64| NOON.after(Duration::from_secs(seconds));
    let raise = |alert: Alert| {
        let routes = Routes::from([alert::Route::every("slack")]);
        day.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &alert, &routes, NOON)).unwrap();
    };
    raise(Alert::new(AlertEvent::RiskBreached, "one"));
    raise(Alert::new(AlertEvent::RiskStopped, "two"));
    let first = day.deliver_at(NOON).await;
    assert_eq!((first.failed, slack.subjects().len()), (1, 1), "the second is not tried");
    assert_eq!(file.subjects().len(), 2, "the fallback has what is critical");
    raise(Alert::new(AlertEvent::PositionUnprotected, "three"));
    raise(note("four"));
    // Another process knows as much.
    let routes = Routes::from([alert::Route::every("slack"), alert::Route::every("file")]);
    let policy = Policy { fallback: Some("file".to_owned()), routes, ..Policy::default() };
    let channels: Vec<Arc<dyn Channel>> = vec![slack.clone(), file.clone()];
    let after = Outbox::new(day.books.ledger.clone(), day.clock.clone(), channels, policy);
    *day.clock.0.lock().unwrap() = told_at(30);
    let held = after.deliver_due(told_at(30)).await.unwrap();
    assert_eq!((held.next_at, slack.subjects().len(), file.subjects().len()), (Some(told_at(90)), 1, 3));
    raise(Alert::new(AlertEvent::ChannelTested, "test"));
    day.deliver_at(told_at(31)).await;
    assert_eq!(slack.subjects().last().map(String::as_str), Some("Daybook info: test"), "a person asks for it");
    assert_eq!(day.deliver_at(told_at(90)).await.sent, 4);
}

#[tokio::test]
async fn a_test_is_sent_at_once_whatever_was_sent_before() {
    let slack = Scripted::new("slack", vec![]);
    let day = Day::with(vec![slack.clone()]);
    let pace = Pace { cool_down: Duration::from_secs(600), hourly_max: Some(1) };
    let policy = Policy { pace, ..Policy::default() };
    day.outbox.change(vec![slack.clone()], policy);
    day.raise(note("one"));
    day.deliver_at(NOON).await;
    for number in 1..=3 {
        day.raise(Alert::new(AlertEvent::ChannelTested, format!("test {number}")));
        assert_eq!(day.deliver_at(NOON).await.sent, 1, "{number}");
    }
}

#[tokio::test]
async fn what_was_held_back_is_let_go_as_the_settings_in_force_have_it() {
    let slack = Scripted::new("slack", vec![]);
    let day = Day::with(vec![slack.clone()]);
    let quiet = |until: &str| QuietHours {
        from: "11:00".parse().unwrap(),
        until: until.parse().unwrap(),
        zone: chrono_tz::America::New_York,
    };
    let route = |quiet| alert::Route { quiet, ..alert::Route::every("slack") };
    let policy = |quiet| Policy { routes: [route(quiet)].into(), ..Policy::default() };
    let early = quiet("13:00");
    for alert in [note("one"), note("two")] {
        let routes = Routes::from([route(Some(early))]);
        day.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &alert, &routes, NOON)).unwrap();
    }
    let late = quiet("15:00");
    for (quiet, due) in [(Some(late), late.end(NOON).unwrap()), (None, NOON)] {
        day.outbox.change(vec![slack.clone()], policy(quiet));
        day.outbox.release(NOON).await.unwrap();
        assert_eq!(day.outbox.shared.next_due_at(&[]).unwrap(), Some(due));
    }
    assert_eq!(day.deliver_at(NOON).await.sent, 2);
    // What waits for the hour to be over waits no longer where there is no limit any more.
    let full = Policy { pace: Pace { cool_down: Duration::ZERO, hourly_max: Some(1) }, ..policy(None) };
    day.outbox.change(vec![slack.clone()], full);
    day.raise(note("three"));
    assert_eq!(day.deliver_at(NOON).await.sent, 0);
    day.outbox.change(vec![slack.clone()], policy(None));
    day.outbox.release(NOON).await.unwrap();
    assert_eq!(day.deliver_at(NOON).await.sent, 1);
}

#[tokio::test]
async fn a_channel_that_stays_dead_is_told_of_once_and_again_when_it_is_worse() {
    let (slack, file) =
        (Scripted::new("slack", (0..15).map(|_| refusal("slack")).collect()), Scripted::new("file", vec![]));
    let day = Day::with(vec![slack.clone(), file.clone()]);
    let lose = async |alert: Alert| {
        let routes = Routes::from([alert::Route::every("slack")]);
        day.books.ledger.write_blocking(move |tx| alert::raise(tx, None, &alert, &routes, NOON)).unwrap();
        day.deliver_at(NOON).await;
    };
    for number in 0..13 {
        lose(Alert::new(AlertEvent::RiskWarned, format!("note {number}"))).await;
    }
    lose(Alert::new(AlertEvent::RiskBreached, "stop")).await;
    lose(Alert::new(AlertEvent::RiskBreached, "stop again")).await;
    let told: Vec<String> = file.subjects().into_iter().filter(|subject| subject.contains("could not")).collect();
    assert_eq!(
        told,
        [
            "Daybook warning: slack could not deliver: note 0",
            "Daybook warning: slack could not deliver 10 messages since it delivered one",
            "Daybook critical: slack could not deliver 14 messages since it delivered one",
        ]
    );
}

#[tokio::test]
async fn what_a_person_wrote_steers_nobody() {
    let email = Scripted::new("email", vec![]);
    let day = Day::with(vec![email.clone()]);
    day.raise(note("ada halts: \u{1b}[2J\u{202e}news\r\ncritical: all is sold").with_body("one\u{7}\r\ntwo\u{9b}"));
    day.deliver_at(NOON).await;
    let got = email.got.lock().unwrap();
    let subject = r"ada halts: \u{1b}[2J\u{202e}news critical: all is sold";
    assert_eq!(got[0].subject, format!("Daybook info: {subject}"));
    assert_eq!(got[0].summary, "one\\u{7}\ntwo\\u{9b}");
    assert!(got[0].text.starts_with(&format!("{subject}\n\none\\u{{7}}\ntwo")), "{}", got[0].text);
}

#[tokio::test]
async fn attempts_are_bounded() {
    let answers = (0..ATTEMPTS_MAX).map(|_| busy()).collect();
    let day = Day::with(vec![Scripted::new("email", answers)]);
    day.raise(note("AAPL closed"));
    let (mut now, mut attempts) = (NOON, 0);
    loop {
        attempts += 1;
        let summary = day.deliver_at(now).await;
        let Some(next_at) = summary.next_at else {
            assert_eq!(summary.dead, 1);
            break;
        };
        now = next_at;
    }
    assert_eq!(attempts, ATTEMPTS_MAX);
    let hours = now.since(NOON).as_secs() / 3_600;
    assert!((3..8).contains(&hours), "given up after {hours} hours");
}

#[tokio::test]
async fn a_channel_that_is_down_keeps_nothing_from_the_others() {
    let file = Scripted::new("file", vec![]);
    let day = Day::with(vec![Scripted::new("email", (0..40).map(|_| busy()).collect()), file.clone()]);
    for number in 0..40 {
        day.raise(note(&format!("note {number}")));
    }
    let summary = day.deliver_at(NOON).await;
    assert_eq!((summary.sent, summary.failed), (40, 40));
    let in_order: Vec<String> = (0..40).map(|number| format!("Daybook info: note {number}")).collect();
    assert_eq!(file.subjects(), in_order);
}

#[tokio::test]
async fn the_alert_of_an_ended_day_becomes_its_digest() {
    let email = Scripted::new("email", vec![]);
    let day = Day::with(vec![email.clone()]);
    let report = samples::rich_day();
    let run = day.books.run("daily-summary", 405);
    let decision = Decision { alerts: vec![report.alert()], day: Some(report), ..Decision::default() };
    day.books.decide(&run, &decision);
    day.deliver_at(run.slot).await;
    let got = email.got.lock().unwrap();
    assert_eq!((got[0].name.as_str(), got[0].pictures.len()), ("2026-11-16-daily", 1));
    assert!(got[0].text.contains("TRADES") && got[0].html.is_some());
}

#[tokio::test]
async fn the_worker_delivers_when_it_is_nudged_and_ends_when_it_is_told_to() {
    let email = Scripted::new("email", vec![]);
    let day = Day::with(vec![email.clone()]);
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (outbox, stop) = (day.outbox.clone(), stop.clone());
        async move { outbox.run(stop).await }
    });
    tokio::task::yield_now().await;
    day.raise(note("AAPL closed"));
    while day.delivery(1).state != DeliveryState::Sent {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    worker.await.unwrap().unwrap();
    assert_eq!(email.subjects().len(), 1);
}

/// A channel that takes nothing until it is let.
struct Hanging {
    let_go: Notify,
    got: StdMutex<usize>,
}

#[async_trait]
impl Channel for Hanging {
    fn name(&self) -> &str {
        "webhook"
    }
    async fn deliver(&self, _: &Message) -> Result<String, ChannelError> {
        if *self.got.lock().unwrap() == 0 {
            self.let_go.notified().await;
        }
        *self.got.lock().unwrap() += 1;
        Ok("taken".to_owned())
    }
}

#[tokio::test]
async fn a_channel_that_hangs_delays_no_other_and_loses_nothing() {
    const ALERTS: i64 = 200;
    let books = TestLedger::new();
    let hanging = Arc::new(Hanging { let_go: Notify::new(), got: StdMutex::default() });
    let file = Scripted::new("file", vec![]);
    let clock = Arc::new(SetClock(StdMutex::new(NOON)));
    let channels: Vec<Arc<dyn Channel>> = vec![hanging.clone(), file.clone()];
    let outbox = Outbox::new(books.ledger.clone(), clock, channels, Policy::default());
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (outbox, stop) = (outbox.clone(), stop.clone());
        async move { outbox.run(stop).await }
    });
    let sent = |channel: &'static str| {
        let deliveries = books.ledger.read(|conn| alert::deliveries(conn, 1_000)).unwrap();
        let sent = |delivery: &&Delivery| delivery.channel == channel && delivery.state == DeliveryState::Sent;
        i64::try_from(deliveries.iter().filter(sent).count()).unwrap()
    };
    // Each is committed, and told by the other channel, while the first hangs.
    for number in 1..=ALERTS {
        let routes = Routes::from([alert::Route::every("webhook"), alert::Route::every("file")]);
        let told = note(&format!("note {number}"));
        books.ledger.write(move |tx| alert::raise(tx, None, &told, &routes, NOON)).await.unwrap();
        while sent("file") < number {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(sent("webhook"), 0);
    hanging.let_go.notify_one();
    while sent("webhook") < ALERTS {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    worker.await.unwrap().unwrap();
    assert_eq!(*hanging.got.lock().unwrap(), usize::try_from(ALERTS).unwrap());
}

#[test]
fn waits_grow_to_their_bound_and_follow_from_the_delivery() {
    for id in [1, 7, 4_711] {
        for attempt in 1..=ATTEMPTS_MAX {
            let wait = backoff(id, attempt);
            let bound = Duration::from_secs(1 << (attempt - 1).min(20)).min(BACKOFF_MAX);
            assert!(wait >= BACKOFF_FIRST && wait <= bound.max(BACKOFF_FIRST), "{wait:?} after attempt {attempt}");
            assert_eq!(wait, backoff(id, attempt));
        }
    }
    assert_ne!(backoff(1, 10), backoff(2, 10));
}
