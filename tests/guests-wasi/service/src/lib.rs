//! An edge function for `wasi:http@0.3` that behaves as the header `x-behaviour` of a request says.

#[cfg(target_family = "wasm")]
mod component {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::hint::black_box;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../wit/p3",
            world: "forebay:test-guests-p3/service",
            generate_all,
        });
        pub(super) struct Service;
        export!(Service);
    }

    use bindings::exports::wasi::http::handler::Guest;
    use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
    use bindings::wasi::{cli, clocks, http, random};
    use bindings::{wit_future, wit_stream};
    use wit_bindgen::rt::async_support::StreamResult;
    use wit_bindgen::{StreamReader, StreamWriter, spawn_local};

    type Answer = Result<Response, ErrorCode>;

    impl Guest for bindings::Service {
        async fn handle(request: Request) -> Answer {
            let behaviour = text(&request.get_headers(), "x-behaviour");
            match behaviour.as_str() {
                "loop" => spin(),
                "trap" => panic!("as told"),
                "memory" => hoard(),
                "never" => {
                    wait().await;
                    Ok(plain("late\n"))
                }
                "error" => Err(ErrorCode::InternalError(Some("as told".to_owned()))),
                "many-tasks" => many_tasks(),
                "many-fields" => many_fields(),
                "header-bomb" => Ok(response(header_bomb(), None)),
                "bad-status" => bad_status(),
                "short" => Ok(response(fields(&[("content-length", "10")]), Some(said("abc")))),
                "echo" => Ok(echo(request)),
                "stream" => Ok(response(Fields::new(), Some(counted(5)))),
                "long-stream" => Ok(response(Fields::new(), Some(counted(200)))),
                "loop-after-head" => Ok(response(Fields::new(), Some(begun_then(Then::Loop)))),
                "trap-after-head" => Ok(response(Fields::new(), Some(begun_then(Then::Trap)))),
                "hang-after-head" => Ok(response(Fields::new(), Some(begun_then(Then::Hang)))),
                "forget-the-end" => Ok(response(Fields::new(), Some(begun_then(Then::Forget)))),
                "endless" => Ok(response(Fields::new(), Some(endless()))),
                "environment" => Ok(plain(&environment())),
                "log" => log().await,
                "world" => Ok(plain(&world().await)),
                "fetch" => fetch(&text(&request.get_headers(), "x-target")).await,
                _ => Ok(plain(&hello(&request))),
            }
        }
    }

    fn text(headers: &Fields, name: &str) -> String {
        headers.get(name).into_iter().next().map(|value| String::from_utf8(value).unwrap()).unwrap_or_default()
    }

    fn fields(entries: &[(&str, &str)]) -> Fields {
        let entries: Vec<_> =
            entries.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Fields::from_list(&entries).unwrap()
    }

    fn response(headers: Fields, body: Option<StreamReader<u8>>) -> Response {
        let (ends, trailers) = wit_future::new(|| Ok(None));
        drop(ends);
        Response::new(headers, body, trailers).0
    }

    fn plain(text: &str) -> Response {
        response(fields(&[("content-type", "text/plain")]), Some(said(text)))
    }

    fn said(text: &str) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        let bytes = text.as_bytes().to_vec();
        spawn_local(async move { drop(writer.write_all(bytes).await) });
        reader
    }

    fn counted(pieces: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            for piece in 0..pieces {
                writer.write_all(format!("piece {piece}\n").into_bytes()).await;
                clocks::monotonic_clock::wait_for(1_000_000).await;
            }
        });
        reader
    }

    enum Then {
        Loop,
        Trap,
        Hang,
        Forget,
    }

    fn begun_then(then: Then) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            writer.write_all(b"begun\n".to_vec()).await;
            match then {
                Then::Loop => spin(),
                Then::Trap => panic!("as told"),
                Then::Hang => wait().await,
                Then::Forget => std::mem::forget::<StreamWriter<u8>>(writer),
            }
        });
        reader
    }

    fn endless() -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move { while writer.write_all(vec![b'x'; 16 * 1024]).await.is_empty() {} });
        reader
    }

    fn echo(request: Request) -> Response {
        let (done, result) = wit_future::new(|| Ok(()));
        drop(done);
        let (mut body, _trailers) = Request::consume_body(request, result);
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            loop {
                let (result, bytes) = body.read(Vec::with_capacity(16 * 1024)).await;
                if !writer.write_all(bytes).await.is_empty() || !matches!(result, StreamResult::Complete(_)) {
                    break;
                }
            }
        });
        response(Fields::new(), Some(reader))
    }

    fn hello(request: &Request) -> String {
        let path = request.get_path_with_query().unwrap_or_default();
        let authority = request.get_authority().unwrap_or_default();
        format!("hello from {:?} {authority}{path}\n", request.get_method())
    }

    fn environment() -> String {
        let lines = cli::environment::get_environment().into_iter().map(|(name, value)| format!("{name}={value}\n"));
        lines.collect()
    }

    async fn log() -> Answer {
        let (mut writer, reader) = wit_stream::new();
        let written = cli::stdout::write_via_stream(reader);
        writer.write_all(b"a line for the log\n".to_vec()).await;
        drop(writer);
        written.await.unwrap();
        Ok(plain("logged\n"))
    }

    async fn world() -> String {
        let before = clocks::monotonic_clock::now();
        clocks::monotonic_clock::wait_for(1_000_000).await;
        let waited = clocks::monotonic_clock::now() - before >= 1_000_000;
        format!("waited {waited}, {} random bytes\n", random::random::get_random_bytes(8).len())
    }

    async fn fetch(target: &str) -> Answer {
        let (scheme, rest) = target.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (ends, trailers) = wit_future::new(|| Ok(None));
        drop(ends);
        let (request, _) = Request::new(Fields::new(), None, trailers, None);
        request.set_method(&Method::Get).unwrap();
        request.set_scheme(Some(&if scheme == "http" { Scheme::Http } else { Scheme::Https })).unwrap();
        request.set_authority(Some(authority)).unwrap();
        request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
        match http::client::send(request).await {
            Ok(response) => Ok(response),
            Err(code) => Ok(plain(&format!("no answer: {code:?}\n"))),
        }
    }

    fn bad_status() -> Answer {
        let answer = plain("switching?\n");
        answer.set_status_code(101).unwrap();
        Ok(answer)
    }

    /// As many bytes of fields as the host takes.
    fn header_bomb() -> Fields {
        let headers = Fields::new();
        while headers.append("x", b"").is_ok() {}
        headers
    }

    fn many_fields() -> Answer {
        loop {
            std::mem::forget(Fields::new());
        }
    }

    fn many_tasks() -> Answer {
        loop {
            let (writer, reader) = wit_stream::new::<u8>();
            std::mem::forget((writer, reader));
        }
    }

    fn hoard() -> Answer {
        let mut hoard = Vec::new();
        loop {
            hoard.push(black_box(vec![1_u8; 1 << 20]));
        }
    }

    /// An hour.
    async fn wait() {
        clocks::monotonic_clock::wait_for(3_600_000_000_000).await;
    }

    fn spin() -> ! {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}
