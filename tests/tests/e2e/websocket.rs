//! WebSockets through the gateway: tunnelled, and with policies on their messages.

use forebay_tests::sockets::{FLOOD, LONG_BYTES, Left, Socket, SocketOrigin};
use forebay_tests::{Gateway, GatewayFile, Place, assets, eventually, run};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

pub(super) const OPEN: &str = "access = \"public\"\nwebsocket = true";
pub(super) const LOOKED_AT: &str = "access = \"public\"\nwebsocket = true\npolicies = [\"guest\"]";
pub(super) const MESSAGE_BYTES: usize = 65_536;
pub(super) const OPENING: &str = "host: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n";

pub(super) fn closed(code: u16, reason: &str) -> Left {
    Left::Closed(code, reason.to_owned())
}

/// The guest that looks at parts, with these rules.
pub(super) fn guest(rules: &str) -> String {
    let component = assets::plugin("streams");
    format!(
        "[[plugins]]\nname = \"guest\"\ncomponent = {component:?}\ngrants = [\"http\", \"body\"]\ndeadline_ms = 200\n\
         config = {{ behaviour = {rules:?} }}"
    )
}

/// A gateway with that guest on the route `/looked`, and without any on `/open`.
pub(super) async fn before(origin: &SocketOrigin, rules: &str, limits: &str) -> (Place, Gateway) {
    let place = Place::new();
    let file = GatewayFile::new()
        .plus(&guest(rules))
        .origin("looked", "/looked/", &origin.url(), LOOKED_AT)
        .origin("open", "/open/", &origin.url(), OPEN)
        .plus(&format!("[limits]\nwebsocket_message_bytes = {MESSAGE_BYTES}\n{limits}"));
    let gateway = file.start(&place).await;
    (place, gateway)
}

pub(super) async fn open(gateway: &Gateway, path: &str) -> Socket {
    Socket::open(gateway, path, &[]).await.unwrap().0
}

/// Nothing of a WebSocket is left behind.
pub(super) async fn is_over(gateway: &Gateway) {
    eventually("no request is in work", || async { gateway.in_work().await == 0 }).await;
    eventually("only ours are connected", || async { gateway.metric("forebay_connections ").await == Some(0.0) }).await;
}

pub(super) async fn counted(gateway: &Gateway, route: &str, reason: &str) -> Option<f64> {
    gateway.metric(&format!("forebay_requests_total{{route=\"{route}\",status=\"101\",reason=\"{reason}\"}}")).await
}

#[test]
fn without_a_look_at_messages_the_bytes_go_through_as_they_are() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "").await;
        let fields = [
            ("origin", "https://app.example"),
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-extensions", "x-mine"),
            ("authorization", "Bearer secret"),
            ("x-mine", "kept"),
        ];
        let (mut socket, head) = Socket::open(&gateway, "/open/echo?a=b", &fields).await.unwrap();
        assert_eq!(
            (&head["sec-websocket-protocol"], &head["sec-websocket-extensions"]),
            (&"chat".parse().unwrap(), &"x-mine".parse().unwrap())
        );
        assert!(head.contains_key("x-request-id") && head.contains_key("via"), "{head:?}");
        let seen = origin.heads().pop().unwrap();
        for (name, value) in
            [("origin", "https://app.example"), ("x-mine", "kept"), ("sec-websocket-extensions", "x-mine")]
        {
            assert_eq!(seen[name], value, "{name}");
        }
        assert!(!seen.contains_key("authorization") && seen.contains_key("traceparent"), "{seen:?}");

        assert_eq!(socket.ask("aloha").await, "aloha");
        socket.send(vec![0_u8, 255]).await;
        assert_eq!(socket.next().await, Ok(Message::binary(vec![0, 255])));
        socket.send(Message::Ping("here".into())).await;
        assert_eq!(socket.next().await, Ok(Message::Pong("here".into())));
        let long = "x".repeat(2 * MESSAGE_BYTES);
        assert_eq!(socket.ask(&long).await, long);
        assert_eq!(gateway.in_work().await, 1);
        assert_eq!(socket.close(4000, "enough").await, closed(4000, "enough"));
        assert_eq!(origin.next_end().await, closed(4000, "enough"));
        is_over(&gateway).await;
        assert_eq!(counted(&gateway, "open", "none").await, Some(1.0));
        assert!(gateway.metric("forebay_sent_bytes_total ").await >= Some(long.len() as f64));
    });
}

