//! Where plugins may come from: pins, signers, and what the node keeps about them.

use std::path::PathBuf;

use forebay_policy::signature::sha256_from_hex;
use semver::Version;

use super::Reader;
use crate::config::file;
use crate::config::{PolicyState, Trust};

impl Reader<'_> {
    pub(super) fn policy_state(&mut self, policy: &file::Policy) -> Option<PolicyState> {
        let folder = policy.state_dir.as_ref()?;
        if folder.as_os_str().is_empty() {
            self.check.mistake("policy.state_dir", "is empty", Some("a folder for this node alone".into()));
        }
        Some(PolicyState { folder: self.folder.join(folder), artefact_bytes: policy.artefact_bytes })
    }

    pub(super) fn signers(&mut self, policy: &file::Policy) -> Vec<PathBuf> {
        policy.signers.iter().map(|file| self.folder.join(file)).collect()
    }

    /// Whatever asks for a signature is a mistake where none is checked: it would promise what nobody keeps.
    pub(super) fn trust(&mut self, at: &str, plugin: &file::Plugin, policy: &file::Policy) -> Trust {
        let hint = "name the publishers' keys in `policy.signers`: without them no signature is checked";
        for (key, given) in [
            ("version", plugin.version.is_some()),
            ("signed_name", plugin.signed_name.is_some()),
            ("allow_downgrade", plugin.allow_downgrade),
        ] {
            if given && policy.signers.is_empty() {
                self.check.mistake(format!("{at}.{key}"), "needs signed plugins", Some(hint.into()));
            }
        }
        if plugin.allow_downgrade && policy.state_dir.is_none() {
            let hint = "without `policy.state_dir` no version is remembered, and any may be served";
            self.check.mistake(format!("{at}.allow_downgrade"), "says nothing here", Some(hint.into()));
        }
        Trust {
            sha256: self.sha256(at, plugin),
            version: self.version(at, plugin),
            signed_name: plugin.signed_name.clone().unwrap_or_else(|| plugin.name.clone()),
            allow_downgrade: plugin.allow_downgrade,
        }
    }

    fn sha256(&mut self, at: &str, plugin: &file::Plugin) -> Option<[u8; 32]> {
        let digest = sha256_from_hex(plugin.sha256.as_ref()?);
        if digest.is_none() {
            let hint = "64 hexadecimal digits, as `sha256sum` prints them";
            self.check.mistake(format!("{at}.sha256"), "is not a SHA-256", Some(hint.into()));
        }
        digest
    }

    fn version(&mut self, at: &str, plugin: &file::Plugin) -> Option<Version> {
        match plugin.version.as_ref()?.parse::<Version>() {
            Ok(version) if version.build.is_empty() => Some(version),
            wrong => {
                let reason = wrong.err().map_or_else(|| "has build metadata".to_owned(), |error| error.to_string());
                let hint = "a semantic version such as 1.2.0, without `+...`";
                self.check.mistake(format!("{at}.version"), format!("is not a version: {reason}"), Some(hint.into()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use crate::Config;

    fn parse(policy: &str, plugin: &str) -> Result<Config, String> {
        let text = format!(
            "listen = {{ development_ca = \".\" }}\n[policy]\n{policy}\n[[plugins]]\nname = \"a\"\n\
             component = \"a.wasm\"\n{plugin}\n"
        );
        Config::parse("x.toml", &text, Path::new("/etc/forebay")).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn pins_and_signers_are_read() {
        let config =
            parse("state_dir = 's'\nsigners = ['p.pub']", "version = '1.2.0'\nallow_downgrade = true").unwrap();
        assert_eq!(config.signers, [Path::new("/etc/forebay/p.pub")]);
        assert_eq!(config.policy_state.unwrap().folder, Path::new("/etc/forebay/s"));
        let trust = config.plugins.into_iter().next().unwrap().trust;
        assert_eq!((trust.signed_name.as_str(), trust.version.unwrap().minor), ("a", 2));
    }

    #[test]
    fn what_nobody_would_check_is_a_mistake() {
        for (policy, plugin, at) in [
            ("", "version = '1.2.0'", "plugins[0].version"),
            ("", "signed_name = 'b'", "plugins[0].signed_name"),
            ("state_dir = 's'", "allow_downgrade = true", "plugins[0].allow_downgrade"),
            ("signers = ['p.pub']", "allow_downgrade = true", "policy.state_dir"),
            ("signers = ['p.pub']", "version = '1.2'", "plugins[0].version"),
            ("signers = ['p.pub']", "version = '1.2.0+b'", "plugins[0].version"),
            ("", "sha256 = 'abc'", "plugins[0].sha256"),
            ("state_dir = ''", "", "policy.state_dir"),
        ] {
            let told = parse(policy, plugin).unwrap_err();
            assert!(told.contains(at), "{at} not in:\n{told}");
        }
    }
}
