//! To whom a token is bound (RFC 7800): the key of its proofs (RFC 9449, section 6.1), a client certificate (RFC 8705,
//! section 3.1), both, or nobody.
//!
//! A `cnf` that names neither is a binding that cannot be checked here. Ignoring it would make a bearer's token of one
//! that its issuer meant for one client, so the token is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Whom a token is bound to, as SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Binding {
    /// Thumbprint (RFC 7638) of the key that proofs are signed with.
    pub(super) key: Option<[u8; 32]>,
    /// The client certificate in DER form.
    pub(super) certificate: Option<[u8; 32]>,
}

impl Binding {
    /// Reads `cnf`; none where it cannot be checked.
    pub(super) fn of(claims: &Value) -> Option<Self> {
        let confirmation = match claims.get("cnf") {
            None => return Some(Self::default()),
            Some(Value::Object(confirmation)) => confirmation,
            Some(_) => return None,
        };
        let read = |name: &str| match confirmation.get(name) {
            None => Some(None),
            Some(Value::String(text)) => digest(text).map(Some),
            Some(_) => None,
        };
        let binding = Self { key: read("jkt")?, certificate: read("x5t#S256")? };
        (binding.key.is_some() || binding.certificate.is_some()).then_some(binding)
    }
}

/// 32 bytes as base64url without padding.
pub(super) fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(32) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_binding_is_read_whole_or_not_at_all() {
        let text = URL_SAFE_NO_PAD.encode([7; 32]);
        let none = Binding::default();
        assert_eq!(Binding::of(&json!({"sub": "a"})), Some(none));
        assert_eq!(Binding::of(&json!({"cnf": {"jkt": text}})), Some(Binding { key: Some([7; 32]), ..none }));
        assert_eq!(
            Binding::of(&json!({"cnf": {"x5t#S256": text, "more": 1}})),
            Some(Binding { certificate: Some([7; 32]), ..none })
        );
        assert_eq!(
            Binding::of(&json!({"cnf": {"x5t#S256": text, "jkt": text}})),
            Some(Binding { key: Some([7; 32]), certificate: Some([7; 32]) })
        );
        for unknown in [
            json!(null),
            json!("x"),
            json!({}),
            json!({"jwk": {}}),
            json!({"jkt": 1}),
            json!({"jkt": null}),
            json!({"jkt": ""}),
            json!({"jkt": URL_SAFE_NO_PAD.encode([7; 31])}),
            json!({"jkt": URL_SAFE_NO_PAD.encode([7; 33])}),
            json!({"jkt": format!("{text}=")}),
            json!({"jkt": text, "x5t#S256": "short"}),
        ] {
            assert_eq!(Binding::of(&json!({"cnf": unknown})), None, "{unknown}");
        }
    }
}
