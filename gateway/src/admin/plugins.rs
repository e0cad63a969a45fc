//! `/v1/plugins` and what is below it: what serves, and `POST /v1/plugins/{name}/{promote,rollback,record}`.

use std::sync::Arc;

use forebay_http::{Problem, ProblemType, RequestBody, ResponseBody};
use forebay_policy::MemoStats;
use http::{Method, Request, Response};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{json_response, record, refuse_browsers};
use crate::error::{LifecycleError, StartError};
use crate::node::State;
use crate::policy::Policy;
use crate::policy::lifecycle::Decided;
use crate::policy::shadow::ShadowStatus;

const BELOW: &str = "/v1/plugins/";

/// What an operator asks of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Promote,
    RollBack,
    Record,
}

/// The plugin and the act that a path names.
pub(super) fn act_of(path: &str) -> Option<(&str, Act)> {
    let (name, act) = path.strip_prefix(BELOW)?.rsplit_once('/')?;
    let act = match act {
        "promote" => Act::Promote,
        "rollback" => Act::RollBack,
        "record" => Act::Record,
        _ => return None,
    };
    (!name.is_empty() && !name.contains('/')).then_some((name, act))
}

/// Does it.
pub(super) async fn answer(state: &Arc<State>, name: &str, act: Act, request: &Head) -> Response<ResponseBody> {
    if request.method != Method::POST {
        return Problem::new(ProblemType::MethodNotAllowed).allow("POST").into_response();
    }
    match act {
        // In tasks of their own: whoever gives up waiting leaves nothing half decided.
        Act::Promote => {
            let (state, name) = (Arc::clone(state), name.to_owned());
            done("promoted", ended(tokio::spawn(async move { state.promote(&name).await })).await)
        }
        Act::RollBack => {
            let (state, name) = (Arc::clone(state), name.to_owned());
            done("serving", ended(tokio::spawn(async move { state.roll_back(&name, None).await })).await)
        }
        Act::Record => match state.edge().policy(name) {
            Some(policy) => record::answer(&policy.plugin, request.query.as_deref()).await,
            None => refused(&LifecycleError::NoPlugin),
        },
    }
}

/// What is needed of an admin request that was let in.
pub(super) struct Head {
    method: Method,
    query: Option<String>,
}

impl Head {
    /// Reads it.
    ///
    /// # Errors
    /// It comes from a web page.
    pub(super) fn of(request: &Request<RequestBody>) -> Result<Self, Problem> {
        refuse_browsers(request)?;
        Ok(Self { method: request.method().clone(), query: request.uri().query().map(str::to_owned) })
    }
}

async fn ended(act: JoinHandle<Result<Decided, LifecycleError>>) -> Result<Decided, LifecycleError> {
    act.await.unwrap_or_else(|died| Err(LifecycleError::Start(StartError::Policy(died.to_string()))))
}

fn done(what: &str, result: Result<Decided, LifecycleError>) -> Response<ResponseBody> {
    match result {
        Ok(Decided { digest, lasts }) => {
            let until = if lasts { "the configuration changes" } else { "the node restarts" };
            json_response(&json!({ what: digest, "until": until }))
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &LifecycleError) -> Response<ResponseBody> {
    let kind = match error {
        LifecycleError::NoPlugin => ProblemType::NotFound,
        _ => ProblemType::BadRequest,
    };
    Problem::new(kind).detail(error.to_string()).into_response()
}

/// One plugin, as operators see it.
#[derive(Serialize)]
pub(super) struct PluginStatus {
    name: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    hooks: Vec<&'static str>,
    imports: Vec<String>,
    keys: Vec<String>,
    /// None where the plugin is not pure.
    memo: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowStatus>,
}

impl PluginStatus {
    pub(super) fn of(policy: &Policy) -> Self {
        let plugin = &policy.plugin;
        Self {
            name: plugin.name().to_owned(),
            digest: plugin.digest().to_owned(),
            version: policy.verified.as_ref().map(|verified| verified.statement.version.to_string()),
            signer: policy.verified.as_ref().map(|verified| verified.signer.clone()),
            hooks: plugin.phases().iter().map(forebay_policy::Phase::hook).collect(),
            imports: plugin.imports().iter().map(ToString::to_string).collect(),
            keys: policy.keys.iter().cloned().collect(),
            memo: plugin.is_pure().then(|| memo(plugin.memo_stats())),
            shadow: policy.shadow.as_ref().map(|shadow| shadow.status()),
        }
    }
}

/// What became of the lookups in a memo.
fn memo(stats: MemoStats) -> serde_json::Value {
    let MemoStats { hits, misses, stores, evictions, bytes, switched_off } = stats;
    json!({
        "hits": hits, "misses": misses, "stores": stores, "evictions": evictions, "bytes": bytes,
        "switched_off": switched_off > 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_plugin_and_one_act() {
        assert_eq!(act_of("/v1/plugins/access/promote"), Some(("access", Act::Promote)));
        for other in
            ["/v1/plugins", "/v1/plugins/a", "/v1/plugins//promote", "/v1/plugins/a/b/promote", "/v1/plugins/a/x"]
        {
            assert_eq!(act_of(other), None, "{other}");
        }
    }
}
