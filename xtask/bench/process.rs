//! Servers as child processes: started, waited for, measured, ended.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// The unit of utime and stime in /proc/PID/stat: USER_HZ, 100 on every Linux that Forebay runs on.
const TICKS_PER_SECOND: u64 = 100;

/// A loopback address that nothing listened on a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A running server. It is ended when this is dropped.
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in a log under `folder`, and waits until it listens on every address.
    pub(crate) fn start(name: &str, mut command: Command, listens: &[SocketAddr], folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("could not start {name} (on Debian: apt-get install nginx haproxy)"))?;
        let mut server = Self { name: name.to_owned(), child, log };
        for address in listens {
            server.wait_for(*address)?;
        }
        Ok(server)
    }

    fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.name, self.last_words());
            }
            if started.elapsed() > START_LIMIT {
                bail!("{} does not listen on {address}: {}", self.name, self.last_words());
            }
            pause();
        }
        Ok(())
    }

    /// The end of the log.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// User and system time of the process and of all below it, since they started.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let processes = processes()?;
        let mut ticks = 0;
        let mut family = vec![self.child.id()];
        while let Some(id) = family.pop() {
            ticks += processes.iter().filter(|process| process.id == id).map(|process| process.ticks).sum::<u64>();
            family.extend(processes.iter().filter(|process| process.parent == id).map(|process| process.id));
        }
        Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: a master process that is killed leaves its workers behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let started = Instant::now();
        while started.elapsed() < STOP_LIMIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A short wait between two looks at something.
#[expect(clippy::disallowed_methods, reason = "a program of its own, on a thread with nothing else to do")]
pub(crate) fn pause() {
    std::thread::sleep(POLL);
}

struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

fn processes() -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let stat = std::fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
        found.extend(parse_stat(&stat));
    }
    Ok(found)
}

/// `proc_pid_stat(5)`: the name in parentheses may hold anything, so fields are counted from the last parenthesis.
fn parse_stat(stat: &str) -> Option<Process> {
    let (id, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Process { id: id.parse().ok()?, parent, ticks: user + system })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 150 25 9 9 20 0 1 0 100 0 0";
        let process = parse_stat(stat).unwrap();
        assert_eq!((process.id, process.parent, process.ticks), (42, 7, 175));
    }

    #[test]
    fn a_child_of_a_child_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & wait"]);
        let server = Server::start("spin", command, &[], folder.path()).unwrap();
        let started = Instant::now();
        while server.cpu_time().unwrap() < Duration::from_millis(50) {
            assert!(started.elapsed() < Duration::from_secs(60), "no CPU time was seen");
        }
        let worker = processes().unwrap().iter().find(|process| process.parent == server.child.id()).unwrap().id;
        drop(server);
        let _ = Command::new("kill").arg(worker.to_string()).status();
    }
}
