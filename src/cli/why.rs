//! `trade why`: the story of a symbol, each time it was considered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use daybook_core::calendar::Calendar;
use daybook_core::market::Symbol;
use daybook_core::money::Price;
use daybook_core::order::{Action, OrderClass, OrderRole, OrderTicket, OrderType, Trail};
use daybook_core::report::words;
use daybook_core::risk::{Check, Verdict};
use daybook_core::schedule::JobKind;
use daybook_core::strategy::{Evaluation, Reason};
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::Paint;
use super::time::{Moment, ZONE, date, midnight, session_of};
use crate::config::Settings;
use crate::engine::job::Answer;
use crate::engine::{JobTable, verify};
use crate::jobs;
use crate::ledger::Ledger;
use crate::ledger::history::{self, RunRow};
use crate::ledger::record::{self, BarsRead};
use crate::ledger::why::{
    self, Consideration, ConsideredIntent, ConsideredOrder, ConsideredPosition, ConsideredSignal,
};

/// `trade why SYMBOL`.
#[derive(Debug, Args)]
pub struct WhyCommand {
    /// The symbol
    symbol: Symbol,
    /// What was decided last at this instant: New York time, or with a zone
    #[arg(long, value_name = "TIME", conflicts_with = "session")]
    at: Option<Moment>,
    /// Only in this session [default: all]
    #[arg(long, value_name = "DATE", value_parser = date)]
    session: Option<SessionDate>,
}

/// What is told of a symbol.
#[derive(Debug, Serialize)]
struct Told {
    symbol: Symbol,
    considerations: Vec<Look>,
    positions: Vec<ConsideredPosition>,
}

/// One time it was considered.
#[derive(Debug, Serialize)]
struct Look {
    #[serde(flatten)]
    seen: Consideration,
    /// What strategies or the scan answered, where nothing came of it: worked out again from the run's
    /// recorded facts.
    answers: Vec<Answer>,
}

impl WhyCommand {
    /// Tells the story.
    ///
    /// # Errors
    /// If there is no such session, or the ledger is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let calendar = context.usable_configuration()?.settings.calendar();
        let ledger = context.ledger()?;
        let at = self.at.map(Moment::echoed);
        let day = match (self.session, at) {
            (Some(date), _) => Some(session_of(&calendar, date)?.date),
            (None, at) => at.map(|at| at.date_in(ZONE)),
        };
        let (from, until) = match day {
            Some(date) => (midnight(date, ZONE), midnight(date.plus_days(1), ZONE)),
            None => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
        };
        let mut told = gather(&ledger, &calendar, self.symbol, from, until)?;
        if let Some(at) = at {
            let last = told.considerations.iter().map(|look| look.seen.slot).filter(|slot| *slot <= at).max();
            let last = last.ok_or_else(|| {
                let when = words::instant(at);
                CommandError::Usage(format!("{} was not considered on that day up to {when}", self.symbol))
            })?;
            told.considerations.retain(|look| look.seen.slot == last);
            told.positions.retain(|held| {
                let position = &held.position.position;
                position.opened_at <= at && position.closed_at.is_none_or(|closed| closed > at)
            });
        }
        context.output.document(&told, |told, paint| told.text(paint))
    }
}

fn gather(
    ledger: &Ledger,
    calendar: &Calendar,
    symbol: Symbol,
    from: Timestamp,
    until: Timestamp,
) -> anyhow::Result<Told> {
    let account = &ledger.meta().account;
    let (story, scans) = ledger.read(|conn| {
        let story = why::story(conn, account, symbol, from, until)?;
        Ok((story, history::runs_of_kind(conn, JobKind::PremarketScan, from, until)?))
    })?;
    let mut again =
        Again { ledger, calendar, table: jobs::table(), settings: BTreeMap::new(), bars: BarsRead::default() };
    let mut looks = Vec::new();
    for scan in scans {
        if story.considerations.iter().all(|seen| seen.run_id != scan.run_id) {
            let answers = again.answers(scan.run_id, symbol)?;
            if !answers.is_empty() {
                looks.push(Look { seen: unchosen(scan), answers });
            }
        }
    }
    for seen in story.considerations {
        let answers = if is_quiet(&seen) { again.answers(seen.run_id, symbol)? } else { Vec::new() };
        looks.push(Look { seen, answers });
    }
    looks.sort_by_key(|look| (look.seen.slot, look.seen.run_id));
    Ok(Told { symbol, considerations: looks, positions: story.positions })
}

