use crate::time::Span;

/// A schedule that does not read, or that says nothing sensible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// No form at all, or the keys of more than one.
    #[error("{found}: expected exactly one of `at`, `every`, `bar`, `adaptive` and `cron`, such as `at: close-10m`")]
    NotOneForm {
        /// What stands there.
        found: String,
    },
    /// A key of another form.
    #[error("`{key}` does not go with `{form}`: expected it {expected}")]
    Misplaced {
        /// The key.
        key: &'static str,
        /// The form that it stands with.
        form: &'static str,
        /// Where it belongs, with an example.
        expected: &'static str,
    },
    /// A point of the session that does not read.
    #[error(
        "\"{text}\" is no point of a session: expected open, close, pre_open or post_close, with + or - and a length of time, such as close-10m"
    )]
    Anchor {
        /// What was read.
        text: String,
    },
    /// A length of time outside what its key takes.
    #[error("`{key}` is {found}: expected {expected}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What was read.
        found: Span,
        /// What it may be, with an example.
        expected: &'static str,
    },
    /// Adaptive intervals that do not grow from fast to slow.
    #[error(
        "`adaptive` is {fast}, {normal}, {slow}: expected fast <= normal <= slow, such as {{fast: 15m, normal: 30m, slow: 4h}}"
    )]
    Unordered {
        /// In a volatile market.
        fast: Span,
        /// In an ordinary one.
        normal: Span,
        /// In a quiet one.
        slow: Span,
    },
    /// A cron expression that does not read.
    #[error(
        "`cron` is \"{expression}\": {reason}; expected minute, hour, day of month, month and weekday, such as \"30 8 * * MON-FRI\""
    )]
    Cron {
        /// What was read.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A job whose keys each read well but do not go together, or are out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job \"{job}\": `{key}` is {found}: expected {expected}")]
pub struct DefinitionError {
    /// The job's name.
    pub job: String,
    /// The key.
    pub key: &'static str,
    /// What stands there.
    pub found: String,
    /// What may stand there, with an example.
    pub expected: &'static str,
}
