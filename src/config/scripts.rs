//! Reads the scripts that strategies are: their files stand beside the configuration's, and are checked with it.

use std::path::{Path, PathBuf};

use daybook_core::strategy::{ScriptSettings, StrategySettings};
use sha2::{Digest, Sha256};

use super::files::read_text;
use super::load::DEFAULT_FILE;
use super::node::{Node, path_steps};
use super::problem::{ConfigError, Problem};
use crate::scripting;

/// The folder beside the configuration in which scripts usually are.
pub(super) const FOLDER: &str = "strategies";

/// Where a script is, from the configuration's file.
pub(super) fn path_of(script: &str, configuration: Option<&Path>) -> PathBuf {
    configuration.unwrap_or(Path::new(DEFAULT_FILE)).with_file_name(script)
}

/// Reads the scripts that are enabled; the answer is everything that is wrong with them.
pub(super) fn read_scripts(
    strategies: &mut StrategySettings,
    configuration: Option<&Path>,
    root: &Node,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let wanted = |script: &ScriptSettings| script.enabled && !script.script.is_empty();
    for (name, script) in strategies.scripts.iter_mut().filter(|(_, script)| wanted(script)) {
        let path = path_of(&script.script, configuration);
        let told = read_script(script, &path).into_iter().map(|(key, message)| {
            let key = format!("strategies.scripts.{name}.{key}");
            Problem { origin: root.origin_near(&path_steps(&key)).clone(), key, message }
        });
        problems.extend(told);
    }
    problems
}

/// Reads one script: its text and its hash. What is wrong is told with the key that it is wrong with.
fn read_script(settings: &mut ScriptSettings, path: &Path) -> Vec<(String, String)> {
    let of_file = |message: String| vec![("script".to_owned(), message)];
    let text = match read_text(path) {
        Ok(text) => text,
        Err(ConfigError::Missing { path }) => {
            let message = format!("there is no file {}; write it, or correct the name", path.display());
            return of_file(message);
        }
        Err(error) => return of_file(error.to_string()),
    };
    if text.len() as u64 > scripting::TEXT_MAX {
        return of_file(format!(
            "{} is larger than {} bytes: is this the right file?",
            path.display(),
            scripting::TEXT_MAX
        ));
    }
    let sha256: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(expected) = settings.sha256.as_ref().filter(|expected| **expected != sha256) {
        let message = format!(
            "is {expected}, and {} has {sha256}: expected the file with that hash; or remove the key",
            path.display()
        );
        return vec![("sha256".to_owned(), message)];
    }
    let problems = match scripting::declared(&settings.script, &text) {
        Ok(declared) => scripting::problems_of_params(&declared, &settings.params)
            .into_iter()
            .map(|(name, message)| (format!("params.{name}"), message))
            .collect(),
        Err(error) => of_file(error.to_string()),
    };
    settings.sha256 = Some(sha256);
    settings.text = text;
    problems
}
