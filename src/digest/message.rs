//! Messages: what the outbox hands to a channel.

use std::collections::HashMap;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::report::{DayReport, words};
use daybook_core::time::Timestamp;

use super::inert::line;
use super::{DigestError, equity_curve, page, plain_text};
use crate::ports::Message;

/// The picture's name: the page refers to it as `cid:equity`.
const PICTURE: &str = "equity";

/// Writes a day's mail: what the day's alert becomes.
///
/// `key` and `attempt` are the delivery's: every attempt gives the same message, but for its number.
///
/// # Errors
/// [`DigestError`] if the page or its picture cannot be made.
pub fn day_message(day: &DayReport, key: &str, attempt: u32) -> Result<Message, DigestError> {
    let picture = equity_curve(day).map_err(|source| DigestError::Picture { session: day.session, source })?;
    let html = page(day, picture.as_ref().map(|_| "cid:equity"))?;
    let alert = day.alert();
    Ok(Message {
        key: key.to_owned(),
        name: format!("{}-daily", day.session),
        thread: day.session.to_string(),
        attempt,
        level: alert.level,
        event: alert.event,
        symbol: None,
        subject: alert.subject,
        summary: alert.body,
        text: plain_text(day),
        html: Some(html),
        pictures: picture.into_iter().map(|png| (PICTURE.to_owned(), png)).collect(),
        settled: Vec::new(),
        at: day.as_of,
    })
}

/// Writes an alert's mail. `id` is its number in the ledger and `at` when it was raised; `key` and
/// `attempt` are the delivery's.
#[must_use]
pub fn alert_message(id: i64, alert: &Alert, at: Timestamp, key: &str, attempt: u32) -> Message {
    let subject = line(&alert.subject);
    let unnamed = alert.symbol.filter(|symbol| !subject.starts_with(symbol.as_str()));
    let about = unnamed.map(|symbol| format!("{symbol}: ")).unwrap_or_default();
    let body = if alert.body.is_empty() { String::new() } else { format!("\n{}\n", alert.body.trim_end()) };
    let level = alert.level.as_str();
    Message {
        key: key.to_owned(),
        name: format!("{}-{}-{id}", words::compact_instant(at), alert.event.replace('.', "-")),
        thread: words::date(at),
        attempt,
        level: alert.level,
        event: alert.event.clone(),
        symbol: alert.symbol,
        summary: summary(alert),
        subject: format!("Daybook {level}: {about}{subject}"),
        text: format!("{about}{subject}\n{body}\n{level}, {}, {}\n", alert.event, words::instant(at)),
        html: None,
        pictures: Vec::new(),
        settled: Vec::new(),
        at,
    }
}

/// Lines of a message that tells of many alerts.
const LINES_MAX: usize = 40;

/// Writes one message about many alerts, in the order in which they were raised; what was said more often than once is
/// one line, and so is how many were `held_back`. `key` and `attempt` are the group's.
#[must_use]
pub fn group_message(alerts: &[(&Alert, Timestamp)], held_back: usize, key: &str, attempt: u32) -> Message {
    let mut lines: Vec<(Timestamp, &Alert, usize)> = Vec::new();
    let mut said: HashMap<&Alert, usize> = HashMap::new();
    for (alert, at) in alerts {
        let line = *said.entry(alert).or_insert(lines.len());
        match lines.get_mut(line) {
            Some((_, _, times)) => *times += 1,
            None => lines.push((*at, alert, 1)),
        }
    }
    let mut summary: Vec<String> = lines
        .iter()
        .take(LINES_MAX)
        .map(|(at, alert, times)| {
            let repeated = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            format!("{} {}: {}{repeated}", words::clock(*at), alert.level.as_str(), line(&alert.subject))
        })
        .collect();
    if let Some(left) = lines.len().checked_sub(LINES_MAX).filter(|left| *left > 0) {
        summary.push(format!("and {left} more: `trade alerts` shows them"));
    }
    if held_back > 0 {
        summary.push(format!(
            "{held_back} of them were held back: quiet hours, too many messages, or a pause that the service asked for"
        ));
    }
    let level = alerts.iter().map(|(alert, _)| alert.level).max().unwrap_or(AlertLevel::Info);
    let at = alerts.iter().map(|(_, at)| *at).min().unwrap_or(Timestamp(0));
    let until = alerts.iter().map(|(_, at)| *at).max().unwrap_or(at);
    let warnings = alerts.iter().filter(|(alert, _)| alert.level > AlertLevel::Info).count();
    let of_these =
        if warnings > 0 { format!(", {}", words::counted(warnings, "warning", "warnings")) } else { String::new() };
    let subject = format!("Daybook {}: {} alerts{of_these}", level.as_str(), alerts.len());
    let summary = summary.join("\n");
    Message {
        key: key.to_owned(),
        name: format!("{}-alerts-{}", words::compact_instant(at), alerts.len()),
        thread: words::date(at),
        attempt,
        level,
        event: "alerts.grouped".to_owned(),
        symbol: None,
        text: format!("{subject}\n\n{summary}\n\n{} to {}\n", words::instant(at), words::instant(until)),
        subject,
        summary,
        html: None,
        pictures: Vec::new(),
        settled: Vec::new(),
        at: until,
    }
}

