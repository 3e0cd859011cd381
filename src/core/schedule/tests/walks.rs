//! Slots against walks.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};
use proptest::prelude::*;

use super::*;
use crate::calendar::Session;
use crate::time::Span;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn instants(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    let found = slots(schedule, &Calendar::xnys(), Pace::Normal, at(from), at(to));
    found.iter().map(|slot| slot.at.to_string()).collect()
}

/// The slots of an XNYS day, as times of day in UTC.
fn on(day: &str, pace: Pace, json: &str) -> Vec<String> {
    let from = at(&format!("{day}T05:00:00Z"));
    let to = from.after(Duration::from_secs(24 * 3600));
    let found = slots(&schedule(json), &Calendar::xnys(), pace, from, to);
    found.iter().map(|slot| slot.at.to_string()[11..19].to_owned()).collect()
}

#[test]
fn a_point_of_the_session_moves_with_half_days_and_with_the_clocks() {
    for (day, slot) in [
        ("2026-11-25", "20:50:00"),
        ("2026-11-27", "17:50:00"),
        ("2026-03-06", "20:50:00"),
        ("2026-03-09", "19:50:00"),
        ("2026-10-30", "19:50:00"),
        ("2026-11-02", "20:50:00"),
    ] {
        assert_eq!(on(day, Pace::Normal, r#"{"at": "close-10m"}"#), [slot], "{day}");
    }
    assert_eq!(on("2026-11-26", Pace::Normal, r#"{"at": "close-10m"}"#), Vec::<String>::new());
    assert_eq!(on("2026-11-27", Pace::Normal, r#"{"at": "pre_open+90m"}"#), ["10:30:00"]);
    assert_eq!(on("2026-11-27", Pace::Normal, r#"{"at": "post_close"}"#), ["22:00:00"]);
}

#[test]
fn a_slot_belongs_to_the_session_it_is_counted_from() {
    let late = schedule(r#"{"at": "post_close+8h"}"#);
    let found = slots(&late, &Calendar::xnys(), Pace::Normal, at("2026-11-20T12:00:00Z"), at("2026-11-21T12:00:00Z"));
    // The small hours of Saturday, for Friday's session.
    assert_eq!(found, [Slot { at: at("2026-11-21T09:00:00Z"), session: Some(date("2026-11-20")) }]);
}

#[test]
fn the_last_session_of_a_week_is_not_always_a_friday() {
    let weekly = schedule(r#"{"at": "close", "on": "last_of_week"}"#);
    assert_eq!(
        instants(&weekly, "2026-03-23T00:00:00Z", "2026-04-12T00:00:00Z"),
        // Thursday before Good Friday in the middle.
        ["2026-03-27T20:00:00Z", "2026-04-02T20:00:00Z", "2026-04-10T20:00:00Z"]
    );
}

#[test]
fn a_bar_job_runs_after_each_bar_and_after_the_last() {
    let json = r#"{"bar": "2h", "delay": "5s"}"#;
    assert_eq!(on("2026-11-16", Pace::Normal, json), ["16:30:05", "18:30:05", "20:30:05", "21:00:05"]);
    assert_eq!(on("2026-11-27", Pace::Normal, json), ["16:30:05", "18:00:05"]);
    let minutes = on("2026-11-27", Pace::Normal, r#"{"bar": "1m"}"#);
    assert_eq!((minutes.len(), minutes[0].as_str(), minutes[209].as_str()), (210, "14:31:00", "18:00:00"));
}

#[test]
fn an_adaptive_job_keeps_to_the_grid_of_its_pace() {
    let json = r#"{"adaptive": {"fast": "45m", "normal": "90m", "slow": "4h", "delay": "5s"}}"#;
    assert_eq!(on("2026-11-16", Pace::Normal, json), ["16:00:05", "17:30:05", "19:00:05", "20:30:05"]);
    assert_eq!(on("2026-11-16", Pace::Slow, json), ["18:30:05"]);
    assert_eq!(on("2026-11-27", Pace::Fast, json), ["15:15:05", "16:00:05", "16:45:05", "17:30:05"]);
    assert_eq!(on("2026-11-27", Pace::Slow, json), Vec::<String>::new(), "the half day is shorter than the interval");
}

#[test]
fn a_repeated_job_begins_with_its_part_of_the_day_and_ends_before_its_end() {
    let json = |during: &str| format!(r#"{{"every": "90m", "during": "{during}"}}"#);
    assert_eq!(on("2026-11-27", Pace::Normal, &json("regular")), ["14:30:00", "16:00:00", "17:30:00"]);
    assert_eq!(on("2026-11-27", Pace::Normal, &json("pre_market")), ["09:00:00", "10:30:00", "12:00:00", "13:30:00"]);
    assert_eq!(on("2026-11-27", Pace::Normal, &json("post_market")), ["18:00:00", "19:30:00", "21:00:00"]);
    assert_eq!(on("2026-11-27", Pace::Normal, &json("extended")).len(), 9);
    assert_eq!(on("2026-11-28", Pace::Normal, &json("regular")), Vec::<String>::new());
    assert_eq!(on("2026-11-28", Pace::Normal, &json("always")).len(), 16);
}

#[test]
fn cron_is_wall_time() {
    let scan = schedule(r#"{"cron": "30 8 * * MON-FRI", "tz": "America/New_York", "on": "sessions"}"#);
    assert_eq!(
        instants(&scan, "2026-11-24T20:00:00Z", "2026-11-30T20:00:00Z"),
        ["2026-11-25T13:30:00Z", "2026-11-27T13:30:00Z", "2026-11-30T13:30:00Z"]
    );
    assert_eq!(
        instants(&scan, "2026-03-06T00:00:00Z", "2026-03-09T23:00:00Z"),
        ["2026-03-06T13:30:00Z", "2026-03-09T12:30:00Z"]
    );
    // A zone ahead of the exchange's: its Tuesday morning is the exchange's Monday.
    let tokyo = schedule(r#"{"cron": "0 6 * * *", "tz": "Asia/Tokyo", "on": "sessions"}"#);
    let found = slots(&tokyo, &Calendar::xnys(), Pace::Normal, at("2026-11-15T00:00:00Z"), at("2026-11-17T00:00:00Z"));
    assert_eq!(found, [Slot { at: at("2026-11-16T21:00:00Z"), session: Some(date("2026-11-16")) }]);
}

#[test]
fn cron_runs_a_skipped_time_later_and_a_repeated_time_once() {
    let json = |cron: &str| schedule(&format!(r#"{{"cron": "{cron}", "tz": "America/New_York"}}"#));
    let spring = ["2026-03-08T05:00:00Z", "2026-03-08T10:00:00Z"];
    let autumn = ["2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z"];
    let [from, to] = spring;
    assert_eq!(instants(&json("30 2 * * *"), from, to), ["2026-03-08T07:30:00Z"]);
    assert_eq!(instants(&json("30 2,3 * * *"), from, to), ["2026-03-08T07:30:00Z"], "02:30 and 03:30 are one instant");
    // 02:45 is skipped and runs at 03:45, between 03:15 and 04:15.
    assert_eq!(instants(&json("45 2 * * *"), from, to), ["2026-03-08T07:45:00Z"]);
    assert_eq!(
        instants(&json("15,45 2-4/2 * * *"), from, to),
        ["2026-03-08T07:15:00Z", "2026-03-08T07:45:00Z", "2026-03-08T08:15:00Z", "2026-03-08T08:45:00Z"]
    );
    let [from, to] = autumn;
    assert_eq!(instants(&json("30 1 * * *"), from, to), ["2026-11-01T05:30:00Z"]);
    assert_eq!(instants(&json("0 0-2 * * *"), from, to), ["2026-11-01T05:00:00Z", "2026-11-01T07:00:00Z"]);
}

#[test]
fn cron_names_days_of_the_month_or_of_the_week() {
    let either = schedule(r#"{"cron": "0 12 13 * FRI", "tz": "UTC"}"#);
    assert_eq!(
        instants(&either, "2026-11-10T00:00:00Z", "2026-11-21T00:00:00Z"),
        ["2026-11-13T12:00:00Z", "2026-11-20T12:00:00Z"]
    );
    let leap = schedule(r#"{"cron": "0 0 29 2 *", "tz": "UTC"}"#);
    let next = next_slot_after(&leap, &Calendar::xnys(), Pace::Normal, at("2026-01-01T00:00:00Z"));
    assert_eq!(next.map(|slot| slot.at), Some(at("2028-02-29T00:00:00Z")));
}

#[test]
fn the_slots_end_with_the_calendar() {
    let xnys = Calendar::xnys();
    let last = at("2030-12-31T20:50:00Z");
    let flatten = schedule(r#"{"at": "close-10m"}"#);
    assert_eq!(next_slot_after(&flatten, &xnys, Pace::Normal, last.before(Duration::from_secs(1))).unwrap().at, last);
    assert_eq!(next_slot_after(&flatten, &xnys, Pace::Normal, last), None);
    let cron = schedule(r#"{"cron": "0 0 * * *", "on": "sessions"}"#);
    assert_eq!(next_slot_after(&cron, &xnys, Pace::Normal, last), None);
    // What asks for no session goes on.
    let always = schedule(r#"{"every": "1h", "during": "always"}"#);
    let next = next_slot_after(&always, &xnys, Pace::Normal, last).unwrap();
    assert_eq!(next, Slot { at: at("2030-12-31T21:00:00Z"), session: Some(date("2030-12-31")) });
}

/// A field of a cron expression, and the values that it names.
fn field(first: u32, last: u32) -> impl Strategy<Value = (String, BTreeSet<u32>)> {
    let value = first..=last;
    prop_oneof![
        3 => Just(("*".to_owned(), value.clone().collect())),
        2 => value.clone().prop_map(|value| (value.to_string(), BTreeSet::from([value]))),
        1 => (2..=last / 2 + 2).prop_map(move |step| {
            (format!("*/{step}"), (first..=last).step_by(step as usize).collect())
        }),
        1 => (value.clone(), value.clone()).prop_map(|(a, b)| {
            (format!("{}-{}", a.min(b), a.max(b)), (a.min(b)..=a.max(b)).collect())
        }),
        1 => proptest::collection::btree_set(value, 1..4).prop_map(|values| {
            let texts: Vec<String> = values.iter().map(u32::to_string).collect();
            (texts.join(","), values)
        }),
    ]
}

/// A cron expression and the fields that it was made of: minute, hour, day, month, weekday (0 is Sunday).
fn expression() -> impl Strategy<Value = (String, [BTreeSet<u32>; 5])> {
    // Months in which the clocks change here or there, so that the walks meet a match.
    let month = prop_oneof![3 => Just(("*".to_owned(), (1..=12).collect())), 1 => field(1, 12)];
    // Hours of the night, when the clocks change.
    let hour = prop_oneof![field(0, 23), (0..5_u32).prop_map(|hour| (hour.to_string(), BTreeSet::from([hour])))];
    (field(0, 59), hour, field(1, 31), month, field(0, 6)).prop_map(|(minute, hour, day, month, weekday)| {
        let text = [&minute.0, &hour.0, &day.0, &month.0, &weekday.0].map(String::as_str).join(" ");
        (text, [minute.1, hour.1, day.1, month.1, weekday.1])
    })
}

fn names([minute, hour, day, month, weekday]: &[BTreeSet<u32>; 5], text: &str, wall: NaiveDateTime) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let (by_day, by_weekday) = (day.contains(&wall.day()), weekday.contains(&wall.weekday().num_days_from_sunday()));
    let date = match (fields[2], fields[4]) {
        ("*", _) => by_weekday,
        (_, "*") => by_day,
        _ => by_day || by_weekday,
    };
    date && month.contains(&wall.month()) && hour.contains(&wall.hour()) && minute.contains(&wall.minute())
}

/// The slots in `(from, to]` by a walk over every minute, looking at the clock on the wall: a time that it passed
/// over is due as long after the change as it lies behind the last time shown, a time seen before is not due again.
fn walked(
    text: &str,
    fields: &[BTreeSet<u32>; 5],
    zone: Tz,
    (from, to): (Timestamp, Timestamp),
) -> BTreeSet<Timestamp> {
    let wall = |at: Timestamp| at.in_zone(zone).naive_local();
    // Two days earlier, to have seen what is repeated or skipped.
    let mut now = from.floor_to(Duration::from_secs(60)).before(Duration::from_secs(48 * 3600));
    let (mut seen, mut due) = (wall(now), BTreeSet::new());
    while now < to {
        now = Timestamp(now.0 + MINUTE_MS);
        let shown = wall(now);
        if shown > seen {
            let skipped = (1..).map(|minutes| seen + TimeDelta::minutes(minutes)).take_while(|wall| *wall < shown);
            due.extend(
                (0..)
                    .zip(skipped)
                    .filter(|(_, wall)| names(fields, text, *wall))
                    .map(|(k, _)| Timestamp(now.0 + k * MINUTE_MS)),
            );
            if names(fields, text, shown) {
                due.insert(now);
            }
            seen = shown;
        }
    }
    due.range((Bound::Excluded(from), Bound::Included(to))).copied().collect()
}

/// A zone, and a Saturday whose night changes its clocks.
fn changes_of_clocks() -> impl Strategy<Value = (Tz, &'static str)> {
    prop::sample::select(vec![
        (Tz::America__New_York, "2026-03-07"),
        (Tz::America__New_York, "2026-10-31"),
        (Tz::Europe__London, "2026-03-28"),
        (Tz::Europe__London, "2026-10-24"),
        // By half an hour.
        (Tz::Australia__Lord_Howe, "2026-10-03"),
        (Tz::Australia__Lord_Howe, "2026-04-04"),
        // At midnight.
        (Tz::Asia__Beirut, "2026-03-28"),
        (Tz::America__Santiago, "2026-09-05"),
        (Tz::America__Santiago, "2026-04-04"),
        // A whole day that was left out, and a zone that never changes.
        (Tz::Pacific__Apia, "2011-12-29"),
        (Tz::Asia__Tokyo, "2026-11-14"),
    ])
}

/// Days around changes of the clocks, half days and holidays.
fn instant() -> impl Strategy<Value = Timestamp> {
    let days = vec![
        "2026-03-05",
        "2026-03-08",
        "2026-03-09",
        "2026-10-30",
        "2026-11-01",
        "2026-11-26",
        "2026-12-23",
        "2027-07-02",
    ];
    (prop::sample::select(days), 0..48 * HOUR_MS)
        .prop_map(|(day, ms)| Timestamp(at(&format!("{day}T00:00:00Z")).0 + ms))
}

fn minutes(range: std::ops::Range<u32>) -> impl Strategy<Value = Span> {
    range.prop_map(Span::minutes)
}

/// A form whose slots lie on whole minutes of the session.
fn session_form() -> impl Strategy<Value = Form> {
    let anchor = prop::sample::select(vec![Anchor::PreOpen, Anchor::Open, Anchor::Close, Anchor::PostClose]);
    let during = prop::sample::select(vec![
        During::Regular,
        During::Extended,
        During::PreMarket,
        During::PostMarket,
        During::Always,
    ]);
    prop_oneof![
        (anchor, -1440_i64..=1440).prop_map(|(anchor, minutes)| {
            Form::At(At { anchor, offset_ms: minutes * MINUTE_MS, days: AtDays::Sessions })
        }),
        (minutes(1..1441), during).prop_map(|(interval, during)| Form::Every(Every { interval, during })),
        (minutes(1..1441), 0.0..=1.0)
            .prop_map(|(bar, part)| { Form::Bar(BarClose { bar, delay: whole_minutes(bar, part) }) }),
        ([1_u32..300, 1..300, 1..300], 0.0..=1.0).prop_map(|(mut intervals, part)| {
            intervals.sort_unstable();
            let [fast, normal, slow] = intervals.map(Span::minutes);
            Form::Adaptive(Adaptive { fast, normal, slow, delay: whole_minutes(fast, part) })
        }),
    ]
}

fn whole_minutes(span: Span, part: f64) -> Span {
    let minutes = (span.as_millis() / 60_000) as f64 * part;
    Span::minutes(minutes as u32)
}

fn any_form() -> impl Strategy<Value = Form> {
    let zone = prop::sample::select(vec![None, Some(Tz::UTC), Some(Tz::Europe__London), Some(Tz::Asia__Tokyo)]);
    let cron =
        (expression(), zone, prop::bool::ANY).prop_filter_map("a day that comes", |((text, _), zone, always)| {
            Cron::new(&text, zone, if always { CronDays::Always } else { CronDays::Sessions }).ok().map(Form::Cron)
        });
    prop_oneof![3 => session_form(), 1 => cron]
}

pub(super) fn any_schedule() -> impl Strategy<Value = Schedule> {
    proptest::collection::vec(any_form(), 1..4).prop_filter_map("a form at least", Schedule::new)
}

pub(super) fn any_calendar() -> impl Strategy<Value = Calendar> {
    prop::sample::select(calendars().to_vec())
}

pub(super) fn any_pace() -> impl Strategy<Value = Pace> {
    prop::sample::select(vec![Pace::Fast, Pace::Normal, Pace::Slow])
}

/// Whether a form has a slot at an instant, from what its words say, and for which of the sessions.
fn is_due(form: &Form, sessions: &[Session], zone: Tz, pace: Pace, now: Timestamp) -> Option<Option<SessionDate>> {
    let on_grid = |from: Timestamp, interval: Span| (now.0 - from.0) % (interval.as_millis() as i64) == 0;
    let delayed = |delay: Span| Timestamp(now.0 - delay.as_millis() as i64);
    let due = sessions.iter().find(|session| match form {
        Form::At(At { anchor, offset_ms, .. }) => {
            let point = match anchor {
                Anchor::PreOpen => session.pre_open,
                Anchor::Open => session.open,
                Anchor::Close => session.close,
                Anchor::PostClose => session.post_close,
            };
            now.0 == point.0 + offset_ms
        }
        Form::Every(Every { interval, during }) => {
            let part = match during {
                During::Regular => session.open..session.close,
                During::Extended => session.pre_open..session.post_close,
                During::PreMarket => session.pre_open..session.open,
                During::PostMarket => session.close..session.post_close,
                During::Always => return session.date == now.date_in(zone) && on_grid(Timestamp(0), *interval),
            };
            part.contains(&now) && on_grid(part.start, *interval)
        }
        Form::Bar(BarClose { bar, delay }) => {
            let end = delayed(*delay);
            end == session.close
                || (session.open < end && end < session.close && on_grid(session.open.after(delay.as_duration()), *bar))
        }
        Form::Adaptive(adaptive) => {
            let point = delayed(adaptive.delay);
            let first = session.open.after(adaptive.delay.as_duration());
            session.open < point && point < session.close && on_grid(first, adaptive.interval(pace))
        }
        Form::Cron(_) => false,
    });
    match (form, due) {
        (_, Some(session)) => Some(Some(session.date)),
        (Form::Every(Every { interval, during: During::Always }), None) => {
            on_grid(Timestamp(0), *interval).then_some(None)
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn cron_agrees_with_a_clock_on_the_wall(
        (text, fields) in expression(),
        (zone, saturday) in changes_of_clocks(),
        start in 0..36_i64,
        length in 1..60_i64,
    ) {
        let cron = Cron::new(&text, Some(zone), CronDays::Always);
        prop_assume!(cron.is_ok());
        let from = Timestamp(at(&format!("{saturday}T00:00:00Z")).0 + start * HOUR_MS - 1);
        let to = Timestamp(from.0 + length * HOUR_MS);
        let schedule = Schedule::new(vec![Form::Cron(cron.unwrap())]).unwrap();
        let found: Vec<Timestamp> =
            slots(&schedule, &Calendar::always_open(), Pace::Normal, from, to).iter().map(|slot| slot.at).collect();
        let expected: Vec<Timestamp> = walked(&text, &fields, zone, (from, to)).into_iter().collect();
        prop_assert_eq!(found, expected, "{} in {}", text, zone);
    }

    #[test]
    fn forms_of_the_session_agree_with_their_words(
        forms in proptest::collection::vec(session_form(), 1..4),
        calendar in any_calendar(),
        pace in any_pace(),
        from in instant(),
        length_ms in 0..50 * HOUR_MS,
    ) {
        let to = Timestamp(from.0 + length_ms);
        let first_minute = Timestamp(from.0 + 1 + (-(from.0 + 1)).rem_euclid(MINUTE_MS));
        let around = from.date_in(calendar.zone());
        let sessions: Vec<Session> = calendar.sessions(around.plus_days(-4), around.plus_days(6)).collect();
        let expected: Vec<Slot> = (first_minute.0..=to.0)
            .step_by(MINUTE_MS as usize)
            .map(Timestamp)
            .filter_map(|now| {
                let due = forms.iter().filter_map(|form| is_due(form, &sessions, calendar.zone(), pace, now));
                due.reduce(Option::or).map(|session| Slot { at: now, session })
            })
            .collect();
        let schedule = Schedule::new(forms).unwrap();
        prop_assert_eq!(slots(&schedule, &calendar, pace, from, to), expected);
    }

    #[test]
    fn a_range_is_the_sum_of_its_parts(
        schedule in any_schedule(),
        calendar in any_calendar(),
        pace in any_pace(),
        from in instant(),
        lengths in [0..40 * HOUR_MS, 0..40 * HOUR_MS],
    ) {
        let middle = Timestamp(from.0 + lengths[0]);
        let to = Timestamp(middle.0 + lengths[1]);
        let whole = slots(&schedule, &calendar, pace, from, to);
        let mut parts = slots(&schedule, &calendar, pace, from, middle);
        parts.extend(slots(&schedule, &calendar, pace, middle, to));
        prop_assert_eq!(&whole, &parts);
        prop_assert!(whole.is_sorted_by(|a, b| a.at < b.at));
        prop_assert!(whole.iter().all(|slot| from < slot.at && slot.at <= to));
        // Step by step, as the planner's sleep goes.
        let steps = std::iter::successors(next_slot_after(&schedule, &calendar, pace, from), |slot| {
            next_slot_after(&schedule, &calendar, pace, slot.at)
        });
        let steps: Vec<Slot> = steps.take_while(|slot| slot.at <= to).take(20).collect();
        prop_assert_eq!(&whole[..steps.len()], &steps[..]);
    }
}
