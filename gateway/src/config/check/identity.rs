//! Issuers: whose tokens are believed, and how their tenants are kept apart.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::Reader;
use crate::config::file;
use crate::config::{Issuer, JwksSource};

impl Reader<'_> {
    /// Two issuers must not be able to name the same tenant: its answers and keys would be both's.
    pub(super) fn tenants_apart(&mut self, issuers: &[file::Issuer]) {
        for (index, issuer) in issuers.iter().enumerate() {
            let clash = issuers
                .iter()
                .enumerate()
                .find(|(other, them)| *other != index && issuer.tenant_prefix.starts_with(them.tenant_prefix.as_str()));
            if let Some((_, them)) = clash {
                let message = format!("cannot be told from the tenants of `{}`", them.issuer);
                let hint =
                    "give each of several issuers its own prefix, such as \"partner/\", none the beginning of another";
                self.check.mistake(format!("issuers[{index}].tenant_prefix"), message, Some(hint.into()));
            }
        }
    }

    pub(super) fn issuer(&mut self, at: &str, issuer: &file::Issuer) -> Option<Issuer> {
        if issuer.audiences.is_empty() {
            let hint = "a token made for another service must not open this one";
            self.check.mistake(format!("{at}.audiences"), "must name at least one audience", Some(hint.into()));
        }
        let tenant_claim = issuer.tenant_claim.clone().unwrap_or_else(|| "/tenant".into());
        if !tenant_claim.starts_with('/') {
            self.check.mistake(format!("{at}.tenant_claim"), "must be a JSON pointer such as `/tenant`", None);
        }
        Some(Issuer {
            issuer: issuer.issuer.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: self.algorithms(at, &issuer.algorithms),
            jwks: self.jwks(at, issuer)?,
            leeway: Duration::from_secs(issuer.leeway_s.unwrap_or(30)),
            tenant_claim,
            tenant_prefix: issuer.tenant_prefix.clone(),
        })
    }

    pub(super) fn algorithms(&mut self, at: &str, names: &[String]) -> Vec<Algorithm> {
        let at = format!("{at}.algorithms");
        if names.is_empty() {
            self.check.mistake(&at, "must name at least one of ES256, RS256, PS256, EdDSA", None);
        }
        let mut algorithms = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match name.as_str() {
                "ES256" => algorithms.push(Algorithm::ES256),
                "RS256" => algorithms.push(Algorithm::RS256),
                "PS256" => algorithms.push(Algorithm::PS256),
                "EdDSA" => algorithms.push(Algorithm::EdDSA),
                _ => {
                    let hint = "one of ES256, RS256, PS256, EdDSA: shared secrets and unsigned tokens are not accepted";
                    self.check.mistake(
                        format!("{at}[{index}]"),
                        format!("`{name}` is not an accepted algorithm"),
                        Some(hint.into()),
                    );
                }
            }
        }
        algorithms
    }

    pub(super) fn jwks(&mut self, at: &str, issuer: &file::Issuer) -> Option<JwksSource> {
        match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(file), None) => Some(JwksSource::File(self.folder.join(file))),
            (None, Some(url)) => {
                let at = format!("{at}.jwks_url");
                let url = self.url(&at, url)?;
                if url.scheme() != "https" {
                    self.check.mistake(&at, "must be an https address", None);
                }
                let refresh = Duration::from_millis(issuer.jwks_refresh_ms.unwrap_or(300_000).max(1_000));
                Some(JwksSource::Https { url, ca: issuer.jwks_ca.as_ref().map(|ca| self.folder.join(ca)), refresh })
            }
            _ => {
                self.check.mistake(at, "needs either `jwks_file` or `jwks_url`", None);
                None
            }
        }
    }
}
