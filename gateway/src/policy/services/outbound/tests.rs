#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn outbound(origins: &[&str]) -> PluginOutbound {
    PluginOutbound::new(&config::Outbound {
        origins: origins.iter().map(|origin| Url::parse(origin).unwrap()).collect(),
        time: Duration::from_secs(1),
        answer_bytes: 1_000,
        calls: 1,
        ca: None,
    })
    .unwrap()
}

fn to(url: &str) -> Outgoing {
    Outgoing {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(9),
    }
}

#[test]
fn only_exact_origins_are_reached() {
    let outbound = outbound(&["https://guard.example.com", "http://127.0.0.1:8080", "https://[fd00::1]:9443"]);
    for (url, seen) in [
        ("https://guard.example.com/a?b=c#d", "https://guard.example.com/a?b=c"),
        ("https://GUARD.example.com:443", "https://guard.example.com/"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("http://0x7f.1:8080/x", "http://127.0.0.1:8080/x"),
        ("https://[fd00:0::1]:9443/", "https://[fd00::1]:9443/"),
    ] {
        assert_eq!(outbound.address(url).unwrap(), seen, "{url}");
    }
    for url in [
        "http://guard.example.com/",
        "https://guard.example.com:8443/",
        "https://guard.example.com.evil.example/",
        "https://guard.example.com./",
        "https://evil.example/?https://guard.example.com",
        "http://127.0.0.1:80/",
        "http://localhost:8080/",
        "https://guard.example.com\u{2044}@evil.example/",
    ] {
        assert!(outbound.address(url).is_err(), "{url}");
    }
    for url in
        ["https://u@guard.example.com/", "https://u:p@guard.example.com/", "/a", "", "file:///etc/passwd", "data:x"]
    {
        assert_eq!(outbound.address(url), Err(OutboundFailure::BadRequest), "{url}");
    }
}

#[test]
fn fields_of_the_connection_and_forged_ones_are_refused() {
    let field = |name: &str, value: &str| fields(&[(name.to_owned(), value.to_owned())]);
    assert_eq!(field("X-A", "1").unwrap().get("x-a").unwrap(), "1");
    for (name, value) in [
        ("connection", "x-a"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("host", "evil.example"),
        ("content-length", "3"),
        ("expect", "100-continue"),
        ("x-a", "1\r\nhost: evil.example"),
        ("x-a\r\nhost", "evil.example"),
        ("x a", "1"),
        ("", "1"),
        ("x-a", "\0"),
    ] {
        assert_eq!(field(name, value), Err(OutboundFailure::BadRequest), "{name}: {value}");
    }
    assert!(fields(&vec![("x-a".to_owned(), String::new()); FIELDS_MAX + 1]).is_err());
    assert!(field("x-a", &"x".repeat(FIELD_BYTES_MAX)).is_err());
}

#[tokio::test]
async fn methods_that_open_tunnels_are_refused_and_places_are_few() {
    let outbound = outbound(&["https://guard.example.com"]);
    let send = |request| outbound.send(request, Instant::now() + Duration::from_secs(1));
    for method in ["CONNECT", "TRACE", "GE T", ""] {
        let request = Outgoing { method: method.into(), ..to("https://guard.example.com/") };
        assert_eq!(send(request).await.unwrap_err(), OutboundFailure::BadRequest, "{method}");
    }
    let _held = outbound.places.try_acquire().unwrap();
    assert_eq!(send(to("https://guard.example.com/")).await.unwrap_err(), OutboundFailure::Busy);
    assert_eq!(send(to("https://evil.example/")).await.unwrap_err(), OutboundFailure::NotAllowed);
}

#[test]
fn names_give_no_address_of_this_machine() {
    for ip in [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ] {
        assert!(resolver::is_of_this_machine(ip.parse().unwrap()), "{ip}");
    }
    for ip in ["10.0.0.1", "192.168.1.1", "203.0.113.7", "2001:db8::1", "fd00::1", "::ffff:10.0.0.1"] {
        assert!(!resolver::is_of_this_machine(ip.parse().unwrap()), "{ip}");
    }
}

proptest! {
    #[test]
    fn an_address_that_passes_is_of_an_allowed_origin(url in "(https?://)?[a-z@:/?#\\\\.0-9\\[\\]%]{0,40}(guard\\.example\\.com)?[a-z@:/?#\\\\.]{0,10}") {
        let outbound = outbound(&["https://guard.example.com"]);
        if let Ok(uri) = outbound.address(&url) {
            prop_assert_eq!(uri.authority().unwrap().as_str(), "guard.example.com");
            prop_assert_eq!(uri.scheme_str(), Some("https"));
        }
    }
}
