//! The audit plugin and the file that it writes: every request leaves its records, and none is lost in silence.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use forebay_tests::fakes::Origin;
use forebay_tests::{Answer, Client, GatewayFile, Place, assets, eventually, run};
use ring::digest;
use serde_json::Value;

use super::house::acme;

const AUDITED: &str = "access = \"public\"\npolicies = [\"audit\"]";

/// A plugin that audits; `keys` are more of its entry's keys, `config` of its own.
fn audit(file: GatewayFile, name: &str, keys: &str, config: &str) -> GatewayFile {
    let component = assets::plugin("audit");
    file.plus(&format!(
        "[[plugins]]\nname = {name:?}\ncomponent = {component:?}\ndeadline_ms = 1000\nkeys = [\"region\"]\n\
         grants = [\"http\", \"identity\", \"clock\", \"key-value\", \"keys\", \"journal\"]\n{keys}\n\
         [plugins.config]\nkey = \"region\"\n{config}"
    ))
}

async fn get(client: &Client, path: &str) -> Answer {
    client.get(path).send().await
}

/// The records in these files, oldest file first, after a look at their chain: it has no gap, and no record was changed.
fn records(files: &[&Path]) -> Vec<Value> {
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut chain = BTreeMap::new();
    let mut records = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        let tail = format!(",\"hash\":\"{}\",\"mac\":\"{}\"}}", text("hash"), text("mac"));
        assert_eq!(text("hash"), sha256(&format!("{}}}", line.strip_suffix(&tail).unwrap())));
        let place = (text("chain"), record["n"].as_u64().unwrap());
        assert!(chain.insert(place, (text("prev"), text("hash"))).is_none(), "twice: {line}");
        records.push(record);
    }
    let mut before = None;
    for ((_, n), (prev, hash)) in &chain {
        assert_eq!((*n, prev), before.map_or((0, &String::new()), |(n, hash)| (n + 1, hash)));
        before = Some((*n, hash));
    }
    records
}

