//! `trade init`: files to start from.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::output::Paint;
use crate::config::{Written, init};

/// `trade init [DIR]`.
#[derive(Debug, Args)]
pub struct InitCommand {
    /// Where the folders `config` and `jobs` are made
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct InitFile {
    path: String,
    written: bool,
}

impl InitCommand {
    /// Writes the files that are not there, and names them all.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let files: Vec<InitFile> = init(&self.folder)?
            .into_iter()
            .map(|(path, written)| InitFile { path: path.display().to_string(), written: written == Written::New })
            .collect();
        context.output.document(&files, |files, paint| text(files, paint))
    }
}

fn text(files: &[InitFile], paint: Paint) -> String {
    let mut text = String::new();
    for InitFile { path, written } in files {
        let word = if *written { paint.green("wrote") } else { paint.dim("kept ") };
        text.push_str(&format!("{word} {path}\n"));
    }
    if files.iter().any(|file| file.written) {
        text.push_str("\nNext: read config/daybook.yaml, then `trade doctor`, then `scheduler`.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_named() {
        let file = |path: &str, written| InitFile { path: path.to_owned(), written };
        let shown = text(&[file("config/daybook.yaml", false), file("jobs/analysis.yaml", true)], Paint::PLAIN);
        let expected = "kept  config/daybook.yaml
wrote jobs/analysis.yaml

Next: read config/daybook.yaml, then `trade doctor`, then `scheduler`.
";
        assert_eq!(shown, expected);
        assert_eq!(text(&[file("a", false)], Paint::PLAIN), "kept  a\n");
    }
}
