//! The day in plain text: 72 columns, readable in a terminal.

use std::fmt::{self, Write};

use daybook_core::report::DayReport;

use super::view::{LimitRow, RefusalRow, TradeRow, View};

pub(super) const WIDTH: usize = 72;
/// Cells of a limit's bar.
const BAR: usize = 14;

/// Writes the day as plain text: lines of at most 72 characters, but for a longer word.
#[must_use]
pub fn plain_text(day: &DayReport) -> String {
    let mut text = String::new();
    let _ = write_day(&mut text, &View::of(day)); // writing to a `String` cannot fail
    text
}

fn write_day(out: &mut String, view: &View) -> fmt::Result {
    writeln!(out, "DAYBOOK{:>width$}", format!("{}, {}", view.date, view.kind), width = WIDTH - 7)?;
    writeln!(out, "{}\n", "=".repeat(WIDTH))?;
    writeln!(out, "{}  ({})\n", view.pnl, view.pnl_ratio)?;
    fill(out, "", &view.verdict)?;
    writeln!(out)?;
    for pair in view.figures.chunks(2) {
        let cells: Vec<String> = pair.iter().map(|(name, value)| format!("{name:<15}{value:>19}")).collect();
        writeln!(out, "{}", cells.join("    "))?;
    }
    if !view.open_positions.is_empty() {
        section(out, "STILL OPEN", &view.open_positions)?;
    }
    if !view.halts.is_empty() {
        section(out, "HALTS", &view.halts)?;
    }
    trades(out, view)?;
    let refusals: Vec<String> = view.refusals.iter().map(refusal).collect();
    section(out, &format!("SIGNALS REFUSED ({})", view.signals), &refusals)?;
    writeln!(out, "\nLIMITS (at the day's worst moment)")?;
    for row in &view.limits {
        limit(out, row)?;
    }
    faults(out, view)?;
    if !view.candidates.is_empty() {
        writeln!(out, "\nTHE SCAN'S CHOICE")?;
        for row in &view.candidates {
            fill(out, "      ", &format!("{}. {}: {}", row.rank, row.symbol, row.factors))?;
        }
        left_out(out, view.candidates_left_out)?;
    }
    writeln!(out, "\nNEXT SESSION")?;
    fill(out, "", &view.next_session)?;
    writeln!(out, "\n{}", "-".repeat(WIDTH))?;
    fill(out, "", &format!("{} {} Again: {}", view.counts, view.gathered, view.command))
}

fn trades(out: &mut String, view: &View) -> fmt::Result {
    writeln!(out, "\nTRADES (New York time, {})", view.zone)?;
    if view.trades.is_empty() {
        return writeln!(out, "None.");
    }
    let row = |out: &mut String, cells: [&str; 7]| {
        let [symbol, side, quantity, entry, exit, pnl, multiple] = cells;
        let line = format!("{symbol:<8}{side:<5}{quantity:>8}{entry:>15}{exit:>15}{pnl:>13}{multiple:>8}");
        writeln!(out, "{}", line.trim_end())
    };
    row(out, ["Symbol", "Side", "Shares", "In", "Out", "Result", ""])?;
    for trade in &view.trades {
        let TradeRow { symbol, direction, quantity, pnl, r_multiple, strategy, story, .. } = trade;
        let entry = format!("{} {:>8}", trade.entered, trade.entry_price);
        let exit = format!("{} {:>8}", trade.exited, trade.exit_price);
        row(out, [symbol, direction, quantity, &entry, &exit, pnl, r_multiple])?;
        fill(out, "        ", &format!("{}{strategy}; {story}", " ".repeat(8)))?;
    }
    left_out(out, view.trades_left_out)
}

fn refusal(row: &RefusalRow) -> String {
    format!("{} {}: {}: {}", row.when, row.who, row.check, row.why)
}

fn limit(out: &mut String, row: &LimitRow) -> fmt::Result {
    let filled = usize::try_from(row.filled).unwrap_or(0) * BAR / 100;
    let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR.saturating_sub(filled)));
    writeln!(out, "{:<17}{:>30}{:>6}  [{bar}]", row.label, row.used, row.share)
}

fn faults(out: &mut String, view: &View) -> fmt::Result {
    let lines: Vec<String> = view
        .faults
        .iter()
        .map(|row| {
            let times = if row.times > 1 { format!(" ({} times)", row.times) } else { String::new() };
            format!("{} {}: {}{times}", row.at, row.what, row.detail)
        })
        .collect();
    section(out, "FAULTS", &lines)?;
    left_out(out, view.faults_left_out)
}

pub(super) fn section(out: &mut String, name: &str, lines: &[String]) -> fmt::Result {
    writeln!(out, "\n{name}")?;
    if lines.is_empty() {
        writeln!(out, "None.")?;
    }
    lines.iter().try_for_each(|line| fill(out, "      ", line))
}

fn left_out(out: &mut String, number: usize) -> fmt::Result {
    if number == 0 { Ok(()) } else { writeln!(out, "      and {number} more.") }
}

/// Breaks words into lines; spaces that lead the first line stay, `indent` leads the others.
pub(super) fn fill(out: &mut String, indent: &str, words: &str) -> fmt::Result {
    let lead = words.len() - words.trim_start_matches(' ').len();
    let mut line = " ".repeat(lead);
    let mut column = lead;
    let mut fresh = true;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if !fresh && column + 1 + length > WIDTH {
            writeln!(out, "{line}")?;
            line = indent.to_owned();
            column = indent.len();
            fresh = true;
        }
        if !fresh {
            line.push(' ');
            column += 1;
        }
        line.push_str(word);
        column += length;
        fresh = false;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples;

    #[test]
    fn a_busy_day() {
        insta::assert_snapshot!(plain_text(&samples::rich_day()));
    }

    #[test]
    fn an_empty_day() {
        insta::assert_snapshot!(plain_text(&samples::empty_day()));
    }

    #[test]
    fn an_emergency_stop_day() {
        insta::assert_snapshot!(plain_text(&samples::emergency_stop_day()));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_of_72_columns() {
        for day in [samples::rich_day(), samples::empty_day(), samples::emergency_stop_day()] {
            for line in plain_text(&day).lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn words_are_broken_at_the_edge_and_indented_from_the_second_line_on() {
        let mut out = String::new();
        fill(&mut out, "    ", &format!("  {} end", "word ".repeat(14))).unwrap();
        assert_eq!(out, format!("  {}\n    end\n", ["word"; 14].join(" ")));
    }
}
