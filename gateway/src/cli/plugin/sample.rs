//! A request from a file, as a plugin sees one in a gateway: what `try` and `bench` ask about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_policy::{
    Absence, Context, IdentityView, Notes, Part, PartKind, RequestView, ResponseView, Side, combined, names,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::component::usage;
use crate::cli::Failure;

/// Where authors keep it.
const REQUEST_FILE: &str = "request.toml";

/// Time that a plugin may wait for others.
const DEADLINE: Duration = Duration::from_secs(10);

const REASONS: [(&str, Absence); 11] = [
    ("missing", Absence::Missing),
    ("malformed", Absence::Malformed),
    ("unknown-issuer", Absence::UnknownIssuer),
    ("unknown-key", Absence::UnknownKey),
    ("bad-algorithm", Absence::BadAlgorithm),
    ("bad-signature", Absence::BadSignature),
    ("expired", Absence::Expired),
    ("not-yet-valid", Absence::NotYetValid),
    ("wrong-audience", Absence::WrongAudience),
    ("missing-claim", Absence::MissingClaim),
    ("revoked", Absence::Revoked),
];

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    method: String,
    path: String,
    host: String,
    query: Option<String>,
    route: String,
    model: Option<String>,
    dialect: String,
    peer: IpAddr,
    protocol: String,
    headers: BTreeMap<String, String>,
    /// Verified claims. Absent: there is no identity.
    claims: Option<Map<String, Value>>,
    /// Why there is none.
    absence: Option<String>,
    /// Absent: the claim `tenant`.
    tenant: Option<String>,
    body: Option<String>,
    response: Option<Answered>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: "localhost".to_owned(),
            query: None,
            route: "route".to_owned(),
            model: None,
            dialect: "http".to_owned(),
            peer: Ipv4Addr::LOCALHOST.into(),
            protocol: "HTTP/2.0".to_owned(),
            headers: BTreeMap::new(),
            claims: None,
            absence: None,
            tenant: None,
            body: None,
            response: None,
        }
    }
}

/// `[response]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answered {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

/// A request, who makes it, and the response that it is to get.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) request: Request,
    pub(super) identity: Arc<Identity>,
    pub(super) body: Option<Bytes>,
    pub(super) response: Option<Response>,
}

/// The head of the request.
#[derive(Clone)]
pub(super) struct Request {
    file: Arc<File>,
    pub(super) headers: HeaderMap,
}

/// The response.
#[derive(Clone)]
pub(super) struct Response {
    status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// Who asks.
pub(super) struct Identity {
    claims: Result<(String, Value), Absence>,
    tenant: Option<String>,
}

impl Sample {
    /// Reads `file`, or `request.toml` beside the component or here; without any, `GET /` by nobody.
    ///
    /// # Errors
    /// `Usage`, with what is wrong in the file.
    pub(super) fn read(file: Option<&Path>, component: &Path) -> Result<Self, Failure> {
        let beside = component.parent().unwrap_or(Path::new("")).join(REQUEST_FILE);
        let found = || [beside, PathBuf::from(REQUEST_FILE)].into_iter().find(|file| file.is_file());
        match file.map(Path::to_path_buf).or_else(found) {
            Some(file) => {
                let text = std::fs::read_to_string(&file).map_err(|error| usage(&file, error))?;
                let is_json = file.extension().is_some_and(|kind| kind == "json");
                Self::parse(&text, is_json).map_err(|reason| usage(&file, reason))
            }
            None => Self::new(File::default()).map_err(Failure::Failed),
        }
    }

    fn parse(text: &str, is_json: bool) -> Result<Self, String> {
        let file = if is_json {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            toml::from_str(text).map_err(|error| error.to_string())
        };
        Self::new(file?)
    }

    fn new(file: File) -> Result<Self, String> {
        if !file.path.starts_with('/') {
            return Err("path: must begin with a slash".to_owned());
        }
        let identity = Arc::new(Identity::new(&file)?);
        let body = file.body.clone().map(Bytes::from);
        let response = file.response.as_ref().map(Response::new).transpose()?;
        let headers = headers(&file.headers)?;
        Ok(Self { request: Request { file: Arc::new(file), headers }, identity, body, response })
    }

    /// What hooks are called with.
    pub(super) fn context(&self) -> Context {
        Context {
            request: Arc::new(self.request.clone()),
            identity: Arc::clone(&self.identity) as Arc<dyn IdentityView>,
            deadline: Instant::now() + DEADLINE,
            notes: Arc::new(Notes::default()),
        }
    }

