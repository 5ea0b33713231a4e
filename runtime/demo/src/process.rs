//! Child processes. None outlives its handle: dropped, it is killed. A signal to the demo drops nothing, so [`stop_all`] ends them then.
//!
//! They are signalled by a system call: a package must not need the program `kill`.

use std::{
    io,
    process::{Child, ChildStdout, Command, ExitStatus},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use parking_lot::Mutex;

/// Between two looks at a process that is to end.
const INTERVAL: Duration = Duration::from_millis(20);

/// The children of this process.
static CHILDREN: Children = Children::new();

/// Ends all children of this process with SIGTERM, and kills those that run on after `patience`. None can be started afterwards.
pub fn stop_all(patience: Duration) {
    CHILDREN.stop_all(patience);
}

/// A child process.
pub struct ChildProcess {
    /// Every look at the process takes the lock: an id is signalled only while it is this process's, since `try_wait` frees it.
    child: Arc<Mutex<Child>>,
}

impl ChildProcess {
    /// Starts a command.
    ///
    /// # Errors
    /// What the system answers, or that the children are being stopped.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        CHILDREN.spawn(command)
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    /// Takes the standard output, if it is piped and was not taken before.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.child.lock().stdout.take()
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// What the system answers.
    pub fn find_status(&self) -> io::Result<Option<ExitStatus>> {
        self.child.lock().try_wait()
    }

    /// Sends SIGTERM, unless it has ended already, and waits for its end.
    ///
    /// # Errors
    /// If it runs on after `patience`.
    pub fn terminate(&self, patience: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + patience;
        send_sigterm(&mut self.child.lock())?;
        loop {
            if let Some(status) = self.find_status()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                bail!("process {} still runs {} s after SIGTERM", self.id(), patience.as_secs())
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// Sends SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// What the system answers.
    pub fn kill(&self) -> io::Result<ExitStatus> {
        let mut child = self.child.lock();
        child.kill()?;
        child.wait()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ended = self.kill();
    }
}

/// Processes that may run.
struct Children(Mutex<State>);

struct State {
    is_stopping: bool,
    started: Vec<Weak<Mutex<Child>>>,
}

impl Children {
    const fn new() -> Self {
        Self(Mutex::new(State {
            is_stopping: false,
            started: Vec::new(),
        }))
    }

    fn spawn(&self, command: &mut Command) -> io::Result<ChildProcess> {
        // Locked until the process is in the list: none is missed by a stop.
        let mut state = self.0.lock();
        if state.is_stopping {
            return Err(io::Error::other("the demo is being stopped"));
        }
        let child = Arc::new(Mutex::new(command.spawn()?));
        state.started.retain(|known| known.strong_count() > 0);
        state.started.push(Arc::downgrade(&child));
        Ok(ChildProcess { child })
    }

    fn stop_all(&self, patience: Duration) {
        let started = {
            let mut state = self.0.lock();
            state.is_stopping = true;
            std::mem::take(&mut state.started)
        };
        let until = Instant::now() + patience;
        let running: Vec<ChildProcess> = started
            .iter()
            .filter_map(Weak::upgrade)
            .map(|child| ChildProcess { child })
            .collect();
        // All of them first: they end side by side.
        for process in &running {
            let _sent = send_sigterm(&mut process.child.lock());
        }
        for process in running {
            // What does not end is killed when it is dropped here.
            let _ended = process.terminate(until.saturating_duration_since(Instant::now()));
        }
    }
}

#[cfg(unix)]
fn send_sigterm(child: &mut Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    if child.try_wait()?.is_none() {
        kill_process(Pid::from_child(child), Signal::TERM)?;
    }
    Ok(())
}

/// Other systems have no signal that asks a process to end.
#[cfg(not(unix))]
fn send_sigterm(child: &mut Child) -> io::Result<()> {
    child.kill()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::ExitStatusExt as _,
        process::Stdio,
    };

    use rustix::process::{Pid, Signal, test_kill_process};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A shell that runs `script`, once it has written its first line.
    fn shell(script: &str) -> Result<ChildProcess> {
        let mut command = Command::new("sh");
        let process = ChildProcess::spawn(command.args(["-c", script]).stdout(Stdio::piped()))?;
        let mut line = String::new();
        BufReader::new(process.take_stdout().unwrap()).read_line(&mut line)?;
        assert_eq!(line, "ready\n");
        Ok(process)
    }

    #[test]
    fn a_process_ends_as_it_wants_to() -> Result<()> {
        let process = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done")?;
        assert!(process.find_status()?.is_none());
        assert_eq!(process.terminate(LONG)?.code(), Some(7));
        let process = shell("echo ready; exec sleep 600")?;
        assert_eq!(process.terminate(LONG)?.signal(), Some(Signal::TERM.as_raw()));
        Ok(())
    }

    #[test]
    fn all_are_stopped_and_none_is_started_afterwards() -> Result<()> {
        let children = Children::new();
        let start = |script: &str| {
            let process = children.spawn(Command::new("sh").args(["-c", script]).stdout(Stdio::piped()))?;
            let mut line = String::new();
            BufReader::new(process.take_stdout().unwrap()).read_line(&mut line)?;
            io::Result::Ok(process)
        };
        let polite = start("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done")?;
        let stubborn = start("trap '' TERM; echo ready; while :; do sleep 0.02; done")?;
        drop(start("echo ready; exec sleep 600")?);
        children.stop_all(Duration::from_secs(2));
        assert_eq!(polite.find_status()?.and_then(|status| status.code()), Some(7));
        assert_eq!(
            stubborn.find_status()?.and_then(|status| status.signal()),
            Some(Signal::KILL.as_raw())
        );
        let error = children.spawn(&mut Command::new("sh")).err().unwrap().to_string();
        assert!(error.contains("is being stopped"), "{error}");
        Ok(())
    }

    #[test]
    fn a_process_that_has_ended_is_not_signalled() -> Result<()> {
        let process = ChildProcess::spawn(Command::new("sh").args(["-c", "exit 3"]))?;
        while process.find_status()?.is_none() {
            std::thread::sleep(INTERVAL);
        }
        assert_eq!(process.terminate(Duration::ZERO)?.code(), Some(3));
        Ok(())
    }

    #[test]
    fn a_process_that_does_not_end_is_an_error_and_is_killed_with_its_handle() -> Result<()> {
        let process = shell("trap '' TERM; echo ready; while :; do sleep 0.02; done")?;
        let id = process.id();
        let error = process.terminate(Duration::from_millis(100)).unwrap_err().to_string();
        assert!(error.contains(&id.to_string()) && error.contains("SIGTERM"), "{error}");
        drop(process);
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
        assert!(test_kill_process(pid).is_err(), "{id} runs on");
        Ok(())
    }
}
