//! What a person sees while days go by: one line that moves on a terminal, plain lines elsewhere, and a
//! table at the end. And the way by which all text comes to a terminal: what others have said (a feed, a broker, a file)
//! moves no cursor, paints nothing and turns no text around.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};
use daybook_core::money::Money;
use daybook_core::phase::Phase;
use daybook_core::report::words;
use daybook_core::schedule::JobKind;
use daybook_core::time::{SessionDate, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::engine::Parts;
use crate::engine::bus::Event;
use crate::engine::driver::Ended;
use crate::ledger::{Ledger, LedgerError, day, equity};
use crate::wiring::{self, Wired};

/// A header line above the rows, no borders: narrow, and easy to `grep`.
pub const TABLE_STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none());

/// Colours, and the characters that stand for them until text is written: no text has a use for these, and what a
/// terminal would obey stands in none that is not ours.
const PAINTS: [(char, &str, &str); 6] = [
    (RESET, "0", "\x1b[0m"),
    ('\u{fdd1}', "1", "\x1b[1m"),
    ('\u{fdd2}', "2", "\x1b[2m"),
    ('\u{fdd3}', "31", "\x1b[31m"),
    ('\u{fdd4}', "32", "\x1b[32m"),
    ('\u{fdd5}', "33", "\x1b[33m"),
];

/// What ends a colour.
const RESET: char = '\u{fdd0}';

/// The longest line of an error, in characters: what it repeats may be as long as a file.
const LINE_MAX: usize = 1_000;

/// A text in a colour, by the colour's number; [`shown`] paints it.
#[must_use]
pub fn painted(code: &str, text: &str) -> String {
    match PAINTS.iter().find(|(_, known, _)| *known == code) {
        Some((mark, _, _)) => format!("{mark}{text}{RESET}"),
        None => text.to_owned(),
    }
}

/// A text as a terminal may have it: what it would obey is written out (`\u{1b}`), line ends and tabs are left.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_obeyed(c) || ('\u{fdd0}'..='\u{fdef}').contains(&c))
}

/// A text of ours, in which others may be repeated, as it goes to a terminal: with its colours and nothing else that a
/// terminal obeys.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    let escaped = escaped(text, is_obeyed);
    if !escaped.contains(|c: char| PAINTS.iter().any(|(mark, _, _)| *mark == c)) {
        return escaped;
    }
    Cow::Owned(PAINTS.iter().fold(escaped.into_owned(), |text, (mark, _, sequence)| text.replace(*mark, sequence)))
}

/// A text whose lines have an end.
#[must_use]
pub fn bounded(text: &str) -> Cow<'_, str> {
    if text.lines().all(|line| line.len() <= LINE_MAX) {
        return Cow::Borrowed(text);
    }
    let cut = |line: &str| match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    };
    Cow::Owned(text.lines().map(cut).collect::<Vec<_>>().join("\n"))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_escaped(c) {
            true => escaped.extend(c.escape_unicode()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal does something at a character instead of showing it: control characters, and those that turn the
/// direction of the text around them.
fn is_obeyed(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => c.is_control(),
    }
}

/// How often the line on a terminal is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Runs a simulation and shows its days going by.
///
/// # Errors
/// What the ledger could not take.
pub async fn show(wired: &Wired, stop: CancellationToken) -> anyhow::Result<Ended> {
    let events = wired.parts.bus.subscribe();
    let from = wired.parts.sources.clock.wall();
    let until = wired.until.unwrap_or(from);
    let parts = wired.parts.clone();
    let watching = tokio::spawn(async move { watch(&parts, events, from, until).await });
    let ended = wiring::run(wired, stop, Arc::new(|| {})).await;
    watching.abort();
    // It was stopped, or it has ended by itself.
    drop(watching.await);
    ended
}

async fn watch(parts: &Parts, mut events: Receiver<Event>, from: Timestamp, until: Timestamp) {
    let on_terminal = std::io::stderr().is_terminal();
    let bar = if on_terminal { progress_bar(from, until) } else { ProgressBar::hidden() };
    let mut seen = Seen { runs: 0, phase: Phase::Stopped, drawn: None };
    loop {
        match events.recv().await {
            Ok(Event::Finished { .. }) | Err(RecvError::Closed) => break,
            // The line shows the latest; what was missed stands in the ledger.
            Ok(Event::Heartbeat { .. }) | Err(RecvError::Lagged(_)) => {}
            Ok(Event::PhaseChanged { at, to, .. }) => {
                seen.phase = to;
                if !on_terminal {
                    eprintln!("{}  {to}", local(parts, at));
                }
            }
            Ok(Event::RunEnded { at, kind, job, state, summary, .. }) => {
                seen.runs += 1;
                if !on_terminal && is_news(kind) {
                    let summary = visible(&summary);
                    eprintln!("{}  {job}: {}: {summary}", local(parts, at), state.as_str());
                }
                bar.set_position(u64::try_from((at.0 - from.0) / 60_000).unwrap_or(0));
                if on_terminal && seen.is_due() {
                    bar.set_message(seen.line(parts, at));
                }
            }
        }
    }
    bar.finish_and_clear();
}

/// The jobs whose every run is worth a line where nothing is drawn.
const fn is_news(kind: JobKind) -> bool {
    match kind {
        JobKind::PremarketScan | JobKind::MarketCloseFlatten | JobKind::DailySummary | JobKind::WeeklySummary => true,
        JobKind::Reconcile
        | JobKind::Analysis
        | JobKind::RiskMonitor
        | JobKind::Housekeeping
        | JobKind::Command
        | JobKind::Operator => false,
    }
}

fn progress_bar(from: Timestamp, until: Timestamp) -> ProgressBar {
    let minutes = u64::try_from((until.0 - from.0) / 60_000).unwrap_or(0);
    let bar = ProgressBar::new(minutes);
    // The template is a constant; the default style stands in should it ever be wrong.
    let style =
        ProgressStyle::with_template("{bar:24.cyan/dim} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━━─"));
    bar
}