/// Whether nothing came of a consideration.
fn is_quiet(seen: &Consideration) -> bool {
    seen.candidate.is_none() && seen.signals.is_empty() && seen.intents.is_empty()
}

/// A scan that has seen the symbol and has not chosen it.
fn unchosen(scan: RunRow) -> Consideration {
    let RunRow { run_id, job, slot, session, state, summary, .. } = scan;
    let (market, candidate, signals, intents) = (None, None, Vec::new(), Vec::new());
    let config_version = None;
    Consideration { run_id, job, slot, session, state, summary, config_version, market, candidate, signals, intents }
}

/// Asks recorded runs again.
struct Again<'a> {
    ledger: &'a Ledger,
    calendar: &'a Calendar,
    table: JobTable,
    settings: BTreeMap<String, Arc<Settings>>,
    bars: BarsRead,
}

impl Again<'_> {
    /// What the run's job answers about a symbol; nothing where its record was pruned.
    fn answers(&mut self, run_id: i64, symbol: Symbol) -> anyhow::Result<Vec<Answer>> {
        let bars = &mut self.bars;
        let Some(recorded) = self.ledger.read(|conn| record::recorded(conn, run_id, bars))? else {
            return Ok(Vec::new());
        };
        let Some(job) = self.table.get(&recorded.kind) else { return Ok(Vec::new()) };
        let hash = &recorded.settings_hash;
        let settings = match self.settings.get(hash) {
            Some(known) => known.clone(),
            None => {
                let read = Arc::new(verify::settings_of(self.ledger, hash)?);
                self.settings.insert(hash.clone(), read.clone());
                read
            }
        };
        let terms = verify::terms_of(&recorded, &self.ledger.meta().ledger_id, self.calendar, settings);
        job.answers_again(&recorded.facts, recorded.bars, &terms, symbol)
    }
}

/// New York's time of day, to the second.
fn clock(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%H:%M:%S").to_string()
}

/// Text that grows by lines. Writing to a `String` cannot fail.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, indent: usize, text: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    /// Text that is broken between words where the line would become too long.
    fn wrapped(&mut self, indent: usize, text: &str) {
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(indent, &line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(indent, &line);
    }
}

/// The width of the story, in characters; a single long word may pass it.
const WIDTH: usize = 100;
/// The widest value of a check that the others are lined up with.
const VALUE_WIDTH_MAX: usize = 32;

/// Where what belongs to a look stands: under its job's name.
const UNDER: usize = 12;

impl Told {
    fn text(&self, paint: Paint) -> String {
        let mut lines = Lines::default();
        if self.considerations.is_empty() && self.positions.is_empty() {
            lines.line(0, format_args!("{} was never considered in that time", self.symbol));
        }
        let mut rest = self.considerations.as_slice();
        let mut day = None;
        while let Some(first) = rest.first() {
            let today = first.seen.slot.date_in(ZONE);
            if day != Some(today) {
                let blank = if day.is_some() { "\n" } else { "" };
                lines.line(
                    0,
                    format_args!("{blank}{}", paint.bold(&format!("{}, {}", self.symbol, words::long_date(today)))),
                );
                day = Some(today);
            }
            let alike = rest.iter().take_while(|look| first.reads_like(look)).count().max(1);
            let (group, later) = rest.split_at(alike);
            match group {
                [look] => look.write(&mut lines, paint),
                [first, .., last] => Look::write_group(&mut lines, group, first, last),
                [] => {}
            }
            rest = later;
        }
        for held in &self.positions {
            write_position(&mut lines, held, paint);
        }
        lines.0
    }
}

impl Look {
    /// Whether two looks of one day came to nothing on the same ground, and read as one.
    fn reads_like(&self, other: &Self) -> bool {
        let ground =
            |look: &Self| look.answers.iter().map(|answer| (answer.by.clone(), decided_by(answer))).collect::<Vec<_>>();
        is_quiet(&self.seen)
            && is_quiet(&other.seen)
            && self.seen.slot.date_in(ZONE) == other.seen.slot.date_in(ZONE)
            && ground(self) == ground(other)
    }

