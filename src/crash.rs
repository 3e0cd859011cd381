//! Points at which a test kills the process, to see that the next one goes on.
//!
//! `crash_point!("name")` stands before and after every commit and every call of the outside world. It is nothing at
//! all without the feature `crash-points`, which the tests alone turn on. With it, three variables of the
//! environment are read once:
//!
//! - `DAYBOOK_CRASH=submit.after:3` sends SIGKILL to the process on the third pass of that point; `*:500` on the
//!   five hundredth pass of any. No destructor runs, nothing is flushed, nobody is told. With `:stop` at the end it
//!   is SIGSTOP, and the process goes on when somebody wakes it.
//! - `DAYBOOK_CRASH_LOG=FILE` adds a line to a file for each pass: what there is to be killed at. With
//!   `DAYBOOK_CRASH=each:stop` beside it the process stops at the first pass of every point.
//! - `DAYBOOK_SABOTAGE=no-look-up` leaves out what the promise rests on: the tests must find that, too.
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
pub use armed::{is_sabotaged, pass};

/// Whether a test has broken the program in this way.
#[cfg(not(feature = "crash-points"))]
pub const fn is_sabotaged(_way: &str) -> bool {
    false
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::collections::HashSet;
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LazyLock, Mutex};

    /// Stands for every point.
    const ANY: &str = "*";

    /// Stops at the first pass of each point.
    const EACH: &str = "each:stop";

    /// What the environment asks for. What cannot be read of it ends the process: a test that kills nothing would
    /// prove nothing.
    static ORDERS: LazyLock<Orders> = LazyLock::new(Orders::of_process);

    struct Orders {
        end: Option<Order>,
        /// Points that were passed, where the process stops at each.
        each: Option<Mutex<HashSet<String>>>,
        log: Option<File>,
        sabotage: Option<String>,
    }

    struct Order {
        point: String,
        /// Passes until the one that is meant.
        left: AtomicU64,
        signal: libc::c_int,
    }

    impl Orders {
        fn of_process() -> Self {
            let order = std::env::var("DAYBOOK_CRASH").ok();
            let each = order.as_ref().filter(|order| *order == EACH).map(|_| Mutex::default());
            let end = order.filter(|order| order != EACH).map(|order| {
                let (order, signal) = match order.strip_suffix(":stop") {
                    Some(order) => (order, libc::SIGSTOP),
                    None => (order.as_str(), libc::SIGKILL),
                };
                let (point, pass) = order.rsplit_once(':').expect("DAYBOOK_CRASH=POINT:PASS");
                let left = AtomicU64::new(pass.parse().expect("DAYBOOK_CRASH=POINT:PASS, PASS a number"));
                Order { point: point.to_owned(), left, signal }
            });
            let log = std::env::var_os("DAYBOOK_CRASH_LOG")
                .map(|path| OpenOptions::new().append(true).create(true).open(path).expect("DAYBOOK_CRASH_LOG=FILE"));
            Self { end, each, log, sabotage: std::env::var("DAYBOOK_SABOTAGE").ok() }
        }
    }

    /// Passes a point, or ends there.
    pub fn pass(point: &str) {
        if let Some(mut log) = ORDERS.log.as_ref() {
            log.write_all(format!("{point}\n").as_bytes()).expect("the log of DAYBOOK_CRASH_LOG can be written");
        }
        if let Some(order) = &ORDERS.end
            && (order.point == point || order.point == ANY)
            && order.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            signal(order.signal);
        }
        if let Some(passed) = &ORDERS.each
            && passed.lock().is_ok_and(|mut passed| passed.insert(point.to_owned()))
        {
            signal(libc::SIGSTOP);
        }
    }

    /// Sends a signal to this process.
    fn signal(signal: libc::c_int) {
        // SAFETY: both calls take and return plain numbers; the process is its own to end. A signal to oneself has
        // arrived when the call returns.
        unsafe { libc::kill(libc::getpid(), signal) };
    }

    /// Whether a test has broken the program in this way.
    pub fn is_sabotaged(way: &str) -> bool {
        ORDERS.sabotage.as_deref() == Some(way)
    }
}
