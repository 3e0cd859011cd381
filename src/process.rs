//! What the process is to the machine that it runs on.

use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Bytes that this process may still write beside `path`.
///
/// # Errors
/// If the file system does not tell.
pub fn free_space(path: &Path) -> std::io::Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = CString::new(folder.as_os_str().as_bytes())?;
    let mut facts = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` is a NUL-terminated path and `facts` has room for what statvfs writes.
    if unsafe { libc::statvfs(name.as_ptr(), facts.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: statvfs succeeded, so it has written all of `facts`.
    let facts = unsafe { facts.assume_init() };
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// The time that processors have spent on this process, in milliseconds.
#[must_use]
pub fn cpu_ms() -> u64 {
    cpu_us() / 1000
}

/// The time that processors have spent on this process, in microseconds.
#[must_use]
pub fn cpu_us() -> u64 {
    let usage = usage();
    let us = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    us(usage.ru_utime) + us(usage.ru_stime)
}

/// The time that processors have spent on the thread that asks.
#[must_use]
pub fn thread_cpu() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` has room for what clock_gettime writes, and zeroes are a valid value of it.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr());
        time.assume_init()
    };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The memory that the process holds now; where the system does not tell, the most that it ever held. In KiB.
#[must_use]
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let now = line.and_then(|text| text.split_whitespace().next()?.parse().ok());
    now.unwrap_or_else(peak_resident_kib)
}

/// The most memory that the process ever held, in KiB.
#[must_use]
pub fn peak_resident_kib() -> u64 {
    u64::try_from(usage().ru_maxrss).unwrap_or(0)
}

fn usage() -> libc::rusage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` has room for what getrusage writes, and zeroes are a valid value of it.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

/// Gives back the memory that only the start needed: free pages of the heap, and pages of the program's own
/// file, most of which run once a day or never. The kernel maps those again, from its cache, when they are
/// executed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle() {
    // SAFETY: `malloc_trim` may be called at any time; the callback takes no data.
    unsafe {
        libc::malloc_trim(0);
        libc::dl_iterate_phdr(Some(unmap_code), std::ptr::null_mut());
    }
}

/// Elsewhere the system knows best.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() {}

/// Unmaps the segments of an object that nobody can have written to, and ends the walk: the first object is
/// the program itself.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" fn unmap_code(object: *mut libc::dl_phdr_info, _size: usize, _data: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description, whose headers live as long as the program.
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
    };
    let page = page_size();
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        let from = (base + header.p_vaddr as usize) / page * page;
        let to = base + header.p_vaddr as usize + header.p_memsz as usize;
        // SAFETY: the pages are a private mapping of a file and as the file has them, so that the kernel
        // brings back what it drops. That it refuses is no harm.
        unsafe { libc::madvise(from as *mut c_void, to - from, libc::MADV_DONTNEED) };
    }
    1
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn page_size() -> usize {
    // SAFETY: it only reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4_096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_name_lies_in_the_present_folder() {
        assert!(free_space(Path::new("ledger.db")).unwrap() > 0);
        assert!(free_space(Path::new("no/such/folder/ledger.db")).is_err());
    }

    #[test]
    fn a_thread_is_told_its_own_time() {
        let before = thread_cpu();
        while thread_cpu() == before {}
        let others = std::thread::spawn(thread_cpu).join().unwrap();
        assert!(thread_cpu() > before && others < Duration::from_secs(1));
    }

    #[test]
    fn the_process_goes_on_after_it_has_settled() {
        let before = vec![7_u8; 1 << 20];
        settle();
        assert!(before.iter().all(|byte| *byte == 7));
        assert!(resident_kib() > 1_000);
    }
}
