//! What all contenders of a benchmark share: a folder, keys, the origin, the floor.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use hyper::header::{AUTHORIZATION, HeaderValue};
use tempfile::TempDir;
use xtask::Workspace;

use crate::contender::Contender;
use crate::credentials::Credentials;
use crate::load::Ask;
use crate::process::{self, Server};

/// What the benchmark's rule reads, and a field that it removes.
const RULE_HEADERS: [(&str, &str); 4] = [
    ("user-agent", "bench/1.0 (Linux; x86_64)"),
    ("x-client-version", "2.4.1"),
    ("x-client-region", "eu"),
    ("x-debug", "1"),
];

/// The surroundings of one benchmark. Everything in it ends when it is dropped.
pub(crate) struct Arena {
    pub(crate) workspace: Workspace,
    pub(crate) credentials: Credentials,
    pub(crate) origin: SocketAddr,
    origin_server: Server,
    folder: TempDir,
}

impl Arena {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let origin = process::free_address()?;
        Ok(Self {
            workspace: Workspace::locate()?,
            credentials: Credentials::make(folder.path())?,
            origin,
            origin_server: Server::start("origin", own_server("origin", origin, None)?, &[origin], folder.path())?,
            folder,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new file in the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        Ok(path)
    }

    /// CPU time of the origin: it stands still while others answer from their caches.
    pub(crate) fn origin_cpu_ms(&self) -> Result<u128> {
        Ok(self.origin_server.cpu_time()?.as_millis())
    }

    /// hyper and rustls with a fixed answer and nothing else.
    pub(crate) fn floor(&self) -> Result<Contender> {
        let address = process::free_address()?;
        let command = own_server("floor", address, Some(&self.credentials.combined))?;
        let servers = vec![Server::start("floor", command, &[address], self.folder())?];
        Ok(Contender { name: "floor (hyper + rustls)".into(), servers, address, tls: true, ask: Ask::get() })
    }

    /// The origin itself, asked directly and in plain text: what a proxy's latency is added to.
    pub(crate) fn direct(&self) -> Contender {
        let name = "origin, direct".into();
        Contender { name, servers: Vec::new(), address: self.origin, tls: false, ask: Ask::get() }
    }

    /// The same question with a good token and what the benchmark's rule looks at.
    pub(crate) fn with_rule(&self, ask: Ask) -> Result<Ask> {
        let mut ask = self.with_token(ask)?;
        for (name, value) in RULE_HEADERS {
            ask.headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(ask)
    }

    /// The same question with a good token.
    pub(crate) fn with_token(&self, mut ask: Ask) -> Result<Ask> {
        ask.headers.insert(AUTHORIZATION, format!("Bearer {}", self.credentials.token).parse()?);
        Ok(ask)
    }
}

fn own_server(role: &str, address: SocketAddr, tls: Option<&Path>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["__serve", role, "--port", &address.port().to_string()]);
    if let Some(tls) = tls {
        command.arg("--tls").arg(tls);
    }
    Ok(command)
}
