//! Behind `inference`: the models that one plugin may ask, in regions where the request itself may go.
//!
//! Services are older than the regions and routes of a node, and a plugin can outlive a reload of them; so they ask a
//! [`Directory`] that each reload publishes to. It holds regions and routes' rules and no edge, so that nothing that a
//! reload replaced is kept.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use forebay_oip::{Datatype, InferRequest, Tensor};
use forebay_policy::services::{Inference, InferenceFailure, PlainTensor, Wait};
use tokio::time::timeout_at;

use crate::config::{Config, InferenceTarget, Target};
use crate::error::Refusal;
use crate::upstream::forward::Trail;
use crate::upstream::regions::{Call, Regions};

/// Tensors in one question.
const TENSORS_MAX: usize = 64;
/// The largest answer, in bytes of its tensors: a plugin asks for a judgement and not for a picture.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The regions and routes of the present configuration.
#[derive(Default)]
pub(crate) struct Directory(ArcSwapOption<Present>);

struct Present {
    regions: Arc<Regions>,
    /// Routes by name; of those to inferences, where their requests may go.
    routes: HashMap<String, Option<InferenceTarget>>,
    /// The legal area in which this node stands.
    home: Option<String>,
}

impl Directory {
    /// What plugins ask from now on.
    pub(crate) fn publish(&self, config: &Config, regions: &Arc<Regions>) {
        let routes = config.routes.iter().map(|route| {
            let target = match &route.target {
                Target::Inference(target) => Some(target.clone()),
                _ => None,
            };
            (route.name.clone(), target)
        });
        self.0.store(Some(Arc::new(Present {
            regions: Arc::clone(regions),
            routes: routes.collect(),
            home: config.pop.jurisdiction.clone(),
        })));
    }
}

/// A plugin's way to models.
pub(super) struct PluginInference {
    pub(super) directory: Arc<Directory>,
    pub(super) models: BTreeSet<String>,
    /// The plugin's own rule, beside that of the route. Empty: it has none.
    pub(super) jurisdictions: Vec<String>,
}

impl PluginInference {
    async fn ask(
        &self,
        route: &str,
        within: Option<Vec<String>>,
        model: &str,
        inputs: Vec<PlainTensor>,
        deadline: Instant,
    ) -> Result<Vec<PlainTensor>, InferenceFailure> {
        if !self.models.contains(model) {
            return Err(InferenceFailure::NotAllowed);
        }
        let request = InferRequest { inputs: tensors(inputs)?, ..InferRequest::default() };
        let present = self.directory.0.load_full().ok_or(InferenceFailure::Unavailable)?;
        let rule = present.routes.get(route).ok_or(InferenceFailure::Unavailable)?;
        let target = narrowed(rule.as_ref(), &self.jurisdictions, within.as_deref(), present.home.as_deref())?;
        let call = Call { target: &target, model, version: None, deadline, trace: None };
        let mut trail = Trail::default();
        match timeout_at(deadline.into(), present.regions.infer(&call, request, &mut trail)).await {
            Err(_) => Err(InferenceFailure::Timeout),
            Ok(Err(refusal)) => Err(failure(&refusal)),
            Ok(Ok(answer)) => outputs(answer.response.outputs),
        }
    }
}

impl Inference for PluginInference {
    fn infer<'a>(
        &'a self,
        route: &'a str,
        within: Option<Vec<String>>,
        model: &'a str,
        inputs: Vec<PlainTensor>,
        deadline: Instant,
    ) -> Wait<'a, Result<Vec<PlainTensor>, InferenceFailure>> {
        Box::pin(self.ask(route, within, model, inputs, deadline))
    }
}

/// Where a plugin's question may go: where the request of its route may, within the areas to which policy restricted the
/// request, and within the plugin's own jurisdictions if it has any. A request that is no inference has no regions; it
/// stays in the plugin's jurisdictions, or else in that of this node.
///
/// # Errors
/// Nowhere. Never an empty list, which would be everywhere.
fn narrowed(
    route: Option<&InferenceTarget>,
    own: &[String],
    within: Option<&[String]>,
    home: Option<&str>,
) -> Result<InferenceTarget, InferenceFailure> {
    let own = (!own.is_empty()).then(|| own.to_vec());
    let (regions, areas) = match route {
        Some(route) => {
            let areas = (!route.jurisdictions.is_empty()).then(|| route.jurisdictions.clone());
            (route.regions.clone(), both(areas, own))
        }
        None => (Vec::new(), Some(own.unwrap_or_else(|| home.map(str::to_owned).into_iter().collect()))),
    };
    let jurisdictions = match both(areas, within.map(<[String]>::to_vec)) {
        None => Vec::new(),
        Some(areas) if areas.is_empty() => return Err(InferenceFailure::Unavailable),
        Some(areas) => areas,
    };
    Ok(InferenceTarget { models: Vec::new(), regions, jurisdictions, cache: None })
}

/// What two lists of areas have in common; without a list, everything.
fn both(one: Option<Vec<String>>, other: Option<Vec<String>>) -> Option<Vec<String>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.into_iter().filter(|area| other.contains(area)).collect()),
        (one, other) => one.or(other),
    }
}

fn tensors(inputs: Vec<PlainTensor>) -> Result<Vec<Tensor>, InferenceFailure> {
    if inputs.len() > TENSORS_MAX {
        return Err(InferenceFailure::BadInput);
    }
    let tensor = |plain: PlainTensor| {
        let datatype = Datatype::from_str(&plain.datatype).map_err(|_| InferenceFailure::BadInput)?;
        let tensor = Tensor::from_raw(plain.name, datatype, plain.shape, plain.data);
        tensor.validate().map_err(|_| InferenceFailure::BadInput)?;
        Ok(tensor)
    };
    inputs.into_iter().map(tensor).collect()
}

fn outputs(outputs: Vec<Tensor>) -> Result<Vec<PlainTensor>, InferenceFailure> {
    let bytes: usize = outputs.iter().map(|tensor| tensor.data.len()).sum();
    if bytes > ANSWER_BYTES_MAX {
        return Err(InferenceFailure::TooLarge);
    }
    let plain = |tensor: Tensor| PlainTensor {
        name: tensor.name,
        datatype: tensor.datatype.as_str().to_owned(),
        shape: tensor.shape,
        data: tensor.data,
    };
    Ok(outputs.into_iter().map(plain).collect())
}

fn failure(refusal: &Refusal) -> InferenceFailure {
    match refusal.reason() {
        "deadline-exceeded" | "request-timeout" => InferenceFailure::Timeout,
        "invalid-tensor" | "bad-request" | "malformed-body" | "body-too-large" => InferenceFailure::BadInput,
        _ => InferenceFailure::Unavailable,
    }
}

#[cfg(test)]
mod tests;
