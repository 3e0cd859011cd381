//! A week: in plain text, as a page and as a mail.

mod chart;
mod page;
mod view;

use std::fmt::{self, Write};

use daybook_core::calendar::SessionKind;
use daybook_core::report::words::{self, clock, date, r_multiple, signed_dollars, signed_percent, whole_percent};
use daybook_core::report::{Fault, SessionLine, StrategyLine, UnreportedDay, WeekReport};
use daybook_core::time::SessionDate;

use self::view::{UNDEFINED, weekday};
use super::text::{WIDTH, fill, section};

pub use chart::week_curve;
pub use page::{week_message, week_page};

/// Cells of the longest bar of a day's result.
const BAR: u64 = 5;

/// Writes the week as plain text: lines of at most 72 characters, but for a longer word.
#[must_use]
pub fn week_text(week: &WeekReport) -> String {
    let mut text = String::new();
    let _ = write_week(&mut text, week); // writing to a `String` cannot fail
    text
}

fn write_week(out: &mut String, week: &WeekReport) -> fmt::Result {
    let title = view::title(week);
    writeln!(out, "DAYBOOK{title:>width$}", width = WIDTH - 7)?;
    writeln!(out, "{}\n", "=".repeat(WIDTH))?;
    writeln!(out, "{}  ({})\n", signed_dollars(week.summary.pnl), signed_percent(week.summary.pnl_ratio))?;
    figures(out, week)?;
    days(out, week)?;
    strategies(out, week)?;
    writeln!(out, "\nENTRIES")?;
    fill(out, "", &view::slippage(week))?;
    let changes: Vec<String> = week.changes.iter().map(view::change).collect();
    section(out, "CONFIGURATION (New York time)", &changes)?;
    let faults: Vec<String> = week.faults.iter().map(fault).collect();
    section(out, "FAULTS (New York time)", &faults)?;
    writeln!(out, "\nWATCHED")?;
    fill(out, "", &view::watch(week))?;
    writeln!(out, "\n{}", "-".repeat(WIDTH))?;
    fill(out, "", "One of its days: trade report day DATE")
}

fn figures(out: &mut String, week: &WeekReport) -> fmt::Result {
    let figures = view::figures(week);
    for pair in figures.chunks(2) {
        let cells: Vec<String> = pair.iter().map(|(name, value)| format!("{name:<15}{value:>19}")).collect();
        writeln!(out, "{}", cells.join("    "))?;
    }
    Ok(())
}

fn days(out: &mut String, week: &WeekReport) -> fmt::Result {
    let sessions = &week.summary.sessions;
    let largest = sessions.iter().map(|day| day.pnl.0.unsigned_abs()).max().unwrap_or(0);
    let mut lines: Vec<(SessionDate, String)> =
        sessions.iter().map(|day| (day.session, session_line(day, largest))).collect();
    lines.extend(week.unreported.iter().map(|day| (day.date, unreported_line(day))));
    lines.sort_by_key(|(date, _)| *date);
    writeln!(out, "\n{:<9}{:>12}{:>9}{:>7}{:>7}", "DAYS", "Result", "Return", "Trades", "Faults")?;
    for (_, line) in lines {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `Fri 11-27    +$230.00  +0.23 %      6      2  +++   early close`.
fn session_line(day: &SessionLine, largest: u64) -> String {
    let SessionLine { session, kind, pnl, pnl_ratio, trades, faults, flat, .. } = day;
    let filled = pnl.0.unsigned_abs().saturating_mul(BAR).checked_div(largest).unwrap_or(0);
    let sign = if pnl.is_negative() { "-" } else { "+" };
    let bar = sign.repeat(usize::try_from(filled).unwrap_or(0));
    let kind = (*kind == SessionKind::Early).then_some(words::kind(*kind));
    let notes: Vec<&str> = kind.into_iter().chain((!flat).then_some("NOT FLAT")).collect();
    format!(
        "{}{:>12}{:>9}{trades:>7}{faults:>7}  {bar:<5} {}",
        weekday(*session),
        signed_dollars(*pnl),
        signed_percent(*pnl_ratio),
        notes.join(" ")
    )
}

/// `Thu 11-26  closed: Thanksgiving Day`.
fn unreported_line(day: &UnreportedDay) -> String {
    let UnreportedDay { date, closed_for } = day;
    let why = closed_for.as_ref().map_or_else(|| "no report".to_owned(), |name| format!("closed: {name}"));
    format!("{}  {why}", weekday(*date))
}

fn strategies(out: &mut String, week: &WeekReport) -> fmt::Result {
    if week.strategies.is_empty() {
        return writeln!(out, "\nSTRATEGIES\nNone proposed anything.");
    }
    writeln!(
        out,
        "\n{:<26}{:>7}{:>7}{:>13}{:>9}{:>10}",
        "STRATEGIES", "Trades", "Won", "Result", "Average", "Refused"
    )?;
    for line in &week.strategies {
        let StrategyLine { strategy, trades, win_rate, pnl, refused, .. } = line;
        let won = win_rate.map_or_else(|| UNDEFINED.to_owned(), whole_percent);
        let average = line.r_multiple.map_or_else(|| UNDEFINED.to_owned(), r_multiple);
        writeln!(out, "{strategy:<26}{trades:>7}{won:>7}{:>13}{average:>9}{refused:>10}", signed_dollars(*pnl))?;
    }
    Ok(())
}

fn fault(fault: &Fault) -> String {
    let Fault { at, kind, subject, detail, times } = fault;
    let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
    format!("{} {} {} {subject}: {detail}{times}", date(*at), clock(*at), kind.label())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples::{self, busy_week, holiday_week};

    #[test]
    fn a_busy_week() {
        insta::assert_snapshot!(week_text(&busy_week()));
    }

    #[test]
    fn a_week_with_a_holiday_and_an_early_close() {
        insta::assert_snapshot!(week_text(&holiday_week()));
    }

    #[test]
    fn times_are_new_yorks_on_both_sides_of_a_clock_change() {
        for date in ["2026-10-30", "2026-11-02", "2026-03-06", "2026-03-09"] {
            let text = week_text(&samples::week(&[samples::on(date, samples::rich_day())]));
            assert!(text.contains(&format!("{date} 10:41 feed simulated")), "{date}: {text}");
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_of_72_columns() {
        for week in [busy_week(), holiday_week()] {
            let text = week_text(&week);
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
    }

    #[test]
    fn what_strategies_earned_is_what_the_trades_earned() {
        let week = busy_week();
        let trades: u32 = week.strategies.iter().map(|line| line.trades).sum();
        let refused: u32 = week.strategies.iter().map(|line| line.refused).sum();
        assert_eq!(trades, week.summary.trades);
        assert_eq!(refused, week.summary.sessions.iter().map(|day| day.refused).sum::<u32>());
        assert!(week.strategies.windows(2).all(|pair| pair[0].pnl >= pair[1].pnl));
        let json = serde_json::to_value(&week).unwrap();
        assert_eq!(json["monday"], "2026-11-16");
        assert_eq!(json["unreported"][0], serde_json::json!({"date": "2026-11-19", "closed_for": null}));
        assert_eq!(serde_json::from_value::<WeekReport>(json).unwrap(), week);
    }
}
