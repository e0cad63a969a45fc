//! nginx, from Debian. It has no token check of its own in this edition, so it has no guarded job.

use std::process::Command;

use anyhow::Result;

use super::THREADS;
use crate::arena::Arena;
use crate::contender::{Contender, Job};
use crate::load::Ask;
use crate::process::{self, Server};

/// Runs `nginx` for the job.
pub(crate) fn start(arena: &Arena, job: Job) -> Result<Contender> {
    let address = process::free_address()?;
    let folder = arena.folder().join("nginx");
    std::fs::create_dir_all(&folder)?;
    let cache = if job == Job::Hit { "proxy_cache bench;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    let config = format!(
        r#"
user root;
worker_processes {THREADS};
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    {temporary}
    proxy_cache_path {folder}/cache keys_zone=bench:10m;
    keepalive_requests 1000000000;
    upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen {address} ssl http2;
        server_name localhost;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {cache}
        }}
    }}
}}
"#,
        folder = folder.display(),
        origin = arena.origin,
        certificate = arena.credentials.certificate.display(),
        key = arena.credentials.key.display(),
    );
    let path = arena.write("nginx.conf", &config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).arg("-e").arg("stderr").arg("-c").arg(path);
    let servers = vec![Server::start("nginx", command, &[address], arena.folder())?];
    Ok(Contender { name: "nginx".into(), servers, address, tls: true, ask: Ask::get() })
}
