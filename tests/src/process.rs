//! Nodes as processes of their own, told what to do by signals as an operator would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::place::Place;
use crate::runtime::eventually;

const EXIT_LIMIT: Duration = Duration::from_secs(60);

/// A running `forebay`. It is killed with this.
pub struct Process {
    child: Child,
    log: PathBuf,
    ca: PathBuf,
}

/// How a command that ran to its end ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Standard output and standard error.
    pub said: String,
}

impl Process {
    /// Starts `program ROLE --config FILE` with its log beside the file.
    pub fn start(program: &str, role: &str, place: &Place, file: &Path) -> Self {
        let log = file.with_extension("log");
        let out = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .args([role, "--config"])
            .arg(file)
            .env_remove("FOREBAY_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log, ca: place.ca_pem().to_path_buf() }
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// It does not end.
    pub async fn run(program: &str, arguments: &[&str]) -> Ended {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(EXIT_LIMIT, output).await.expect("the command ends").unwrap();
        let said = [output.stdout, output.stderr].concat();
        Ended { code: output.status.code().unwrap_or(-1), said: String::from_utf8_lossy(&said).into_owned() }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until its log has a line with `message`, and gives the line.
    pub async fn said(&self, message: &str) -> Value {
        self.said_times(message, 1).await
    }

    /// Waits until its log has so many lines with `message`, and gives the last of them.
    pub async fn said_times(&self, message: &str, times: usize) -> Value {
        let found = || {
            let log = self.log();
            let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            lines.into_iter().filter(|line| line["message"] == message).nth(times - 1)
        };
        eventually(&format!("`{message}` in {}", self.log.display()), || async { found().is_some() }).await;
        found().unwrap()
    }

    /// A client of this gateway's front door.
    pub async fn client(&self) -> Client {
        Client::http2(self.address("serving", "address").await, &self.ca)
    }

    /// A client of this gateway's admin API.
    pub async fn admin(&self) -> Client {
        Client::plain(self.address("serving", "admin").await)
    }

    /// Where this gateway's admin API listens.
    pub async fn admin_url(&self) -> String {
        format!("http://{}", self.address("serving", "admin").await)
    }

    /// Where this region listens, once its models are warm.
    pub async fn region_url(&self) -> String {
        let address = self.address("listening", "local_addr").await;
        let client = Client::plain(address);
        eventually("the region is ready", || async {
            client.get("/v2/health/ready").try_send().await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        format!("http://{address}")
    }

    async fn address(&self, message: &str, field: &str) -> SocketAddr {
        self.said(message).await[field].as_str().unwrap().parse().unwrap()
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Panics
    /// The process is gone.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("a running process").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().await.unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// Waits for its end and gives its exit code; -1 where a signal ended it.
    ///
    /// # Panics
    /// It does not end.
    pub async fn ended(&mut self) -> i32 {
        let ended = tokio::time::timeout(EXIT_LIMIT, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it runs on:\n{}", self.log())).unwrap().code().unwrap_or(-1)
    }
}
