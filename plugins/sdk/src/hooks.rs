//! The hooks: what a plugin does, and when. A plugin implements those it wants and names them to [`crate::plugin!`].

use crate::body::{Part, Side};
use crate::sealing::Message;
use crate::{Request, Response, Trailers, Verdict};

/// A plugin, configured. What it holds is what every call starts from; nothing of a call is left for the next.
pub trait Plugin: Sized {
    /// Reads the configuration, once, when the plugin is loaded. May call nothing of the host.
    ///
    /// # Errors
    /// What is wrong with it, for the operator. The plugin is then not loaded.
    fn configure(config: &str) -> Result<Self, String>;
}

/// Decides on the head of a request.
pub trait OnRequest {
    /// After identity and before the body is read. May edit the head.
    fn on_request(&self, request: &Request) -> Verdict;
}

/// Sees the whole body of a request.
pub trait OnRequestBody {
    /// May replace the body, or answer.
    fn on_request_body(&self, part: &Part) -> Verdict;
}

/// Sees the body of a request as it streams.
pub trait OnRequestChunk {
    /// Called for each part; what `self` remembers is there at the next part of the same body, and gone with the body.
    fn on_request_chunk(&mut self, part: &Part) -> Verdict;
}

/// Seals what leaves the point of presence.
pub trait OnForward {
    /// After the cache was asked.
    fn on_forward(&self, message: &Message) -> Verdict;
}

/// Opens what came back.
pub trait OnReturn {
    /// Before the cache stores it.
    fn on_return(&self, message: &Message) -> Verdict;
}

/// Decides on the head of a response.
pub trait OnResponse {
    /// On cache hits too. May edit the head. The message is there when fields can be named in the body.
    fn on_response(&self, response: &Response, message: Option<&Message>) -> Verdict;
}

/// Sees the whole body of a response.
pub trait OnResponseBody {
    /// After its head. May replace the body, or answer.
    fn on_response_body(&self, part: &Part) -> Verdict;
}

/// Sees the body of a response as it streams.
pub trait OnResponseChunk {
    /// As [`OnRequestChunk::on_request_chunk`]. The head is gone: an answer cuts the stream.
    fn on_response_chunk(&mut self, part: &Part) -> Verdict;
}

/// Sees trailers.
pub trait OnTrailers {
    /// May edit them.
    fn on_trailers(&self, side: Side, trailers: &Trailers) -> Verdict;
}

/// Where `plugin!` keeps the configured plugin: a component has one thread.
#[cfg(target_family = "wasm")]
pub type Slot<T> = std::thread::LocalKey<std::cell::RefCell<Option<T>>>;

/// What calls may allocate before memory must grow.
#[cfg(target_family = "wasm")]
const HEADROOM_BYTES: usize = 96 * 1024;

/// Configures the plugin in its slot.
#[cfg(target_family = "wasm")]
pub fn configure<T: Plugin>(slot: &'static Slot<T>, config: &str) -> Result<(), String> {
    let plugin = T::configure(config)?;
    slot.set(Some(plugin));
    // Memory that grows in a call costs a system call, and on several threads an interrupt of the others. What
    // is grown now is in the snapshot, and the allocator gives it out again in every call.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HEADROOM_BYTES)));
    Ok(())
}

/// Runs a hook of the plugin in the slot. One that was never configured refuses.
#[cfg(target_family = "wasm")]
pub fn run<T: Plugin>(slot: &'static Slot<T>, hook: impl FnOnce(&mut T) -> Verdict) -> Verdict {
    slot.with(|slot| match slot.try_borrow_mut().ok().as_deref_mut() {
        Some(Some(plugin)) => hook(plugin),
        _ => Verdict::answer(500, "internal", "the plugin is not configured"),
    })
}
