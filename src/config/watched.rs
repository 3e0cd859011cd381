//! The files that a configuration is read from: where they stand, and whether they are still the same.
//!
//! Scripts are watched before anything names them: one that was wrong when it was named is read again once it is mended.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use super::load::{Configuration, DEFAULT_FILE};
use super::problem::{ConfigError, Origin, Problem};
use super::scripts;

/// Files of jobs or scripts whose stamps are looked at; more are no configuration.
const STAMPS_MAX: usize = 1_000;

/// Links that lead to the files, at most.
const LINKS_MAX: usize = 32;

/// Under this name Kubernetes keeps the folder that holds the files in force.
const SWAPPED_FOLDER: &str = "..data";

/// A file of settings, the profile over it, a folder of jobs, and scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    file: PathBuf,
    jobs: PathBuf,
    profile: Option<PathBuf>,
    /// The folder in which scripts usually are, named yet or not.
    script_folder: PathBuf,
    /// Those that are named, wherever they are.
    scripts: Vec<PathBuf>,
    /// Whether there was a file: that it is gone is not the same as that there never was one.
    has_file: bool,
    /// Likewise of the folder.
    has_jobs: bool,
}

/// Files that are there, with what changes when they do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Stamp>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Of the content and of the file's own data: seconds and nanoseconds.
    changed: [(i64, i64); 2],
}

/// Names that the system may tell of.
#[derive(Debug)]
pub(super) struct Concerns {
    names: BTreeSet<PathBuf>,
    jobs: PathBuf,
    script_folder: PathBuf,
}

/// Folders, with what tells one from another of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folders(BTreeMap<PathBuf, (u64, u64)>);

impl Watched {
    /// What a configuration was read from.
    pub(super) fn of(configuration: &Configuration) -> Self {
        // A folder that cannot be named absolutely is one that is gone: then its name is as good as any.
        let whole = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_owned());
        let jobs = whole(&configuration.settings.jobs_dir);
        let file = configuration.file.as_deref();
        let named = configuration.settings.strategies.scripts.values().filter(|script| !script.script.is_empty());
        Self {
            file: whole(file.unwrap_or(Path::new(DEFAULT_FILE))),
            script_folder: whole(&scripts::path_of(scripts::FOLDER, file)),
            scripts: named.map(|script| whole(&scripts::path_of(&script.script, file))).collect(),
            has_file: configuration.file.is_some(),
            has_jobs: jobs.is_dir(),
            profile: configuration.profile.as_deref().map(whole),
            jobs,
        }
    }

    /// Refuses a configuration that was read without a file or a folder that was there: the built-in defaults are not
    /// what somebody wants who removes a file.
    pub(super) fn still_there(&self, read: Configuration) -> Result<Configuration, ConfigError> {
        let next = Self::of(&read);
        if self.has_file && !next.has_file {
            return Err(ConfigError::Missing { path: self.file.clone() });
        }
        if self.has_jobs && !next.has_jobs && self.jobs == next.jobs {
            let message = format!(
                "the folder {} is gone; bring it back, or restart with the built-in jobs alone",
                self.jobs.display()
            );
            let problem = Problem { origin: Origin::Default, key: "jobs_dir".to_owned(), message };
            return Err(ConfigError::Invalid { problems: vec![problem] });
        }
        Ok(read)
    }

    /// The files that are there now.
    pub(super) fn stamps(&self) -> Stamps {
        let of_folder = |folder: &Path, is_one: fn(&Path) -> bool| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().take(STAMPS_MAX);
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(move |path| is_one(path))
        };
        let (jobs, scripts) = (of_folder(&self.jobs, is_job), of_folder(&self.script_folder, is_script));
        let files = jobs.chain(scripts).chain(self.paths());
        Stamps(files.filter_map(|path| Some((path.clone(), Stamp::of(&path, &self.jobs)?))).collect())
    }

    /// The folders in which a change of these files shows.
    pub(super) fn folders(&self) -> Folders {
        let parents = self.names().into_iter().filter_map(|name| Some(name.parent()?.to_owned()));
        let identified = |path: PathBuf| {
            let found = path.metadata().ok().filter(std::fs::Metadata::is_dir)?;
            Some((path, (found.dev(), found.ino())))
        };
        let folders = [self.jobs.clone(), self.script_folder.clone()];
        Folders(parents.chain(folders).filter_map(identified).collect())
    }

    /// The names whose change may be one of these files, as the links lead now.
    pub(super) fn concerns(&self) -> Concerns {
        Concerns { names: self.names(), jobs: self.jobs.clone(), script_folder: self.script_folder.clone() }
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        [self.file.clone(), self.jobs.clone()].into_iter().chain(self.profile.clone()).chain(self.scripts.clone())
    }

    /// The names of the files and of the folder, and of each link on the way to them.
    fn names(&self) -> BTreeSet<PathBuf> {
        let mut ways: Vec<PathBuf> = self.paths().collect();
        let mut names: BTreeSet<PathBuf> = ways.iter().cloned().collect();
        for _ in 0..ways.len() + LINKS_MAX {
            let Some(way) = ways.pop() else { break };
            for link in way.ancestors().filter(|part| part.is_symlink()) {
                names.insert(link.to_owned());
                if let (Ok(target), Some(folder), Ok(rest)) = (link.read_link(), link.parent(), way.strip_prefix(link))
                {
                    let target = folder.join(target);
                    // An empty rest would leave a slash behind, and a link with one is its target.
                    let next = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
                    if names.insert(next.clone()) {
                        ways.push(next);
                    }
                }
            }
        }
        names
    }
}

/// Whether a name is that of a job's file; editors' hidden files are none.
fn is_job(path: &Path) -> bool {
    !is_hidden(path) && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether a name is that of a script.
fn is_script(path: &Path) -> bool {
    !is_hidden(path) && path.extension().is_some_and(|extension| extension == "lua")
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

impl Stamp {
    /// Of a file that is there. One that is empty is not there yet: most programs empty a file before they write it, and
    /// nothing at all would be read as the built-in defaults.
    fn of(path: &Path, jobs: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        if found.is_file() && found.len() == 0 {
            return None;
        }
        let changed = [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())];
        // Of the folder of jobs it matters that it is there: what is in it has stamps of its own.
        let (length, changed) = if path == jobs { (0, [(0, 0); 2]) } else { (found.len(), changed) };
        Some(Self { device: found.dev(), inode: found.ino(), length, changed })
    }
}

impl Stamps {
    /// Whether a file of these is not among the others.
    pub(super) fn lack(&self, others: &Self) -> bool {
        self.0.keys().any(|path| !others.0.contains_key(path))
    }
}

impl Concerns {
    /// Whether a change of what has this name may be one of the files.
    pub(super) fn include(&self, path: &Path) -> bool {
        let is_swapped = || path.file_name().is_some_and(|name| name == SWAPPED_FOLDER);
        let is_within =
            |folder: &Path, is_one: fn(&Path) -> bool| path.parent() == Some(folder) && (is_one(path) || is_swapped());
        self.names.contains(path) || is_within(&self.jobs, is_job) || is_within(&self.script_folder, is_script)
    }
}

impl Folders {
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }
}
