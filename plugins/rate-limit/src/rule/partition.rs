//! Which bucket of a limit a request belongs to.

use std::net::{IpAddr, Ipv6Addr};

use forebay_plugin_sdk::{Request, identity};
use sha2::{Digest, Sha256};

use super::Limit;

/// The longest key that the host takes.
const KEY_BYTES: usize = 256;

/// The key of a bucket. Every part has its length before it, so that no two partitions read alike; a part that is not
/// there is one of its own, which all who lack it share.
pub(super) fn key(limit: &Limit, request: &Request, route: &str, model: Option<&str>) -> String {
    let mut key = limit.name.clone();
    for by in &limit.by {
        let part = match by.as_str() {
            "subject" => identity::claim("/sub")
                .map(|subject| format!("{}{subject}", identity::claim("/iss").unwrap_or_default())),
            "tenant" => identity::tenant(),
            "model" => model.map(str::to_owned),
            "route" => Some(route.to_owned()),
            "peer" => Some(network(&request.peer())),
            pointer => identity::claim(pointer),
        };
        match part {
            Some(part) => key.push_str(&format!("|{}:{part}", part.len())),
            None => key.push_str("|-"),
        }
    }
    if key.len() <= KEY_BYTES {
        return key;
    }
    let digest: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}#{digest}", limit.name)
}

/// What one client cannot choose freely of its address: all of an IPv4 address, the first 64 bits of an IPv6 address.
fn network(peer: &str) -> String {
    match peer.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string(),
        },
        _ => peer.to_owned(),
    }
}
