//! A week in plain text: 72 columns, readable in a terminal.

use std::fmt::{self, Write};

use daybook_core::calendar::SessionKind;
use daybook_core::report::words::{
    self, clock, date, dollars, factor, percent, r_multiple, signed_dollars, signed_percent, whole_percent,
};
use daybook_core::report::{Fault, SessionLine, StrategyLine, UnreportedDay, WeekReport};
use daybook_core::time::SessionDate;

use super::text::{WIDTH, fill, section};

/// Cells of the longest bar of a day's result.
const BAR: u64 = 5;

/// What stands where a figure is not defined.
const UNDEFINED: &str = "-";

/// Writes the week as plain text: lines of at most 72 characters, but for a longer word.
#[must_use]
pub fn week_text(week: &WeekReport) -> String {
    let mut text = String::new();
    let _ = write_week(&mut text, week); // writing to a `String` cannot fail
    text
}

fn write_week(out: &mut String, week: &WeekReport) -> fmt::Result {
    let title = format!("week of {}", week.monday.0.format("%B %-d, %Y"));
    writeln!(out, "DAYBOOK{title:>width$}", width = WIDTH - 7)?;
    writeln!(out, "{}\n", "=".repeat(WIDTH))?;
    writeln!(out, "{}  ({})\n", signed_dollars(week.summary.pnl), signed_percent(week.summary.pnl_ratio))?;
    figures(out, week)?;
    days(out, week)?;
    strategies(out, week)?;
    let faults: Vec<String> = week.faults.iter().map(fault).collect();
    section(out, "FAULTS (New York time)", &faults)?;
    writeln!(out, "\n{}", "-".repeat(WIDTH))?;
    fill(out, "", "One of its days: trade report day DATE")
}

fn figures(out: &mut String, week: &WeekReport) -> fmt::Result {
    let sum = &week.summary;
    let undefined = || UNDEFINED.to_owned();
    let figures = [
        ("Opening equity", dollars(sum.opening_equity)),
        ("Closing equity", dollars(sum.closing_equity)),
        ("Sessions", sum.sessions.len().to_string()),
        ("Fees", dollars(sum.fees)),
        ("Trades", sum.trades.to_string()),
        ("Win rate", sum.win_rate.map_or_else(undefined, whole_percent)),
        ("Profit factor", sum.profit_factor.map_or_else(undefined, factor)),
        ("Max drawdown", format!("{} ({})", dollars(sum.max_drawdown), percent(sum.max_drawdown_ratio))),
    ];
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

fn weekday(date: SessionDate) -> String {
    date.0.format("%a %m-%d").to_string()
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
    use daybook_core::calendar::Calendar;
    use daybook_core::report::DayReport;

    use super::*;
    use crate::digest::samples;

    /// A day's report as that of another session: everything happens at the same time of day.
    fn on(date: &str, mut day: DayReport) -> DayReport {
        let (from, calendar) = (day.opened_at, Calendar::xnys());
        let session = calendar.session(date.parse().unwrap()).unwrap();
        (day.session, day.kind) = (session.date, session.kind);
        (day.opened_at, day.closed_at) = (session.open, session.close);
        for fault in &mut day.faults {
            fault.at = session.open.after(fault.at.since(from));
        }
        day
    }

    fn week(days: &[DayReport]) -> WeekReport {
        WeekReport::build(days, &Calendar::xnys()).unwrap().unwrap()
    }

    fn busy_week() -> WeekReport {
        week(&[
            on("2026-11-16", samples::rich_day()),
            on("2026-11-17", samples::empty_day()),
            on("2026-11-18", samples::emergency_stop_day()),
        ])
    }

    #[test]
    fn a_busy_week() {
        insta::assert_snapshot!(week_text(&busy_week()));
    }

    #[test]
    fn a_week_with_a_holiday_and_an_early_close() {
        let days = [on("2026-11-24", samples::empty_day()), on("2026-11-27", samples::rich_day())];
        insta::assert_snapshot!(week_text(&week(&days)));
    }

    #[test]
    fn times_are_new_yorks_on_both_sides_of_a_clock_change() {
        for date in ["2026-10-30", "2026-11-02", "2026-03-06", "2026-03-09"] {
            let text = week_text(&week(&[on(date, samples::rich_day())]));
            assert!(text.contains(&format!("{date} 10:41 feed simulated")), "{date}: {text}");
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_of_72_columns() {
        let early_close = on("2026-11-27", samples::emergency_stop_day());
        for week in [busy_week(), week(&[early_close])] {
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
