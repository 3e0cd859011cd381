//! Which models are asked, for how long, and how often.

use std::path::PathBuf;

use daybook_core::time::Span;
use serde::{Deserialize, Serialize};

use super::checks::Problems;
use crate::adapters::models::ScorerSettings;

/// Which models are asked what they make of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Who is asked, in this order; the first that answers wins.
    pub chain: Vec<ScorerSettings>,
    /// How long one answer may take.
    pub timeout: Span,
    /// How long all answers of one run may take.
    pub within: Span,
    /// How long a model is not asked after failures in a row.
    pub rest: Span,
    /// How many calls there may be.
    pub budget: ModelBudgetSettings,
    /// Whether days on a simulated clock ask, too, where no answer is recorded.
    pub simulated: bool,
    /// The ledger whose recorded answers those days take; `None`: the configured one.
    pub recorded: Option<PathBuf>,
}

/// How many calls of models there may be; each model that is asked about a symbol is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelBudgetSettings {
    /// Of one run.
    pub per_run: u32,
    /// Of one session, whatever restarts in it.
    pub per_session: u32,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            chain: Vec::new(),
            timeout: Span::seconds(10),
            within: Span::seconds(30),
            rest: Span::minutes(5),
            budget: ModelBudgetSettings::default(),
            simulated: false,
            recorded: None,
        }
    }
}

impl Default for ModelBudgetSettings {
    fn default() -> Self {
        Self { per_run: 20, per_session: 500 }
    }
}

impl ModelSettings {
    /// How long an answer of one of the chain may take.
    #[must_use]
    pub fn timeout_of(&self, scorer: &ScorerSettings) -> Span {
        scorer.timeout.unwrap_or(self.timeout)
    }

    pub(super) fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        for (key, span) in [("timeout", self.timeout), ("within", self.within), ("rest", self.rest)] {
            if span.is_zero() {
                problems.push((key, "is 0s; expected a length of time above zero, such as 10s".to_owned()));
            }
        }
        if self.within < self.timeout {
            problems.push(("within", format!("is {}; expected timeout ({}) or longer", self.within, self.timeout)));
        }
        for (place, scorer) in self.chain.iter().enumerate() {
            let ScorerSettings { name, command, environment, timeout } = scorer;
            let mut wrong = |what: String| problems.push(("chain", what));
            let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(letters) {
                wrong(format!("a model's name is \"{name}\"; expected a-z, 0-9, '_' and '-', such as mine"));
            } else if self.chain.iter().take(place).any(|before| before.name == *name) {
                wrong(format!("two models are called {name}; expected names of their own"));
            }
            if command.first().is_none_or(|program| program.value().is_empty()) {
                wrong(format!("{name} has no command; expected a program, such as [python3, score.py]"));
            }
            if let Some(variable) = environment.iter().find(|name| name.is_empty() || name.contains(['=', '\0', '$'])) {
                wrong(format!("{name}'s environment has \"{variable}\"; expected names alone, such as MODEL_KEY"));
            }
            if let Some(timeout) = timeout.filter(|timeout| timeout.is_zero() || *timeout > self.within) {
                let most = self.within;
                wrong(format!("{name}'s timeout is {timeout}; expected more than 0s, and at most within ({most})"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_told_with_what_was_expected() {
        let settings = |json: &str| serde_json::from_str::<ModelSettings>(json).unwrap();
        let good = r#"{"chain": [{"name": "mine", "command": ["score"]}, {"name": "other", "command": ["x"], "timeout": "30s"}]}"#;
        assert_eq!(settings(good).problems(), []);
        assert_eq!(settings("{}"), ModelSettings::default());
        for (json, key, told) in [
            (r#"{"timeout": "0s"}"#, "timeout", "above zero"),
            (r#"{"timeout": "1m"}"#, "within", "is 30s; expected timeout (1m) or longer"),
            (r#"{"chain": [{"name": "Mine", "command": ["x"]}]}"#, "chain", "name is \"Mine\""),
            (r#"{"chain": [{"command": ["x"]}]}"#, "chain", "name is \"\""),
            (r#"{"chain": [{"name": "a", "command": []}]}"#, "chain", "a has no command; expected a program"),
            (
                r#"{"chain": [{"name": "a", "command": ["x"]}, {"name": "a", "command": ["y"]}]}"#,
                "chain",
                "two models are called a",
            ),
            (
                r#"{"chain": [{"name": "a", "command": ["x"], "environment": ["K=v"]}]}"#,
                "chain",
                "\"K=v\"; expected names",
            ),
            (r#"{"chain": [{"name": "a", "command": ["x"], "timeout": "31s"}]}"#, "chain", "at most within (30s)"),
        ] {
            let problems = settings(json).problems();
            assert!(matches!(&problems[..], [(of, said)] if *of == key && said.contains(told)), "{json}: {problems:?}");
        }
    }
}
