//! A child process that never outlives its test, and what it has used of the machine.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child that is killed and reaped when it is dropped.
#[derive(Debug)]
pub struct OwnedChild {
    child: Child,
}

impl OwnedChild {
    /// Starts the command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self {
            child: command.spawn()?,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it with SIGKILL and reaps it.
    ///
    /// # Errors
    /// When it cannot be reaped.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Waits until it has ended, at most this long.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if it still runs then.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("process {} still runs after {at_most:?}", self.id()),
                ));
            }
            // waitpid has no deadline, and a signal handler is more than a test needs.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time of all its threads, user and system.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident: u64,
}

impl Usage {
    /// Reads `/proc`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "unexpected /proc/PID/stat");
        // The second field is a name in parentheses that may hold anything.
        let after = stat.rsplit_once(')').ok_or_else(bad)?.1;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        let number = |index: usize| -> io::Result<u64> {
            fields
                .get(index)
                .and_then(|field| field.parse().ok())
                .ok_or_else(bad)
        };
        // proc(5): utime is field 14, stime 15, rss 24; `fields` starts with field 3.
        let ticks = number(11)? + number(12)?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / per_second as f64),
            resident: number(21)? * rustix::param::page_size() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_this_process_is_not_nothing() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident > 100_000);
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = OwnedChild::spawn(Command::new("sleep").arg("600")).unwrap();
        let pid = child.id();
        drop(child);
        assert!(Usage::of(pid).is_err());
    }

    #[test]
    fn waiting_has_an_end() {
        let mut child = OwnedChild::spawn(Command::new("sleep").arg("600")).unwrap();
        let error = child.wait(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        child.signal(Signal::TERM).unwrap();
        assert!(!child.wait(Duration::from_secs(5)).unwrap().success());
    }
}
