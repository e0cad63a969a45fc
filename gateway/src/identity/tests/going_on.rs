//! How long answers go on, and how those end that must not.

use super::*;

/// How long a request with this token may go on.
async fn span(node: &Node, token: &str, longest: Duration) -> Span {
    let verified = node.ask(&[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(verified.reason(), None);
    node.identities.span(Some(&verified.identity), longest)
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_request_goes_on_for_as_long_as_its_token_is_good() {
    let (mut node, now) = (Node::new("leeway_s = 7", ""), Moment::now());
    let token = node.token(&json!({"exp": now.s + 600}));
    let span = span(&node, &token, LONG).await;
    let at = |s: u64| Moment { s, ..now };
    assert_eq!(span.look(at(now.s + 606)), Ok(Duration::from_secs(1)));
    assert_eq!(span.look(at(now.s + 607)), Err(Over::Expired));
    assert!(span.look(now).unwrap() < Duration::from_secs(60));
    assert_eq!(span.look(Moment { at: now.at + LONG + LONG, ..now }), Err(Over::TooLong));

    let revoked = || Entry::read(br#"{"issuer":"me","jti":"j"}"#).unwrap();
    node.identities.revoke(revoked()).await.unwrap();
    assert_eq!(span.look(now), Err(Over::Revoked));
    node.identities.take_back(revoked()).await.unwrap();
    assert!(span.look(now).is_ok());
    // What a reload brings holds for requests from before, once it serves.
    std::fs::write(node.folder.path().join("revoked.jsonl"), "{\"issuer\":\"me\",\"jti\":\"j\"}\n").unwrap();
    node.reload("[tokens]\nrevocations_file = \"revoked.jsonl\"");
    assert!(span.look(now).is_ok());
    node.identities.publish();
    assert_eq!(span.look(now), Err(Over::Revoked));
    let mut other = config(node.folder.path(), "", "");
    other.issuers.clear();
    Identities::load(&other, Some(&node.identities)).unwrap().publish();
    assert_eq!(span.look(now), Err(Over::UnknownIssuer));
    // Who was not asked who it is, is not asked later.
    assert!(node.identities.span(None, LONG).look(at(u64::MAX)).is_ok());
}

#[tokio::test]
async fn a_body_is_cut_when_its_time_is_over_and_never_looks_complete() {
    use http_body_util::BodyExt as _;
    let node = Node::new("", "");
    let good = span(&node, &node.token(&json!({})), LONG).await;
    let (body, cut) = good.clone().hold(forebay_http::Body::full("all"));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "all");
    assert!(cut.get().is_none());

    let revoked = span(&node, &node.token(&json!({"jti": "other"})), LONG).await;
    node.identities.revoke(Entry::read(br#"{"issuer":"me","jti":"other"}"#).unwrap()).await.unwrap();
    let soon = Span { ends: Instant::now() + Duration::from_millis(20), ..good };
    for (span, over) in [(revoked, Over::Revoked), (soon, Over::TooLong)] {
        let (sender, body) = forebay_http::Body::channel(1);
        let (mut body, cut) = span.hold(body);
        sender.send("begun").await.unwrap();
        let ended = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                ended => break ended,
            }
        };
        assert!(ended.unwrap().is_err());
        assert_eq!(cut.get(), Some(&over));
        assert!(!http_body::Body::is_end_stream(&body));
        // Whoever made the body knows.
        sender.disconnected().await;
    }
}
