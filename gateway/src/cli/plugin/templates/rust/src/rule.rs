//! The decision, without WebAssembly and without a host, so that plain tests reach all of it.

use serde::Deserialize;

/// The plugin's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Paths that it guards.
    #[serde(default = "every_path")]
    pub prefix: String,
    /// The scope that they need.
    pub scope: String,
}

fn every_path() -> String {
    "/".to_owned()
}

impl Config {
    /// Finds what no type can find.
    pub fn check(&self) -> Result<(), String> {
        if !self.prefix.starts_with('/') {
            return Err("prefix: must be a path".to_owned());
        }
        // RFC 6749, section 3.3.
        let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if self.scope.is_empty() || !self.scope.bytes().all(legal) {
            return Err("scope: must be one scope".to_owned());
        }
        Ok(())
    }
}

/// What the rule says.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it through.
    Allow,
    /// Ask who it is.
    Unknown,
    /// Not with these scopes.
    Forbid,
}

/// May somebody with these scopes, separated by spaces, ask for this path? None: somebody who is not known.
pub fn decide(config: &Config, path: &str, scopes: Option<&str>) -> Decision {
    if !path.starts_with(&config.prefix) {
        return Decision::Allow;
    }
    match scopes {
        None => Decision::Unknown,
        Some(scopes) if scopes.split(' ').any(|scope| scope == config.scope) => Decision::Allow,
        Some(_) => Decision::Forbid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_opens_the_path_and_no_other() {
        let config = Config { prefix: "/v2/".to_owned(), scope: "infer".to_owned() };
        for (path, scopes, decision) in [
            ("/v2/models", Some("read infer"), Decision::Allow),
            ("/v2/models", Some("inference"), Decision::Forbid),
            ("/v2/models", Some(""), Decision::Forbid),
            ("/v2/models", None, Decision::Unknown),
            ("/healthz", None, Decision::Allow),
        ] {
            assert_eq!(decide(&config, path, scopes), decision, "{path} {scopes:?}");
        }
    }
}
