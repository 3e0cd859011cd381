use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::adapters::clocks::SystemClock;
use crate::config::{Environment, Settings};

/// How long a reading may take that has to come: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a configuration, and what is read of it.
struct Place {
    folder: TempDir,
    watch: Option<Watch>,
    readings: Receiver<Reading>,
}

impl Place {
    /// A folder in which `make` has put `daybook.yaml`, watched.
    fn new(make: impl FnOnce(&Path)) -> Self {
        let mut place = Self::unwatched(make);
        let (sources, current) = place.sources();
        let (sender, readings) = channel();
        let deliver = move |reading| sender.send(reading).is_ok();
        let watch = Watch::start(sources, &current, Arc::new(SystemClock::new()), deliver).unwrap();
        (place.watch, place.readings) = (Some(watch), readings);
        assert_eq!(place.positions(), current.settings.risk.max_positions, "it is read once at the start");
        place
    }

    fn unwatched(make: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        make(folder.path());
        Self { folder, watch: None, readings: channel().1 }
    }

    fn sources(&self) -> (Sources, Configuration) {
        let sources = Sources::new(Some(self.file()), Environment::default());
        let sources = sources.with_option("--jobs", "jobs_dir", self.jobs().display().to_string());
        let current = load(&sources).unwrap();
        (sources, current)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("daybook.yaml")
    }

    fn jobs(&self) -> PathBuf {
        self.folder.path().join("jobs")
    }

    fn next(&self) -> Reading {
        self.readings.recv_timeout(PATIENCE).expect("a reading comes")
    }

    /// The limit that the next reading has.
    fn positions(&self) -> u32 {
        self.next().read.unwrap_or_else(|error| panic!("{error}")).settings.risk.max_positions
    }

    /// Reads until the limit is this one; every reading must be right.
    fn reaches(&self, positions: u32) {
        while self.positions() != positions {}
    }

    /// What is wrong by the next reading.
    fn refusal(&self) -> String {
        self.next().read.unwrap_err().to_string()
    }
}

fn text(positions: u32) -> String {
    format!("risk: {{max_positions: {positions}}}\n")
}

fn write(path: &Path, positions: u32) {
    fs::write(path, text(positions)).unwrap();
}

fn plain(folder: &Path) {
    write(&folder.join("daybook.yaml"), 1);
}

#[test]
fn a_file_that_is_written_or_replaced_is_read() {
    let place = Place::new(plain);
    write(&place.file(), 2);
    place.reaches(2);
    let other = place.folder.path().join(".daybook.yaml.swp");
    write(&other, 3);
    fs::rename(&other, place.file()).unwrap();
    place.reaches(3);
    fs::rename(place.file(), place.folder.path().join("daybook.yaml~")).unwrap();
    write(&place.file(), 4);
    place.reaches(4);
}

#[test]
fn a_link_that_leads_elsewhere_is_followed_as_kubernetes_swaps_it() {
    let put = |folder: &Path, name: &str, positions: u32| {
        fs::create_dir(folder.join(name)).unwrap();
        write(&folder.join(name).join("daybook.yaml"), positions);
    };
    let place = Place::new(|folder| {
        put(folder, "..1", 1);
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/daybook.yaml", folder.join("daybook.yaml")).unwrap();
    });
    let folder = place.folder.path();
    for (name, before, positions) in [("..2", "..1", 2), ("..3", "..2", 3)] {
        put(folder, name, positions);
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        fs::remove_dir_all(folder.join(before)).unwrap();
        place.reaches(positions);
    }
}

#[test]
fn a_file_is_not_read_while_somebody_writes_it() {
    let place = Place::new(plain);
    let mut file = OpenOptions::new().write(true).truncate(true).open(place.file()).unwrap();
    file.write_all(b"risk: {max_pos").unwrap();
    // Another file changes meanwhile: the half-written one waits all the same.
    fs::write(place.jobs().join("extra.yaml"), "kind: reconcile\nschedule: {every: 5m}\n").unwrap();
    file.write_all(b"itions: 7}\n").unwrap();
    drop(file);
    let read = place.next().read.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.settings.risk.max_positions, 7);
    assert!(read.jobs.iter().any(|job| job.name == "extra"));
}

