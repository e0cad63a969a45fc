//! The configuration: which fields, which keys, for which models.

use forebay_plugin_sdk::config;
use serde::Deserialize;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Models it is for: names, `prefix*`, or `*`. A message without a model is matched by `*` alone.
    #[serde(default = "config::anything")]
    pub models: Vec<String>,
    /// Inputs that are sealed before they leave.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Outputs that the region is asked to seal.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// Fields of JSON bodies.
    #[serde(default)]
    pub json: Vec<Json>,
}

/// An input tensor.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// The key that it is sealed with.
    pub key: String,
    /// Whether a request without it is refused. `false` must be written: a misspelt name would otherwise seal nothing.
    #[serde(default = "yes")]
    pub required: bool,
}

/// An output tensor.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The key that the region seals it with.
    pub key: String,
    /// How the client gets it: `open` or `reseal`.
    #[serde(default)]
    pub client: Client,
}

/// A value in a JSON body.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Json {
    /// Where: JSON Pointer (RFC 6901).
    pub pointer: String,
    /// The key that it is sealed with.
    pub key: String,
    /// How the client gets the value at the same place of the answer.
    #[serde(default)]
    pub answer: Client,
    /// Whether a request without it is refused. `false` must be written: a misspelt name would otherwise seal nothing.
    #[serde(default = "yes")]
    pub required: bool,
}

/// How a client gets a field that came back sealed.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Opened at the edge.
    #[default]
    Open,
    /// As it came back. For JSON fields only.
    Keep,
    /// Opened at the edge and sealed again with the key of this name.
    Reseal(String),
}

fn yes() -> bool {
    true
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        config.check()?;
        Ok(config)
    }

    /// Whether messages for `model` are handled at all.
    #[must_use]
    pub fn is_for(&self, model: Option<&str>) -> bool {
        config::matches(&self.models, model)
    }

    fn check(&self) -> Result<(), String> {
        if self.inputs.is_empty() && self.outputs.is_empty() && self.json.is_empty() {
            return Err("at least one of inputs, outputs and json must name a field".to_owned());
        }
        config::check_patterns("models", &self.models)?;
        for (i, input) in self.inputs.iter().enumerate() {
            filled(&format!("inputs[{i}].name"), &input.name)?;
            filled(&format!("inputs[{i}].key"), &input.key)?;
        }
        for (i, output) in self.outputs.iter().enumerate() {
            filled(&format!("outputs[{i}].name"), &output.name)?;
            filled(&format!("outputs[{i}].key"), &output.key)?;
            output.client.check(&format!("outputs[{i}].client"))?;
            if output.client == Client::Keep {
                return Err(format!("outputs[{i}].client: `keep` is for JSON fields"));
            }
        }
        for (i, json) in self.json.iter().enumerate() {
            pointer(&format!("json[{i}].pointer"), &json.pointer)?;
            filled(&format!("json[{i}].key"), &json.key)?;
            json.answer.check(&format!("json[{i}].answer"))?;
        }
        Ok(())
    }
}

impl Client {
    fn check(&self, key: &str) -> Result<(), String> {
        match self {
            Self::Reseal(name) => filled(&format!("{key}.reseal"), name),
            Self::Open | Self::Keep => Ok(()),
        }
    }
}

fn filled(key: &str, text: &str) -> Result<(), String> {
    if text.is_empty() { Err(format!("{key}: must not be empty")) } else { Ok(()) }
}

/// RFC 6901, section 3: `/` before each token, `~` only in `~0` and `~1`. The whole body is not a field.
fn pointer(key: &str, text: &str) -> Result<(), String> {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.starts_with('/') && escapes {
        Ok(())
    } else {
        Err(format!("{key}: must be a JSON Pointer such as /user/email"))
    }
}
