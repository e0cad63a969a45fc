//! Behind `keys`: signing and sealing with the node's keys, for one plugin and the purposes that it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use forebay_policy::services::{KeyFailure, Keys};
use forebay_seal::{Keyring, SealError};

/// The keys of one plugin. What they make is for the plugin of that name, and nobody else's signature is right for it:
/// not another plugin's, and not what seals fields for a tenant.
pub(super) struct PluginKeys {
    /// Those of the present configuration.
    pub(super) keyring: Arc<ArcSwap<Keyring>>,
    pub(super) allowed: BTreeSet<String>,
    pub(super) plugin: String,
}

impl PluginKeys {
    fn check(&self, key: &str) -> Result<(), KeyFailure> {
        if self.allowed.contains(key) { Ok(()) } else { Err(KeyFailure::NoKey) }
    }
}

impl Keys for PluginKeys {
    fn sign(&self, key: &str, purpose: &str, data: &[u8]) -> Result<Vec<u8>, KeyFailure> {
        self.check(key)?;
        self.keyring.load().sign(key, &self.plugin, purpose, data).map(Vec::from).map_err(|error| failure(&error))
    }

    fn verify(&self, key: &str, purpose: &str, data: &[u8], signature: &[u8]) -> Result<bool, KeyFailure> {
        self.check(key)?;
        self.keyring.load().verify(key, &self.plugin, purpose, data, signature).map_err(|error| failure(&error))
    }

    fn seal(&self, key: &str, purpose: &str, text: &str) -> Result<String, KeyFailure> {
        self.check(key)?;
        self.keyring.load().seal_for(key, &self.plugin, purpose, text.as_bytes()).map_err(|error| failure(&error))
    }

    fn open(&self, key: &str, purpose: &str, sealed: &str) -> Result<String, KeyFailure> {
        self.check(key)?;
        let opened =
            self.keyring.load().open_for(key, &self.plugin, purpose, sealed).map_err(|error| failure(&error))?;
        String::from_utf8(opened).map_err(|_| KeyFailure::Rejected)
    }
}

fn failure(error: &SealError) -> KeyFailure {
    match error {
        SealError::UnknownKey(_) => KeyFailure::NoKey,
        _ => KeyFailure::Rejected,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keys(plugin: &str, allowed: &[&str]) -> PluginKeys {
        let mut keyring = Keyring::new();
        keyring.insert("mine", [1; 32]);
        keyring.insert("theirs", [2; 32]);
        let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
        PluginKeys { keyring: Arc::new(ArcSwap::from_pointee(keyring)), allowed, plugin: plugin.to_owned() }
    }

    #[test]
    fn only_keys_of_the_plugin_are_used() {
        let keys = keys("a", &["mine", "missing"]);
        assert!(keys.sign("mine", "p", b"x").is_ok());
        for key in ["theirs", "missing", "none"] {
            assert_eq!(keys.sign(key, "p", b"x"), Err(KeyFailure::NoKey));
            assert_eq!(keys.verify(key, "p", b"x", b"y"), Err(KeyFailure::NoKey));
            assert_eq!(keys.seal(key, "p", "x"), Err(KeyFailure::NoKey));
            assert_eq!(keys.open(key, "p", "x"), Err(KeyFailure::NoKey));
        }
    }

    #[test]
    fn what_one_plugin_makes_is_nothing_to_another() {
        let (a, b) = (keys("a", &["mine"]), keys("b", &["mine"]));
        let (tag, sealed) = (a.sign("mine", "p", b"x").unwrap(), a.seal("mine", "p", "text").unwrap());
        assert_eq!(a.verify("mine", "p", b"x", &tag), Ok(true));
        assert_eq!((a.verify("mine", "q", b"x", &tag), b.verify("mine", "p", b"x", &tag)), (Ok(false), Ok(false)));
        assert_eq!(a.open("mine", "p", &sealed), Ok("text".to_owned()));
        assert_eq!(a.open("mine", "q", &sealed), Err(KeyFailure::Rejected));
        assert_eq!(b.open("mine", "p", &sealed), Err(KeyFailure::Rejected));
        assert_eq!(a.open("mine", "p", "rubbish"), Err(KeyFailure::Rejected));
    }
}
