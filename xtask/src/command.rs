//! Running other programs, bounded in time and with errors that say what was run.

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Workspace;

const POLL: Duration = Duration::from_millis(20);
const REPORTED_CHARS: usize = 2_000;

/// The Cargo that runs us, or the one on the path, started at the root of the tree.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace.root());
    forget_own_package(&mut command);
    command
}

/// `cargo run` tells a program which package it belongs to. Build scripts that watch those variables (ring's does)
/// would see ours, and everything above them would be built again each time one switches between `cargo xtask` and
/// plain `cargo`.
pub(crate) fn forget_own_package(command: &mut Command) {
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(ours) {
            command.env_remove(name);
        }
    }
}

/// The command line as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs `command` with our own input and output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("could not start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// What a captured program did.
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    /// The last words of its error output, at most `REPORTED_CHARS` of them.
    pub(crate) stderr: String,
}

/// Runs `command` without input, keeps what it says, and ends it after `limit`.
///
/// Output goes through files: a pipe that nobody reads would stop a talkative program for good.
pub(crate) fn capture(command: &mut Command, limit: Duration) -> Result<Captured> {
    let line = shown(command);
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("could not start `{line}`"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            bail!("`{line}` gave no result within {} s", limit.as_secs());
        }
        #[expect(clippy::disallowed_methods, reason = "a program of its own, on a thread with nothing else to do")]
        std::thread::sleep(POLL);
    };
    Ok(Captured { status, stdout: text_of(&mut stdout)?, stderr: tail(&text_of(&mut stderr)?) })
}

/// `capture`, with a failing exit status turned into an error.
pub(crate) fn capture_ok(command: &mut Command, limit: Duration) -> Result<Captured> {
    let captured = capture(command, limit)?;
    if !captured.status.success() {
        bail!("`{}` failed ({}): {}", shown(command), captured.status, captured.stderr.trim());
    }
    Ok(captured)
}

fn text_of(file: &mut std::fs::File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(text: &str) -> String {
    let surplus = text.chars().count().saturating_sub(REPORTED_CHARS);
    text.chars().skip(surplus).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended() {
        let started = Instant::now();
        let error = capture(Command::new("sleep").arg("60"), Duration::from_millis(50)).err().unwrap();
        assert!(error.to_string().contains("gave no result"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_failure_shows_the_command_and_its_last_words() {
        let error =
            capture_ok(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"]), Duration::from_secs(30));
        let text = error.err().unwrap().to_string();
        assert!(text.contains("sh -c") && text.contains("no such luck"), "{text}");
    }

    #[test]
    fn a_talkative_program_does_not_block() {
        let run = capture_ok(Command::new("sh").args(["-c", "yes | head -c 300000"]), Duration::from_secs(30)).unwrap();
        assert_eq!(run.stdout.len(), 300_000);
    }
}