#[test]
fn messages_are_changed_and_dropped_both_ways() {
    run(async {
        let origin = SocketOrigin::start().await;
        let rules = "q:ping>pong|q:secret>!drop|q:hush>!hold|a:pong>done|a:mute>!drop|a:nth>!count";
        let (_place, gateway) = before(&origin, rules, "").await;
        let fields = [("sec-websocket-extensions", "permessage-deflate"), ("sec-websocket-protocol", "chat")];
        let (mut socket, head) = Socket::open(&gateway, "/looked/echo", &fields).await.unwrap();
        assert_eq!(head["sec-websocket-protocol"], "chat");
        assert!(!head.contains_key("sec-websocket-extensions"));
        assert!(!origin.heads()[0].contains_key("sec-websocket-extensions"));

        assert_eq!(socket.ask("ping").await, "done");
        socket.send("a secret").await;
        socket.send("mute").await;
        socket.send("").await;
        assert_eq!(socket.text().await, "");
        // State lasts from message to message: the guest saw `done`, `mute`, an empty one and this.
        assert_eq!(socket.ask("nth").await, "4");
        socket.send(b"a ping".to_vec()).await;
        assert_eq!(socket.next().await, Ok(Message::binary("a done")));
        socket.send(Message::Ping("here".into())).await;
        assert_eq!(socket.next().await, Ok(Message::Pong("here".into())));
        for (opcode, part, last) in [(Data::Text, "pi", false), (Data::Continue, "ng", true)] {
            socket.send(Message::Frame(Frame::message(part, OpCode::Data(opcode), last))).await;
        }
        assert_eq!(socket.text().await, "done");
        // What is held back goes out before the end.
        socket.send("hush").await;
        assert_eq!(socket.close(1000, "").await, closed(1000, ""));
        assert_eq!(origin.next_end().await, closed(1000, ""));
        let ping: String = b"a pong".iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(origin.messages(), ["pong", "mute", "", "nth", &ping, "pong", "hush"]);
        is_over(&gateway).await;
        assert_eq!(counted(&gateway, "looked", "none").await, Some(1.0));
    });
}

#[test]
fn a_refusal_closes_both_sides_and_names_the_plugin_alone() {
    run(async {
        for rules in ["q:bad>!refuse", "a:bad>!refuse"] {
            let origin = SocketOrigin::start().await;
            let (_place, gateway) = before(&origin, rules, "").await;
            let mut socket = open(&gateway, "/looked/echo").await;
            assert_eq!(socket.ask("good").await, "good");
            socket.send("bad").await;
            let why = closed(1008, "policy `guest` refused a message");
            assert_eq!((socket.left().await, origin.next_end().await), (why.clone(), why), "{rules}");
            drop(socket);
            is_over(&gateway).await;
            assert_eq!(counted(&gateway, "looked", "forbidden").await, Some(1.0));
        }
    });
}

#[test]
fn a_failure_closes_both_sides() {
    run(async {
        let origin = SocketOrigin::start().await;
        let rules = "q:q1>!trap|q:q2>!loop|q:q3>!bytes|a:a1>!trap|a:a2>!loop|a:a3>!bytes";
        let (_place, gateway) = before(&origin, rules, "").await;
        for word in ["q1", "q2", "q3", "a1", "a2", "a3"] {
            origin.forget();
            let mut socket = open(&gateway, "/looked/echo").await;
            socket.send(word).await;
            let why = closed(1011, "policy `guest` could not decide about a message");
            assert_eq!((socket.left().await, origin.next_end().await), (why.clone(), why), "{word}");
            assert_eq!(origin.messages().is_empty(), word.starts_with('q'), "{word}");
        }
        is_over(&gateway).await;
        assert_eq!(counted(&gateway, "looked", "policy-failed").await, Some(6.0));
        // Bytes that are no text may stand for a binary message.
        let mut socket = open(&gateway, "/looked/echo").await;
        socket.send(b"q3".to_vec()).await;
        assert_eq!(socket.next().await, Ok(Message::binary(vec![0xff, 0xfe])));
    });
}

