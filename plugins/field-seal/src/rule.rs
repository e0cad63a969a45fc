//! The decision: which fields are sealed, asked for sealed, opened and sealed again, and when.

mod config;

use forebay_plugin_sdk::Message;
use forebay_plugin_sdk::sealing::{Field, SealError};

pub use config::{Client, Config, Input, Json, Output};

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
pub fn forward(config: &Config, message: &Message) -> Result<(), Refusal> {
    if !config.is_for(message.model().as_deref()) {
        return Ok(());
    }
    for output in &config.outputs {
        let asked = message.expect_sealed(&output.name, &output.key);
        asked.map_err(|error| unsealable(&Field::Output(output.name.clone()), error))?;
    }
    for input in &config.inputs {
        seal_outgoing(message, &Field::Input(input.name.clone()), &input.key, input.required)?;
    }
    for json in &config.json {
        seal_outgoing(message, &Field::Json(json.pointer.clone()), &json.key, json.required)?;
    }
    Ok(())
}

/// An answer came back: opens outputs, and those JSON fields that the edge is to open.
///
/// # Errors
/// A field could not be opened, or an output that was to be sealed came in the clear.
pub fn give_back(config: &Config, message: &Message) -> Result<(), Refusal> {
    if !config.is_for(message.model().as_deref()) {
        return Ok(());
    }
    for output in &config.outputs {
        let field = Field::Output(output.name.clone());
        match open_if_there(message, &field, &output.key) {
            Ok(()) => {}
            Err(error) => return Err(unopenable(&field, error)),
        }
    }
    for json in config.json.iter().filter(|json| json.answer != Client::Keep) {
        let field = Field::Json(json.pointer.clone());
        match open_if_there(message, &field, &json.key) {
            // An upstream need not answer with what it was sent: a value of its own is in the clear.
            Ok(()) | Err(SealError::NotSealed) => {}
            Err(error) => return Err(unopenable(&field, error)),
        }
    }
    Ok(())
}

/// An answer is about to go to the client: seals again what the client is to get sealed.
///
/// # Errors
/// The host could not seal a field that is there.
pub fn respond(config: &Config, message: &Message) -> Result<(), Refusal> {
    if !config.is_for(message.model().as_deref()) {
        return Ok(());
    }
    let outputs = config.outputs.iter().map(|output| (Field::Output(output.name.clone()), &output.client));
    let json = config.json.iter().map(|json| (Field::Json(json.pointer.clone()), &json.answer));
    for (field, client) in outputs.chain(json) {
        if let Client::Reseal(key) = client {
            seal_outgoing(message, &field, key, false)?;
        }
    }
    Ok(())
}

fn seal_outgoing(message: &Message, field: &Field, key: &str, required: bool) -> Result<(), Refusal> {
    if !message.has(field) {
        return if required { Err(missing(field)) } else { Ok(()) };
    }
    match message.seal(field, key) {
        // Whoever sent it has sealed it: it goes on as it is, and who holds the key will judge it.
        Ok(()) | Err(SealError::AlreadySealed) => Ok(()),
        Err(error) => Err(unsealable(field, error)),
    }
}

fn open_if_there(message: &Message, field: &Field, key: &str) -> Result<(), SealError> {
    if message.has(field) { message.open(field, key) } else { Ok(()) }
}

/// A field as a client may read of it.
fn named(field: &Field) -> String {
    match field {
        Field::Input(name) => format!("input `{}`", name.escape_debug()),
        Field::Output(name) => format!("output `{}`", name.escape_debug()),
        Field::Json(pointer) => format!("field `{}`", pointer.escape_debug()),
    }
}

fn missing(field: &Field) -> Refusal {
    Refusal { status: 400, problem: "bad-request", detail: format!("the {} must be there", named(field)) }
}

fn unsealable(field: &Field, error: SealError) -> Refusal {
    let why = match error {
        SealError::NoKey => "there is no key for it",
        _ => "it cannot be sealed",
    };
    Refusal { status: 500, problem: "internal", detail: format!("the {} must not leave unsealed: {why}", named(field)) }
}

fn unopenable(field: &Field, error: SealError) -> Refusal {
    let (status, problem, why) = match error {
        SealError::NoKey => (500, "internal", "there is no key for it"),
        SealError::NotSealed => (502, "bad-gateway", "it came back unsealed"),
        _ => (502, "bad-gateway", "it came back sealed wrongly"),
    };
    Refusal { status, problem, detail: format!("the {} could not be opened: {why}", named(field)) }
}

#[cfg(test)]
mod tests;
