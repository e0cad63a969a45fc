//! The decision: which fields are sealed, asked for sealed, opened and sealed again, and when.

mod config;

pub use config::{Client, Config, Input, Json, Output};

/// A place in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field<'a> {
    /// An input tensor, by name.
    Input(&'a str),
    /// An output tensor, by name.
    Output(&'a str),
    /// A value in a JSON body, by JSON Pointer.
    Json(&'a str),
}

impl std::fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(name) => write!(f, "input `{}`", name.escape_debug()),
            Self::Output(name) => write!(f, "output `{}`", name.escape_debug()),
            Self::Json(pointer) => write!(f, "field `{}`", pointer.escape_debug()),
        }
    }
}

/// Why the host did not seal or open a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SealError {
    NoField,
    NoKey,
    NotSealed,
    AlreadySealed,
    Rejected,
    Unsupported,
}

/// A message whose fields the host can seal and open.
pub trait Sealable {
    /// The model, when it is an inference.
    fn model(&self) -> Option<String>;
    /// Whether the field is there.
    fn has(&self, field: &Field<'_>) -> bool;
    /// Seals a field.
    ///
    /// # Errors
    /// Why not.
    fn seal(&self, field: &Field<'_>, key: &str) -> Result<(), SealError>;
    /// Opens a field.
    ///
    /// # Errors
    /// Why not.
    fn open(&self, field: &Field<'_>, key: &str) -> Result<(), SealError>;
    /// Asks the region to seal an output.
    ///
    /// # Errors
    /// Why not.
    fn expect_sealed(&self, output: &str, key: &str) -> Result<(), SealError>;
}

/// An answer in place of the message.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The slug of the problem type.
    pub problem: &'static str,
    /// One sentence for the client.
    pub detail: String,
}

/// A message is about to leave: asks for sealed outputs, then seals inputs and JSON fields. In this order, since the host
/// binds a sealed input to what its request asks for.
///
/// # Errors
/// A required field is not there, or the host could not seal one that is or ask for a sealed answer: it does not leave in
/// the clear.
pub fn forward<M: Sealable>(config: &Config, message: &M) -> Result<(), Refusal> {
    if !config.is_for(message.model().as_deref()) {
        return Ok(());
    }
    for output in &config.outputs {
        let asked = message.expect_sealed(&output.name, &output.key);
        asked.map_err(|error| unsealable(Field::Output(&output.name), error))?;
    }
    for input in &config.inputs {
        seal_outgoing(message, Field::Input(&input.name), &input.key, input.required)?;
    }
    for json in &config.json {
        seal_outgoing(message, Field::Json(&json.pointer), &json.key, json.required)?;
    }
    Ok(())
}

/// An answer came back: opens outputs, and those JSON fields that the edge is to open.
///
/// # Errors
/// A field could not be opened, or an output that was to be sealed came in the clear.
pub fn give_back<M: Sealable>(config: &Config, message: &M) -> Result<(), Refusal> {
    if !config.is_for(message.model().as_deref()) {
        return Ok(());
    }
    for output in &config.outputs {
        let field = Field::Output(&output.name);
        match open_if_there(message, field, &output.key) {
            Ok(()) => {}
            Err(error) => return Err(unopenable(field, error)),
        }
    }
    for json in config.json.iter().filter(|json| json.answer != Client::Keep) {
        let field = Field::Json(&json.pointer);
        match open_if_there(message, field, &json.key) {
            // An upstream need not answer with what it was sent: a value of its own is in the clear.
            Ok(()) | Err(SealError::NotSealed) => {}
            Err(error) => return Err(unopenable(field, error)),
        }
    }
    Ok(())
}

/// An answer is about to go to the client: seals again what the client is to get sealed.
///
/// # Errors
/// The host could not seal a field that is there.
pub fn respond<M: Sealable>(config: &Config, message: &M) -> Result<(), Refusal> {
    if !config.is_for(message.model().as_deref()) {
        return Ok(());
    }
    let outputs = config.outputs.iter().map(|output| (Field::Output(&output.name), &output.client));
    let json = config.json.iter().map(|json| (Field::Json(&json.pointer), &json.answer));
    for (field, client) in outputs.chain(json) {
        if let Client::Reseal(key) = client {
            seal_outgoing(message, field, key, false)?;
        }
    }
    Ok(())
}

fn seal_outgoing<M: Sealable>(message: &M, field: Field<'_>, key: &str, required: bool) -> Result<(), Refusal> {
    if !message.has(&field) {
        return if required { Err(missing(field)) } else { Ok(()) };
    }
    match message.seal(&field, key) {
        // Whoever sent it has sealed it: it goes on as it is, and who holds the key will judge it.
        Ok(()) | Err(SealError::AlreadySealed) => Ok(()),
        Err(error) => Err(unsealable(field, error)),
    }
}

fn open_if_there<M: Sealable>(message: &M, field: Field<'_>, key: &str) -> Result<(), SealError> {
    if message.has(&field) { message.open(&field, key) } else { Ok(()) }
}

fn missing(field: Field<'_>) -> Refusal {
    Refusal { status: 400, problem: "bad-request", detail: format!("the {field} must be there") }
}

fn unsealable(field: Field<'_>, error: SealError) -> Refusal {
    let why = match error {
        SealError::NoKey => "there is no key for it",
        _ => "it cannot be sealed",
    };
    Refusal { status: 500, problem: "internal", detail: format!("the {field} must not leave unsealed: {why}") }
}

fn unopenable(field: Field<'_>, error: SealError) -> Refusal {
    let (status, problem, why) = match error {
        SealError::NoKey => (500, "internal", "there is no key for it"),
        SealError::NotSealed => (502, "bad-gateway", "it came back unsealed"),
        _ => (502, "bad-gateway", "it came back sealed wrongly"),
    };
    Refusal { status, problem, detail: format!("the {field} could not be opened: {why}") }
}

#[cfg(test)]
mod tests;