    fn write_group(lines: &mut Lines, group: &[Self], first: &Self, last: &Self) {
        let jobs: BTreeSet<&str> = group.iter().map(|look| look.seen.job.as_str()).collect();
        let jobs = jobs.into_iter().collect::<Vec<_>>().join(" and ");
        let (from, to) = (clock(first.seen.slot), clock(last.seen.slot));
        lines.line(2, format_args!("{from}  {jobs}, {} times until {to}: nothing", group.len()));
        write_answers(lines, &last.answers, "at last");
    }

    fn write(&self, lines: &mut Lines, paint: Paint) {
        let Consideration { run_id, job, slot, market, candidate, signals, intents, summary, config_version, .. } =
            &self.seen;
        let outcome = match (candidate, signals.is_empty(), intents.is_empty()) {
            (Some(candidate), _, _) => format!("chosen as number {}", candidate.rank),
            (None, true, true) => "nothing".to_owned(),
            (None, true, false) => summary.clone().unwrap_or_default(),
            (None, false, _) => words::counted(signals.len(), "proposal", "proposals"),
        };
        lines.line(2, format_args!("{}  {job}, run {run_id}: {outcome}", clock(*slot)));
        if let Some(market) = market {
            lines.wrapped(UNDER, &format!("the market was {}", market.words()));
        }
        if let Some(candidate) = candidate {
            lines.wrapped(UNDER, &words::reasons(&candidate.factors));
        }
        write_answers(lines, &self.answers, "it measured");
        for signal in signals {
            write_signal(lines, signal, paint);
        }
        for intent in intents {
            write_intent(lines, intent);
        }
        if let Some(version) = config_version.filter(|_| !intents.is_empty()) {
            lines.line(UNDER, format_args!("decided under version {version} of the configuration"));
        }
    }
}

/// The measure that decided an answer.
fn decided_by(answer: &Answer) -> Option<String> {
    match &answer.evaluation {
        Evaluation::None(grounds) => grounds.last().map(|reason| reason.measure.to_string()),
        Evaluation::Signal(_) => None,
    }
}

fn write_answers(lines: &mut Lines, answers: &[Answer], when: &str) {
    for Answer { by, evaluation } in answers {
        match evaluation {
            Evaluation::None(grounds) => match grounds.split_last() {
                Some((Reason { measure, value }, [])) => {
                    lines.wrapped(UNDER, &format!("{by} says no: {measure} {value}"))
                }
                Some((Reason { measure, value }, before)) => {
                    lines.wrapped(UNDER, &format!("{by} says no: {measure} {value}"));
                    lines.wrapped(UNDER + 2, &format!("{when}: {}", words::reasons(before)));
                }
                None => lines.line(UNDER, format_args!("{by} says no")),
            },
            Evaluation::Signal(signal) => {
                lines.line(UNDER, format_args!("{by} would propose {} at {}", signal.direction.as_str(), signal.entry));
            }
        }
    }
}

fn write_signal(lines: &mut Lines, ConsideredSignal { signal, verdict, .. }: &ConsideredSignal, paint: Paint) {
    let price = words::price;
    lines.wrapped(
        UNDER,
        &format!(
            "{} proposes {}: entry {}, stop {}, target {}, confidence {}, good until {}",
            signal.strategy,
            signal.direction.as_str(),
            price(signal.entry),
            price(signal.stop),
            price(signal.target),
            signal.confidence,
            clock(signal.valid_until)
        ),
    );
    lines.wrapped(UNDER + 2, &format!("because {}", words::reasons(&signal.reasons)));
    let Verdict { quantity, refused_by, checks } = verdict;
    for line in check_lines(checks, paint) {
        lines.line(UNDER + 2, format_args!("{line}"));
    }
    match (quantity, refused_by) {
        (_, Some(check)) => {
            lines.line(UNDER, format_args!("{}", paint.red(&format!("risk refuses it: {}", words::check(*check)))));
        }
        (Some(quantity), None) => {
            lines.line(UNDER, paint.green(&format!("risk allows {} shares", words::shares(*quantity))));
        }
        // The ledger holds no verdict without one of the two.
        (None, None) => {}
    }
}

