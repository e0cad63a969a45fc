//! WebSockets that do not begin, and what holds around them: openings, places, drains and logs.

use forebay_tests::fakes::Origin;
use forebay_tests::hand::HandOrigin;
use forebay_tests::raw::statuses;
use forebay_tests::sockets::{Socket, SocketOrigin};
use forebay_tests::{GatewayFile, Place, Process, assets, run};

use super::house::acme;
use super::lifecycle::PROGRAM;
use super::websocket::{LOOKED_AT, OPEN, OPENING, before, closed, guest, is_over, open};

#[test]
fn nobody_gets_a_websocket_without_the_routes_consent() {
    run(async {
        let (origin, http) = (SocketOrigin::start().await, Origin::start().await);
        let place = Place::new();
        let gateway = GatewayFile::new()
            .origin("guarded", "/guarded/", &origin.url(), "policies = [\"access\"]\nwebsocket = true")
            .origin("http", "/http/", &http.url(), "access = \"public\"")
            .origin("open", "/open/", &origin.url(), OPEN)
            .start(&place)
            .await;
        assert_eq!(Socket::open(&gateway, "/guarded/echo", &[]).await.err().unwrap(), 401);
        assert_eq!(origin.connections(), 0);
        let token = format!("Bearer {}", acme());
        let (mut socket, _) = Socket::open(&gateway, "/guarded/echo", &[("authorization", &token)]).await.unwrap();
        assert_eq!(socket.ask("hello").await, "hello");
        assert!(!origin.heads()[0].contains_key("authorization"));

        // Where a route has none, it is a request like any other.
        assert_eq!(Socket::open(&gateway, "/http/echo", &[]).await.err().unwrap(), 200);
        let seen = http.seen().pop().unwrap();
        assert!(!seen.headers.contains_key("upgrade") && seen.line == "GET /http/echo", "{seen:?}");

        // What an origin says instead is passed on; what it says wrongly is not.
        assert_eq!(Socket::open(&gateway, "/open/deny", &[]).await.err().unwrap(), 403);
        assert_eq!(Socket::open(&gateway, "/open/wrong", &[]).await.err().unwrap(), 502);
        assert_eq!(Socket::open(&gateway, "/other/", &[]).await.err().unwrap(), 404);
        socket.close(1000, "").await;
        is_over(&gateway).await;
    });
}

#[test]
fn an_opening_that_is_not_one_is_a_bad_request() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "").await;
        let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for path in ["/open/echo", "/looked/echo"] {
            for (method, fields) in [
                ("GET", format!("sec-websocket-version: 8\r\n{key}")),
                ("GET", "sec-websocket-version: 13\r\n".to_owned()),
                ("GET", format!("sec-websocket-version: 13\r\n{key}{key}")),
                ("GET", format!("sec-websocket-version: 13\r\n{key}content-length: 1\r\n")),
                ("POST", format!("sec-websocket-version: 13\r\n{key}")),
            ] {
                let mut raw = gateway.raw().await;
                raw.send(format!("{method} {path} HTTP/1.1\r\n{OPENING}{fields}\r\n").as_bytes()).await;
                let answer = raw.until("problems/bad-request").await;
                assert_eq!(statuses(&answer), [400], "{method} {fields}: {answer}");
                let told = answer.to_ascii_lowercase().contains("sec-websocket-version: 13");
                assert_eq!(told, !fields.contains("version: 13"), "{answer}");
            }
        }
        assert_eq!(origin.connections(), 0);
    });
}

#[test]
fn a_node_that_leaves_says_so() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "").await;
        let (mut looked, mut tunnelled) = (open(&gateway, "/looked/echo").await, open(&gateway, "/open/echo").await);
        assert_eq!((looked.ask("x").await, tunnelled.ask("y").await), ("x".to_owned(), "y".to_owned()));
        let leaving = closed(1001, "this node is leaving");
        let stopped = tokio::spawn(gateway.stop());
        assert_eq!((looked.left().await, tunnelled.left().await), (leaving.clone(), leaving.clone()));
        drop((looked, tunnelled));
        stopped.await.unwrap();
        assert_eq!(origin.next_end().await, leaving);
    });
}

#[test]
fn a_websocket_keeps_its_place_among_the_requests() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "requests = 1").await;
        for path in ["/open/echo", "/looked/echo"] {
            let mut socket = open(&gateway, path).await;
            assert_eq!(socket.ask("x").await, "x");
            assert_eq!(Socket::open(&gateway, path, &[]).await.err().unwrap(), 503);
            socket.close(1000, "").await;
            is_over(&gateway).await;
        }
    });
}

