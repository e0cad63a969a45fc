//! The messages of one direction of a WebSocket on their way through the plugins that want them.
//!
//! Each plugin has one instance for the whole direction, as for the body of a request. Once one refuses, nothing more
//! is passed: whoever holds the two ends closes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_policy::{BodyStream, Capability, Context, Failure, Part, PartKind, Phase, Side};

use crate::error::Refusal;
use crate::policy::{Chain, Policy};

/// How long the plugins may take for one message, waiting included.
const MESSAGE: Duration = Duration::from_secs(10);

/// Hooks that see what messages would carry past them, unless the plugin has the hook for messages too.
const SEES: [(Phase, Phase); 4] = [
    (Phase::RequestBody, Phase::RequestChunk),
    (Phase::Forward, Phase::RequestChunk),
    (Phase::ResponseBody, Phase::ResponseChunk),
    (Phase::Return, Phase::ResponseChunk),
];

/// One direction.
pub(crate) struct Messages {
    chain: Arc<Chain>,
    side: Side,
    instances: Vec<(Arc<Policy>, BodyStream)>,
    /// Of the last message: what is held back comes as the same.
    kind: PartKind,
    max_bytes: usize,
}

/// Why no more messages are passed.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// As the log and the counters have it.
    pub(crate) refusal: Refusal,
    /// The plugin that stopped them.
    pub(crate) plugin: String,
}

impl Chain {
    /// Whether any plugin looks at messages.
    pub(crate) fn looks_at_messages(&self) -> bool {
        self.has(Phase::RequestChunk) || self.has(Phase::ResponseChunk)
    }

    /// A plugin that looks into bodies and would not see messages: on a WebSocket it would be got around.
    pub(crate) fn blind_to_messages(&self) -> Option<&str> {
        let lacks = |policy: &&Arc<Policy>, phase| !policy.plugin.phases().has(phase);
        let unseen = SEES.iter().find_map(|(seen, message)| self.with(*seen).find(|policy| lacks(policy, *message)));
        let seals = |policy: &&Arc<Policy>| policy.plugin.imports().contains(&Capability::Sealing);
        let unsealed =
            || self.with(Phase::Response).find(|policy| seals(policy) && lacks(policy, Phase::ResponseChunk));
        unseen.or_else(unsealed).map(|policy| policy.plugin.name())
    }
}

impl Messages {
    /// Makes the instances. A message may have `max_bytes`, also after plugins changed it.
    ///
    /// # Errors
    /// There is no place for an instance.
    pub(crate) async fn begin(
        chain: &Arc<Chain>,
        side: Side,
        context: &Context,
        max_bytes: usize,
    ) -> Result<Self, Refusal> {
        let mut instances = Vec::new();
        for policy in chain.with(Phase::chunk(side)) {
            let made = policy.plugin.stream(side, context.clone()).await;
            if let Some(instance) = made.map_err(|failure| chain.failed(policy, &failure))? {
                instances.push((Arc::clone(policy), instance));
            }
        }
        Ok(Self { chain: Arc::clone(chain), side, instances, kind: PartKind::Text, max_bytes })
    }

    /// One message through all plugins, each of which sees what the one before left. None: it is not sent.
    ///
    /// # Errors
    /// A plugin refused it or failed.
    pub(crate) async fn pass(&mut self, kind: PartKind, bytes: Bytes) -> Result<Option<Bytes>, Stopped> {
        self.kind = kind;
        self.part(bytes, false).await
    }

    /// The end of the direction: what plugins held back, as a last message.
    ///
    /// # Errors
    /// As for `pass`.
    pub(crate) async fn end(&mut self) -> Result<Option<(PartKind, Bytes)>, Stopped> {
        let held = self.part(Bytes::new(), true).await?;
        Ok(held.filter(|bytes| !bytes.is_empty()).map(|bytes| (self.kind, bytes)))
    }

    async fn part(&mut self, mut bytes: Bytes, last: bool) -> Result<Option<Bytes>, Stopped> {
        for (policy, instance) in &mut self.instances {
            let came_empty = bytes.is_empty();
            let deadline = Instant::now() + MESSAGE;
            instance.wait_until(deadline);
            let part = Part { kind: self.kind, side: self.side, content_type: None, last, bytes };
            let stopped = |refusal| Stopped { refusal, plugin: policy.plugin.name().to_owned() };
            bytes = self.chain.run(policy, deadline, instance.part(part)).await.map_err(stopped)?;
            if let Some(fault) = fault(self.kind, &bytes, self.max_bytes) {
                let failure = Failure::BadVerdict(fault.to_owned());
                return Err(stopped(self.chain.failed(policy, &failure)));
            }
            // What one plugin holds back, the next does not see. One that came without contents may go on.
            if bytes.is_empty() && !came_empty && !last {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }
}

/// What keeps these bytes from being a message of that kind.
fn fault(kind: PartKind, bytes: &[u8], max_bytes: usize) -> Option<&'static str> {
    if bytes.len() > max_bytes {
        return Some("a message longer than limits.websocket_message_bytes");
    }
    (kind == PartKind::Text && std::str::from_utf8(bytes).is_err()).then_some("a text message that is not UTF-8")
}

impl Stopped {
    /// Whether the plugin decided so; otherwise it failed.
    pub(crate) fn is_decision(&self) -> bool {
        self.refusal.is_decision()
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("side", &self.side).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_kind_says() {
        assert_eq!(fault(PartKind::Text, "ä".as_bytes(), 2), None);
        assert!(fault(PartKind::Text, "ää".as_bytes(), 2).is_some());
        assert!(fault(PartKind::Text, &[0xff], 2).is_some());
        assert_eq!(fault(PartKind::Binary, &[0xff], 2), None);
    }
}