#[test]
fn a_side_that_breaks_the_rules_is_told_and_the_other_one_cut() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "").await;
        let frame =
            |bytes: usize, opcode, last| Message::Frame(Frame::message("x".repeat(bytes), OpCode::Data(opcode), last));
        let mut reserved = Frame::message("x", OpCode::Data(Data::Text), true);
        reserved.header_mut().rsv1 = true;
        let half = MESSAGE_BYTES / 2 + 1;
        let too_long = "a message is too long";
        for (what, frames, code, reason) in [
            ("a frame", vec![frame(MESSAGE_BYTES + 1, Data::Text, true)], 1009, too_long),
            ("fragments", vec![frame(half, Data::Binary, false), frame(half, Data::Continue, true)], 1009, too_long),
            ("a bit", vec![Message::Frame(reserved)], 1002, "this is not RFC 6455"),
            ("a fragment", vec![frame(1, Data::Continue, true)], 1002, "this is not RFC 6455"),
            (
                "no text",
                vec![Message::Frame(Frame::message(vec![0xff], OpCode::Data(Data::Text), true))],
                1007,
                "a text message is not UTF-8",
            ),
        ] {
            let mut socket = open(&gateway, "/looked/echo").await;
            let most = "x".repeat(MESSAGE_BYTES);
            assert_eq!(socket.ask(&most).await, most);
            for frame in frames {
                socket.try_send(frame).await;
            }
            assert_eq!((socket.left().await, origin.next_end().await), (closed(code, reason), Left::Broken), "{what}");
        }
        is_over(&gateway).await;
        assert_eq!(counted(&gateway, "looked", "client-fault").await, Some(5.0));
        let mut socket = open(&gateway, "/looked/long").await;
        const { assert!(LONG_BYTES > MESSAGE_BYTES) };
        socket.send("go").await;
        assert_eq!((socket.left().await, origin.next_end().await), (Left::Broken, closed(1009, too_long)));
    });
}

#[test]
fn a_message_that_a_plugin_makes_too_long_is_its_failure() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:x>yy", "").await;
        let mut socket = open(&gateway, "/looked/echo").await;
        socket.send("x".repeat(MESSAGE_BYTES)).await;
        assert_eq!(socket.left().await, closed(1011, "policy `guest` could not decide about a message"));
        assert!(origin.messages().is_empty());
    });
}

#[test]
fn a_side_that_is_lost_is_a_broken_connection_to_the_other() {
    run(async {
        for path in ["/open", "/looked"] {
            let origin = SocketOrigin::start().await;
            let (_place, gateway) = before(&origin, "q:a>b", "").await;
            let mut socket = open(&gateway, &format!("{path}/echo")).await;
            assert_eq!(socket.ask("x").await, "x");
            drop(socket);
            assert_eq!(origin.next_end().await, Left::Broken, "{path}");
            is_over(&gateway).await;

            let mut socket = open(&gateway, &format!("{path}/vanish")).await;
            socket.send("x").await;
            assert_eq!(socket.left().await, Left::Broken, "{path}");
            drop(socket);
            is_over(&gateway).await;

            let mut socket = open(&gateway, &format!("{path}/bye")).await;
            socket.send("x").await;
            assert_eq!(socket.left().await, closed(4001, "done"), "{path}");
            drop(socket);
            is_over(&gateway).await;
        }
    });
}

#[test]
fn whoever_reads_slowly_is_waited_for_and_nothing_is_lost() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "").await;
        for path in ["/open/flood", "/looked/flood"] {
            let mut socket = open(&gateway, path).await;
            socket.send("go").await;
            for turn in 0..FLOOD.0 {
                tokio::task::yield_now().await;
                let text = socket.text().await;
                assert_eq!((text.len(), text.trim_start_matches('0').parse().unwrap_or(0)), (FLOOD.1, turn));
            }
            assert_eq!(socket.close(1000, "").await, closed(1000, ""));
        }
        is_over(&gateway).await;
    });
}

#[test]
fn silence_and_half_open_ends_do_not_last() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "idle_ms = 400").await;
        let mut socket = open(&gateway, "/looked/silent").await;
        let silence = closed(1001, "nobody said anything for too long");
        assert_eq!((socket.left().await, origin.next_end().await), (silence.clone(), silence.clone()));
        let mut tunnelled = open(&gateway, "/open/silent").await;
        assert_eq!((tunnelled.left().await, origin.next_end().await), (silence.clone(), silence));
        drop((socket, tunnelled));
        is_over(&gateway).await;
        assert_eq!(counted(&gateway, "looked", "idle").await, Some(1.0));
        assert_eq!(counted(&gateway, "open", "idle").await, Some(1.0));
    });
}

#[test]
fn a_client_that_only_stops_sending_leaves_nothing_behind() {
    run(async {
        let origin = SocketOrigin::start().await;
        let (_place, gateway) = before(&origin, "q:a>b", "").await;
        for path in ["/looked/silent", "/open/silent"] {
            let mut raw = gateway.raw().await;
            raw.send(format!("GET {path} HTTP/1.1\r\n{OPENING}sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").as_bytes()).await;
            // The key and its answer of RFC 6455, section 1.3.
            let head = raw.until("\r\n\r\n").await;
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
            raw.half_close().await;
            is_over(&gateway).await;
            drop(raw);
        }
    });
}
