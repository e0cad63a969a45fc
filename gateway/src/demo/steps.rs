//! The steps of the tour, in four chapters.

use std::time::Duration;

use serde_json::Value;

use super::cluster::Cluster;
use super::picture::{LINE_PNG, LINE_TEXT};
use super::state::State;
use super::tour::{Expected, Seen, Tour, Visitor, picture, texts};

/// What no log may hold.
const SECRET: &str = "patient Ada Weiss was admitted at dawn";

/// How often and for how long the region's log is looked at.
const LOG_POLLS: u32 = 100;
const LOG_POLL: Duration = Duration::from_millis(50);

/// Who may ask.
pub(super) async fn access(tour: &mut Tour, visitor: &Visitor, state: &State) -> Result<(), String> {
    let body = texts(&["still water"]);
    let refused = |status, problem| Expected { status, problem: Some(problem), ..Expected::default() };
    let seen = visitor.infer("", "minilm", None, &body).await?;
    tour.judge("embedding without a token", &seen, refused(401, "missing-credentials"), None);
    let seen = visitor.infer("", "minilm", Some(&state.token("expired")?), &body).await?;
    tour.judge("embedding with an expired token", &seen, refused(401, "invalid-token"), None);
    let seen = visitor.infer("", "minilm", Some(&state.token("unscoped")?), &body).await?;
    tour.judge("embedding without the scope", &seen, refused(403, "forbidden"), None);
    Ok(())
}

/// What is answered, and from where.
pub(super) async fn inference(tour: &mut Tour, visitor: &Visitor, state: &State) -> Result<(), String> {
    let (acme, globex) = (state.token("acme")?, state.token("globex")?);
    let pair = texts(&["That is a happy person", "That is a happy dog"]);
    let from = |cache| Expected { status: 200, cache: Some(cache), region: Some("eu-west"), ..Expected::default() };
    let hit = Expected { status: 200, cache: Some("hit"), region: Some(""), ..Expected::default() };

    let seen = visitor.infer("", "minilm", Some(&acme), &pair).await?;
    tour.judge("embeddings of two sentences", &seen, from("miss"), wrong_cosine(&seen));
    let seen = visitor.infer("", "minilm", Some(&acme), &pair).await?;
    tour.judge("the same again", &seen, hit, wrong_cosine(&seen));
    let seen = visitor.infer("", "minilm", Some(&globex), &pair).await?;
    tour.judge("the same by another tenant", &seen, from("miss"), wrong_cosine(&seen));
    let seen = visitor.infer("", "ocr", Some(&acme), &picture(LINE_PNG)?).await?;
    let read = seen.data("text").and_then(|data| data.first()).and_then(Value::as_str).unwrap_or_default().to_owned();
    let misread = (read != LINE_TEXT).then(|| format!("read `{read}`"));
    tour.judge("the text on a picture", &seen, from("miss"), misread);
    Ok(())
}

/// What the regions do not see in the clear.
pub(super) async fn sealing(tour: &mut Tour, visitor: &Visitor, state: &State) -> Result<(), String> {
    let acme = state.token("acme")?;
    let body = texts(&[SECRET]);
    let seen = visitor.infer("/sealed", "minilm", Some(&acme), &body).await?;
    let expected = Expected { status: 200, cache: Some("miss"), region: Some("eu-west"), ..Expected::default() };
    tour.judge("embedding of a sealed sentence", &seen, expected, leaked(state).await?);
    Ok(())
}

/// What happens when a region is gone.
pub(super) async fn regions(
    tour: &mut Tour,
    visitor: &Visitor,
    state: &State,
    cluster: &mut Cluster,
) -> Result<(), String> {
    let acme = state.token("acme")?;
    let from = |region| Expected { status: 200, region: Some(region), ..Expected::default() };
    let stays = Expected { status: 503, problem: Some("no-region"), ..Expected::default() };

    let seen = visitor.infer("/eu", "minilm", Some(&acme), &texts(&["inside the Union"])).await?;
    tour.judge("EU-only route", &seen, from("eu-west"), None);
    cluster.kill_eu_west().await?;
    let seen = visitor.infer("", "minilm", Some(&acme), &texts(&["a new sentence"])).await?;
    tour.judge("eu-west killed: a new sentence", &seen, from("us-east"), None);
    cluster.wait_for("eu-west", false).await?;
    let seen = visitor.infer("/eu", "minilm", Some(&acme), &texts(&["never leaves"])).await?;
    tour.judge("EU-only route, eu-west gone", &seen, stays, None);
    cluster.restart_eu_west(state).await?;
    let seen = visitor.infer("/eu", "minilm", Some(&acme), &texts(&["never leaves"])).await?;
    tour.judge("EU-only route, eu-west back", &seen, from("eu-west"), None);
    Ok(())
}

/// The published cosine of the pair is 0.6946; vectors are of unit length.
fn wrong_cosine(seen: &Seen) -> Option<String> {
    let Some(data) = seen.data("embedding") else {
        return Some("no embedding".into());
    };
    let numbers: Vec<f64> = data.iter().filter_map(Value::as_f64).collect();
    let (a, b) = numbers.split_at(numbers.len() / 2);
    let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    ((cosine - 0.6946).abs() > 0.01).then(|| format!("cosine {cosine:.4}, published 0.6946"))
}

/// The region logged the sealed request, and no log holds the sentence.
async fn leaked(state: &State) -> Result<Option<String>, String> {
    let read = |name: &str| std::fs::read_to_string(state.file(name)).map_err(|error| format!("{name}: {error}"));
    // The region writes its line behind the answer.
    for _ in 0..LOG_POLLS {
        if read("eu-west.log")?.contains("\"sealed_inputs\":1") {
            for name in ["eu-west.log", "us-east.log", "forebay.log"] {
                if read(name)?.contains(SECRET) {
                    return Ok(Some(format!("{name} holds the sentence")));
                }
            }
            return Ok(None);
        }
        tokio::time::sleep(LOG_POLL).await;
    }
    Ok(Some("the region logged no sealed input".into()))
}
