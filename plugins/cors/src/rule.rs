//! The decision: which origins may read what is answered, and with what (Fetch standard, section 3.3, "CORS protocol").

mod origin;

use forebay_plugin_sdk::{Request, Response, Verdict, config};
use serde::Deserialize;

use origin::Pattern;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Origins that may read answers: `https://app.example.com`, `https://*.example.com` for every host below, `null`, or `*`.
    pub origins: Vec<String>,
    /// Whether they may send cookies and client certificates. Not together with `*` anywhere.
    #[serde(default)]
    pub credentials: bool,
    /// Methods beside GET, HEAD and POST, which are always allowed; or `*`.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Request header fields that scripts may set; or `*`, which does not cover `authorization`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Response header fields that scripts may read; or `*`.
    #[serde(default)]
    pub expose: Vec<String>,
    /// How long a browser may remember the answer to a preflight, in seconds.
    #[serde(default = "an_hour")]
    pub max_age_s: u32,
    /// Whether requests that say another origin are refused with 403. Else they pass, and browsers keep the answer from the
    /// script that asked.
    #[serde(default)]
    pub refuse_others: bool,
    #[serde(skip)]
    patterns: Vec<Pattern>,
}

fn an_hour() -> u32 {
    3_600
}

/// The longest time that browsers keep to at all: a day.
const MAX_AGE_S: u32 = 86_400;

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config: Self = config::parse(text)?;
        if config.origins.is_empty() {
            return Err("origins: must not be empty".to_owned());
        }
        for (i, origin) in config.origins.iter().enumerate() {
            let pattern = Pattern::parse(origin).map_err(|why| format!("origins[{i}]: {why}"))?;
            config.patterns.push(pattern);
        }
        for (key, list) in [("methods", &config.methods), ("headers", &config.headers), ("expose", &config.expose)] {
            if let Some(i) = list.iter().position(|word| !config::is_token(word)) {
                return Err(format!("{key}[{i}]: is not a name"));
            }
            if config.credentials && list.iter().any(|word| word == "*") {
                return Err(format!("{key}: `*` means the name `*` where credentials are sent; name them all"));
            }
        }
        if config.credentials && config.patterns.contains(&Pattern::Any) {
            return Err(
                "origins: `*` must not be used with credentials: any site could then act for its visitors".into()
            );
        }
        if config.max_age_s > MAX_AGE_S {
            return Err(format!("max_age_s: must be at most {MAX_AGE_S}"));
        }
        Ok(config)
    }

    /// Answers preflights.
    #[must_use]
    pub fn on_request(&self, request: &Request) -> Verdict {
        let Some(origin) = request.text("origin") else { return Verdict::Continue };
        let preflight = request.method() == "OPTIONS" && request.header("access-control-request-method").is_some();
        let allowed = self.allows(&origin);
        match (preflight, allowed) {
            (true, true) => self.preflight(&origin),
            (true, false) => Verdict::forbid("this origin may not ask here").header("vary", PREFLIGHT_VARY),
            (false, false) if self.refuse_others => {
                Verdict::forbid("this origin may not ask here").header("vary", "Origin")
            }
            _ => Verdict::Continue,
        }
    }

    /// Says who may read a response.
    pub fn on_response(&self, origin: Option<&str>, response: &Response) {
        // An upstream's own say would be a second one, of which browsers want exactly one.
        for name in ["access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"]
        {
            response.remove_header(name);
        }
        if self.patterns.contains(&Pattern::Any) {
            response.set("access-control-allow-origin", "*");
        } else {
            response.add_member("vary", "Origin");
            let Some(origin) = origin.filter(|origin| self.allows(origin)) else { return };
            response.set("access-control-allow-origin", origin);
        }
        if self.credentials {
            response.set("access-control-allow-credentials", "true");
        }
        if !self.expose.is_empty() {
            response.set("access-control-expose-headers", &self.expose.join(", "));
        }
    }

    fn allows(&self, origin: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(origin))
    }

    fn preflight(&self, origin: &str) -> Verdict {
        let any = self.patterns.contains(&Pattern::Any);
        let mut verdict = Verdict::empty(200)
            .header("access-control-allow-origin", if any { "*" } else { origin })
            .header("access-control-max-age", &self.max_age_s.to_string())
            .header("vary", PREFLIGHT_VARY);
        for (name, list) in [("methods", &self.methods), ("headers", &self.headers)] {
            if !list.is_empty() {
                verdict = verdict.header(&format!("access-control-allow-{name}"), &list.join(", "));
            }
        }
        if self.credentials { verdict.header("access-control-allow-credentials", "true") } else { verdict }
    }
}

/// What the answer to a preflight depends on.
const PREFLIGHT_VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[cfg(test)]
mod tests;