fn sha256(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_rush_of_requests_leaves_every_record_in_one_chain() {
    const AT_ONCE: usize = 20;
    const EACH: usize = 100;
    run(async {
        let (place, origin) = (Place::new(), Origin::start().await);
        let file = audit(GatewayFile::new(), "audit", "journal = \"audit.jsonl\"", "");
        let gateway = file.origin("x", "/x", &origin.url(), AUDITED).start(&place).await;
        let clients = (0..AT_ONCE).map(|_| {
            let client = gateway.client();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    get(&client, "/x").await.ok();
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let taken = gateway.metric("forebay_plugin_journal_total{plugin=\"audit\",result=\"taken\"}").await;
        assert_eq!(taken, Some(4_000.0));
        gateway.stop().await;
        let journal = place.file("audit.jsonl");
        let records = records(&[&journal]);
        let of = |event: &str| records.iter().filter(|record| record["event"] == event).count();
        assert_eq!((of("asked"), of("answered")), (AT_ONCE * EACH, AT_ONCE * EACH));
        assert!(records.iter().filter(|record| record["event"] == "answered").all(|record| record["status"] == 200));
        assert_eq!(std::fs::metadata(journal).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn what_is_refused_is_recorded_with_its_status() {
    run(async {
        let (place, origin) = (Place::new(), Origin::start().await);
        let file = audit(GatewayFile::new(), "audit", "journal = \"audit.jsonl\"", "");
        let gateway = file
            .origin("x", "/x", &origin.url(), "policies = [\"audit\", \"access\"]")
            .origin("gone", "/gone", "http://127.0.0.1:1", AUDITED)
            .start(&place)
            .await;
        let client = gateway.client();
        client.get("/x").send().await.refused(401, "missing-credentials");
        client.get("/x").token(&acme()).send().await.ok();
        client.get("/gone").send().await.refused(502, "bad-gateway");
        // Nobody asked policy about it.
        client.get("/nowhere").send().await.refused(404, "not-found");
        gateway.stop().await;
        let records = records(&[&place.file("audit.jsonl")]);
        let told: Vec<_> = records.iter().map(|record| (&record["route"], &record["status"])).collect();
        let (x, gone, none) = (Value::from("x"), Value::from("gone"), Value::Null);
        let (unknown, good, bad) = (Value::from(401), Value::from(200), Value::from(502));
        assert_eq!(told, [(&x, &none), (&x, &unknown), (&x, &none), (&x, &good), (&gone, &none), (&gone, &bad)]);
        assert_eq!((&records[1]["tenant"], &records[3]["tenant"]), (&none, &Value::from("acme")));
    });
}

#[test]
fn without_room_requests_are_refused_unless_it_says_otherwise() {
    run(async {
        let (place, origin) = (Place::new(), Origin::start().await);
        // No record is so short.
        let file = audit(GatewayFile::new(), "audit", "journal = \"a.jsonl\"\njournal_queue_bytes = 100", "");
        let lax = audit(file, "lax", "journal = \"b.jsonl\"\njournal_queue_bytes = 100", "on_full = \"allow\"");
        let gateway = lax
            .origin("x", "/x", &origin.url(), AUDITED)
            .origin("y", "/y", &origin.url(), "access = \"public\"\npolicies = [\"lax\"]")
            .start(&place)
            .await;
        let client = gateway.client();
        get(&client, "/x").await.refused(503, "policy-failed");
        assert!(origin.seen().is_empty());
        get(&client, "/y").await.ok();
        for plugin in ["audit", "lax"] {
            let full = format!("forebay_plugin_journal_total{{plugin={plugin:?},result=\"full\"}}");
            assert!(gateway.metric(&full).await.unwrap() > 0.0);
        }
        gateway.stop().await;
        assert!(records(&[&place.file("a.jsonl"), &place.file("b.jsonl")]).is_empty());
    });
}

#[test]
fn without_a_file_nothing_passes_and_afterwards_no_record_is_missing() {
    run(async {
        let (place, origin) = (Place::new(), Origin::start().await);
        let folder = place.file("records");
        let file = audit(GatewayFile::new(), "audit", "journal = \"records/audit.jsonl\"", "");
        let file = file.origin("x", "/x", &origin.url(), AUDITED);
        let refused = file.bind(&place).await.err().unwrap().to_string();
        assert!(refused.contains("records/audit.jsonl"), "{refused}");

        std::fs::create_dir(&folder).unwrap();
        let gateway = file.start(&place).await;
        let client = gateway.client();
        std::fs::remove_dir_all(&folder).unwrap();
        let status = async || get(&client, "/x").await.verdict().0;
        eventually("requests are refused", || async { status().await == 503 }).await;
        let passed = origin.seen().len();
        get(&client, "/x").await.refused(503, "policy-failed");
        assert_eq!(origin.seen().len(), passed);
        let unavailable = gateway.metric("forebay_plugin_journal_total{plugin=\"audit\",result=\"unavailable\"}").await;
        assert!(unavailable.unwrap() > 0.0);

        std::fs::create_dir(&folder).unwrap();
        eventually("requests pass again", || async { status().await == 200 }).await;
        gateway.stop().await;
        let records = records(&[&folder.join("audit.jsonl")]);
        assert!(records.iter().filter(|record| record["event"] == "asked").count() > passed, "{records:?}");
    });
}

#[test]
fn a_reload_keeps_the_chain_and_full_files_are_put_aside() {
    run(async {
        let (place, origin) = (Place::new(), Origin::start().await);
        let with = |keys: &str| {
            let keys = format!("journal = \"audit.jsonl\"\n{keys}");
            audit(GatewayFile::new(), "audit", &keys, "").origin("x", "/x", &origin.url(), AUDITED)
        };
        let (gateway, state) = with("").start_from_file(&place).await;
        let client = gateway.client();
        let files = ["audit.jsonl.3", "audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"].map(|name| place.file(name));
        for _ in 0..3 {
            get(&client, "/x").await.ok();
        }
        // It is on disk while nobody asks for it.
        eventually("the records are there", || async { records(&[&files[3]]).len() == 6 }).await;
        // From now on there is room for four of about 360 bytes.
        place.write("forebay.toml", &with("journal_bytes = 1800\njournal_files = 3").text());
        state.reload().await.unwrap();
        for _ in 0..4 {
            get(&client, "/x").await.ok();
        }
        gateway.stop().await;
        let there: Vec<&Path> = files.iter().map(AsRef::as_ref).filter(|file: &&Path| file.exists()).collect();
        assert!(there.len() > 1, "{there:?}");
        assert_eq!(records(&there).len(), 14);
        assert!(there[1..].iter().all(|file| std::fs::metadata(file).unwrap().len() <= 1_800));
    });
}