/// Checks with their numbers, a line each, lined up.
#[must_use]
pub fn check_lines(checks: &[Check], paint: Paint) -> Vec<String> {
    let name_width = checks.iter().map(|check| words::check(check.name).len()).max().unwrap_or(0);
    let value_width = checks.iter().map(|check| check.value.chars().count()).max().unwrap_or(0).min(VALUE_WIDTH_MAX);
    let line = |Check { name, passed, value, limit }: &Check| {
        let mark = if *passed { paint.green("ok") } else { paint.red("NO") };
        let name = words::check(*name);
        format!("{mark}  {name:<name_width$}  {value:<value_width$}  against {limit}")
    };
    checks.iter().map(line).collect()
}

fn write_intent(lines: &mut Lines, ConsideredIntent { intent, orders }: &ConsideredIntent) {
    let outcome = intent.outcome.as_ref().map_or(String::new(), |outcome| format!(", {outcome}"));
    let what = action_words(&intent.intent.action);
    lines.line(UNDER, format_args!("{}: {what} ({}{outcome})", intent.intent.reason, intent.state.as_str()));
    for ConsideredOrder { order, fills, .. } in orders {
        let order = &order.order;
        let role = match order.role {
            OrderRole::Parent => "order",
            OrderRole::TakeProfit => "take-profit",
            OrderRole::StopLoss => "stop-loss",
        };
        let average = order.average_price.map_or(String::new(), |price| format!(" at {}", words::price(price)));
        let reason = order.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        lines.line(
            UNDER + 2,
            format_args!(
                "{role} {}: {} {} of {} {}{average}{reason}",
                order.broker_order_id,
                order.status.as_str(),
                words::shares(order.filled),
                words::shares(order.quantity),
                type_words(&order.order_type),
            ),
        );
        for stored in fills {
            let fill = &stored.fill;
            let (shares, price, fee) =
                (words::shares(fill.quantity), words::price(fill.price), words::dollars(fill.fee));
            let side = fill.side.as_str();
            lines.line(UNDER + 4, format_args!("{}  {side} {shares} at {price}, fee {fee}", clock(fill.at)));
        }
    }
}

/// What is done at the broker: `buy 100 at the market`.
#[must_use]
pub fn action_words(action: &Action) -> String {
    match action {
        Action::Submit(OrderTicket { side, quantity, order_type, class, .. }) => {
            let class = match class {
                OrderClass::Simple => String::new(),
                OrderClass::Bracket { take_profit, stop_loss } => {
                    format!(", take-profit {}, stop-loss {}", words::price(*take_profit), words::price(*stop_loss))
                }
                OrderClass::Oco { stop_loss } => format!(", stop-loss {}", words::price(*stop_loss)),
            };
            format!("{} {} {}{class}", side.as_str(), words::shares(*quantity), type_words(order_type))
        }
        Action::Cancel { broker_order_id, .. } => format!("cancel {broker_order_id}"),
        Action::ReplaceStop { broker_order_id, stop, .. } => {
            format!("move the stop {broker_order_id} to {}", words::price(*stop))
        }
        Action::Close { quantity: Some(part), .. } => format!("close {} at the market", words::shares(*part)),
        Action::Close { quantity: None, .. } => "close the position at the market".to_owned(),
    }
}

fn type_words(order_type: &OrderType) -> String {
    let price = |price: &Price| words::price(*price);
    match order_type {
        OrderType::Market => "at the market".to_owned(),
        OrderType::Limit { limit } => format!("at {} or better", price(limit)),
        OrderType::Stop { stop } => format!("once {} trades", price(stop)),
        OrderType::StopLimit { stop, limit } => format!("at {} or better once {} trades", price(limit), price(stop)),
        OrderType::TrailingStop { trail: Trail::Amount(amount) } => format!("trailing by {}", price(amount)),
        OrderType::TrailingStop { trail: Trail::Ratio(ratio) } => format!("trailing by {ratio}"),
    }
}

