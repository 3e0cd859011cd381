//! The text of configuration files, in bounded time and memory, and where profiles are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::problem::{ConfigError, Origin, Problem};

/// The largest file, in bytes: the documented one has some 20,000.
const FILE_MAX: u64 = 1024 * 1024;

/// The folder of profiles, beside the configuration file.
const PROFILES: &str = "profiles";

/// The text of a file that is not too large and is UTF-8.
///
/// # Errors
/// [`ConfigError::Missing`], [`ConfigError::Unreadable`], and [`ConfigError::Invalid`] with the place from which it is no text.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
        _ => ConfigError::Unreadable { path: path.to_owned(), source },
    };
    // To open a pipe waits for who writes into it, for ever if nobody does.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is no regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    text_of(bytes, path)
}

/// The text of a document; `path` is its name for people.
///
/// # Errors
/// [`ConfigError::Invalid`] with the place from which it is no text.
pub(super) fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, ConfigError> {
    let at = |line: u64, column: u64, message: String| {
        let origin = Origin::File { file: path.into(), line, column };
        ConfigError::Invalid { problems: vec![Problem { origin, key: String::new(), message }] }
    };
    if bytes.len() as u64 > FILE_MAX {
        let message = format!("is larger than {FILE_MAX} bytes; expected a configuration: is this the right file?");
        return Err(at(1, 1, message));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(at(1, 1, "is UTF-16; save the file as UTF-8".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good =
            String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default());
        let line = good.matches('\n').count() as u64 + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        at(line, column, "is not UTF-8 from here on; save the file as UTF-8".to_owned())
    })
}

/// The file of a profile: `profiles/NAME.yaml` beside the configuration file.
///
/// # Errors
/// [`ConfigError::UnknownProfile`] if it is not there.
pub(super) fn profile_file(name: &str, configuration: &Path) -> Result<PathBuf, ConfigError> {
    let folder = configuration.parent().unwrap_or(Path::new("")).join(PROFILES);
    // A name is no path: `../x` finds nothing.
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let path = folder.join(format!("{name}.yaml"));
    if is_name && path.exists() {
        return Ok(path);
    }
    let entries = std::fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let yaml = entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let mut known: Vec<String> =
        yaml.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    known.sort();
    Err(ConfigError::UnknownProfile { name: name.to_owned(), folder, known })
}
