//! Any hook of a plugin, called with something harmless.

use std::sync::Arc;

use bytes::Bytes;
use forebay_policy::{Context, Failure, Field, Outcome, Part, PartKind, Phase, Plugin, Side};
use http::HeaderMap;

use super::support::{Notes, Response, of_acme};

/// How a call ended, without what it gave.
pub(crate) type Ended = Result<Outcome<()>, Failure>;

/// Bytes of a part.
pub(crate) const PART_BYTES: usize = 64 * 1024;

/// A part of a body.
pub(crate) fn part(kind: PartKind, side: Side, last: bool, bytes: impl Into<Bytes>) -> Part {
    Part { kind, side, content_type: Some("text/plain".into()), last, bytes: bytes.into() }
}

/// Calls the hook of a phase once; of a body that streams, with at most so many parts, until one of them does not go on.
pub(crate) async fn call(plugin: &Plugin, phase: Phase, parts: usize) -> (Ended, usize) {
    let context = of_acme();
    let message = || Notes::boxed(&[(Field::Input("text".to_owned()), None)]);
    let whole = |side| part(PartKind::Whole, side, true, vec![b'x'; PART_BYTES]);
    let ended = match phase {
        Phase::Request => without(plugin.on_request(&context).await),
        Phase::RequestBody => without(plugin.on_body(whole(Side::Request), &context).await),
        Phase::ResponseBody => without(plugin.on_body(whole(Side::Response), &context).await),
        Phase::RequestChunk => return stream(plugin, Side::Request, context, parts).await,
        Phase::ResponseChunk => return stream(plugin, Side::Response, context, parts).await,
        Phase::Forward => without(plugin.on_forward(message(), &context).await),
        Phase::Return => without(plugin.on_return(message(), &context).await),
        Phase::Response => without(plugin.on_response(Arc::new(Response), Some(message()), &context).await),
        Phase::Trailers => without(plugin.on_trailers(Side::Response, Arc::new(HeaderMap::new()), &context).await),
    };
    (ended, 1)
}

async fn stream(plugin: &Plugin, side: Side, context: Context, parts: usize) -> (Ended, usize) {
    let mut stream = match plugin.stream(side, context).await {
        Ok(stream) => stream.expect("a hook for parts"),
        Err(failure) => return (Err(failure), 0),
    };
    for number in 1..=parts {
        let ended = stream.part(part(PartKind::Chunk, side, false, vec![b'x'; PART_BYTES])).await;
        if !matches!(ended, Ok(Outcome::Continue(_))) {
            return (without(ended), number);
        }
    }
    (Ok(Outcome::Continue(())), parts)
}

fn without<T>(ended: Result<Outcome<T>, Failure>) -> Ended {
    ended.map(|outcome| match outcome {
        Outcome::Continue(_) => Outcome::Continue(()),
        Outcome::Answer(answer) => Outcome::Answer(answer),
    })
}
