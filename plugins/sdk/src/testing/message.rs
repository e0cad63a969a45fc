//! The double of a message: for each field the key that it is sealed with, if it is.
//!
//! As in the host, outputs are an inference's, and can be asked for until an input is sealed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;

use crate::sealing::{Field, SealError};

/// An inference or a JSON body on its way.
#[derive(Clone, Debug, Default)]
pub struct Message {
    model: Option<String>,
    fields: RefCell<BTreeMap<Field, Option<String>>>,
    expected: RefCell<Vec<(String, String)>>,
}

impl Message {
    /// The model, when the message is an inference.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.model.clone()
    }

    /// Whether the field is there.
    #[must_use]
    pub fn has(&self, field: &Field) -> bool {
        self.fields.borrow().contains_key(field)
    }

    /// Seals a field.
    ///
    /// # Errors
    /// As in the host.
    pub fn seal(&self, field: &Field, key: &str) -> Result<(), SealError> {
        known(key)?;
        match self.fields.borrow_mut().get_mut(field) {
            None => Err(SealError::NoField),
            Some(Some(_)) => Err(SealError::AlreadySealed),
            Some(sealed) => {
                *sealed = Some(key.to_owned());
                Ok(())
            }
        }
    }

    /// Opens a field.
    ///
    /// # Errors
    /// As in the host.
    pub fn open(&self, field: &Field, key: &str) -> Result<(), SealError> {
        known(key)?;
        match self.fields.borrow_mut().get_mut(field) {
            None => Err(SealError::NoField),
            Some(None) => Err(SealError::NotSealed),
            Some(Some(other)) if other != key => Err(SealError::Rejected),
            Some(sealed) => {
                *sealed = None;
                Ok(())
            }
        }
    }

    /// Asks the region to seal an output.
    ///
    /// # Errors
    /// As in the host.
    pub fn expect_sealed(&self, output: &str, key: &str) -> Result<(), SealError> {
        known(key)?;
        if self.model.is_none() || self.fields.borrow().values().any(Option::is_some) {
            return Err(SealError::Unsupported);
        }
        self.expected.borrow_mut().push((output.to_owned(), key.to_owned()));
        Ok(())
    }
}

fn known(key: &str) -> Result<(), SealError> {
    let known = super::with(|host| host.keys.iter().any(|name| name == key));
    if known { Ok(()) } else { Err(SealError::NoKey) }
}

/// A message to show a plugin.
#[derive(Clone, Debug, Default)]
pub struct MessageBuilder(Message);

impl MessageBuilder {
    /// An inference for a model.
    #[must_use]
    pub fn inference(model: &str) -> Self {
        Self(Message { model: Some(model.to_owned()), ..Message::default() })
    }

    /// A JSON body.
    #[must_use]
    pub fn json() -> Self {
        Self::default()
    }

    /// With a field, in the clear or sealed with a key.
    #[must_use]
    pub fn field(self, field: Field, key: Option<&str>) -> Self {
        self.0.fields.borrow_mut().insert(field, key.map(str::to_owned));
        self
    }

    /// The key that a field is sealed with.
    #[must_use]
    pub fn sealed_with(&self, field: &Field) -> Option<String> {
        self.0.fields.borrow().get(field).cloned().flatten()
    }

    /// The outputs that were asked for sealed, with their keys.
    #[must_use]
    pub fn expected(&self) -> Vec<(String, String)> {
        self.0.expected.borrow().clone()
    }
}

impl Deref for MessageBuilder {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}
