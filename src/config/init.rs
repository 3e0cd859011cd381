//! `trade init`: the documented files, where a person can change them.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::jobs::BUILT_IN;
use super::load::DEFAULT_FILE;
use super::problem::ConfigError;
use super::schema::SCHEMA_FILE;

/// The documented file of settings; it says what the built-in defaults say.
pub const DOCUMENTED: &str = include_str!("../../config/daybook.yaml");

/// The documented profile: half the risk, and a person approves each entry.
const CAUTIOUS: &str = include_str!("../../config/profiles/cautious.yaml");

/// The example of a strategy that is a script.
const SCRIPT: &str = include_str!("../../config/strategies/opening_range.lua");

/// The schema, by which editors complete and check the file of settings.
const SCHEMA: &str = include_str!("../../config/daybook.schema.json");

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was written.
    New,
    /// It was there already, and is as it was.
    Kept,
}

/// Writes the documented configuration, an example script and job files under a folder, which is made if it is not there.
/// No file that exists is changed. The answer names every file.
///
/// # Errors
/// [`ConfigError::Unwritable`] for the first file or folder that cannot be written; the file is not
/// left behind half-written.
pub fn init(folder: &Path) -> Result<Vec<(PathBuf, Written)>, ConfigError> {
    let settings = [
        (DEFAULT_FILE, DOCUMENTED),
        ("config/profiles/cautious.yaml", CAUTIOUS),
        ("config/strategies/opening_range.lua", SCRIPT),
        (SCHEMA_FILE, SCHEMA),
    ];
    let settings = settings.into_iter().map(|(name, text)| (PathBuf::from(name), text));
    let jobs = BUILT_IN.iter().map(|(name, text)| (Path::new("jobs").join(format!("{name}.yaml")), *text));
    settings
        .chain(jobs)
        .map(|(name, text)| {
            let path = folder.join(name);
            let written =
                write_new(&path, text).map_err(|source| ConfigError::Unwritable { path: path.clone(), source })?;
            Ok((path, written))
        })
        .collect()
}

fn write_new(path: &Path, text: &str) -> std::io::Result<Written> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Written::Kept),
        Err(error) => return Err(error),
    };
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        // The first error is the one that matters.
        drop(std::fs::remove_file(path));
        return Err(error);
    }
    Ok(Written::New)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_once_and_never_changed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/place");
        let first = init(&target).unwrap();
        assert_eq!(first.len(), BUILT_IN.len() + 4);
        assert!(first.iter().all(|(path, written)| *written == Written::New && path.exists()));

        let settings = target.join(DEFAULT_FILE);
        std::fs::write(&settings, "account: {name: mine}\n").unwrap();
        std::fs::remove_file(target.join("jobs/analysis.yaml")).unwrap();
        let second = init(&target).unwrap();
        let new: Vec<&Path> =
            second.iter().filter(|(_, written)| *written == Written::New).map(|(path, _)| path.as_path()).collect();
        assert_eq!(new, [target.join("jobs/analysis.yaml")]);
        assert_eq!(std::fs::read_to_string(settings).unwrap(), "account: {name: mine}\n");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), "a file where a folder should be").unwrap();
        let error = init(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "config/daybook.yaml: cannot be written; check the folder, its permissions and the space left"
            ),
            "{error}"
        );
    }
}
