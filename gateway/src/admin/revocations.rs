//! `/v1/revocations`: tokens withdrawn before their time, from the next request on.
//!
//! POST takes `{"issuer":…,"jti"|"sub"|"kid":…,"until":…}`, GET lists what was told, DELETE takes back what its query names
//! (`?issuer=…&jti=…`). What is told here outlives reloads and, with `policy.state_dir`, the process; without that folder,
//! what must outlive it belongs into the file that `tokens.revocations_file` names.

use std::time::Duration;

use forebay_http::{Problem, ProblemType, RequestBody, ResponseBody, collect_bounded};
use http::{Method, Request, Response};
use serde_json::json;
use tokio::time::Instant;

use super::json_response;
use crate::identity::revocation::Entry;
use crate::identity::{Identities, Unrevoked};

/// The path.
pub(super) const PATH: &str = "/v1/revocations";
/// Longest body of one entry.
const ENTRY_MAX_BYTES: usize = 8 * 1024;
/// Time for it to come.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers a request to [`PATH`].
pub(super) async fn answer(identities: &Identities, request: Request<RequestBody>) -> Response<ResponseBody> {
    let answered = match *request.method() {
        Method::GET => Ok(list(identities)),
        Method::POST => add(identities, request).await,
        Method::DELETE => remove(identities, request.uri().query().unwrap_or_default()).await,
        _ => Err(Problem::new(ProblemType::MethodNotAllowed).allow("GET, POST, DELETE")),
    };
    answered.unwrap_or_else(Problem::into_response)
}

fn list(identities: &Identities) -> Response<ResponseBody> {
    let (told, in_file) = identities.revocations();
    let told: Vec<&Entry> = told.iter().map(AsRef::as_ref).collect();
    json_response(&json!({ "told": told, "in_file": in_file }))
}

async fn add(identities: &Identities, request: Request<RequestBody>) -> Result<Response<ResponseBody>, Problem> {
    let body = collect_bounded(request.into_body(), ENTRY_MAX_BYTES, Instant::now() + ENTRY_TIMEOUT).await;
    let entry = Entry::read(&body.map_err(|error| bad(error.to_string()))?).map_err(bad)?;
    let answer = json_response(&json!({ "revoked": entry }));
    tracing::info!(issuer = entry.issuer(), "revocation told through the admin API");
    identities.revoke(entry).await.map(|()| answer).map_err(problem)
}

fn problem(unrevoked: Unrevoked) -> Problem {
    match unrevoked {
        Unrevoked::UnknownIssuer => bad("no issuer of this node has this name".to_owned()),
        Unrevoked::Full(max) => {
            let detail = format!("there are {max} revocations already; `tokens.revocations_file` takes more");
            Problem::new(ProblemType::Overloaded).detail(detail)
        }
        Unrevoked::NotWritten(reason) => {
            tracing::error!(%reason, "a revocation could not be written to `policy.state_dir`");
            let detail = "the change holds, but could not be written: a restart of this node would forget it";
            Problem::new(ProblemType::Internal).detail(detail)
        }
    }
}

async fn remove(identities: &Identities, query: &str) -> Result<Response<ResponseBody>, Problem> {
    let entry = Entry::from_query(query).map_err(bad)?;
    let answer = json_response(&json!({ "taken_back": entry }));
    if identities.take_back(entry).await.map_err(problem)? {
        return Ok(answer);
    }
    Err(Problem::new(ProblemType::NotFound).detail("no such revocation was told; those of the file are changed there"))
}

fn bad(reason: String) -> Problem {
    Problem::new(ProblemType::BadRequest).detail(reason)
}
