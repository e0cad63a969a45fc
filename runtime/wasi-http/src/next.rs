//! The import that makes a middleware: `wasi:http/handler@0.3`, answered by whatever the caller put behind it.

use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, WasiHttpView as _};

use crate::state::State;

const HANDLER: &str = "wasi:http/handler@0.3.0";

type Answered = Result<Resource<Response>, ErrorCode>;

/// Links the import.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(HANDLER)?.func_wrap_concurrent(
        "handle",
        |accessor: &Accessor<State>, (request,): (Resource<Request>,)| {
            Box::pin(async move { Ok((handle(accessor, request).await?,)) })
        },
    )
}

async fn handle(accessor: &Accessor<State>, request: Resource<Request>) -> wasmtime::Result<Answered> {
    let sent = accessor.with(|mut access| {
        let request = access.get().http().table.delete(request)?;
        // How the body fared is told by the exchange.
        let request = request.into_http(&mut access, async { Ok(()) });
        match request {
            Ok((request, _)) => Ok(Ok(access.get().hooks.next(request))),
            Err(error) => error.downcast().map(Err),
        }
    });
    let exchange = match sent? {
        Ok(exchange) => exchange,
        Err(code) => return Ok(Err(code)),
    };
    let response = match exchange.await {
        Ok(response) => response,
        Err(error) => return Ok(Err(code(&error))),
    };
    accessor.with(|mut access| {
        let view = access.get().http();
        let (response, _) = Response::from_http(view.hooks, response);
        Ok(Ok(view.table.push(response)?))
    })
}

/// The errors that an exchange ends in.
fn code(error: &Error) -> ErrorCode {
    match error {
        Error::DestinationNotFound => ErrorCode::DestinationNotFound,
        Error::DestinationUnavailable => ErrorCode::DestinationUnavailable,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
        Error::HttpRequestHeaderSectionSize(size) => ErrorCode::HttpRequestHeaderSectionSize(*size),
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
