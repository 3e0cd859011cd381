//! Reads the configuration again when its files change.
//!
//! Two eyes look at the files. The operating system tells of a change at once, and of the end of a write, so that a file
//! is not read while somebody still writes it. Where it does not tell, as with a change that another machine makes on
//! a network file system, a look each second at the files' stamps finds it. Folders are watched, not files: editors and
//! Kubernetes put another file, or another target of a link, in the place of the old one.
//!
//! The first change is read at once. Those that follow it closely are read together, the last of them for certain.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::load::{Configuration, Sources, load};
use super::problem::ConfigError;
use super::watched::{Folders, Stamps, Watched};
use crate::ports::Clock;

/// How often the files' stamps are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether the system tells when a write is over.
const TELLS_ENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What a change waits for others that belong to it: an editor's rename follows its write, a folder's link its target.
/// Where the end of a write is not told, it waits for that, too.
const SETTLE: Duration = Duration::from_millis(if TELLS_ENDS { 2 } else { 100 });

/// How long a file that is wrong is doubted: the system may not have told yet that somebody writes it.
const DOUBT: Duration = Duration::from_millis(50);

/// The least time between two readings that changes of files call for.
const SPACING: Duration = Duration::from_millis(200);

/// How long a file may be absent or empty before that is told: some programs remove or empty it, and write it anew.
const ABSENCE: Duration = Duration::from_secs(1);

/// Who holds a file open so long and does not write may be done with it.
const HELD_OPEN_MAX: Duration = Duration::from_secs(30);

/// What a reading was called for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A file changed.
    File,
    /// Somebody asked, by a signal: secrets may have changed, which no version shows.
    Asked,
}

/// A configuration that was read again.
#[derive(Debug)]
pub struct Reading {
    /// Why it was read.
    pub cause: Cause,
    /// What it says now, or what is wrong with it.
    pub read: Result<Configuration, ConfigError>,
}

/// A thread that watches the files of a configuration. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    signals: Sender<Signal>,
}

