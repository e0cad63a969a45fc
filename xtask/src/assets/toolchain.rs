//! Which Rust toolchain builds the guests.
//!
//! In order: the toolchain at hand if it has the WebAssembly target; Debian's `-web` packages if they are installed;
//! `rustup target add`; Debian's packages by apt-get. Debian ships the standard library for this target as source only,
//! so Cargo builds it along (`-Zbuild-std`), once.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::{Workspace, command};

/// The target of every guest: no WASI, so that a guest can import nothing but the interfaces it names.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

const PROBE_LIMIT: Duration = Duration::from_secs(30);
const RUSTUP_LIMIT: Duration = Duration::from_mins(2);
const APT_LIMIT: Duration = Duration::from_mins(10);
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// What is built along where a toolchain has the standard library as source only.
const BUILD_STD: &str = "std,panic_abort";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// A way to build guests.
pub(super) enum Toolchain {
    /// The toolchain that builds everything else.
    Own,
    /// Debian's compiler and Cargo with the standard library from source, linked by this linker.
    Debian { linker: PathBuf },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(f, "this toolchain's own {TARGET} target"),
            Self::Debian { .. } => write!(f, "Debian's rustc-web, the standard library from source"),
        }
    }
}

impl Toolchain {
    pub(super) fn choose(workspace: &Workspace) -> Result<Self> {
        if has_target(workspace) {
            return Ok(Self::Own);
        }
        if let Some(linker) = debian_linker(workspace) {
            return Ok(Self::Debian { linker });
        }
        let rustup = match add_by_rustup(workspace) {
            Ok(()) if has_target(workspace) => return Ok(Self::Own),
            Ok(()) => "it reported success, but the target is not there".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let apt = match add_by_apt() {
            Ok(()) => match debian_linker(workspace) {
                Some(linker) => return Ok(Self::Debian { linker }),
                None => "installed, but without a usable compiler, source or linker".to_owned(),
            },
            Err(error) => format!("{error:#}"),
        };
        bail!(
            "the plugins need a Rust toolchain with the {TARGET} target, and none could be had\n  \
             rustup target add {TARGET}: {rustup}\n  \
             apt-get install {}: {apt}",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    /// `cargo build --release` for the target; the caller adds packages and the folder for the output.
    pub(super) fn cargo_build(&self, workspace: &Workspace) -> Result<Command> {
        let mut cargo = match self {
            Self::Own => command::cargo(workspace),
            Self::Debian { linker } => debian_cargo(workspace, linker),
        };
        // A caller's flags are for the native build.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"] {
            cargo.env_remove(name);
        }
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", without_local_paths(workspace)?);
        cargo.args(["build", "--release", "--target", TARGET]);
        if matches!(self, Self::Debian { .. }) {
            cargo.arg(format!("-Zbuild-std={BUILD_STD}"));
        }
        Ok(cargo)
    }

    /// The variables under which another program's Cargo builds as [`Self::cargo_build`] does, the standard library
    /// included.
    pub(super) fn environment(&self, workspace: &Workspace) -> Result<Vec<(&'static str, OsString)>> {
        let mut variables =
            vec![("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", without_local_paths(workspace)?.into())];
        if let Self::Debian { linker } = self {
            variables.extend([
                ("CARGO", DEBIAN_CARGO.into()),
                ("RUSTC", DEBIAN_RUSTC.into()),
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("CARGO_UNSTABLE_BUILD_STD", BUILD_STD.into()),
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
            ]);
        }
        Ok(variables)
    }
}

fn debian_cargo(workspace: &Workspace, linker: &Path) -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    command::forget_own_package(&mut cargo);
    // What rustup and the Cargo above us set would lead to the other toolchain.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTDOC", "RUSTC_WRAPPER", "LD_LIBRARY_PATH"] {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(workspace.root())
        .env("RUSTC", DEBIAN_RUSTC)
        // The compiler is a stable one; building its own standard library is the one thing it needs this for.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    cargo
}

/// A component goes to other machines: panic messages in it name crates, not this machine's folders.
fn without_local_paths(workspace: &Workspace) -> Result<String> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
    };
    let (root, home) = (workspace.root().display().to_string(), home.display().to_string());
    if root.contains(' ') || home.contains(' ') {
        // This variable is split at spaces, and a longer message is no reason to fail.
        return Ok(String::new());
    }
    Ok(format!("--remap-path-prefix={root}=forebay --remap-path-prefix={home}=cargo"))
}

fn rustc(workspace: &Workspace, args: &[&str]) -> Option<PathBuf> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(workspace.root()).args(args);
    let captured = command::capture_ok(&mut rustc, PROBE_LIMIT).ok()?;
    Some(PathBuf::from(captured.stdout.trim()))
}

fn has_target(workspace: &Workspace) -> bool {
    let libraries = rustc(workspace, &["--print", "target-libdir", "--target", TARGET]);
    libraries.and_then(|folder| std::fs::read_dir(folder).ok()).is_some_and(|mut files| files.next().is_some())
}

/// Some linker, if Debian's compiler and library source are installed: ours if it has one, else Debian's.
fn debian_linker(workspace: &Workspace) -> Option<PathBuf> {
    if ![DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE].iter().all(|path| Path::new(path).exists()) {
        return None;
    }
    let host = format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", std::env::consts::ARCH);
    let own = rustc(workspace, &["--print", "sysroot"]).map(|sysroot| sysroot.join(host));
    let candidates = own.into_iter().chain(["/usr/bin/rust-lld", "/usr/bin/wasm-ld"].map(PathBuf::from));
    candidates.into_iter().find(|path| path.exists())
}

fn add_by_rustup(workspace: &Workspace) -> Result<()> {
    let mut rustup = Command::new("rustup");
    rustup.current_dir(workspace.root()).args(["target", "add", TARGET]);
    eprintln!("assets: {}", command::shown(&rustup));
    command::capture_ok(&mut rustup, RUSTUP_LIMIT).map(|_| ())
}

fn add_by_apt() -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this machine has no apt-get");
    }
    if !is_root() {
        bail!("that needs root; run it once by hand");
    }
    if install().is_err() {
        apt_get(&["update"])?;
        install()?;
    }
    Ok(())
}

fn install() -> Result<()> {
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(DEBIAN_PACKAGES);
    apt_get(&args)
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    eprintln!("assets: {}", command::shown(&apt));
    command::capture_ok(&mut apt, APT_LIMIT).map(|_| ())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