#[test]
fn a_plugin_that_would_not_see_messages_keeps_the_node_from_starting() {
    run(async {
        let place = Place::new();
        let body = assets::plugin("body");
        for (plugin, name) in [
            (
                format!(
                    "[[plugins]]\nname = \"blind\"\ncomponent = {body:?}\ngrants = [\"body\"]\nconfig = {{ behaviour = \"q:a>b\" }}"
                ),
                "blind",
            ),
            (String::new(), "seal"),
        ] {
            let keys = format!("{OPEN}\npolicies = [{name:?}]");
            let file = GatewayFile::new().plus(&plugin).origin("socket", "/", "http://127.0.0.1:1", &keys);
            let error = file.bind(&place).await.err().unwrap().to_string();
            assert!(error.contains("`socket`") && error.contains(&format!("`{name}`")), "{error}");
        }
    });
}

#[test]
fn policies_see_the_head_of_the_101_and_cannot_make_it_another() {
    run(async {
        let (place, origin) = (Place::new(), SocketOrigin::start().await);
        let headers = assets::plugin("headers");
        let gateway = GatewayFile::new()
            .plus(&guest("q:a>b"))
            .plus(&format!("[[plugins]]\nname = \"headers\"\ncomponent = {headers:?}\ngrants = [\"http\"]\ndeadline_ms = 200"))
            .plus("[plugins.config]\nrequest = { require = [\"x-team\"], set = { \"sec-websocket-key\" = \"mine\" } }")
            .plus("response = { set = { \"x-seen\" = \"yes\", \"sec-websocket-accept\" = \"no\", \"sec-websocket-extensions\" = \"x\" } }")
            .origin("site", "/", &origin.url(), &LOOKED_AT.replace("\"guest\"", "\"headers\", \"guest\""))
            .start(&place)
            .await;
        assert_eq!(Socket::open(&gateway, "/echo", &[]).await.err().unwrap(), 400);
        assert_eq!(origin.connections(), 0);
        let (mut socket, head) = Socket::open(&gateway, "/echo", &[("x-team", "us")]).await.unwrap();
        assert_eq!(head["x-seen"], "yes");
        assert!(!head.contains_key("sec-websocket-extensions"), "{head:?}");
        assert_eq!(socket.ask("a").await, "b");
    });
}

#[test]
fn an_origin_that_switches_unasked_is_a_bad_gateway() {
    run(async {
        let (place, origin) = (Place::new(), HandOrigin::start().await);
        let url = origin.url();
        let gateway = GatewayFile::new()
            .origin("plain", "/plain/", &url, "access = \"public\"")
            .origin("open", "/open/", &url, OPEN)
            .start(&place)
            .await;
        let _answering =
            origin.answers("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello");
        for path in ["/plain/", "/open/"] {
            gateway.client().get(path).send().await.refused(502, "bad-gateway");
            gateway.http1().get(path).send().await.refused(502, "bad-gateway");
            assert_eq!(Socket::open(&gateway, path, &[]).await.err().unwrap(), 502);
        }
        is_over(&gateway).await;
    });
}

#[test]
fn no_log_line_holds_a_message() {
    const SECRET: &str = "Ada-Weiss-was-admitted";
    const LEFT: &str = "Ada-Weiss-left";
    run(async {
        let (place, origin) = (Place::new(), SocketOrigin::start().await);
        let file = GatewayFile::new()
            .plus("[telemetry]\nfilter = \"info,hyper=trace,forebay=trace,tungstenite=trace,tungstenite::protocol=trace\"")
            .plus(&guest("q:a>b"))
            .origin("looked", "/", &origin.url(), LOOKED_AT);
        let file = place.write("gateway.toml", &file.text());
        let mut process = Process::start(PROGRAM, "serve", &place, &file);
        let address = process.said("serving").await["address"].as_str().unwrap().parse().unwrap();
        let (mut socket, _) = Socket::at(address, place.ca_pem(), "/echo", &[]).await.unwrap();
        assert_eq!(socket.ask(SECRET).await.len(), SECRET.len());
        socket.close(4000, LEFT).await;
        let line = process.said("request").await;
        assert_eq!(
            (&line["status"], &line["completed"], &line["reason"]),
            (&101.into(), &true.into(), &serde_json::Value::Null)
        );
        assert!(line["bytes_out"].as_u64() > Some(SECRET.len() as u64), "{line}");
        process.signal("TERM").await;
        assert_eq!(process.ended().await, 0);
        let log = process.log();
        assert!(log.contains("\"level\":\"TRACE\""), "the filter was not taken");
        for text in [SECRET, LEFT, "dmitted"] {
            let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            let found = log.lines().find(|line| line.contains(text) || line.contains(&hexadecimal));
            assert_eq!(found, None, "{text} is in the log");
        }
    });
}