fn local(parts: &Parts, at: Timestamp) -> String {
    at.in_zone(parts.sources.calendar.zone()).format("%Y-%m-%d %H:%M:%S").to_string()
}

struct Seen {
    runs: u64,
    phase: Phase,
    drawn: Option<Instant>,
}

impl Seen {
    #[expect(clippy::disallowed_methods, reason = "how often a terminal is drawn is no fact of the day")]
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if self.drawn.is_some_and(|at| now.duration_since(at) < DRAW_EVERY) {
            return false;
        }
        self.drawn = Some(now);
        true
    }

    fn line(&self, parts: &Parts, at: Timestamp) -> String {
        let figures = parts.sources.ledger.read(day::running_figures).unwrap_or_default();
        format!(
            "{} New York  {:<11}  {} runs  {} orders  {} open  day P&L {}",
            at.in_zone(parts.sources.calendar.zone()).format("%a %m-%d %H:%M"),
            self.phase,
            self.runs,
            figures.orders,
            figures.open_positions,
            words::signed_dollars(figures.day_pnl),
        )
    }
}

/// The table at the end of a simulation: a line a session, and their sum.
///
/// # Errors
/// If the ledger cannot be read.
pub fn summary(ledger: &Ledger, first: SessionDate, last: SessionDate) -> Result<String, LedgerError> {
    let days = ledger.read(|conn| equity::days(conn, first, last))?;
    let mut table = Table::new();
    table.load_style(TABLE_STYLE);
    table.set_header([
        "session",
        "P&L",
        "trades",
        "won",
        "refused",
        "max drawdown",
        "fees",
        "closing equity",
        "faults",
    ]);
    let mut total = (Money::ZERO, 0, 0, 0);
    for day in &days {
        let won = day.trades.iter().filter(|trade| trade.pnl.is_positive()).count();
        total.0 = Money(total.0.0.saturating_add(day.pnl.0));
        total.1 += day.trades.len();
        total.2 += won;
        total.3 += day.faults.len();
        table.add_row([
            day.session.to_string(),
            words::signed_dollars(day.pnl),
            day.trades.len().to_string(),
            won.to_string(),
            day.refused.iter().map(|refusal| refusal.times).sum::<u32>().to_string(),
            words::signed_dollars(day.max_drawdown.negated()),
            words::signed_dollars(day.fees.negated()),
            words::dollars(day.closing_equity),
            day.faults.len().to_string(),
        ]);
    }
    let blank = String::new;
    table.add_row([
        "total".to_owned(),
        words::signed_dollars(total.0),
        total.1.to_string(),
        total.2.to_string(),
        blank(),
        blank(),
        blank(),
        blank(),
        total.3.to_string(),
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, expected) in [
            ("evil \x1b]0;pwned\x07\x1b[31mRED", "evil \\u{1b}]0;pwned\\u{7}\\u{1b}[31mRED"),
            ("c1 \u{9b}31m del \x7f cr \r", "c1 \\u{9b}31m del \\u{7f} cr \\u{d}"),
            ("\u{202e}txt.exe\u{2069}", "\\u{202e}txt.exe\\u{2069}"),
            ("two\nlines\tü 🙂", "two\nlines\tü 🙂"),
        ] {
            assert_eq!(visible(text), expected);
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn only_our_own_colours_are_painted() {
        let text = painted("31", &visible("\x1b[32m\u{fdd4}x"));
        assert_eq!(shown(&text), "\x1b[31m\\u{1b}[32m\\u{fdd4}x\x1b[0m");
        assert_eq!(painted("99", "x"), "x");
    }

    #[test]
    fn a_line_has_an_end() {
        let long = format!("short\n{}\nshort", "ü".repeat(20_000));
        let cut = bounded(&long);
        assert_eq!(cut.lines().map(|line| line.chars().count()).collect::<Vec<_>>(), [5, 1_001, 5]);
        assert_eq!(bounded("short\n"), "short\n");
    }
}
