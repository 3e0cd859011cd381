//! What a person sees while days go by: one line that moves on a terminal, plain lines elsewhere, and a
//! table at the end.

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