impl Watch {
    /// Watches the files of `current`, and hands each reading of `sources` to `deliver` until that answers `false`.
    /// The first follows at once: what changed since `current` was read is not overlooked.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(
        sources: Sources,
        current: &Configuration,
        clock: Arc<dyn Clock>,
        deliver: impl Fn(Reading) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let (signals, received) = channel();
        let now = clock.monotonic();
        let reader = Reader {
            watched: Watched::of(current),
            sources,
            clock,
            signals: signals.clone(),
            due: Some((Cause::File, now)),
            look_at: now.saturating_add(LOOK_EVERY),
            read_at: None,
            stamps: Stamps::default(),
            looked: Stamps::default(),
            absent_since: None,
            being_written: BTreeMap::new(),
            eye: None,
        };
        thread::Builder::new().name("configuration".to_owned()).spawn(move || reader.run(&received, &deliver))?;
        Ok(Self { signals })
    }

    /// Has the configuration read now, whether or not a file has changed.
    pub fn read_again(&self) {
        // A thread that has ended has nobody to read for.
        let _ = self.signals.send(Signal::Ask);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Signal {
    /// One of the files may be another one now.
    Changed(PathBuf),
    /// Somebody writes this file, and is not done.
    BeingWritten(PathBuf),
    Ask,
    Stop,
}

/// What the thread knows.
struct Reader {
    sources: Sources,
    watched: Watched,
    clock: Arc<dyn Clock>,
    signals: Sender<Signal>,
    /// When to read next, and why.
    due: Option<(Cause, Duration)>,
    /// When to look at the stamps next.
    look_at: Duration,
    /// When it was read last.
    read_at: Option<Duration>,
    /// The stamps of what was read last.
    stamps: Stamps,
    /// The stamps at the last look.
    looked: Stamps,
    /// Since when a file is gone that was read.
    absent_since: Option<Duration>,
    /// Files that somebody writes, and when they were written to last.
    being_written: BTreeMap<PathBuf, Duration>,
    /// What the system tells of these folders.
    eye: Option<(Folders, Option<RecommendedWatcher>)>,
}

impl Reader {
    fn run(mut self, received: &Receiver<Signal>, deliver: &dyn Fn(Reading) -> bool) {
        self.open_eye();
        loop {
            let now = self.clock.monotonic();
            if now >= self.look_at {
                self.look(now);
            }
            if let Some((cause, _)) = self.due.take_if(|(_, at)| *at <= now) {
                let Some(reading) = self.read(cause, now) else { continue };
                let told = match &reading.read {
                    Err(_) if cause == Cause::File => received.recv_timeout(DOUBT),
                    Ok(_) | Err(_) => Err(RecvTimeoutError::Timeout),
                };
                let goes_on = match told {
                    // It was read while somebody wrote it.
                    Ok(signal) => self.hear(signal, now),
                    Err(RecvTimeoutError::Timeout) => deliver(reading),
                    Err(RecvTimeoutError::Disconnected) => false,
                };
                if !goes_on {
                    return;
                }
                continue;
            }
            let next = self.due.map_or(self.look_at, |(_, at)| at.min(self.look_at));
            let goes_on = match received.recv_timeout(next.saturating_sub(now)) {
                Ok(signal) => self.hear(signal, now),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Takes in what it is told; whether it goes on.
    fn hear(&mut self, signal: Signal, now: Duration) -> bool {
        match signal {
            Signal::Changed(path) => {
                self.being_written.remove(&path);
                self.read_soon(now);
            }
            Signal::BeingWritten(path) => {
                self.being_written.insert(path, now);
            }
            Signal::Ask => self.due = Some((Cause::Asked, now)),
            Signal::Stop => return false,
        }
        true
    }

    fn read_soon(&mut self, now: Duration) {
        let spaced = self.read_at.map_or(Duration::ZERO, |at| at.saturating_add(SPACING));
        self.due.get_or_insert((Cause::File, now.saturating_add(SETTLE).max(spaced)));
    }

    /// Looks for what the system has not told.
    fn look(&mut self, now: Duration) {
        self.look_at = now.saturating_add(LOOK_EVERY);
        self.being_written.retain(|_, at| now.saturating_sub(*at) < HELD_OPEN_MAX);
        self.open_eye();
        let stamps = self.watched.stamps();
        // Only what stands still: this eye cannot tell whether somebody still writes.
        if stamps != self.stamps && stamps == self.looked {
            self.read_soon(now);
        }
        self.looked = stamps;
    }

    /// Reads, unless it is better to wait.
    fn read(&mut self, cause: Cause, now: Duration) -> Option<Reading> {
        let stamps = self.watched.stamps();
        if cause == Cause::File {
            if !self.being_written.is_empty() {
                return None; // the end of the write is told
            }
            if self.stamps.lack(&stamps) {
                let until = self.absent_since.get_or_insert(now).saturating_add(ABSENCE);
                if now < until {
                    self.due = Some((cause, until));
                    return None;
                }
            }
        }
        self.absent_since = None;
        (self.read_at, self.stamps) = (Some(now), stamps);
        let read = load(&self.sources).and_then(|read| self.watched.still_there(read));
        if cause == Cause::File && self.watched.stamps() != self.stamps {
            // Somebody has written meanwhile: what was read may be neither the one nor the other.
            self.due = Some((cause, self.clock.monotonic().saturating_add(SETTLE)));
            return None;
        }
        if let Ok(read) = &read {
            let watched = Watched::of(read);
            if watched != self.watched {
                self.watched = watched;
                self.stamps = self.watched.stamps();
                self.eye = None;
                self.open_eye();
            }
        }
        Some(Reading { cause, read })
    }

    /// Has the system tell of the folders in which the files are now.
    fn open_eye(&mut self) {
        let folders = self.watched.folders();
        if self.eye.as_ref().is_some_and(|(watched, _)| *watched == folders) {
            return;
        }
        let (concerns, signals) = (self.watched.concerns(), self.signals.clone());
        let watcher = notify::recommended_watcher(move |told: notify::Result<Event>| {
            // What it could not tell, the look at the stamps finds.
            let Ok(event) = told else { return };
            for path in event.paths.iter().filter(|path| concerns.include(path)) {
                if let Some(signal) = signal_of(event.kind, path.clone()) {
                    let _ = signals.send(signal); // nobody listens any more
                }
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            for folder in folders.paths() {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "configuration.unwatched: it is looked at each second"))
            .ok();
        self.eye = Some((folders, watcher));
    }
}

/// What an event of the system means for a file.
fn signal_of(kind: EventKind, path: PathBuf) -> Option<Signal> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Signal::Changed(path)),
        EventKind::Access(_) => None,
        // The end of the write is told; a link is there at once.
        EventKind::Modify(ModifyKind::Data(_)) if TELLS_ENDS => Some(Signal::BeingWritten(path)),
        EventKind::Create(CreateKind::File) if TELLS_ENDS && !path.is_symlink() => Some(Signal::BeingWritten(path)),
        EventKind::Any | EventKind::Other | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => {
            Some(Signal::Changed(path))
        }
    }
}

#[cfg(test)]
mod tests;