/// What a chat shows of an alert: the rest of it, and what to do where somebody has to.
fn summary(alert: &Alert) -> String {
    let advice = AlertEvent::named(&alert.event).filter(|_| alert.level > AlertLevel::Info).map(AlertEvent::advice);
    let parts =
        [alert.body.trim().to_owned(), advice.map(|advice| format!("What to do: {advice}")).unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples;

    #[test]
    fn a_days_mail_says_it_all_in_its_subject() {
        let subjects =
            [samples::rich_day(), samples::empty_day(), samples::emergency_stop_day()].map(|day| words::subject(&day));
        assert_eq!(
            subjects,
            [
                "Daybook 2026-11-16: +$230.00 (+0.23 %), 6 trades, flat",
                "Daybook 2026-11-16: $0.00 (0.00 %), no trades, flat",
                "Daybook 2026-11-16: -$2,030.00 (-2.03 %), 2 trades, 1 POSITION OPEN, EMERGENCY STOP",
            ]
        );
    }

    #[test]
    fn every_attempt_is_the_same_message() {
        let first = day_message(&samples::rich_day(), "dbk-1f3a-7-email", 1).unwrap();
        let second = day_message(&samples::rich_day(), "dbk-1f3a-7-email", 2).unwrap();
        assert_eq!(Message { attempt: 1, ..second }, first);
        assert_eq!((first.name.as_str(), first.level), ("2026-11-16-daily", AlertLevel::Warning));
        assert!(first.html.is_some_and(|html| html.contains("cid:equity")));
    }

    #[test]
    fn many_alerts_are_one_message_that_counts_them() {
        let fills: Vec<Alert> =
            (0..50).map(|number| Alert::new(AlertEvent::OrderFilled, format!("fill {number}"))).collect();
        let failed = Alert::new(AlertEvent::SymbolFailed, "XYZ could not be analysed");
        let at = |second: i64| Timestamp(1_794_848_400_000 + second * 1_000);
        let mut told: Vec<(&Alert, Timestamp)> = vec![(&failed, at(0)), (&failed, at(1)), (&failed, at(2))];
        told.extend(fills.iter().map(|fill| (fill, at(3))));
        let message = group_message(&told, 0, "key", 1);
        assert_eq!(message.subject, "Daybook warning: 53 alerts, 3 warnings");
        let lines: Vec<&str> = message.summary.lines().collect();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert!(lines[0].ends_with("warning: XYZ could not be analysed (3 times)"), "{}", lines[0]);
        assert_eq!(lines[LINES_MAX], "and 11 more: `trade alerts` shows them");
        assert_eq!((message.level, message.at), (AlertLevel::Warning, at(3)));
    }

    #[test]
    fn an_alert_names_its_symbol_once() {
        let alert = Alert::new(AlertEvent::OrderFilled, "AAPL: bought 10 at 99.50").about("AAPL".parse().unwrap());
        let message = alert_message(3, &alert, daybook_core::time::Timestamp(0), "key", 1);
        assert_eq!(message.subject, "Daybook info: AAPL: bought 10 at 99.50");
        assert!(message.text.starts_with("AAPL: bought 10 at 99.50\n"), "{}", message.text);
    }

    #[test]
    fn an_alert_reads_well_alone() {
        let alert = Alert::new(AlertEvent::PositionUnprotected, "100 shares have no stop")
            .about("AAPL".parse().unwrap())
            .with_body("The stop was refused twice.\nA close was sent.");
        let at = "2026-11-16T16:42:05Z".parse().unwrap();
        let message = alert_message(17, &alert, at, "dbk-1f3a-17-email", 1);
        assert_eq!(
            (message.name.as_str(), message.thread.as_str()),
            ("2026-11-16-114205-position-unprotected-17", "2026-11-16")
        );
        assert_eq!(message.subject, "Daybook critical: AAPL: 100 shares have no stop");
        assert_eq!(
            message.summary,
            "The stop was refused twice.\nA close was sent.\nWhat to do: Look at the broker; `trade close SYMBOL` closes it."
        );
        assert_eq!(
            message.text,
            "AAPL: 100 shares have no stop\n\nThe stop was refused twice.\nA close was sent.\n\ncritical, position.unprotected, 2026-11-16 11:42:05 EST\n"
        );
    }
}
