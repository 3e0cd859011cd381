//! `trade config`: whether the configuration is right, what holds, and where each value comes from. Its versions stand
//! in `versions`.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::Context;
use super::output::{Cell, Column, FormatArg, Paint, Table};
use super::versions::{ApplyCommand, DiffCommand, HistoryCommand, RestoreCommand};
use crate::config::{self as settings, ConfigError, Configuration, DOCUMENTED, Settings, schema};

/// `trade config ...`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Checks the configuration and names everything that is wrong with it, with line and column
    ///
    /// It ends with 0 if the configuration is right, and with 2 if it is not.
    #[command(
        visible_alias = "validate",
        after_help = "Examples:
  trade config check
  trade config check --profile cautious --setting risk.max_positions=3
  trade config check --config /etc/daybook/daybook.yaml && systemctl reload daybook"
    )]
    Check,
    /// Every setting in force; secrets are shown as set, without their value
    #[command(after_help = "Examples:
  trade config show --origin
  DAYBOOK__RISK__MAX_DAILY_LOSS=1500 trade config show --origin | grep max_daily_loss")]
    Show(Show),
    /// Prints the documented configuration, line by line as `trade init` writes it
    #[command(after_help = "Examples:
  trade config template > config/daybook.yaml
  trade config template --format json | jq .risk")]
    Template(Template),
    /// Prints the JSON Schema of the configuration, by which an editor completes keys and marks mistakes
    #[command(after_help = "Examples:
  trade config schema > config/daybook.schema.json")]
    Schema,
    /// The versions that were in force, newest first, with what each changed
    #[command(after_help = "Examples:
  trade config history
  trade config history -n 100 --format csv")]
    History(HistoryCommand),
    /// What two versions differ in; without numbers: the one in force and the files
    #[command(after_help = "Examples:
  trade config diff          what the files would change
  trade config diff 7        from version 7 to the one in force
  trade config diff 7 8")]
    Diff(DiffCommand),
    /// Has what the files say in force; what loosens a limit while the market is open needs --confirm
    ///
    /// A running scheduler takes a change of the files by itself. This waits for it, says whether it did, and with
    /// --confirm has in force at once what would wait for the next session. Without a scheduler the ledger records it.
    #[command(after_help = "Examples:
  trade config apply
  trade config apply --confirm")]
    Apply(ApplyCommand),
    /// Writes into the file what a version said; a new version comes of it
    ///
    /// Only the keys that differ are changed: comments and references to secrets stay. A file that cannot be edited so
    /// that it says exactly that is left as it is, and the keys are named.
    #[command(after_help = "Examples:
  trade config restore 7 && trade config apply")]
    Restore(RestoreCommand),
}

/// In which form the template is printed.
#[derive(Debug, Args)]
pub struct Template {
    /// With its documentation as YAML, or the same defaults as JSON
    #[arg(long, value_enum, default_value_t)]
    format: TemplateFormat,
}

/// A form of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum TemplateFormat {
    #[default]
    Yaml,
    Json,
}

/// How settings are shown.
#[derive(Debug, Args)]
pub struct Show {
    /// Also where each value comes from: the file with line and column, a variable, an option
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    format: FormatArg,
}

impl ConfigCommand {
    /// Prints what was asked for.
    ///
    /// # Errors
    /// If there is no right configuration, or standard output cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Check => check(context),
            Self::Show(show) => context.output.table(&rows(&context.configuration()?, show.origin), show.format),
            Self::Template(Template { format: TemplateFormat::Yaml }) if !context.output.is_json() => {
                context.output.raw(DOCUMENTED.as_bytes())
            }
            Self::History(command) => command.run(context),
            Self::Diff(command) => command.run(context),
            Self::Apply(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Template(_) => context.output.json(&Settings::default()),
            Self::Schema => context.output.json(&schema()),
        }
    }
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    file: Option<String>,
    profile: Option<String>,
    version: Option<String>,
    problems: Vec<Problem>,
    /// What is not wrong, and may not be meant.
    warnings: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    at: String,
    key: String,
    message: String,
}

fn check(context: &Context) -> anyhow::Result<()> {
    match context.configuration() {
        Ok(configuration) => context.output.document(&Checked::right(&configuration), Checked::text),
        Err(error) => {
            if context.output.is_json()
                && let ConfigError::Invalid { problems } = &error
            {
                let problems = problems.iter().map(Problem::of).collect();
                let warnings = Vec::new();
                let checked = Checked { ok: false, file: None, profile: None, version: None, problems, warnings };
                context.output.document(&checked, Checked::text)?;
            }
            Err(error.into())
        }
    }
}

impl Problem {
    fn of(problem: &settings::Problem) -> Self {
        Self { at: problem.origin.to_string(), key: problem.key.clone(), message: problem.message.clone() }
    }
}

impl Checked {
    fn right(configuration: &Configuration) -> Self {
        Self {
            ok: true,
            file: configuration.file.as_ref().map(|file| file.display().to_string()),
            profile: configuration.profile.as_ref().map(|file| file.display().to_string()),
            version: Some(configuration.version.hash.clone()),
            problems: Vec::new(),
            warnings: configuration.remarks.iter().map(Problem::of).collect(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let file = self.file.as_deref().unwrap_or("the built-in defaults (there is no config/daybook.yaml)");
        let profile = self.profile.as_ref().map_or_else(String::new, |profile| format!(" with {profile} over it"));
        let version: String = self.version.iter().flat_map(|version| version.chars()).take(12).collect();
        let warning = |Problem { at, key, message }: &Problem| {
            let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
            format!("{} {at}: {key}{message}\n", paint.yellow("note:"))
        };
        let warnings: String = self.warnings.iter().map(warning).collect();
        format!("{} {file}{profile}, version {version}\n{warnings}", paint.green("ok:"))
    }
}

fn rows(configuration: &Configuration, with_origin: bool) -> Table {
    let mut columns = vec![Column::text("key", "KEY"), Column::text("value", "VALUE")];
    if with_origin {
        columns.push(Column::text("origin", "ORIGIN"));
    }
    let mut table = Table::new(columns, "no settings");
    for (key, value, origin) in configuration.rows() {
        let mut row = vec![Cell::text(key), Cell::text(value)];
        if with_origin {
            row.push(Cell::text(origin));
        }
        table.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Sources, load};

    #[test]
    fn each_value_shows_where_it_comes_from() {
        let environment = Environment::from_iter([("DAYBOOK__RISK__MAX_POSITIONS", "3")]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.yaml");
        std::fs::write(&file, "account:\n  name: mine\n").unwrap();
        let sources = Sources::new(Some(file.clone()), environment).with_option("--ledger", "ledger.path", "day.db");
        let configuration = load(&sources).unwrap();
        let csv = String::from_utf8(rows(&configuration, true).to_csv().unwrap()).unwrap();
        for line in [
            format!("account.name,mine,{}:2:9", file.display()),
            "ledger.path,day.db,option --ledger".to_owned(),
            "risk.max_positions,3,environment variable DAYBOOK__RISK__MAX_POSITIONS".to_owned(),
            "exchange_calendar,XNYS,built-in default".to_owned(),
        ] {
            assert!(csv.lines().any(|found| found == line), "{line} in {csv}");
        }
        let text = Checked::right(&configuration).text(Paint::PLAIN);
        assert!(text.starts_with(&format!("ok: {}, version ", file.display())), "{text}");
    }
}
