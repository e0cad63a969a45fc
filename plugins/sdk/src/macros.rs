//! `plugin!`, which makes a component of a type, and `assert_verdict!`, with which its rule is tested.

/// Makes a component of a type that is a [`Plugin`](crate::Plugin), with the hooks that are named. It exports those and
/// `configure`, and imports what its code calls.
///
/// ```ignore
/// plugin!(Banner: on_request, on_response);
/// ```
///
/// The hooks are `on_request`, `on_request_body`, `on_request_chunk`, `on_forward`, `on_return`, `on_response`,
/// `on_response_body`, `on_response_chunk` and `on_trailers`. Compiled natively, it only checks that the type has them.
#[macro_export]
macro_rules! plugin {
    ($plugin:ident: $($hook:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }
            struct Component;
            $crate::__hook!(configure, Component, $plugin, PLUGIN);
            $($crate::__hook!($hook, Component, $plugin, PLUGIN);)+
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn is_plugin<T: $crate::Plugin>() {}
            is_plugin::<$plugin>();
            $($crate::__has!($hook, $plugin);)+
        };
    };
}

/// Exports one hook.
#[doc(hidden)]
#[macro_export]
macro_rules! __hook {
    (configure, $component:ident, $plugin:ident, $slot:ident) => {
        impl $crate::bindings::configure::Guest for $component {
            fn configure(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                $crate::configure(&$slot, &config)
            }
        }
        $crate::bindings::configure::export_configure!($component with_types_in $crate::bindings::configure);
    };
    (on_request, $($names:ident),+) => {
        $crate::__export!(on_request, export_on_request, OnRequest, (request: &$crate::Request), $($names),+);
    };
    (on_request_body, $($names:ident),+) => {
        $crate::__export!(on_request_body, export_on_request_body, OnRequestBody, (part: &$crate::Part), $($names),+);
    };
    (on_request_chunk, $($names:ident),+) => {
        $crate::__export!(on_request_chunk, export_on_request_chunk, OnRequestChunk, (part: &$crate::Part), $($names),+);
    };
    (on_forward, $($names:ident),+) => {
        $crate::__export!(on_forward, export_on_forward, OnForward, (message: &$crate::Message), $($names),+);
    };
    (on_return, $($names:ident),+) => {
        $crate::__export!(on_return, export_on_return, OnReturn, (message: &$crate::Message), $($names),+);
    };
    (on_response, $($names:ident),+) => {
        $crate::__export!(
            on_response,
            export_on_response,
            OnResponse,
            (response: &$crate::Response, message: ::std::option::Option<&$crate::Message>),
            $($names),+
        );
    };
    (on_response_body, $($names:ident),+) => {
        $crate::__export!(on_response_body, export_on_response_body, OnResponseBody, (part: &$crate::Part), $($names),+);
    };
    (on_response_chunk, $($names:ident),+) => {
        $crate::__export!(on_response_chunk, export_on_response_chunk, OnResponseChunk, (part: &$crate::Part), $($names),+);
    };
    (on_trailers, $($names:ident),+) => {
        $crate::__export!(
            on_trailers,
            export_on_trailers,
            OnTrailers,
            (side: $crate::body::Side, trailers: &$crate::Trailers),
            $($names),+
        );
    };
}

/// Exports one hook that answers with a verdict.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (
        $hook:ident, $export:ident, $of:ident, ($($argument:ident: $kind:ty),+),
        $component:ident, $plugin:ident, $slot:ident
    ) => {
        impl $crate::bindings::$hook::Guest for $component {
            fn $hook($($argument: $kind),+) -> $crate::Verdict {
                $crate::run(&$slot, |plugin: &mut $plugin| $crate::$of::$hook(plugin, $($argument),+))
            }
        }
        $crate::bindings::$hook::$export!($component with_types_in $crate::bindings::$hook);
    };
}

/// Checks that a type has a hook.
#[doc(hidden)]
#[macro_export]
macro_rules! __has {
    (@ $of:ident, $plugin:ident) => {{
        const fn has<T: $crate::$of>() {}
        has::<$plugin>();
    }};
    (on_request, $plugin:ident) => { $crate::__has!(@ OnRequest, $plugin) };
    (on_request_body, $plugin:ident) => { $crate::__has!(@ OnRequestBody, $plugin) };
    (on_request_chunk, $plugin:ident) => { $crate::__has!(@ OnRequestChunk, $plugin) };
    (on_forward, $plugin:ident) => { $crate::__has!(@ OnForward, $plugin) };
    (on_return, $plugin:ident) => { $crate::__has!(@ OnReturn, $plugin) };
    (on_response, $plugin:ident) => { $crate::__has!(@ OnResponse, $plugin) };
    (on_response_body, $plugin:ident) => { $crate::__has!(@ OnResponseBody, $plugin) };
    (on_response_chunk, $plugin:ident) => { $crate::__has!(@ OnResponseChunk, $plugin) };
    (on_trailers, $plugin:ident) => { $crate::__has!(@ OnTrailers, $plugin) };
}

/// Asserts what a verdict is. Gives the answer, where there is one, to look at further.
///
/// ```
/// use forebay_plugin_sdk::{Verdict, assert_verdict};
///
/// assert_verdict!(Verdict::Continue, continue);
/// let answer = assert_verdict!(Verdict::forbid("not today"), answer 403 "forbidden");
/// assert_eq!(answer.detail, "not today");
/// assert_verdict!(Verdict::empty(200), answer 200);
/// ```
#[macro_export]
macro_rules! assert_verdict {
    ($verdict:expr, continue) => {
        match $verdict {
            $crate::Verdict::Continue => {}
            $crate::Verdict::Answer(answer) => ::std::panic!("an answer, not to continue: {answer:?}"),
        }
    };
    ($verdict:expr, answer $status:literal $problem:literal) => {{
        let answer = $crate::assert_verdict!($verdict, answer $status);
        ::std::assert_eq!(answer.problem.as_deref(), ::std::option::Option::Some($problem), "{answer:?}");
        answer
    }};
    ($verdict:expr, answer $status:literal) => {
        match $verdict {
            $crate::Verdict::Answer(answer) => {
                ::std::assert_eq!(answer.status, $status, "{answer:?}");
                answer
            }
            $crate::Verdict::Continue => ::std::panic!("to continue, not an answer {}", $status),
        }
    };
}
