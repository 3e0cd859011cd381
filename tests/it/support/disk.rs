//! A disk that forgets what was not synced when its power is cut.
//!
//! Killing a process shows no missing sync: the system still writes what the process had written. Here SQLite's own
//! files go on as they are, and beside them stands what a disk is bound to keep: the bytes as of the last sync, and
//! the changes since, of which after a power cut any may be there, in part, or not at all.
//!
//! The way in is SQLite's: a VFS around its own one, whose files write, cut back, sync and close through this module.
//! Files outside the folders that are watched are left to SQLite.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_OK, sqlite3_file, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

/// A folder on such a disk, for as long as it is held.
pub struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    /// Changes and syncs of all files so far.
    operations: u64,
    cut: Option<Cut>,
    /// What the power cut has left.
    left: Option<Image>,
}

/// A power cut that is to come.
struct Cut {
    at: u64,
    fate: Box<dyn FnMut() -> Fate + Send>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    syncs: u64,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

/// What becomes of a change that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Lost,
    /// Of a write, the first half.
    Torn,
    Kept,
}

/// The files that a power cut has left.
#[derive(Debug, Clone)]
pub struct Image(BTreeMap<String, Vec<u8>>);

impl Image {
    /// Puts the files into a folder, as the machine finds them when it starts again.
    pub fn put_into(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

impl Disk {
    /// Watches the files that SQLite opens in a folder from now on.
    pub fn watch(folder: &Path) -> Arc<Self> {
        LazyLock::force(&SQLITE);
        let disk = Arc::new(Self { folder: folder.canonicalize().unwrap(), state: Mutex::default() });
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|disk| disk.strong_count() > 0);
        watched.push(Arc::downgrade(&disk));
        disk
    }

    /// How often a file was synced.
    pub fn syncs(&self, name: &str) -> u64 {
        self.state().files.get(name).map_or(0, |file| file.syncs)
    }

    /// Changes and syncs of all files so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Cuts the power after so many operations; `fate` is asked for each change that is not synced then.
    pub fn cut_at(&self, operation: u64, fate: impl FnMut() -> Fate + Send + 'static) {
        self.state().cut = Some(Cut { at: operation, fate: Box::new(fate) });
    }

    /// What a power cut has left; `None` before it.
    pub fn left(&self) -> Option<Image> {
        self.state().left.clone()
    }

    /// What would be left, were the power cut now and everything lost that is not synced.
    pub fn synced(&self) -> Image {
        self.state().image(|| Fate::Lost)
    }

    fn of(path: &Path) -> Option<Arc<Self>> {
        let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.iter().filter_map(Weak::upgrade).find(|disk| path.parent() == Some(&disk.folder))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to a file, and counts it.
    fn operate(&self, name: &str, operation: impl FnOnce(&mut File)) {
        let mut state = self.state();
        operation(state.files.entry(name.to_owned()).or_default());
        state.operations += 1;
        let done = state.operations;
        if let Some(mut cut) = state.cut.take_if(|cut| cut.at <= done) {
            state.left = Some(state.image(&mut cut.fate));
        }
    }
}

impl State {
    fn image(&self, mut fate: impl FnMut() -> Fate) -> Image {
        let mut left = BTreeMap::new();
        for (name, file) in &self.files {
            let mut bytes = file.synced.clone();
            file.unsynced.iter().for_each(|change| change.apply(&mut bytes, fate()));
            left.insert(name.clone(), bytes);
        }
        Image(left)
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>, fate: Fate) {
        match (self, fate) {
            (_, Fate::Lost) | (Self::Truncate { .. }, Fate::Torn) => {}
            (Self::Truncate { len }, Fate::Kept) => file.truncate(*len),
            (Self::Write { at, bytes }, Fate::Torn | Fate::Kept) => {
                let kept = if fate == Fate::Torn { &bytes[..bytes.len() / 2] } else { bytes };
                let end = at + kept.len();
                file.resize(file.len().max(end), 0);
                file[*at..end].copy_from_slice(kept);
            }
        }
    }
}

static WATCHED: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());

/// SQLite's own VFS, which is around for as long as the process.
static SQLITE: LazyLock<Vfs> = LazyLock::new(install);

struct Vfs(&'static sqlite3_vfs);

// SAFETY: SQLite calls a VFS from all threads, so its functions are made for it; its fields are only read here, and
// what SQLite itself changes of it (`pNext`) is not looked at.
unsafe impl Send for Vfs {}
// SAFETY: as above.
unsafe impl Sync for Vfs {}

/// Puts a VFS before SQLite's own that opens files through [`open`].
fn install() -> Vfs {
    // SAFETY: a null name asks for the default VFS; it is static and never null on Unix.
    let sqlite = unsafe { &*sqlite3_vfs_find(std::ptr::null()) };
    let ours = Box::new(sqlite3_vfs {
        szOsFile: sqlite.szOsFile + c_int::try_from(size_of::<*mut Opened>()).unwrap(),
        zName: c"forgetful".as_ptr(),
        xOpen: Some(open),
        xDelete: Some(delete),
        ..*sqlite
    });
    // SAFETY: what is registered is never freed.
    assert_eq!(unsafe { sqlite3_vfs_register(Box::leak(ours), 1) }, SQLITE_OK);
    Vfs(sqlite)
}

/// What stands behind the bytes of a watched file that are SQLite's own.
struct Opened {
    disk: Arc<Disk>,
    name: String,
    sqlite: &'static sqlite3_io_methods,
    /// Those of SQLite, but for the four of this module.
    methods: sqlite3_io_methods,
}

/// Where the pointer to [`Opened`] stands. It need not be aligned there.
///
/// # Safety
/// `file` must be one of this VFS.
unsafe fn place(file: *mut sqlite3_file) -> *mut *mut Opened {
    let size = usize::try_from(SQLITE.0.szOsFile).unwrap();
    // SAFETY: SQLite reserves `szOsFile` bytes, a pointer more than its own VFS wants.
    unsafe { file.byte_add(size).cast() }
}

/// # Safety
/// `file` must be a watched file that is open.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a Opened {
    // SAFETY: `open` has put the pointer there; it is freed when the file is closed.
    unsafe { &*place(file).read_unaligned() }
}

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let sqlite = std::ptr::from_ref(SQLITE.0).cast_mut();
    let Some(sqlite_open) = SQLITE.0.xOpen else { return SQLITE_CANTOPEN };
    // SAFETY: the arguments are SQLite's, and the file is larger than its own VFS wants.
    let answer = unsafe { sqlite_open(sqlite, name, file, flags, out_flags) };
    if answer != SQLITE_OK || name.is_null() {
        return answer;
    }
    // SAFETY: a name that is not null ends with a zero.
    let path = unsafe { path_of(name) };
    let Some(disk) = Disk::of(path) else { return answer };
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    // What is there before SQLite comes is there for good.
    disk.state()
        .files
        .entry(name.clone())
        .or_insert_with(|| File { synced: std::fs::read(path).unwrap(), ..File::default() });
    // SAFETY: SQLite's own VFS has set the methods of a file that it has opened; they are static.
    let sqlite: &'static sqlite3_io_methods = unsafe { &*(*file).pMethods };
    let methods = sqlite3_io_methods {
        iVersion: 2, // without memory mapping: every write comes by
        xWrite: Some(write),
        xTruncate: Some(truncate),
        xSync: Some(sync),
        xClose: Some(close),
        ..*sqlite
    };
    let opened = Box::into_raw(Box::new(Opened { disk, name, sqlite, methods }));
    // SAFETY: the place is this VFS's own, and the methods live until the file is closed.
    unsafe {
        place(file).write_unaligned(opened);
        (*file).pMethods = &raw const (*opened).methods;
    }
    answer
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite gives a name that ends with a zero.
    let path = unsafe { path_of(name) };
    if let Some(disk) = Disk::of(path) {
        disk.state().files.remove(path.file_name().unwrap().to_str().unwrap());
    }
    let sqlite = std::ptr::from_ref(SQLITE.0).cast_mut();
    // SAFETY: the arguments are SQLite's.
    SQLITE.0.xDelete.map_or(SQLITE_CANTOPEN, |delete| unsafe { delete(sqlite, name, sync_folder) })
}