fn write_position(lines: &mut Lines, ConsideredPosition { position, history }: &ConsideredPosition, paint: Paint) {
    let position = &position.position;
    let entry = format!(
        "{} {} in at {}",
        position.direction.as_str(),
        words::shares(position.quantity_max),
        words::price(position.entry_price)
    );
    let heading = match (position.closed_at, position.exit_price) {
        (Some(closed_at), Some(exit)) => {
            let result = words::signed_dollars(position.realised);
            let result = if position.realised.is_negative() { paint.red(&result) } else { paint.green(&result) };
            let fees = words::dollars(position.fees);
            let reason = position.exit_reason.as_ref().map_or(String::new(), |reason| format!(", {reason}"));
            format!(
                "{entry}, out at {} at {}: {result} before fees of {fees}{reason}",
                words::price(exit),
                clock(closed_at)
            )
        }
        _ => format!("{entry}, {}", position.state.as_str()),
    };
    lines.line(0, format_args!("\n{} {}", paint.bold("Position of"), words::instant(position.opened_at)));
    lines.line(2, heading);
    for event in history {
        let stop = event.stop.map_or(String::new(), |stop| format!(", stop {}", words::price(stop)));
        let detail = event.detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
        let kind = event.kind.replace('_', " ");
        lines.line(
            2,
            format_args!("{}  {kind}{detail}: {} shares{stop}", clock(event.at), words::shares(event.quantity)),
        );
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::{Candidate, Decision, Review};
    use daybook_core::order::{Order, OrderStatus};
    use daybook_core::risk::CheckName;

    use super::*;
    use crate::ledger::testing::{OPEN, TestLedger, enter, fill_of, order_of, refused, signal, symbol};
    use crate::ledger::{fill, order};

    /// A day on which AAPL is scanned, refused, and then bought.
    fn told() -> Told {
        let day = TestLedger::new();
        let scan = day.run("premarket-scan", -30);
        let factors = vec![Reason::new("gap", "3.12%"), Reason::new("relative volume", "410%")];
        let chosen = vec![Candidate { symbol: symbol("AAPL"), rank: 2, score: 5, factors }];
        day.decide(&scan, &Decision { candidates: Some(chosen), ..Decision::default() });
        let unsure = day.run("analysis", 10);
        let no = Review { signal: signal("AAPL"), verdict: refused(CheckName::Confidence), leg: None };
        day.decide(&unsure, &Decision { reviews: vec![no], ..Decision::default() });
        let run = day.run("analysis", 15);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let decision = Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() };
        day.decide(&run, &decision);
        let filled = Order {
            status: OrderStatus::Filled,
            filled: ours.ticket.quantity,
            ..order_of(&ours.ticket, "b-1", run.slot.0)
        };
        let execution = fill_of(&filled, "x-1");
        day.ledger
            .write_blocking(move |tx| {
                order::record(tx, "paper", &[filled], OPEN)?;
                fill::record(tx, "paper", &[execution], OPEN)
            })
            .unwrap();
        let (from, until) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        gather(&day.ledger, &Calendar::xnys(), symbol("AAPL"), from, until).unwrap()
    }

    #[test]
    fn a_symbols_day_reads_as_a_story() {
        insta::assert_snapshot!(told().text(Paint::PLAIN));
    }

    #[test]
    fn looks_that_came_to_nothing_on_one_ground_are_one_line() {
        let look = |minute: i64, measure: &'static str| Look {
            seen: Consideration {
                run_id: minute,
                job: "analysis".to_owned(),
                slot: Timestamp(OPEN.0 + minute * 60_000),
                session: None,
                state: "done".to_owned(),
                summary: None,
                config_version: None,
                market: None,
                candidate: None,
                signals: Vec::new(),
                intents: Vec::new(),
            },
            answers: vec![Answer {
                by: "opening_range_breakout".to_owned(),
                evaluation: Evaluation::None(vec![
                    Reason::new("range high", "212.30"),
                    Reason::new(measure, format!("2{minute}.10")),
                ]),
            }],
        };
        let considerations = vec![look(5, "close"), look(10, "close"), look(12, "close"), look(15, "range")];
        let told = Told { symbol: symbol("AAPL"), considerations, positions: Vec::new() };
        insta::assert_snapshot!(told.text(Paint::PLAIN));
        let nothing = Told { considerations: Vec::new(), ..told };
        assert_eq!(nothing.text(Paint::PLAIN), "AAPL was never considered in that time\n");
    }
}
