//! The week as a page for mail readers and browsers, and as the mail.

use std::sync::LazyLock;

use daybook_core::report::WeekReport;
use minijinja::value::Serde;
use minijinja::{Environment, context};

use super::view::View;
use super::{week_curve, week_text};
use crate::digest::DigestError;
use crate::digest::html::with_parts;
use crate::ports::Message;

/// Escaped because of its name's ending.
const TEMPLATE: &str = "week.html";
/// The picture's name: the page refers to it as `cid:equity`.
const PICTURE: &str = "equity";

/// Renders the week as a page; `picture` is where its equity curve is found (`cid:equity`), if there is one.
///
/// # Errors
/// [`DigestError::Page`] if the template fails.
pub fn week_page(week: &WeekReport, picture: Option<&str>) -> Result<String, DigestError> {
    static ENVIRONMENT: LazyLock<Result<Environment<'static>, String>> = LazyLock::new(|| {
        with_parts(TEMPLATE, include_str!("../templates/week.html")).map_err(|error| error.to_string())
    });
    let render = || {
        let environment = ENVIRONMENT
            .as_ref()
            .map_err(|reason| minijinja::Error::new(minijinja::ErrorKind::SyntaxError, reason.clone()))?;
        environment.get_template(TEMPLATE)?.render(context! { week => Serde(View::of(week)), picture })
    };
    render().map_err(|source| DigestError::Page { session: week.last_session(), source })
}

/// Writes a week's mail: what the week's alert becomes.
///
/// `key` and `attempt` are the delivery's: every attempt gives the same message, but for its number.
///
/// # Errors
/// [`DigestError`] if the page or its picture cannot be made.
pub fn week_message(week: &WeekReport, key: &str, attempt: u32) -> Result<Message, DigestError> {
    let session = week.last_session();
    let picture = week_curve(week).map_err(|source| DigestError::Picture { session, source })?;
    let html = week_page(week, picture.as_ref().map(|_| "cid:equity"))?;
    let alert = week.alert();
    Ok(Message {
        key: key.to_owned(),
        name: format!("{session}-weekly"),
        thread: session.to_string(),
        attempt,
        level: alert.level,
        event: alert.event,
        symbol: None,
        subject: alert.subject,
        summary: alert.body,
        text: week_text(week),
        html: Some(html),
        pictures: picture.into_iter().map(|png| (PICTURE.to_owned(), png)).collect(),
        settled: Vec::new(),
        at: week.as_of,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples;

    #[test]
    fn a_busy_week() {
        insta::assert_snapshot!(week_page(&samples::busy_week(), Some("cid:equity")).unwrap());
    }

    #[test]
    fn a_quiet_week_with_a_holiday() {
        insta::assert_snapshot!(week_page(&samples::holiday_week(), None).unwrap());
    }

    #[test]
    fn what_a_broker_or_a_note_says_cannot_become_markup() {
        let mut week = samples::busy_week();
        week.changes[0].note = Some("<script>alert(1)</script>".to_owned());
        let html = week_page(&week, None).unwrap();
        assert!(html.contains("&lt;halted&gt;") && !html.contains("<halted>") && !html.contains("<script>"));
    }

    #[test]
    fn the_page_loads_nothing_from_outside_and_is_not_cut_off() {
        for week in [samples::busy_week(), samples::holiday_week()] {
            let html = week_page(&week, Some("cid:equity")).unwrap();
            assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("<script"));
            assert!(html.len() < 100_000, "Gmail cuts a page off at 102 kB; this one has {} bytes", html.len());
        }
    }

    #[test]
    fn every_attempt_is_the_same_message() {
        let week = samples::busy_week();
        let first = week_message(&week, "dbk-1f3a-7-email", 1).unwrap();
        let second = week_message(&week, "dbk-1f3a-7-email", 2).unwrap();
        assert_eq!(Message { attempt: 1, ..second }, first);
        assert_eq!(first.name, "2026-11-18-weekly");
        assert_eq!(first.subject, "Daybook week of 2026-11-16: -$1,800.00 (-1.80 %), 8 trades in 3 sessions");
        assert!(first.html.is_some_and(|html| html.contains("cid:equity")));
    }
}
