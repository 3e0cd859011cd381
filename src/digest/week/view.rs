//! A week in words: what its page and its plain text have in common.

use daybook_core::calendar::SessionKind;
use daybook_core::report::words::{
    self, clock, counted, date, dollars, factor, percent, r_multiple, signed_dollars, signed_percent, whole_percent,
};
use daybook_core::report::{ConfigChange, Fault, SessionLine, StrategyLine, UnreportedDay, WeekReport};
use daybook_core::time::SessionDate;
use serde::Serialize;

use super::super::view::{Tone, tone};

/// What stands where a figure is not defined.
pub(super) const UNDEFINED: &str = "-";
/// Faults that the page shows; mail readers cut a page off at about 100 kB.
const FAULTS_SHOWN_MAX: usize = 30;

#[derive(Debug, Serialize)]
pub(super) struct View {
    pub title: String,
    pub week: String,
    pub tone: Tone,
    pub pnl: String,
    pub pnl_ratio: String,
    pub verdict: String,
    pub figures: Vec<(&'static str, String)>,
    pub days: Vec<DayCell>,
    pub strategies: Vec<StrategyRow>,
    pub slippage: String,
    pub changes: Vec<String>,
    pub faults: Vec<FaultRow>,
    pub faults_left_out: usize,
    pub watch: String,
    pub gathered: String,
    pub command: String,
}

/// A day of the calendar.
#[derive(Debug, Serialize)]
pub(super) struct DayCell {
    pub weekday: String,
    pub pnl: String,
    pub pnl_ratio: String,
    pub tone: Tone,
    pub note: String,
}

#[derive(Debug, Serialize)]
pub(super) struct StrategyRow {
    pub name: String,
    pub trades: u32,
    pub won: String,
    pub pnl: String,
    pub tone: Tone,
    pub average: String,
    pub refused: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct FaultRow {
    pub at: String,
    pub what: String,
    pub detail: String,
}

impl View {
    pub(super) fn of(week: &WeekReport) -> Self {
        Self {
            title: words::week_subject(week),
            week: title(week),
            tone: tone(week.summary.pnl.0),
            pnl: signed_dollars(week.summary.pnl),
            pnl_ratio: signed_percent(week.summary.pnl_ratio),
            verdict: words::week_verdict(week),
            figures: figures(week),
            days: days(week),
            strategies: week.strategies.iter().map(strategy_row).collect(),
            slippage: slippage(week),
            changes: week.changes.iter().map(change).collect(),
            faults: week.faults.iter().take(FAULTS_SHOWN_MAX).map(fault_row).collect(),
            faults_left_out: week.faults.len().saturating_sub(FAULTS_SHOWN_MAX),
            watch: watch(week),
            gathered: format!("Figures of {}.", words::instant(week.as_of)),
            command: format!("trade report week {}", week.monday),
        }
    }
}

/// `week of November 16, 2026`.
pub(super) fn title(week: &WeekReport) -> String {
    format!("week of {}", week.monday.0.format("%B %-d, %Y"))
}

pub(super) fn figures(week: &WeekReport) -> Vec<(&'static str, String)> {
    let sum = &week.summary;
    let undefined = || UNDEFINED.to_owned();
    vec![
        ("Opening equity", dollars(sum.opening_equity)),
        ("Closing equity", dollars(sum.closing_equity)),
        ("Sessions", sum.sessions.len().to_string()),
        ("Fees", dollars(sum.fees)),
        ("Trades", sum.trades.to_string()),
        ("Win rate", sum.win_rate.map_or_else(undefined, whole_percent)),
        ("Profit factor", sum.profit_factor.map_or_else(undefined, factor)),
        ("Max drawdown", format!("{} ({})", dollars(sum.max_drawdown), percent(sum.max_drawdown_ratio))),
    ]
}

/// `Thu 11-26`.
pub(super) fn weekday(date: SessionDate) -> String {
    date.0.format("%a %m-%d").to_string()
}

fn days(week: &WeekReport) -> Vec<DayCell> {
    let reported = week.summary.sessions.iter().map(|day| (day.session, day_cell(day)));
    let others = week.unreported.iter().map(|day| (day.date, blank_cell(day)));
    let mut cells: Vec<(SessionDate, DayCell)> = reported.chain(others).collect();
    cells.sort_by_key(|(date, _)| *date);
    cells.into_iter().map(|(_, cell)| cell).collect()
}

fn day_cell(day: &SessionLine) -> DayCell {
    let trades = counted(usize::try_from(day.trades).unwrap_or(usize::MAX), "trade", "trades");
    let kind = (day.kind == SessionKind::Early).then(|| words::kind(day.kind).to_owned());
    let notes = [Some(trades), kind, (!day.flat).then(|| "NOT FLAT".to_owned())];
    DayCell {
        weekday: weekday(day.session),
        pnl: signed_dollars(day.pnl),
        pnl_ratio: signed_percent(day.pnl_ratio),
        tone: if day.flat { tone(day.pnl.0) } else { Tone::Warn },
        note: notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
    }
}

fn blank_cell(day: &UnreportedDay) -> DayCell {
    DayCell {
        weekday: weekday(day.date),
        pnl: UNDEFINED.to_owned(),
        pnl_ratio: String::new(),
        tone: Tone::Plain,
        note: day.closed_for.clone().unwrap_or_else(|| "no report".to_owned()),
    }
}

fn strategy_row(line: &StrategyLine) -> StrategyRow {
    let undefined = || UNDEFINED.to_owned();
    StrategyRow {
        name: line.strategy.clone(),
        trades: line.trades,
        won: line.win_rate.map_or_else(undefined, whole_percent),
        pnl: signed_dollars(line.pnl),
        tone: tone(line.pnl.0),
        average: line.r_multiple.map_or_else(undefined, r_multiple),
        refused: line.refused,
    }
}

/// What entries cost against the prices that their signals saw, in a sentence.
pub(super) fn slippage(week: &WeekReport) -> String {
    let Some(slippage) = &week.slippage else { return "No entry was filled.".to_owned() };
    let entries = counted(usize::try_from(slippage.entries).unwrap_or(usize::MAX), "entry", "entries");
    let did = if slippage.cost.is_negative() { "gained" } else { "cost" };
    let (amount, average) = (dollars(slippage.cost.abs()), signed_percent(slippage.average));
    let (symbol, worst) = slippage.worst;
    format!(
        "{entries} {did} {amount} against the prices of their signals, {average} on average; {symbol} most with {}.",
        signed_percent(worst)
    )
}

/// `11-17 10:02 version 8: risk.max_positions 5 -> 3`.
pub(super) fn change(change: &ConfigChange) -> String {
    let ConfigChange { version, at, what, note } = change;
    let what = if what.is_empty() { "in force".to_owned() } else { what.join("; ") };
    let note = note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    format!("{} {} version {version}: {what}{note}", date(*at), clock(*at))
}

/// How much was watched, in a sentence.
pub(super) fn watch(week: &WeekReport) -> String {
    let watch = week.watch;
    let starts = counted(usize::try_from(watch.starts).unwrap_or(usize::MAX), "start", "starts");
    match watch.share() {
        Some(share) => format!(
            "The risk monitor made {} of {} looks ({}); {starts} of the scheduler.",
            watch.done,
            watch.due,
            percent(share)
        ),
        None => format!("No look of the risk monitor was due; {starts} of the scheduler."),
    }
}

fn fault_row(fault: &Fault) -> FaultRow {
    let Fault { at, kind, subject, detail, times } = fault;
    let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
    FaultRow {
        at: format!("{} {}", date(*at), clock(*at)),
        what: format!("{} {subject}", kind.label()),
        detail: format!("{detail}{times}"),
    }
}
