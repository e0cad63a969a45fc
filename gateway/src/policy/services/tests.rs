#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::Path;
use std::time::{Duration, Instant};

use forebay_policy::Phase;
use forebay_policy::services::{Cost, KeyFailure, OutboundFailure, Outgoing};

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

const SHADOW: Standing = Standing::Shadow { effects: false };

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
    let (supplies, alone) = (supplies(), config(&["a"]));
    let plugin = alone.plugins.first().unwrap();
    let mut beside = alone.clone();
    beside.plugins.first_mut().unwrap().shadow = Some(config::Shadow {
        component: plugin.component.clone(),
        trust: plugin.trust.clone(),
        config: String::new(),
        percent: 100,
        effects: false,
    });
    let active = supplies.services(plugin, Standing::Active).unwrap();
    let shadow = supplies.services(plugin, SHADOW).unwrap();
    assert_eq!((add(&active).await, add(&shadow).await, add(&shadow).await), (1, 1, 2));
    serve(&supplies, &beside);
    assert_eq!(add(&supplies.services(plugin, SHADOW).unwrap()).await, 3);
    serve(&supplies, &alone);
    assert_eq!(add(&supplies.services(plugin, SHADOW).unwrap()).await, 1);
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

/// A plugin with a key, an origin and models.
fn acting() -> config::Plugin {
    let text = "listen = { address = \"127.0.0.1:0\", development_ca = \".\" }\n[[keys]]\nname = \"k\"\nfile = \"k\"\n\
                [[plugins]]\nname = \"a\"\ncomponent = \"p.wasm\"\ngrants = [\"keys\", \"outbound\", \"inference\"]\n\
                keys = [\"k\"]\norigins = [\"http://127.0.0.1:1\"]\nmodels = [\"m\"]\n\
                [[regions]]\nname = \"r\"\nurl = \"https://r.example.com\"\njurisdiction = \"eu\"\n";
    let config = Config::parse("test.toml", text, Path::new("/tmp")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.plugins.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_candidate_has_no_keys_and_no_way_out_unless_it_may_act() {
    let (supplies, plugin) = (supplies(), acting());
    let mut keyring = Keyring::new();
    keyring.insert("k", [1; 32]);
    supplies.keyring.store(Arc::new(keyring));
    let act = async |standing| {
        let services = supplies.services(&plugin, standing).unwrap();
        let request = Outgoing {
            method: "GET".into(),
            url: "http://127.0.0.1:1/".into(),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(1),
        };
        let until = Instant::now() + Duration::from_secs(1);
        let sent = services.outbound.unwrap().send(request, until).await.unwrap_err();
        let signed = services.keys.unwrap().sign("k", "p", b"x").map(|_| ());
        (sent, signed, services.inference.is_some())
    };
    // Nobody listens at that port: whoever may ask learns it.
    let acted = (OutboundFailure::Unreachable, Ok(()), true);
    assert_eq!(act(Standing::Active).await, acted);
    assert_eq!(act(Standing::Shadow { effects: true }).await, acted);
    assert_eq!(act(SHADOW).await, (OutboundFailure::NotAllowed, Err(KeyFailure::NoKey), true));
}

#[test]
fn a_candidate_records_nothing_and_a_plugin_that_is_gone_leaves_no_series() {
    let folder = tempfile::tempdir().unwrap();
    let text = "listen = { address = \"127.0.0.1:0\", development_ca = \".\" }\n[[plugins]]\nname = \"a\"\n\
                component = \"p.wasm\"\ngrants = [\"journal\"]\njournal = \"a.jsonl\"\n";
    let config = Config::parse("test.toml", text, folder.path()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let supplies = supplies();
    let journal = |standing| supplies.services(config.plugins.first().unwrap(), standing).unwrap().journal.unwrap();
    let (active, shadow) = (journal(Standing::Active), journal(SHADOW));
    assert_eq!((active.append("active"), shadow.append("shadow")), (Ok(()), Ok(())));
    supplies.close(Duration::from_secs(10));
    assert_eq!(std::fs::read_to_string(folder.path().join("a.jsonl")).unwrap(), "active\n");
    let text = || supplies.metrics.text(&forebay_http::ListenerCounts::default());
    assert!(text().contains("forebay_plugin_journal_total{plugin=\"a\",result=\"taken\"} 1"), "{}", text());
    supplies.keep_only(&BTreeSet::new());
    assert!(!text().contains("plugin=\"a\""));
}
