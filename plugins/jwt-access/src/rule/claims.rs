//! What claims say: words of a claim, and conditions on one.

use serde::Deserialize;
use serde_json::Value;

/// A condition on one claim. Exactly one of the tests must be written. A claim that is not there fails every test but
/// `exists = false`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Which claim: JSON Pointer (RFC 6901).
    pub pointer: String,
    /// It is this value, of this type.
    pub equals: Option<Value>,
    /// It is one of these values.
    pub one_of: Option<Vec<Value>>,
    /// It is an array that holds this value.
    pub contains: Option<Value>,
    /// It is an array that holds one of these values at least.
    pub any_of: Option<Vec<Value>>,
    /// It is an array that holds all of these values.
    pub all_of: Option<Vec<Value>>,
    /// It is there, or it is not.
    pub exists: Option<bool>,
}

impl Condition {
    /// Whether a claim is as it must be.
    #[must_use]
    pub fn holds(&self, claim: Option<&Value>) -> bool {
        if let Some(exists) = self.exists {
            return claim.is_some() == exists;
        }
        let Some(claim) = claim else { return false };
        if let Some(value) = &self.equals {
            return claim == value;
        }
        if let Some(values) = &self.one_of {
            return values.contains(claim);
        }
        let Value::Array(items) = claim else { return false };
        if let Some(value) = &self.contains {
            return items.contains(value);
        }
        if let Some(values) = &self.any_of {
            return values.iter().any(|value| items.contains(value));
        }
        self.all_of.as_ref().is_some_and(|values| values.iter().all(|value| items.contains(value)))
    }

    pub(super) fn check(&self, at: &str) -> Result<(), String> {
        let escapes = self.pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !self.pointer.starts_with('/') || !escapes {
            return Err(format!("{at}.pointer: must be a JSON Pointer such as /groups"));
        }
        let lists = [("one_of", &self.one_of), ("any_of", &self.any_of), ("all_of", &self.all_of)];
        if let Some((key, _)) = lists.iter().find(|(_, list)| list.as_ref().is_some_and(Vec::is_empty)) {
            return Err(format!("{at}.{key}: must not be empty"));
        }
        let written = [self.equals.is_some(), self.contains.is_some(), self.exists.is_some()].into_iter();
        let count = written.chain(lists.iter().map(|(_, list)| list.is_some())).filter(|written| *written).count();
        if count != 1 {
            return Err(format!("{at}: must have one of equals, one_of, contains, any_of, all_of and exists"));
        }
        Ok(())
    }
}

/// The words of a claim that is a string or an array of strings. Anything else has none.
pub(super) struct Words(Vec<String>);

impl Words {
    /// A string is one word.
    pub(super) fn of(claim: Option<String>) -> Self {
        Self::read(claim, |text| vec![text])
    }

    /// A string is words between spaces.
    pub(super) fn split(claim: Option<String>) -> Self {
        Self::read(claim, |text| text.split(' ').map(str::to_owned).collect())
    }

    fn read(claim: Option<String>, words: impl FnOnce(String) -> Vec<String>) -> Self {
        Self(match claim.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(Value::String(text)) => words(text),
            Some(Value::Array(items)) => items.into_iter().filter_map(string).collect(),
            _ => Vec::new(),
        })
    }

    pub(super) fn any_of(&self, allowed: &[String]) -> bool {
        allowed.iter().any(|word| self.0.contains(word))
    }

    pub(super) fn all_of(&self, needed: &[String]) -> bool {
        needed.iter().all(|word| self.0.contains(word))
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
