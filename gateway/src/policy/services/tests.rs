#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::Path;
use std::time::Duration;

use forebay_policy::Phase;
use forebay_policy::services::Cost;

use super::*;
use crate::upstream::budget::RetryBudget;

/// A configuration of plugins with these names, each granted counters, and `metrics` beside.
fn config(names: &[&str]) -> Config {
    let mut text = "listen = { address = \"127.0.0.1:0\", development_ca = \".\" }\n".to_owned();
    for name in names {
        text +=
            &format!("[[plugins]]\nname = {name:?}\ncomponent = \"p.wasm\"\ngrants = [\"counters\", \"metrics\"]\n");
    }
    Config::parse("test.toml", &text, Path::new("/tmp")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn serve(supplies: &Supplies, config: &Config) {
    let budget = Arc::new(RetryBudget::new(1, 1));
    let regions = Regions::new(Vec::new(), budget, config.balance.clone(), Arc::clone(&supplies.metrics), 1_000);
    supplies.publish(config, &Arc::new(regions), &Arc::default());
}

fn supplies() -> Supplies {
    Supplies::new(&Arc::new(Metrics::default()), 10)
}

async fn add(services: &Services) -> u64 {
    services.counters.as_ref().unwrap().add("key", 1, Duration::from_secs(60)).await.unwrap()
}

#[tokio::test]
async fn what_a_plugin_gathers_outlives_a_reload_and_is_gone_with_its_name() {
    let (supplies, both, one) = (supplies(), config(&["a", "b"]), config(&["a"]));
    let of = |config: &Config, index: usize| {
        supplies.services(config.plugins.get(index).unwrap(), Standing::Active).unwrap()
    };
    serve(&supplies, &both);
    assert_eq!((add(&of(&both, 0)).await, add(&of(&both, 1)).await), (1, 1));
    serve(&supplies, &one);
    serve(&supplies, &both);
    assert_eq!((add(&of(&both, 0)).await, add(&of(&both, 1)).await), (2, 1));
}

#[tokio::test]
async fn a_shadow_gathers_apart() {
    let (supplies, config) = (supplies(), config(&["a"]));
    let plugin = config.plugins.first().unwrap();
    let active = supplies.services(plugin, Standing::Active).unwrap();
    let shadow = supplies.services(plugin, Standing::Shadow).unwrap();
    assert_eq!((add(&active).await, add(&shadow).await, add(&shadow).await), (1, 1, 2));
    serve(&supplies, &config);
    assert_eq!(add(&supplies.services(plugin, Standing::Shadow).unwrap()).await, 3);
    supplies.drop_shadow("a");
    assert_eq!(add(&supplies.services(plugin, Standing::Shadow).unwrap()).await, 1);
    assert_eq!(add(&supplies.services(plugin, Standing::Active).unwrap()).await, 2);
}

#[test]
fn only_what_was_granted_is_there_and_every_call_is_metered() {
    let (supplies, config) = (supplies(), config(&["a"]));
    let services = supplies.services(config.plugins.first().unwrap(), Standing::Active).unwrap();
    assert!(services.counters.is_some() && services.numbers.is_some() && services.meter.is_some());
    assert!(services.key_value.is_none() && services.keys.is_none());
    assert!(services.outbound.is_none() && services.inference.is_none());
    let cost = Cost { busy: Duration::from_millis(1), memory_bytes: 1 };
    services.meter.unwrap().called(Phase::Request, Some("acme"), cost);
    services.numbers.unwrap().count("n", 3);
    let text = || supplies.metrics.text(&forebay_http::ListenerCounts::default());
    for series in [
        "forebay_policy_calls_total{plugin=\"a\",phase=\"on-request\",tenant=\"acme\"} 1",
        "forebay_plugin_count_total{plugin=\"a\",name=\"n\"} 3",
    ] {
        assert!(text().contains(series), "{series} not in:\n{}", text());
    }
    supplies.keep_only(&BTreeSet::new());
    assert!(!text().contains("plugin=\"a\""));
}
