//! `forebay key`: master keys for sealing, and what a tenant gets of them.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use forebay_seal::Keyring;
use ring::rand::{SecureRandom, SystemRandom};

use super::{Failure, say};
use crate::config::Config;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write 32 random bytes to a new file that only you can read.
    New {
        /// The file; must not exist.
        file: PathBuf,
    },
    /// Print the key derived for one tenant as a JWK: what the tenant needs to open what is sealed for it.
    Show {
        /// Configuration file of the gateway.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Name of the key in it.
        #[arg(long)]
        name: String,
        /// The tenant.
        #[arg(long)]
        tenant: String,
    },
}

/// Runs the command.
pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::New { file } => {
            write_new(file).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
            say(&format!("{}: a new key", file.display()));
            Ok(())
        }
        Command::Show { config, name, tenant } => show(config, name, tenant),
    }
}

/// Writes a new master key, readable by its owner alone.
pub(crate) fn write_new(file: &Path) -> std::io::Result<()> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("no randomness"))?;
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(out, "{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn show(config: &Path, name: &str, tenant: &str) -> Result<(), Failure> {
    let config = Config::load(config).map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
    let Some((_, file)) = config.keys().find(|(known, _)| *known == name) else {
        return Err(Failure::Usage(format!("the configuration has no key named `{name}`")));
    };
    let mut keyring = Keyring::new();
    keyring.load_file(name, file).map_err(|error| Failure::Usage(error.to_string()))?;
    say(&keyring.jwk(name, tenant).map_err(|error| Failure::Failed(error.to_string()))?);
    Ok(())
}
