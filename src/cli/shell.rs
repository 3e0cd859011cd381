//! `trade completions` and `trade man`: what a shell and a reader need of the command line itself.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::CommandError;
use super::output::say;
use super::{Context, Trade};

/// `trade completions SHELL`.
#[derive(Debug, Args)]
pub struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

/// `trade man DIR`.
#[derive(Debug, Args)]
pub struct ManCommand {
    /// The folder for the pages; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl CompletionsCommand {
    /// Prints the shell's script.
    ///
    /// # Errors
    /// If JSON is wanted, or standard output cannot be written.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        if context.output.is_json() {
            let message = "completions are a shell's script: there is no JSON of it; leave --json out";
            return Err(CommandError::Usage(message.to_owned()).into());
        }
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Trade::command(), "trade", &mut script);
        context.output.raw(&script)
    }
}

impl ManCommand {
    /// Writes one page for each command, and lists them.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let folder = self.folder.display();
        fs::create_dir_all(&self.folder).with_context(|| format!("making the folder {folder}"))?;
        clap_mangen::generate_to(Trade::command(), &self.folder)
            .with_context(|| format!("writing pages to {folder}"))?;
        let mut pages: Vec<String> = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("trade") && name.ends_with(".1"))
            .collect();
        pages.sort();
        if !context.output.is_json() {
            say(&format!("read one with: man {}", self.folder.join("trade.1").display()));
        }
        context.output.document(&pages, |pages, _| pages.iter().map(|page| format!("{page}\n")).collect())
    }
}