/// # Safety
/// `name` must end with a zero and outlive the answer.
unsafe fn path_of<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: the caller's.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn write(file: *mut sqlite3_file, bytes: *const c_void, len: c_int, at: i64) -> c_int {
    // SAFETY: SQLite gives an open file, whose methods these are, and `len` readable bytes.
    let (opened, written) =
        unsafe { (opened(file), std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(len).unwrap())) };
    // SAFETY: as above; SQLite's own VFS has all methods.
    let answer = unsafe { opened.sqlite.xWrite.unwrap()(file, bytes, len, at) };
    let change = Change::Write { at: usize::try_from(at).unwrap(), bytes: written.to_vec() };
    opened.disk.operate(&opened.name, |file| file.unsynced.push(change));
    answer
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: i64) -> c_int {
    // SAFETY: SQLite gives an open file, whose methods these are.
    let opened = unsafe { opened(file) };
    // SAFETY: as above; SQLite's own VFS has all methods.
    let answer = unsafe { opened.sqlite.xTruncate.unwrap()(file, len) };
    let change = Change::Truncate { len: usize::try_from(len).unwrap() };
    opened.disk.operate(&opened.name, |file| file.unsynced.push(change));
    answer
}

/// The machine's own disk need not wait: nobody cuts its power.
unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite gives an open file, whose methods these are.
    let opened = unsafe { opened(file) };
    opened.disk.operate(&opened.name, |file| {
        for change in std::mem::take(&mut file.unsynced) {
            change.apply(&mut file.synced, Fate::Kept);
        }
        file.syncs += 1;
    });
    SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite gives an open file, whose methods these are, and does not use it afterwards.
    let opened = unsafe { Box::from_raw(place(file).read_unaligned()) };
    // SAFETY: as above; SQLite's own VFS has all methods.
    unsafe { opened.sqlite.xClose.unwrap()(file) }
}
