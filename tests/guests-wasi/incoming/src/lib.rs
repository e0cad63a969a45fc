//! An edge function for `wasi:http@0.2` that behaves as the header `x-behaviour` of a request says.

#[cfg(target_family = "wasm")]
mod component {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::hint::black_box;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../wit/p2",
            world: "forebay:test-guests-p2/incoming",
            generate_all,
        });
        pub(super) struct Incoming;
        export!(Incoming);
    }

    use bindings::exports::wasi::http::incoming_handler::Guest;
    use bindings::wasi::cli::environment;
    use bindings::wasi::clocks::monotonic_clock;
    use bindings::wasi::filesystem::preopens;
    use bindings::wasi::http::outgoing_handler;
    use bindings::wasi::http::types::{
        ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
    };
    use bindings::wasi::io::streams::StreamError;

    impl Guest for bindings::Incoming {
        fn handle(request: IncomingRequest, out: ResponseOutparam) {
            let behaviour = text(&request.headers(), "x-behaviour");
            match behaviour.as_str() {
                "loop" => spin(),
                "trap" => panic!("as told"),
                "no-answer" => drop(out),
                "leave-the-answer" => std::mem::forget(out),
                "error" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("as told".to_owned())))),
                "wait" => wait(),
                "echo" => echo(&request, out),
                "forget-the-end" => std::mem::forget(begin(out)),
                "drop-the-end" => drop(begin(out)),
                "trap-after-head" => {
                    let body = answer(out);
                    let pieces = body.write().unwrap();
                    // More than fits between here and the client, so that it has the head.
                    for _ in 0..12 {
                        pieces.blocking_write_and_flush(&[b'x'; 4096]).unwrap();
                    }
                    panic!("as told")
                }
                "wait-after-head" => {
                    let _body = begin(out);
                    wait();
                }
                "world" => say(out, &world()),
                "fetch" => say(out, &fetch(&text(&request.headers(), "x-target"))),
                _ => say(out, &format!("hello from {}\n", request.path_with_query().unwrap_or_default())),
            }
        }
    }

    fn text(headers: &Fields, name: &str) -> String {
        headers.get(name).into_iter().next().map(|value| String::from_utf8(value).unwrap()).unwrap_or_default()
    }

    fn answer(out: ResponseOutparam) -> OutgoingBody {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        body
    }

    fn begin(out: ResponseOutparam) -> OutgoingBody {
        let body = answer(out);
        body.write().unwrap().blocking_write_and_flush(b"begun\n").unwrap();
        body
    }

    fn say(out: ResponseOutparam, text: &str) {
        let body = answer(out);
        body.write().unwrap().blocking_write_and_flush(text.as_bytes()).unwrap();
        OutgoingBody::finish(body, None).unwrap();
    }

    fn echo(request: &IncomingRequest, out: ResponseOutparam) {
        let incoming = request.consume().unwrap();
        let from = incoming.stream().unwrap();
        let body = answer(out);
        let to = body.write().unwrap();
        loop {
            match from.blocking_read(4096) {
                Ok(bytes) => to.blocking_write_and_flush(&bytes).unwrap(),
                Err(StreamError::Closed) => break,
                // Without an end, so that what was echoed does not look complete.
                Err(StreamError::LastOperationFailed(_)) => return,
            }
        }
        drop(to);
        OutgoingBody::finish(body, None).unwrap();
    }

    fn wait() {
        monotonic_clock::subscribe_duration(3_600_000_000_000).block();
    }

    fn world() -> String {
        let (variables, folders) = (environment::get_environment().len(), preopens::get_directories().len());
        format!("{variables} variables, {folders} folders\n")
    }

    fn fetch(target: &str) -> String {
        let (scheme, rest) = target.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&if scheme == "http" { Scheme::Http } else { Scheme::Https })).unwrap();
        request.set_authority(Some(authority)).unwrap();
        request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
        let coming = match outgoing_handler::handle(request, None) {
            Ok(coming) => coming,
            Err(code) => return format!("no answer: {code:?}\n"),
        };
        coming.subscribe().block();
        match coming.get().unwrap().unwrap() {
            Ok(response) => format!("status {}\n", response.status()),
            Err(code) => format!("no answer: {code:?}\n"),
        }
    }

    fn spin() -> ! {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}