    /// The body of one side, if there is one, as a part of that kind.
    pub(super) fn part(&self, side: Side, kind: PartKind) -> Option<Part> {
        let (bytes, headers) = match side {
            Side::Request => (self.body.clone()?, &self.request.headers),
            Side::Response => {
                let response = self.response.as_ref()?;
                (response.body.clone()?, &response.headers)
            }
        };
        let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(Arc::from);
        Some(Part { kind, side, content_type, last: true, bytes })
    }
}

impl Identity {
    fn new(file: &File) -> Result<Self, String> {
        let tenant = file.claims.as_ref().and_then(|claims| claims.get("tenant")).and_then(Value::as_str);
        let tenant = file.tenant.clone().or_else(|| tenant.map(str::to_owned));
        let claims = match (&file.claims, &file.absence) {
            (Some(_), Some(_)) => return Err("claims, absence: one excludes the other".to_owned()),
            (Some(claims), None) => {
                let claims = Value::Object(claims.clone());
                Ok((claims.to_string(), claims))
            }
            (None, absence) => Err(reason(absence.as_deref().unwrap_or("missing"))?),
        };
        Ok(Self { tenant: tenant.filter(|_| claims.is_ok()), claims })
    }
}

fn reason(name: &str) -> Result<Absence, String> {
    REASONS.into_iter().find(|(known, _)| *known == name).map(|(_, absence)| absence).ok_or_else(|| {
        let known: Vec<_> = REASONS.iter().map(|(known, _)| *known).collect();
        format!("absence: `{name}` is none of {}", known.join(", "))
    })
}

impl Response {
    fn new(file: &Answered) -> Result<Self, String> {
        let headers = headers(&file.headers).map_err(|reason| format!("response.{reason}"))?;
        Ok(Self { status: file.status.unwrap_or(200), headers, body: file.body.clone().map(Bytes::from) })
    }
}

fn headers(fields: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let field = |(name, value): (&String, &String)| {
        let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        parsed.ok_or_else(|| format!("headers.{name}: is not a header field"))
    };
    fields.iter().map(field).collect()
}

impl RequestView for Request {
    fn method(&self) -> &str {
        &self.file.method
    }

    fn path(&self) -> &str {
        &self.file.path
    }

    fn host(&self) -> &str {
        &self.file.host
    }

    fn query(&self) -> Option<&str> {
        self.file.query.as_deref()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        combined(&self.headers, name)
    }

    fn route(&self) -> &str {
        &self.file.route
    }

    fn model(&self) -> Option<&str> {
        self.file.model.as_deref()
    }

    fn dialect(&self) -> &str {
        &self.file.dialect
    }

    fn header_names(&self) -> Vec<String> {
        names(&self.headers)
    }

    fn peer(&self) -> IpAddr {
        self.file.peer
    }

    fn protocol(&self) -> &str {
        &self.file.protocol
    }

    fn trace_id(&self) -> &str {
        "4bf92f3577b34da6a3ce929d0e0e4736"
    }
}

impl ResponseView for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        combined(&self.headers, name)
    }

    fn header_names(&self) -> Vec<String> {
        names(&self.headers)
    }
}

impl IdentityView for Identity {
    fn claims(&self) -> Result<&str, Absence> {
        self.claims.as_ref().map(|(text, _)| text.as_str()).map_err(|absence| *absence)
    }

    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        let (_, claims) = self.claims.as_ref().ok()?;
        claims.pointer(pointer).map(|claim| Cow::Owned(claim.to_string()))
    }

    fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_becomes_a_request() {
        let toml = "path = \"/v2/models\"\n[headers]\naccept = \"a\"\n[claims]\ntenant = \"acme\"\naud = [\"x\"]\n";
        let json = r#"{"path": "/v2/models", "headers": {"accept": "a"}, "claims": {"tenant": "acme", "aud": ["x"]}}"#;
        for (text, is_json) in [(toml, false), (json, true)] {
            let sample = Sample::parse(text, is_json).unwrap();
            assert_eq!((sample.request.path(), sample.request.method()), ("/v2/models", "GET"));
            assert_eq!(sample.request.header("accept").as_deref(), Some(&b"a"[..]));
            assert_eq!(sample.identity.claim("/aud/0").as_deref(), Some("\"x\""));
            assert_eq!(sample.identity.tenant(), Some("acme"));
        }
    }

    #[test]
    fn nobody_is_an_identity_too() {
        let of = |text| Sample::parse(text, false).unwrap().identity.claims().map(str::to_owned);
        assert_eq!(of(""), Err(Absence::Missing));
        assert_eq!(of("absence = \"expired\""), Err(Absence::Expired));
        assert_eq!(of("[claims]"), Ok("{}".to_owned()));
    }

    #[test]
    fn mistakes_name_their_key() {
        for (text, key) in [
            ("path = \"x\"", "path"),
            ("pth = \"/\"", "pth"),
            ("absence = \"late\"", "absence"),
            ("absence = \"expired\"\n[claims]", "absence"),
            ("[headers]\n\"a b\" = \"c\"", "headers.a b"),
            ("[response.headers]\na = \"b\\nc\"", "response.headers.a"),
        ] {
            assert!(Sample::parse(text, false).err().unwrap().contains(key), "{text}");
        }
    }
}
