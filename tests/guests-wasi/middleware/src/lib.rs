//! A middleware for `wasi:http@0.3` that behaves as the header `x-middleware` of a request says. It imports the types and
//! what comes next, and nothing else.

#[cfg(target_family = "wasm")]
mod component {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::hint::black_box;

    #[allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
    mod bindings {
        wit_bindgen::generate!({
            path: "../wit/p3",
            world: "forebay:test-guests-p3/middleware",
            generate_all,
        });
        pub(super) struct Middleware;
        export!(Middleware);
    }

    use bindings::exports::wasi::http::handler::Guest;
    use bindings::wasi::http::handler;
    use bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};
    use bindings::wit_future;

    type Answer = Result<Response, ErrorCode>;

    impl Guest for bindings::Middleware {
        async fn handle(request: Request) -> Answer {
            let behaviour = text(&request.get_headers(), "x-middleware");
            match behaviour.as_str() {
                "pass" => handler::handle(request).await,
                "answer" => answer(),
                "trap" => panic!("as told"),
                "loop" => spin(),
                "fall-back" => match handler::handle(request).await {
                    Ok(response) => Ok(response),
                    Err(code) => fall_back(&code),
                },
                "flood" => flood().await,
                "trap-after-next" => {
                    let _response = handler::handle(request).await;
                    panic!("as told")
                }
                "trap-while-next" => handler::handle(half_written(&request)).await,
                _ => edit(request).await,
            }
        }
    }

    fn text(headers: &Fields, name: &str) -> String {
        headers.get(name).into_iter().next().map(|value| String::from_utf8(value).unwrap()).unwrap_or_default()
    }

    /// One field more on the way in, one on the way out. Bodies pass through.
    async fn edit(request: Request) -> Answer {
        let headers = request.get_headers().clone();
        headers.set("x-from-middleware", &[b"in".to_vec()]).unwrap();
        let (method, path) = (request.get_method(), request.get_path_with_query());
        let (scheme, authority) = (request.get_scheme(), request.get_authority());
        let (done, result) = wit_future::new(|| Ok(()));
        drop(done);
        let (body, trailers) = Request::consume_body(request, result);
        let (request, _sent) = Request::new(headers, Some(body), trailers, None);
        request.set_method(&method).unwrap();
        request.set_path_with_query(path.as_deref()).unwrap();
        request.set_scheme(scheme.as_ref()).unwrap();
        request.set_authority(authority.as_deref()).unwrap();

        let response = handler::handle(request).await?;
        let headers = response.get_headers().clone();
        headers.append("x-from-middleware", b"out").unwrap();
        let status = response.get_status_code();
        let (done, result) = wit_future::new(|| Ok(()));
        drop(done);
        let (body, trailers) = Response::consume_body(response, result);
        let (response, _sent) = Response::new(headers, Some(body), trailers);
        response.set_status_code(status).unwrap();
        Ok(response)
    }

    /// The same request with a body whose writer traps within it.
    fn half_written(request: &Request) -> Request {
        let (mut writer, reader) = bindings::wit_stream::new::<u8>();
        let (ends, trailers) = wit_future::new(|| Ok(None));
        drop(ends);
        let (copy, _sent) = Request::new(request.get_headers().clone(), Some(reader), trailers, None);
        copy.set_method(&request.get_method()).unwrap();
        copy.set_path_with_query(request.get_path_with_query().as_deref()).unwrap();
        copy.set_authority(request.get_authority().as_deref()).unwrap();
        wit_bindgen::spawn_local(async move {
            writer.write_all(b"half".to_vec()).await;
            panic!("as told");
        });
        copy
    }

    fn bare(status: u16) -> Response {
        let (ends, trailers) = wit_future::new(|| Ok(None));
        drop(ends);
        let response = Response::new(Fields::new(), None, trailers).0;
        response.set_status_code(status).unwrap();
        response
    }

    fn answer() -> Answer {
        Ok(bare(403))
    }

    fn fall_back(code: &ErrorCode) -> Answer {
        let response = bare(203);
        black_box(code);
        Ok(response)
    }

    /// Asks what comes next again and again; says how often it was let.
    async fn flood() -> Answer {
        let mut answered = 0;
        loop {
            let (ends, trailers) = wit_future::new(|| Ok(None));
            drop(ends);
            let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
            request.set_path_with_query(Some("/")).unwrap();
            request.set_authority(Some("edge.test")).unwrap();
            if handler::handle(request).await.is_err() {
                return Ok(bare(200 + answered));
            }
            answered += 1;
        }
    }

    fn spin() -> ! {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}
