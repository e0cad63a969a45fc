//! Which models the node has, and whether it is still getting them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use forebay_inference::Model;

use crate::error::RequestError;

/// The node's models by name. Reading never waits.
pub(crate) struct Catalog {
    current: ArcSwap<Contents>,
}

#[derive(Clone)]
struct Contents {
    models: BTreeMap<String, Model>,
    loading: bool,
}

impl Catalog {
    /// A catalog that models will be added to.
    pub(crate) fn loading() -> Self {
        Catalog { current: ArcSwap::from_pointee(Contents { models: BTreeMap::new(), loading: true }) }
    }

    /// Adds a model that is ready. Gives it back if its name is taken.
    pub(crate) fn add(&self, model: Model) -> Result<(), Model> {
        let mut contents = Contents::clone(&self.current.load());
        if contents.models.contains_key(model.name()) {
            return Err(model);
        }
        contents.models.insert(model.name().to_owned(), model);
        self.current.store(Arc::new(contents));
        Ok(())
    }

    /// Says that all models are there.
    pub(crate) fn complete(&self) {
        let contents = Contents::clone(&self.current.load());
        self.current.store(Arc::new(Contents { loading: false, ..contents }));
    }

    /// Whether all models are there.
    pub(crate) fn is_complete(&self) -> bool {
        !self.current.load().loading
    }

    /// The models that are there.
    pub(crate) fn models(&self) -> Vec<Model> {
        self.current.load().models.values().cloned().collect()
    }

    /// The model of this name and, if a version is given, of that version.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<Model, RequestError> {
        let contents = self.current.load();
        match contents.models.get(name) {
            Some(model) if version.is_none_or(|version| version == model.version()) => Ok(model.clone()),
            Some(_) => Err(RequestError::NoSuchModel),
            None if contents.loading => Err(RequestError::ModelNotReady),
            None => Err(RequestError::NoSuchModel),
        }
    }
}
