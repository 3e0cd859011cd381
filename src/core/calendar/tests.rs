use std::collections::BTreeMap;

use chrono::{NaiveDate, Weekday};
use proptest::prelude::*;

use super::*;

const EARLY: &str = include_str!("golden/xnys_early.csv");
const CLOSED: &str = include_str!("golden/xnys_closed.csv");

fn date(text: &str) -> SessionDate {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn session(text: &str) -> Session {
    Calendar::xnys().session(date(text)).unwrap()
}

/// New York's distance from UTC at noon, from the law and not from the zone's database: daylight time began on the
/// first Sunday of April and ended on the last of October (1987), since 2007 from the second of March to the first of
/// November.
fn hours_behind_utc(date: NaiveDate) -> u32 {
    let sunday = |month, nth| NaiveDate::from_weekday_of_month_opt(date.year(), month, Weekday::Sun, nth);
    let (begin, end) = if date.year() >= 2007 {
        (sunday(3, 2), sunday(11, 1))
    } else {
        (sunday(4, 1), sunday(10, 5).or_else(|| sunday(10, 4)))
    };
    if begin.unwrap() <= date && date < end.unwrap() { 4 } else { 5 }
}

#[test]
fn every_session_of_41_years_is_as_the_golden_files_have_it() {
    let early: BTreeMap<SessionDate, (Timestamp, Timestamp)> = EARLY
        .lines()
        .skip(1)
        .map(|line| {
            let [day, open, close] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
            (date(day), (at(open), at(close)))
        })
        .collect();
    let closed: BTreeMap<SessionDate, &str> =
        CLOSED.lines().skip(1).map(|line| line.split_once(',').unwrap()).map(|(day, name)| (date(day), name)).collect();

    let calendar = Calendar::xnys();
    let mut count = 0;
    let days = calendar.first_date().0.iter_days().take_while(|day| *day <= calendar.last_date().0);
    for day in days {
        let utc = |hour: u32, minute| {
            let wall = day.and_hms_opt(hour + hours_behind_utc(day), minute, 0).unwrap();
            Timestamp::from_utc(wall.and_utc())
        };
        let day_key = SessionDate(day);
        let weekend = matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
        let expected = (!weekend && !closed.contains_key(&day_key)).then(|| {
            let (kind, (open, close)) = match early.get(&day_key) {
                Some(hours) => (SessionKind::Early, *hours),
                None => (SessionKind::Full, (utc(9, 30), utc(16, 0))),
            };
            let post_close = if kind == SessionKind::Early { utc(17, 0) } else { close.after(HOUR * 4) };
            Session { date: day_key, kind, pre_open: utc(4, 0), open, close, post_close }
        });
        assert_eq!(calendar.session(day_key), expected, "{day}");
        count += usize::from(expected.is_some());
    }
    assert_eq!(count, 10_322);
    assert_eq!(calendar.sessions(calendar.first_date(), calendar.last_date()).count(), count);
    assert_eq!(calendar.closed(calendar.first_date(), calendar.last_date()), closed.into_iter().collect::<Vec<_>>());
}

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

#[test]
fn a_half_day_ends_everything_earlier() {
    let half = session("2026-11-27");
    assert_eq!(half.kind, SessionKind::Early);
    assert_eq!(half.pre_open, at("2026-11-27T09:00:00Z"));
    assert_eq!(half.open, at("2026-11-27T14:30:00Z"));
    assert_eq!(half.close, at("2026-11-27T18:00:00Z"));
    assert_eq!(half.post_close, at("2026-11-27T22:00:00Z"));
}

#[test]
fn sessions_follow_the_clocks() {
    // Daylight time began on Sunday 2026-03-08 and ended on Sunday 2026-11-01.
    assert_eq!(session("2026-03-06").open, at("2026-03-06T14:30:00Z"));
    assert_eq!(session("2026-03-09").open, at("2026-03-09T13:30:00Z"));
    assert_eq!(session("2026-10-30").close, at("2026-10-30T20:00:00Z"));
    assert_eq!(session("2026-11-02").close, at("2026-11-02T21:00:00Z"));
    assert_eq!(session("2026-11-02").post_close, at("2026-11-03T01:00:00Z"));
}

#[test]
fn the_phases_of_a_day_follow_each_other() {
    let calendar = Calendar::xnys();
    for (instant, phase) in [
        ("2026-11-16T08:59:59Z", "CLOSED"),
        ("2026-11-16T09:00:00Z", "PRE_MARKET"),
        ("2026-11-16T14:29:59.999Z", "PRE_MARKET"),
        ("2026-11-16T14:30:00Z", "TRADING"),
        ("2026-11-16T20:59:59Z", "TRADING"),
        ("2026-11-16T21:00:00Z", "POST_MARKET"),
        ("2026-11-17T00:59:59Z", "POST_MARKET"),
        ("2026-11-17T01:00:00Z", "CLOSED"),
        ("2026-11-26T16:00:00Z", "CLOSED"),
        ("2026-11-27T18:00:00Z", "POST_MARKET"),
        ("2026-11-27T22:00:00Z", "CLOSED"),
    ] {
        assert_eq!(calendar.phase_at(at(instant)).as_str(), phase, "{instant}");
    }
}

#[test]
fn the_session_of_an_instant_is_the_one_in_progress_or_the_next() {
    let calendar = Calendar::xnys();
    for (instant, in_progress, or_next) in [
        ("2026-11-16T12:00:00Z", Some("2026-11-16"), "2026-11-16"),
        // Midnight UTC is still the evening before in New York.
        ("2026-11-17T00:30:00Z", Some("2026-11-16"), "2026-11-16"),
        ("2026-11-17T01:00:00Z", None, "2026-11-17"),
        ("2026-11-20T23:00:00Z", Some("2026-11-20"), "2026-11-20"),
        ("2026-11-21T12:00:00Z", None, "2026-11-23"),
        ("2026-11-26T12:00:00Z", None, "2026-11-27"),
    ] {
        let containing = calendar.session_containing(at(instant)).map(|session| session.date);
        assert_eq!(containing, in_progress.map(date), "{instant}");
        assert_eq!(calendar.session_date_at(at(instant)), Some(date(or_next)), "{instant}");
    }
}

#[test]
fn opens_and_closes_are_found_from_any_instant() {
    let calendar = Calendar::xnys();
    let saturday = at("2026-11-28T12:00:00Z");
    assert_eq!(calendar.previous_open(saturday), Some(at("2026-11-27T14:30:00Z")));
    assert_eq!(calendar.previous_close(saturday), Some(at("2026-11-27T18:00:00Z")));
    assert_eq!(calendar.next_open(saturday), Some(at("2026-11-30T14:30:00Z")));
    assert_eq!(calendar.next_close(saturday), Some(at("2026-11-30T21:00:00Z")));
    // At the open itself: it is the previous one, and the next is another day's.
    let open = at("2026-11-27T14:30:00Z");
    assert_eq!(calendar.previous_open(open), Some(open));
    assert_eq!(calendar.next_open(open), Some(at("2026-11-30T14:30:00Z")));
    assert_eq!(calendar.next_close(open), Some(at("2026-11-27T18:00:00Z")));
}

#[test]
fn neighbours_skip_weekends_and_holidays() {
    let calendar = Calendar::xnys();
    let after = |day: &str| calendar.session_after(date(day)).map(|session| session.date);
    let before = |day: &str| calendar.session_before(date(day)).map(|session| session.date);
    assert_eq!(after("2026-11-25"), Some(date("2026-11-27")));
    assert_eq!(before("2026-11-30"), Some(date("2026-11-27")));
    assert_eq!(after("2026-12-31"), Some(date("2027-01-04")));
    assert_eq!(before("2001-09-17"), Some(date("2001-09-10")));
}

#[test]
fn outside_its_years_it_does_not_guess() {
    let calendar = Calendar::xnys();
    assert_eq!(calendar.session(date("1989-12-29")), None);
    assert_eq!(calendar.session(date("2031-01-02")), None);
    assert_eq!(calendar.session_after(date("2030-12-31")), None);
    assert_eq!(calendar.session_after(date("1989-12-29")), None);
    assert_eq!(calendar.session_before(date("1990-01-02")), None);
    assert_eq!(calendar.session_before(date("2031-01-02")), None);
    let (before, after) = (at("1989-12-29T15:00:00Z"), at("2031-01-02T15:00:00Z"));
    for instant in [before, after, Timestamp(i64::MIN), Timestamp(i64::MAX)] {
        assert_eq!(calendar.next_open(instant), None);
        assert_eq!(calendar.previous_close(instant), None);
        assert_eq!(calendar.session_date_at(instant), None);
        assert_eq!(calendar.phase_at(instant), MarketPhase::Closed);
    }
    assert_eq!(calendar.sessions(date("1980-01-01"), date("1990-01-03")).count(), 2);
    assert_eq!(calendar.sessions(date("2026-11-20"), date("2026-11-16")).count(), 0);
}

#[test]
fn a_market_that_never_closes_has_a_session_every_day() {
    let calendar = Calendar::named("24/7").unwrap();
    let sunday = calendar.session(date("2026-11-01")).unwrap();
    assert_eq!((sunday.pre_open, sunday.open), (at("2026-11-01T00:00:00Z"), at("2026-11-01T00:00:00Z")));
    assert_eq!((sunday.close, sunday.post_close), (at("2026-11-02T00:00:00Z"), at("2026-11-02T00:00:00Z")));
    assert_eq!(sunday.kind, SessionKind::Full);
    assert_eq!(calendar.sessions(date("2024-01-01"), date("2024-12-31")).count(), 366);
    assert_eq!(calendar.session_date_at(at("2026-11-02T00:00:00Z")), Some(date("2026-11-02")));
    assert_eq!(calendar.phase_at(at("2026-12-25T03:00:00Z")), MarketPhase::Trading);
    assert!(calendar.closed(calendar.first_date(), calendar.last_date()).is_empty());
}

/// An exchange with an evening open, a late open and a day that opens late and closes early, in data alone.
static EVENING: Definition = Definition {
    name: "EVENING",
    zone: Tz::America__Chicago,
    years: 2026..=2026,
    weekdays: &[Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri],
    hours: Hours {
        pre_open: WallTime::at(-7, 0),
        open: WallTime::at(-6, 0),
        close: WallTime::at(16, 0),
        post_close: WallTime::at(16, 30),
        early_post_close: WallTime::at(13, 30),
    },
    rules: &[],
    one_offs: &[
        OneOff { name: "Late", date: (2026, 6, 2), effect: Effect::OpensAt(WallTime::at(8, 0)) },
        OneOff { name: "Storm", date: (2026, 6, 3), effect: Effect::OpensAt(WallTime::at(11, 0)) },
        OneOff { name: "Storm", date: (2026, 6, 3), effect: Effect::ClosesAt(WallTime::at(13, 0)) },
        OneOff { name: "Closed", date: (2026, 6, 4), effect: Effect::ClosesAt(WallTime::at(13, 0)) },
        OneOff { name: "Closed", date: (2026, 6, 4), effect: Effect::Closed },
    ],
};

#[test]
fn another_exchange_is_data() {
    let calendar = Calendar::new(&EVENING);
    let monday = calendar.session(date("2026-06-01")).unwrap();
    assert_eq!(monday.open, at("2026-05-31T23:00:00Z"), "the evening before, in Chicago");
    assert_eq!(calendar.session_containing(at("2026-05-31T23:30:00Z")), Some(monday));
    assert_eq!(calendar.next_open(at("2026-05-31T22:00:00Z")), Some(monday.open));
    assert_eq!(calendar.previous_open(at("2026-05-31T23:30:00Z")), Some(monday.open));

    let late = calendar.session(date("2026-06-02")).unwrap();
    assert_eq!((late.kind, late.open), (SessionKind::Full, at("2026-06-02T13:00:00Z")));
    let storm = calendar.session(date("2026-06-03")).unwrap();
    assert_eq!((storm.kind, storm.open), (SessionKind::Early, at("2026-06-03T16:00:00Z")));
    assert_eq!((storm.close, storm.post_close), (at("2026-06-03T18:00:00Z"), at("2026-06-03T18:30:00Z")));
    assert_eq!(calendar.session(date("2026-06-04")), None);
    assert_eq!(calendar.closed(date("2026-06-01"), date("2026-06-30")), [(date("2026-06-04"), "Closed")]);
}

#[test]
fn sessions_and_phases_have_stable_words() {
    let json = serde_json::to_value(session("2026-11-27")).unwrap();
    assert_eq!(json["date"], "2026-11-27");
    assert_eq!(json["kind"], "early");
    assert_eq!(json["close"], "2026-11-27T18:00:00Z");
    for phase in [MarketPhase::PreMarket, MarketPhase::Trading, MarketPhase::PostMarket, MarketPhase::Closed] {
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
    }
}

#[test]
fn calendars_are_found_by_name() {
    assert_eq!(Calendar::named("XNYS").map(|calendar| calendar.zone()), Some(Tz::America__New_York));
    assert!(Calendar::named("xnys").is_none());
}

proptest! {
    /// Whatever the instant, the answers agree with a walk over all sessions.
    #[test]
    fn answers_agree_with_a_walk(seconds in 631_200_000_i64..1_924_900_000) {
        let calendar = Calendar::xnys();
        let now = Timestamp(seconds * 1000);
        let all: Vec<Session> = calendar.sessions(calendar.first_date(), calendar.last_date()).collect();
        let containing = all.iter().find(|session| session.contains(now)).copied();
        prop_assert_eq!(calendar.session_containing(now), containing);
        prop_assert_eq!(calendar.phase_at(now), containing.map_or(MarketPhase::Closed, |session| session.phase_at(now)));
        prop_assert_eq!(calendar.next_open(now), all.iter().map(|session| session.open).find(|open| *open > now));
        prop_assert_eq!(calendar.next_close(now), all.iter().map(|session| session.close).find(|close| *close > now));
        let opens = all.iter().rev().map(|session| session.open);
        prop_assert_eq!(calendar.previous_open(now), opens.clone().find(|open| *open <= now));
        prop_assert_eq!(calendar.session_date_at(now), all.iter().find(|session| session.post_close > now).map(|session| session.date));
    }
}
