//! Where and with what a result was measured.

use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};
use xtask::Workspace;

/// What a reader needs to know to compare.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    cores: usize,
    kernel: String,
    versions: Vec<String>,
}

impl Machine {
    pub(super) fn read() -> Self {
        let envoy = Workspace::locate().map(|workspace| workspace.peers_dir().join("envoy")).unwrap_or_default();
        let versions = [
            first_line("rustc", &["--version"]),
            first_line("nginx", &["-v"]),
            first_line("haproxy", &["-v"]),
            first_line(&envoy.to_string_lossy(), &["--version"]).map(|line| short_envoy(&line)),
        ];
        Self {
            date: first_line("date", &["-u", "+%d %b %Y"]).unwrap_or_default(),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: first_line("uname", &["-sr"]).unwrap_or_default(),
            versions: versions.into_iter().flatten().collect(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, processor, cores, kernel, versions } = self;
        write!(f, "{date}; {cores} cores of {processor}; {kernel}; {}", versions.join("; "))
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    // nginx gives its version on standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Out of `path version: commit/1.2.3/Clean/RELEASE/BoringSSL`.
fn short_envoy(line: &str) -> String {
    let version = line.rsplit("version:").next().unwrap_or(line).trim();
    format!("Envoy {}", version.split('/').nth(1).unwrap_or(version))
}
