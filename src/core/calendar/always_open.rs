//! A market that never closes: every UTC day is a session from midnight to midnight.

use chrono::Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
use chrono_tz::Tz;

use super::rules::{Definition, Hours, WallTime};

pub(super) static ALWAYS_OPEN: Definition = Definition {
    name: "24/7",
    zone: Tz::UTC,
    years: 1970..=2100,
    weekdays: &[Mon, Tue, Wed, Thu, Fri, Sat, Sun],
    hours: Hours {
        pre_open: WallTime::at(0, 0),
        open: WallTime::at(0, 0),
        close: WallTime::at(24, 0),
        post_close: WallTime::at(24, 0),
        early_post_close: WallTime::at(24, 0),
    },
    rules: &[],
    one_offs: &[],
};
