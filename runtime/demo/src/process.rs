//! A child process. It does not outlive its handle: dropped, it is killed.
//!
//! It is signalled by a system call: a package must not need the program `kill`.

use std::{
    io,
    process::{Child, ChildStdout, Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use parking_lot::Mutex;

/// Between two looks at a process that is to end.
const INTERVAL: Duration = Duration::from_millis(20);

/// A child process.
pub struct ChildProcess {
    /// Every look at the process takes the lock: an id is signalled only while it is this process's, since `try_wait` frees it.
    child: Mutex<Child>,
}

impl ChildProcess {
    /// Starts a command.
    ///
    /// # Errors
    /// What the system answers.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = Mutex::new(command.spawn()?);
        Ok(Self { child })
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
