//! Issuers: whose tokens are believed, and how their tenants are kept apart.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::Reader;
use crate::config::file::{self, ClientCertificates};
use crate::config::{Clients, Issuer, JwksSource, Proofs, Tokens};
use crate::identity::dpop::normal_authority;

/// Longest time that a proof may be good.
const DPOP_WINDOW_MAX_S: u64 = 3_600;
/// One subject's part of the proofs that are remembered, where no number is given.
const PROOFS_SHARE: usize = 32;
/// How long fetched keys are believed when they cannot be fetched again: a night without the issuer.
const JWKS_STALE_MS: u64 = 12 * 3_600_000;

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
            proofs: self.proofs(at, issuer),
        })
    }

    /// A proof is worth less the longer it is good, and must be remembered as long.
    fn proofs(&mut self, at: &str, issuer: &file::Issuer) -> Proofs {
        let window_s = issuer.dpop_window_s.unwrap_or(60);
        if !(1..=DPOP_WINDOW_MAX_S).contains(&window_s) {
            let message = format!("must be 1 to {DPOP_WINDOW_MAX_S}");
            let hint = "a client makes a proof for each request, so it is seconds old when it comes";
            self.check.mistake(format!("{at}.dpop_window_s"), message, Some(hint.into()));
        }
        Proofs { mode: issuer.dpop, window_s, nonce: issuer.dpop_nonce }
    }

    pub(super) fn tokens(&mut self, tokens: &file::Tokens, state_dir: Option<&Path>) -> Tokens {
        Tokens {
            state: state_dir.map(|folder| self.folder.join(folder)),
            revocations_file: tokens.revocations_file.as_ref().map(|path| self.folder.join(path)),
            revocations: self.nonzero("tokens.revocations", tokens.revocations),
            proofs: self.nonzero("tokens.proofs", tokens.proofs),
            proofs_per_subject: self.proofs_per_subject(tokens),
        }
    }

    fn proofs_per_subject(&mut self, tokens: &file::Tokens) -> usize {
        let Some(own) = tokens.proofs_per_subject else { return (tokens.proofs / PROOFS_SHARE).max(1) };
        if own > tokens.proofs {
            self.check.mistake("tokens.proofs_per_subject", "is more than `tokens.proofs`, all there are", None);
        }
        self.nonzero("tokens.proofs_per_subject", own)
    }

    pub(super) fn clients(&mut self, listen: &file::Listen) -> Option<Clients> {
        let ca = listen.client_ca.as_ref().map(|ca| self.folder.join(ca));
        match (ca, listen.client_certificates) {
            (None, ClientCertificates::Off) => None,
            (Some(ca), ClientCertificates::Optional) => Some(Clients { ca, required: false }),
            (Some(ca), ClientCertificates::Required) => Some(Clients { ca, required: true }),
            (Some(_), ClientCertificates::Off) => {
                let hint = "say `client_certificates = \"optional\"` or \"required\", or take `client_ca` out";
                self.check.mistake("listen.client_ca", "is not used", Some(hint.into()));
                None
            }
            (None, _) => {
                let hint = "a PEM file with the roots that client certificates chain to";
                self.check.mistake("listen.client_ca", "is missing", Some(hint.into()));
                None
            }
        }
    }

    /// Origins as normalised authorities.
    pub(super) fn origins(&mut self, origins: &[String]) -> Vec<String> {
        let mut normal = Vec::new();
        for (index, origin) in origins.iter().enumerate() {
            let authority = origin.strip_prefix("https://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
            let authority = authority.filter(|text| text.parse::<http::uri::Authority>().is_ok());
            match authority.and_then(normal_authority) {
                Some(authority) => normal.push(authority),
                None => self.check.mistake(
                    format!("listen.origins[{index}]"),
                    "is not an origin",
                    Some("`https://`, a host and, unless it is 443, a port".into()),
                ),
            }
        }
        normal
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
                let stale = Duration::from_millis(issuer.jwks_stale_ms.unwrap_or(JWKS_STALE_MS));
                if stale < refresh.saturating_mul(2) {
                    let hint = "keys would be too old before they are fetched again";
                    let message = "must be at least twice `jwks_refresh_ms`";
                    self.check.mistake(at.replace("jwks_url", "jwks_stale_ms"), message, Some(hint.into()));
                }
                let ca = issuer.jwks_ca.as_ref().map(|ca| self.folder.join(ca));
                Some(JwksSource::Https { url, ca, refresh, stale })
            }
            _ => {
                self.check.mistake(at, "needs either `jwks_file` or `jwks_url`", None);
                None
            }
        }
    }
}