#[test]
fn many_edits_are_few_readings_and_the_last_one_counts() {
    let place = Place::new(plain);
    for positions in 1..=100 {
        write(&place.file(), positions);
    }
    let mut readings = 1;
    while place.positions() != 100 {
        readings += 1;
    }
    assert!(readings < 50, "{readings}");
}

#[test]
fn a_file_that_goes_and_comes_back_is_no_other_configuration() {
    let place = Place::new(plain);
    fs::remove_file(place.file()).unwrap();
    write(&place.file(), 2);
    place.reaches(2);
    fs::remove_file(place.file()).unwrap();
    assert!(place.refusal().contains("there is no such file"));
    write(&place.file(), 3);
    place.reaches(3);
}

#[test]
fn a_folder_that_goes_does_not_bring_the_built_in_jobs_back() {
    let place = Place::new(|folder| {
        plain(folder);
        fs::write(folder.join("jobs/extra.yaml"), "kind: reconcile\nschedule: {every: 5m}\n").unwrap();
    });
    let aside = place.folder.path().join("aside");
    fs::rename(place.jobs(), &aside).unwrap();
    let told = place.refusal();
    assert!(told.contains("jobs"), "{told}");
    fs::rename(aside, place.jobs()).unwrap();
    place.reaches(1);
}

#[test]
fn a_wrong_file_is_told_and_the_next_right_one_is_read() {
    let place = Place::new(plain);
    fs::write(place.file(), "risk: {max_positions: 0}\n").unwrap();
    assert!(place.refusal().contains("max_positions"));
    write(&place.file(), 2);
    place.reaches(2);
    fs::remove_file(place.file()).unwrap();
    fs::create_dir(place.file()).unwrap();
    assert!(place.refusal().contains("cannot be read"));
}

#[test]
fn who_asks_is_answered_though_nothing_changed() {
    let place = Place::new(plain);
    place.watch.as_ref().unwrap().read_again();
    assert_eq!(place.next().cause, Cause::Asked);
}

/// A reader that has read the place's files once, and is told nothing.
fn reader(place: &Place) -> Reader {
    let (sources, current) = place.sources();
    let watched = Watched::of(&current);
    let (folders, stamps) = (watched.folders(), watched.stamps());
    Reader {
        sources,
        watched,
        clock: Arc::new(SystemClock::new()),
        signals: channel().0,
        due: None,
        look_at: Duration::ZERO,
        read_at: None,
        looked: stamps.clone(),
        stamps,
        absent_since: None,
        being_written: BTreeMap::new(),
        eye: Some((folders, None)),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_the_system_does_not_tell_the_stamps_show() {
    let place = Place::unwatched(plain);
    let mut reader = reader(&place);
    reader.look(SECOND);
    assert_eq!(reader.due, None);
    write(&place.file(), 22);
    reader.look(SECOND * 2);
    assert_eq!(reader.due, None, "somebody may still write");
    reader.look(SECOND * 3);
    assert_eq!(reader.due, Some((Cause::File, SECOND * 3 + SETTLE)));
    let read = reader.read(Cause::File, SECOND * 4).unwrap().read.unwrap();
    assert_eq!(read.settings.risk.max_positions, 22);
    reader.due = None;
    reader.look(SECOND * 5);
    assert_eq!(reader.due, None, "it is read");
}

#[test]
fn a_file_that_is_emptied_before_it_is_written_is_not_read_empty() {
    let place = Place::unwatched(plain);
    let mut reader = reader(&place);
    let positions = |read: Option<Reading>| read.map(|it| it.read.unwrap().settings.risk.max_positions);
    fs::write(place.file(), "").unwrap();
    assert_eq!(positions(reader.read(Cause::File, SECOND)), None);
    assert_eq!(reader.due, Some((Cause::File, SECOND + ABSENCE)));
    write(&place.file(), 22);
    assert_eq!(positions(reader.read(Cause::File, SECOND)), Some(22));

    fs::write(place.file(), "").unwrap();
    assert_eq!(positions(reader.read(Cause::File, SECOND * 5)), None);
    let built_in = Settings::default().risk.max_positions;
    assert_eq!(positions(reader.read(Cause::File, SECOND * 5 + ABSENCE)), Some(built_in), "it stays empty");
}
