//! Stages `decode` and `encode`: between a caller's protocol and the canonical inference.
//!
//! A dialect reads what is asked from the head, the inference from the body, and writes the answer back in the
//! caller's form. Policy, cache and regions see only the canonical form, so they serve every dialect alike.

pub(crate) mod oip;

use http::Method;

use crate::config::InferenceTarget;
use crate::error::Refusal;
use forebay_http::ProblemType;

/// What is asked, as the head of a request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// To run a model.
    Infer(ModelName),
    /// What a model is.
    ModelMetadata(ModelName),
    /// Whether a model can be asked.
    ModelReady(ModelName),
    /// What this server is.
    ServerMetadata,
    /// Whether this node lives.
    Live,
    /// Whether this node can serve.
    Ready,
}

/// A model, in any version or one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelName {
    /// Its name.
    pub(crate) model: String,
    /// The version that was asked for.
    pub(crate) version: Option<String>,
}

impl Ask {
    /// The model, where one is named.
    pub(crate) fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Infer(name) | Self::ModelMetadata(name) | Self::ModelReady(name) => Some(name),
            Self::ServerMetadata | Self::Live | Self::Ready => None,
        }
    }

    /// The methods that may ask it.
    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Infer(_) => &[Method::POST],
            _ => &[Method::GET, Method::HEAD],
        }
    }

    /// Checks the method.
    ///
    /// # Errors
    /// 405.
    pub(crate) fn check_method(&self, method: &Method) -> Result<(), Refusal> {
        let methods = self.methods();
        if methods.contains(method) {
            return Ok(());
        }
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        Err(Refusal::method_not_allowed(&names.join(", ")))
    }

    /// Checks that the route serves the model. After the policies: who may not ask learns nothing of what there is.
    ///
    /// # Errors
    /// 404: whether the model exists elsewhere is nobody's business.
    pub(crate) fn check_model(&self, target: &InferenceTarget) -> Result<(), Refusal> {
        match self.model() {
            Some(name) if !target.models.is_empty() && !target.models.contains(&name.model) => {
                Err(Refusal::new(ProblemType::ModelNotFound, format!("no model is named `{}`", name.model)))
            }
            _ => Ok(()),
        }
    }
}
