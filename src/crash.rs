//! Points at which a test kills the process, to see that the next one goes on.
//!
//! `crash_point!("name")` stands before and after every commit and every call of the outside world. It is nothing at
//! all without the feature `crash-points`, which the tests alone turn on. With it, two variables of the environment
//! are read once:
//!
//! - `DAYBOOK_CRASH=submit.after:3` sends SIGKILL to the process on the third pass of that point; `*:500` on the
//!   five hundredth pass of any. No destructor runs, nothing is flushed, nobody is told.
//! - `DAYBOOK_CRASH_LOG=FILE` adds a line to a file for each pass: what there is to be killed at.
//!
//! `tests/it/crash/` lists the points from these sources and kills the program at each of them.

/// Marks an instant at which a test may kill the process.
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "crash-points")]
        crate::crash::pass($name);
    };
}

#[cfg(feature = "crash-points")]
pub use armed::pass;

#[cfg(feature = "crash-points")]
mod armed {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Stands for every point.
    const ANY: &str = "*";

    /// What the environment asks for. What cannot be read of it ends the process: a test that kills nothing would
    /// prove nothing.
    static ORDERS: LazyLock<Orders> = LazyLock::new(Orders::of_process);

    struct Orders {
        /// The point, and the passes that are left until the last one.
        kill: Option<(String, AtomicU64)>,
        log: Option<File>,
    }

    impl Orders {
        fn of_process() -> Self {
            let kill = std::env::var("DAYBOOK_CRASH").ok().map(|order| {
                let (point, pass) = order.rsplit_once(':').expect("DAYBOOK_CRASH=POINT:PASS");
                (point.to_owned(), AtomicU64::new(pass.parse().expect("DAYBOOK_CRASH=POINT:PASS, PASS a number")))
            });
            let log = std::env::var_os("DAYBOOK_CRASH_LOG")
                .map(|path| OpenOptions::new().append(true).create(true).open(path).expect("DAYBOOK_CRASH_LOG=FILE"));
            Self { kill, log }
        }
    }

    /// Passes a point; does not return if it is the one to be killed at.
    pub fn pass(point: &str) {
        if let Some(mut log) = ORDERS.log.as_ref() {
            log.write_all(format!("{point}\n").as_bytes()).expect("the log of DAYBOOK_CRASH_LOG can be written");
        }
        if let Some((wanted, left)) = &ORDERS.kill
            && (wanted == point || wanted == ANY)
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            kill();
        }
    }

    fn kill() -> ! {
        // SAFETY: both calls take and return plain numbers; the process is its own to end.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        loop {
            std::thread::park(); // the signal is on its way
        }
    }
}
