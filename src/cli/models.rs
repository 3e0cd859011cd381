//! `trade models`: asks the configured models about a symbol, as the analysis would.

use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use daybook_core::analysis::{ModelAnswer, ModelFault, ModelQuestion, ModelScore};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::market::Symbol;
use daybook_core::report::words;
use daybook_core::time::Timestamp;
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::Paint;
use super::time::Moment;
use crate::adapters::clocks::SystemClock;
use crate::config::Settings;
use crate::ports::Clock;
use crate::{jobs, wiring};

/// `trade models ...`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Asks the chain about a symbol, and shows the answer; outside of the budget, and nothing is recorded
    #[command(after_help = "Examples:
  trade models ask AAPL
  trade models ask AAPL --at 2026-11-16T10:30 --json")]
    Ask(About),
    /// Prints what a model would be asked, as one line of JSON: what a program gets on its standard input
    #[command(after_help = "Examples:
  trade models question AAPL
  trade models question AAPL --at 2026-11-16T10:30 | python3 score.py")]
    Question(About),
}

/// About what.
#[derive(Debug, Args)]
pub struct About {
    /// The symbol
    symbol: Symbol,
    /// As it was at this instant: New York time, or with a zone [default: now, or the end of the last session]
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
}

/// What came of asking.
#[derive(Debug, Serialize)]
struct Asked {
    symbol: Symbol,
    as_of: Timestamp,
    answer: ModelAnswer,
    /// The models of the chain that gave no score before this answer, and why.
    failed: Vec<ModelFault>,
}

impl ModelsCommand {
    /// Asks, or shows what would be asked.
    ///
    /// # Errors
    /// If no model is configured or none answers, or the feed cannot be asked.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let settings = context.configuration()?.settings;
        match self {
            Self::Question(about) => {
                let question = about.question(context, &settings)?;
                let line = serde_json::to_string(&question).context("writing the question")?;
                context.output.document(&question, |_, _| format!("{line}\n"))
            }
            Self::Ask(about) => {
                if settings.models.chain.is_empty() {
                    let told =
                        "models.chain is empty: there is nobody to ask (docs/models.md says how to write a model)";
                    return Err(CommandError::Usage(told.to_owned()).into());
                }
                let question = about.question(context, &settings)?;
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
                let models = wiring::models(&settings.models, &clock);
                let (answer, failed) = context.block_on(models.ask(&question))?;
                let asked = Asked { symbol: question.symbol, as_of: question.as_of, answer, failed };
                context.output.document(&asked, Asked::text)?;
                match asked.answer {
                    ModelAnswer::Score(_) => Ok(()),
                    ModelAnswer::None { .. } => Err(CommandError::Failed("no model answered".to_owned()).into()),
                }
            }
        }
    }
}

impl About {
    fn question(self, context: &Context, settings: &Settings) -> anyhow::Result<ModelQuestion> {
        let calendar = settings.calendar();
        let at = self.at.map_or_else(|| context.now(), Moment::echoed);
        let look = look_at(&calendar, at).ok_or_else(|| {
            let (first, last) = (calendar.first_date(), calendar.last_date());
            CommandError::Usage(format!("{at} is outside {first} to {last}, which {} knows", calendar.name()))
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let feed = wiring::configured_feed(settings, &calendar, &clock)?;
        let composite = &settings.strategies.composite;
        context.block_on(jobs::question_about(feed.as_ref(), &calendar, composite, look, self.symbol))?
    }
}

/// The session that an instant is in, or the last one before it, and the instant at which it is looked at.
fn look_at(calendar: &Calendar, at: Timestamp) -> Option<(Session, Timestamp)> {
    let date = at.date_in(calendar.zone());
    let today = calendar.session(date).filter(|session| session.pre_open < at);
    let session = today.or_else(|| calendar.session_before(date))?;
    Some((session, at.min(session.close)))
}

impl Asked {
    fn text(&self, paint: Paint) -> String {
        let Self { symbol, as_of, answer, failed } = self;
        let head = format!("{symbol} at {}: ", words::instant(*as_of));
        match answer {
            ModelAnswer::None { reason } => format!("{head}{}\n{reason}\n", paint.red("no score")),
            ModelAnswer::Score(ModelScore { model, version, score, rationale, took }) => {
                let version = version.as_ref().map_or_else(String::new, |version| format!(" ({version})"));
                let rationale = if rationale.is_empty() { String::new() } else { format!("{rationale}\n") };
                let failed: String = failed
                    .iter()
                    .map(|fault| format!("{} {}\n", paint.yellow("failed before:"), fault.reason))
                    .collect();
                let score = paint.bold(&score.to_string());
                format!("{head}{score} by {model}{version} in {took}\n{rationale}{failed}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use daybook_core::money::Bps;

    use super::*;

    #[test]
    fn it_is_looked_at_in_the_session_or_at_the_end_of_the_last_one() {
        let calendar = Calendar::xnys();
        for (at, expected) in [
            ("2026-11-16T15:30:00Z", "2026-11-16T15:30:00Z"),
            ("2026-11-16T23:00:00Z", "2026-11-16T21:00:00Z"),
            ("2026-11-16T06:00:00Z", "2026-11-13T21:00:00Z"),
            ("2026-11-15T15:30:00Z", "2026-11-13T21:00:00Z"),
        ] {
            let (_, as_of) = look_at(&calendar, at.parse().unwrap()).unwrap();
            assert_eq!(as_of.to_string(), expected, "{at}");
        }
        assert_eq!(look_at(&calendar, Timestamp(0)), None);
    }

    #[test]
    fn an_answer_is_told_with_who_gave_it() {
        let asked = |answer, failed| {
            let as_of = "2026-11-16T15:30:00Z".parse().unwrap();
            Asked { symbol: "AAPL".parse().unwrap(), as_of, answer, failed }.text(Paint::PLAIN)
        };
        let score =
            ModelScore::new("mine", Bps(3_500), "volume and news agree", Some("m 1"), Duration::from_millis(120));
        let head = format!("AAPL at {}: ", words::instant("2026-11-16T15:30:00Z".parse().unwrap()));
        let answered = format!("{head}35% by mine (m 1) in 120ms\nvolume and news agree\n");
        assert_eq!(asked(ModelAnswer::Score(score.clone()), Vec::new()), answered);
        let failed = vec![ModelFault::new("llm", "llm: ended with 1")];
        assert_eq!(asked(ModelAnswer::Score(score), failed), format!("{answered}failed before: llm: ended with 1\n"));
        let none = asked(ModelAnswer::none("mine: no answer within 10s"), Vec::new());
        assert_eq!(none, format!("{head}no score\nmine: no answer within 10s\n"));
    }
}
