//! The decision: is this a key that we know, and may its owner come here?
//!
//! Configured are SHA-256 digests alone. That is enough because keys are random: who reads a digest cannot guess the
//! key. All digests are compared, and each in the same time.

mod config;
mod date;

use forebay_plugin_sdk::{Request, Verdict, clock, identity};
use sha2::{Digest, Sha256};

pub use config::{Config, Key};

/// The longest key that is looked at.
const KEY_BYTES: usize = 256;

/// Decides. Fields that speak of a key's owner are the plugin's alone: what a client sends under their names is removed.
#[must_use]
pub fn decide(config: &Config, request: &Request) -> Verdict {
    let presented = request.header(&config.header);
    request.remove_header(&config.header);
    for name in config.owner_fields() {
        request.remove_header(name);
    }
    let Some(presented) = presented else {
        if config.or_token && identity::verify().is_ok() {
            return Verdict::Continue;
        }
        return Verdict::unauthenticated("this route needs an API key", &config.challenge());
    };
    let Some(key) = find(config, &presented).filter(|key| key.is_in_time(clock::now_ms())) else {
        return Verdict::answer(401, "invalid-token", "the API key is not valid here")
            .header("www-authenticate", &config.challenge());
    };
    if !key.is_for(&request.route(), request.model().as_deref()) {
        return Verdict::forbid("this API key may not use this route and model");
    }
    tell(config, key, request);
    Verdict::Continue
}

/// The key whose digest this is.
fn find<'c>(config: &'c Config, presented: &[u8]) -> Option<&'c Key> {
    if presented.is_empty() || presented.len() > KEY_BYTES {
        return None;
    }
    let digest: [u8; 32] = Sha256::digest(presented).into();
    config.keys.iter().fold(None, |found, key| if is_same(&key.digest, &digest) { Some(key) } else { found })
}

/// Compares in a time that does not depend on where two digests differ.
fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Tells the upstream whose key it was.
fn tell(config: &Config, key: &Key, request: &Request) {
    request.set(&config.client_header, &key.name);
    if let Some(tenant) = &key.tenant {
        request.set(&config.tenant_header, tenant);
    }
    if !key.scopes.is_empty() {
        request.set(&config.scopes_header, &key.scopes.join(" "));
    }
}

#[cfg(test)]
mod tests;
