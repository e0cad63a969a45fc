//! Addresses as proofs name them (`htu`), compared after the normalisation of RFC 3986, sections 6.2.2 and 6.2.3, without
//! query and fragment (RFC 9449, section 4.3).
//!
//! A trailing slash, another port or another host is another address. What does not parse strictly is no address at all:
//! the parser that browsers use would take `https:\\host` for one.

use http::Uri;

/// An https address without query: authority and path, normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::identity) struct Target {
    authority: String,
    path: String,
}

impl Target {
    /// Reads `htu`.
    pub(in crate::identity) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        if !uri.scheme_str()?.eq_ignore_ascii_case("https") {
            return None;
        }
        Self::of(uri.authority()?.as_str(), uri.path())
    }

    /// The address of a request to `authority`.
    pub(in crate::identity) fn of(authority: &str, path: &str) -> Option<Self> {
        Some(Self { authority: normal_authority(authority)?, path: normal_path(path)? })
    }
}

/// Host in lower case, and the port unless it is 443. None with user information or a port that is none.
pub(crate) fn normal_authority(text: &str) -> Option<String> {
    if text.is_empty() || text.contains('@') {
        return None;
    }
    let colon = text.rfind(':').filter(|at| text.get(*at..).is_some_and(|rest| !rest.contains(']')));
    let (host, port) = match colon.and_then(|at| text.split_at_checked(at)) {
        Some((host, port)) => (host, port.get(1..)?),
        None => (text, ""),
    };
    if host.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let host = host.to_ascii_lowercase();
    match port.trim_start_matches('0') {
        "" if port.is_empty() => Some(host),
        "443" => Some(host),
        port => port.parse::<u16>().ok().map(|port| format!("{host}:{port}")),
    }
}

/// Escapes in capitals and only where they are needed, dot segments resolved; `/` for no path. None with a `%` that begins no
/// escape.
fn normal_path(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            unescaped.push(char::from(byte));
        } else {
            unescaped.push('%');
            unescaped.push_str(&digits.to_ascii_uppercase());
        }
        unescaped.push_str(rest);
    }
    Some(without_dots(&unescaped))
}

/// RFC 3986, section 5.2.4, for a path that begins with `/` or is empty.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false;
    for segment in path.split('/').skip(1) {
        open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut normal: String = kept.iter().flat_map(|segment| ["/", segment]).collect();
    if open || normal.is_empty() {
        normal.push('/');
    }
    normal
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Target::parse(a), Target::parse(b));
        a.is_some() && a == b
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let plain = "https://api.example.com/v2/models/a%20b/infer";
        for other in [
            "HTTPS://API.example.COM/v2/models/a%20b/infer",
            "https://api.example.com:443/v2/models/a%20b/infer",
            "https://api.example.com:/v2/models/a%20b/infer",
            "https://api.example.com:0443/v2/models/a%20b/infer",
            "https://api.example.com/v2/models/a%20b/infer?query=1",
            "https://api.example.com/v2/models/a%20b/infer#fragment",
            "https://api.example.com/%762/models/%61%20b/infer",
            "https://api.example.com/v1/../v2/./models/a%20b/infer",
        ] {
            assert!(same(plain, other), "{other}");
        }
        assert!(same("https://a", "https://a/"));
        assert!(same("https://a/b%2fc", "https://a/b%2Fc"));
        assert!(same("https://a/b/..", "https://a/"));
        assert!(same("https://a/..", "https://a/"));
        assert!(same("https://[::1]:8443/", "https://[::1]:8443"));
    }

    #[test]
    fn what_means_something_else_is_something_else() {
        let plain = "https://api.example.com/v2/models";
        for other in [
            "http://api.example.com/v2/models",
            "https://api.example.com/v2/models/",
            "https://api.example.com/v2//models",
            "https://api.example.com/V2/models",
            "https://api.example.com:8443/v2/models",
            "https://api.example.com./v2/models",
            "https://api.example.com.evil.test/v2/models",
            "https://evil.test/v2/models",
            "https://user@api.example.com/v2/models",
            "https://api.example.com/v2/models%2F",
            "https://api.example.com/v2%2Fmodels",
            "//api.example.com/v2/models",
            "/v2/models",
            "https:\\\\api.example.com/v2/models",
            "https:/api.example.com/v2/models",
            " https://api.example.com/v2/models",
            "https://api.example.com/v2/models%",
            "https://api.example.com/v2/models%zz",
            "https://api.example.com/v2/models%+1",
            "https://api.example.com:99999/v2/models",
            "https://api.example.com:x/v2/models",
            "",
        ] {
            assert!(!same(plain, other), "{other}");
        }
        assert!(Target::parse("https://:443/").is_none());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = Target::parse(&text);
            let _ = Target::of(&text, &text);
        }

        #[test]
        fn a_normal_address_stays_as_it_is(text in "https://[a-zA-Z.]{1,8}(:[0-9]{1,5})?(/[a-zA-Z.~%0-9]{0,6}){0,4}") {
            if let Some(once) = Target::parse(&text) {
                let again = Target::parse(&format!("https://{}{}", once.authority, once.path));
                prop_assert_eq!(again, Some(once));
            }
        }

        #[test]
        fn escapes_and_capitals_do_not_matter(host in "[a-z]{1,8}", path in "[a-z0-9~._-]{1,12}") {
            prop_assume!(path != "." && path != "..");
            let escaped: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let (plain, other) = (format!("https://{host}/{path}"), format!("https://{}/{escaped}", host.to_uppercase()));
            prop_assert!(same(&plain, &other));
        }

        #[test]
        fn other_paths_are_other_addresses(a in "/[a-z/]{0,8}", b in "/[a-z/]{0,8}") {
            prop_assert_eq!(same(&format!("https://h{a}"), &format!("https://h{b}")), a == b);
        }
    }
}
