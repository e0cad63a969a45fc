//! `forebay demo`: one PoP and two regions on this machine, with real models and plugins, a tour, and a live gateway.
//!
//! The three nodes are separate processes of this same program, so that one can be killed as a machine would be.

use std::path::PathBuf;

use clap::Args;

mod cluster;
mod picture;
mod ports;
mod state;
mod steps;
mod tour;

use crate::cli::{Failure, block_on, say};
use cluster::Cluster;
use ports::Ports;
use state::State;

/// How to run the demo.
#[derive(Args)]
pub struct Options {
    /// Folder with the ONNX Runtime, models and plugins, as `cargo xtask assets` makes it.
    #[arg(long, value_name = "DIR", default_value = "target/assets")]
    assets: PathBuf,
    /// Folder for keys, tokens, configuration and logs of the demo.
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    state: PathBuf,
    /// End after the tour; exit code 0 only if every line was as expected.
    #[arg(long)]
    once: bool,
    /// Use ports N (gateway), N+1 (admin), N+2 and N+3 (regions) instead of 8443, 9901, 9001 and 9002.
    #[arg(long, value_name = "N")]
    port_base: Option<u16>,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let ports = Ports::of(options.port_base).map_err(Failure::Usage)?;
    let state = State::prepare(&options.state, &options.assets, &ports).map_err(Failure::Failed)?;
    block_on(async {
        say("Starting regions eu-west and us-east, and the gateway ...");
        let mut cluster = Cluster::start(&state, &ports).await.map_err(Failure::Failed)?;
        let tour = tour::run(&state, &ports, &mut cluster).await.map_err(Failure::Failed)?;
        say(&tour.table());
        if !tour.as_expected() {
            cluster.stop().await;
            return Err(Failure::Failed(format!(
                "the tour did not go as expected; logs are in {}",
                state.folder().display()
            )));
        }
        if !options.once {
            say(&invitation(&state, &ports));
            tokio::signal::ctrl_c().await.map_err(|error| Failure::Failed(error.to_string()))?;
        }
        cluster.stop().await;
        Ok(())
    })
}

fn invitation(state: &State, ports: &Ports) -> String {
    let folder = state.folder().display();
    format!(
        "\nStill serving; Ctrl-C ends. Try:\n\n  \
         curl --cacert {folder}/ca.pem -H \"Authorization: Bearer $(cat {folder}/tokens/acme.jwt)\" \\\n    \
         https://localhost:{}/v2/models/minilm/infer \\\n    \
         -d '{{\"inputs\":[{{\"name\":\"text\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"still water\"]}}]}}'\n\n  \
         forebay status --admin http://127.0.0.1:{}    logs: {folder}/*.log\n",
        ports.gateway, ports.admin,
    )
}
