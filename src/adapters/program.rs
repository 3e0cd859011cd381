//! Programs of the owner's, by the name under which they are configured.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where the system looks for programs if `PATH` is not set.
const PATH_UNSET: &str = "/bin:/usr/bin";

/// The file that is run under a name.
///
/// # Errors
/// What is wrong: it is not there, or may not be run.
pub(super) fn program_file(program: &str) -> Result<PathBuf, String> {
    if program.is_empty() {
        return Err("no program is named".to_owned());
    }
    if program.contains('/') {
        let path = PathBuf::from(program);
        return match std::fs::metadata(&path) {
            Ok(_) if is_executable(&path) => Ok(path),
            Ok(_) => Err(format!("{program} is not executable")),
            Err(error) => Err(format!("{program}: {error}")),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| PATH_UNSET.into());
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join(program));
    places.find(|path| is_executable(path)).ok_or_else(|| format!("{program} is in no folder of PATH"))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
