//! Why the process ends without success: one line for a person, one code for a program.

use std::fmt;
use std::process::ExitCode;

/// The exit codes; 0 is success. `quorate --help` and `quorate serve --help` list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It failed while running, for a reason no other code names.
    Failed = 1,
    /// A wrong flag, environment variable or configuration file.
    Usage = 2,
    /// An address cannot be listened on.
    Listen = 3,
    /// The data directory cannot be used: unwritable, foreign, newer, or used by another process.
    DataDirectory = 4,
    /// Reading or writing stored data failed, or it is damaged.
    Storage = 5,
    /// There is no such key, instance or leader.
    NotFound = 6,
    /// No server answers.
    Unavailable = 7,
    /// A lock or leadership was not acquired in time, or somebody else was first.
    NotAcquired = 8,
    /// A lock or leadership was lost while its command ran.
    Lost = 9,
    /// The command to run cannot be run; the number is the one shells use.
    CannotRun = 127,
}

/// A reason to end: what, where, and what to do, in one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure; line breaks in the message become spaces, so that it stays one line.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { exit, message }
    }

    /// Tells it on stderr and gives the code to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("quorate: {}", self.message);
        ExitCode::from(self.exit as u8)
    }

    #[cfg(test)]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new(Exit::Storage, "first\n  second\nthird");
        assert_eq!(failure.to_string(), "first second third");
    }
}
