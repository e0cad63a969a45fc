//! The Rust face of `wit/`, generated once for every plugin: everything that can be imported, and one world for each hook.
//!
//! A component's type is the union of the worlds that it has a part in, without the imports that its code does not
//! call. So a plugin exports the hooks that it names to `plugin!`, and imports what it uses.

// The generated code is not ours to lint.
#![allow(missing_docs, unreachable_pub, unsafe_code, unused_qualifications, clippy::all, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod host {
    wit_bindgen::generate!({ path: "../../wit", world: "forebay:policy/host", generate_all });
}

macro_rules! hook {
    ($module:ident, $export:literal, $world:literal, $wit:literal, {$($interface:literal: $types:ident),*}) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $wit,
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                with: { $($interface: crate::bindings::host::forebay::policy::$types),* },
            });
        }
    };
}

hook!(
    configure,
    "export_configure",
    "forebay:sdk-configure/has-configure",
    "package forebay:sdk-configure;
    world has-configure { export configure: func(config: string) -> result<_, string>; }",
    {}
);
hook!(
    on_request,
    "export_on_request",
    "forebay:sdk-on-request/has-on-request",
    "package forebay:sdk-on-request;
    world has-on-request {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/http@0.1.1.{request};
        export on-request: func(request: borrow<request>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/http@0.1.1": http}
);
hook!(
    on_request_body,
    "export_on_request_body",
    "forebay:sdk-on-request-body/has-on-request-body",
    "package forebay:sdk-on-request-body;
    world has-on-request-body {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/body@0.1.1.{part};
        export on-request-body: func(part: borrow<part>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/body@0.1.1": body}
);
hook!(
    on_request_chunk,
    "export_on_request_chunk",
    "forebay:sdk-on-request-chunk/has-on-request-chunk",
    "package forebay:sdk-on-request-chunk;
    world has-on-request-chunk {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/body@0.1.1.{part};
        export on-request-chunk: func(part: borrow<part>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/body@0.1.1": body}
);
hook!(
    on_forward,
    "export_on_forward",
    "forebay:sdk-on-forward/has-on-forward",
    "package forebay:sdk-on-forward;
    world has-on-forward {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/sealing@0.1.1.{message};
        export on-forward: func(message: borrow<message>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/sealing@0.1.1": sealing}
);
hook!(
    on_return,
    "export_on_return",
    "forebay:sdk-on-return/has-on-return",
    "package forebay:sdk-on-return;
    world has-on-return {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/sealing@0.1.1.{message};
        export on-return: func(message: borrow<message>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/sealing@0.1.1": sealing}
);
hook!(
    on_response,
    "export_on_response",
    "forebay:sdk-on-response/has-on-response",
    "package forebay:sdk-on-response;
    world has-on-response {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/http@0.1.1.{response};
        use forebay:policy/sealing@0.1.1.{message};
        export on-response: func(response: borrow<response>, message: option<borrow<message>>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/http@0.1.1": http, "forebay:policy/sealing@0.1.1": sealing}
);
hook!(
    on_response_body,
    "export_on_response_body",
    "forebay:sdk-on-response-body/has-on-response-body",
    "package forebay:sdk-on-response-body;
    world has-on-response-body {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/body@0.1.1.{part};
        export on-response-body: func(part: borrow<part>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/body@0.1.1": body}
);
hook!(
    on_response_chunk,
    "export_on_response_chunk",
    "forebay:sdk-on-response-chunk/has-on-response-chunk",
    "package forebay:sdk-on-response-chunk;
    world has-on-response-chunk {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/body@0.1.1.{part};
        export on-response-chunk: func(part: borrow<part>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/body@0.1.1": body}
);
hook!(
    on_trailers,
    "export_on_trailers",
    "forebay:sdk-on-trailers/has-on-trailers",
    "package forebay:sdk-on-trailers;
    world has-on-trailers {
        use forebay:policy/types@0.1.1.{verdict};
        use forebay:policy/http@0.1.1.{trailers};
        use forebay:policy/body@0.1.1.{side};
        export on-trailers: func(side: side, trailers: borrow<trailers>) -> verdict;
    }",
    {"forebay:policy/types@0.1.1": types, "forebay:policy/http@0.1.1": http, "forebay:policy/body@0.1.1": body}
);
