//! What policies leave of the legal areas that a route allows. They narrow and never widen, and where nothing is left
//! nobody answers.

use std::borrow::Cow;

use forebay_http::ProblemType;

use crate::config::{InferenceTarget, Target};
use crate::error::Refusal;

/// The target of a request's route as its policies narrowed it.
///
/// # Errors
/// No area is left, or the route sends requests to an origin, of which nobody knows where it is.
pub(super) fn narrowed<'t>(
    target: &'t Target,
    areas: Option<&[String]>,
    pop: Option<&str>,
) -> Result<Cow<'t, Target>, Refusal> {
    let Some(areas) = areas else { return Ok(Cow::Borrowed(target)) };
    match target {
        Target::Inference(target) => Ok(Cow::Owned(Target::Inference(within(target, areas, pop)?))),
        // A function runs on this node; what it asks of others could be anywhere.
        Target::Function(function)
            if !function.reaches_out && pop.is_some_and(|pop| areas.iter().any(|area| area == pop)) =>
        {
            Ok(Cow::Borrowed(target))
        }
        Target::Function(_) => {
            Err(nowhere("a policy keeps this request in certain areas, and this route's function is in none"))
        }
        Target::Origin(_) => {
            Err(nowhere("a policy keeps this request in certain areas, and this route's origin is in none"))
        }
    }
}

fn within(target: &InferenceTarget, areas: &[String], pop: Option<&str>) -> Result<InferenceTarget, Refusal> {
    let mut target = target.clone();
    if target.jurisdictions.is_empty() {
        target.jurisdictions = areas.to_vec();
    } else {
        target.jurisdictions.retain(|area| areas.contains(area));
    }
    if target.jurisdictions.is_empty() {
        return Err(nowhere("a policy keeps this request in areas that this route does not use"));
    }
    // A copy that is kept here would leave those areas.
    if !pop.is_some_and(|pop| target.jurisdictions.iter().any(|area| area == pop)) {
        target.cache = None;
    }
    Ok(target)
}

fn nowhere(detail: &str) -> Refusal {
    Refusal::new(ProblemType::NoRegion, detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::config::{CacheRule, FunctionTarget, Scope};

    fn list(areas: &[&str]) -> Vec<String> {
        areas.iter().map(|area| (*area).to_owned()).collect()
    }

    fn target(areas: &[&str]) -> InferenceTarget {
        let cache = Some(CacheRule { ttl: Duration::from_secs(1), scope: Scope::Public });
        InferenceTarget { jurisdictions: list(areas), cache, ..InferenceTarget::default() }
    }

    #[test]
    fn areas_narrow_a_route_and_never_widen_it() {
        let left = |route: &[&str], areas: &[&str]| within(&target(route), &list(areas), None).map(|t| t.jurisdictions);
        assert_eq!(left(&[], &["eu"]).unwrap(), ["eu"]);
        assert_eq!(left(&["eu", "us"], &["us", "ap"]).unwrap(), ["us"]);
        assert!(left(&["eu"], &["us"]).is_err());
        assert!(left(&[], &[]).is_err());
    }

    #[test]
    fn a_function_is_where_this_node_is_unless_it_or_its_middleware_asks_others() {
        let allowed = |reaches_out, pop, areas: Option<&[&str]>| {
            let function = FunctionTarget { name: "f".to_owned(), forward_authorization: false, reaches_out };
            narrowed(&Target::Function(function), areas.map(list).as_deref(), pop).is_ok()
        };
        assert!(allowed(false, Some("eu"), Some(&["eu", "us"])));
        assert!(allowed(true, None, None));
        assert!(!allowed(true, Some("eu"), Some(&["eu"])));
        assert!(!allowed(false, Some("eu"), Some(&["us"])));
        assert!(!allowed(false, None, Some(&["eu"])));
    }

    #[test]
    fn no_copy_is_kept_outside_the_areas() {
        let cached = |pop| within(&target(&[]), &list(&["eu"]), pop).unwrap().cache.is_some();
        assert_eq!((cached(Some("eu")), cached(Some("us")), cached(None)), (true, false, false));
    }
}
