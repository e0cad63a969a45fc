//! Compiled plugins on disk: what is used again, what is made anew, and what a file of another makes of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_policy::{
    ArtefactCache, ArtefactStats, Capability, Engine, Failure, LoadError, NodeKey, Outcome, Plugin, PluginSpec,
};

use super::support::{ENGINE, ask, spec};

/// Far more than any test writes.
const ROOM: u64 = 1 << 30;

struct Node {
    engine: Engine,
    artefacts: Arc<ArtefactCache>,
}

impl Node {
    /// A node with its state in `folder`, as after a start.
    fn start(folder: &Path) -> Self {
        let key = NodeKey::ensure(folder).unwrap();
        let artefacts = Arc::new(ArtefactCache::open(&folder.join("artefacts"), &key, ROOM).unwrap());
        Self { engine: ENGINE.clone().with_artefacts(Arc::clone(&artefacts)), artefacts }
    }

    fn load(&self, spec: PluginSpec) -> Plugin {
        self.engine.load(spec).unwrap()
    }

    fn stats(&self) -> (u64, u64, u64, u64) {
        let ArtefactStats { hits, misses, rejected, stored } = self.artefacts.stats();
        (hits, misses, rejected, stored)
    }
}

fn rule(scope: &str) -> PluginSpec {
    spec("jwt-access", &format!(r#"{{"realm":"demo","rules":[{{"scopes":["{scope}"]}}]}}"#))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("artefacts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_second_start_needs_no_compiler_and_decides_alike() {
    let folder = tempfile::tempdir().unwrap();
    let first = Node::start(folder.path());
    let compiled = first.load(rule("infer"));
    assert_eq!(first.stats(), (0, 1, 0, 1));
    let second = Node::start(folder.path());
    let kept = second.load(rule("infer"));
    assert_eq!(second.stats(), (1, 0, 0, 0));
    assert_eq!((compiled.digest(), compiled.imports()), (kept.digest(), kept.imports()));
    assert_eq!(compiled.phases(), kept.phases());
    for plugin in [compiled, kept] {
        assert!(matches!(ask(&plugin).await, Ok(Outcome::Continue(_))));
    }
    // It is as it was configured, not as it came.
    let strict = second.load(rule("admin"));
    assert_eq!(second.stats(), (1, 1, 0, 1));
    assert!(matches!(ask(&strict).await, Ok(Outcome::Answer(_))));
    assert!(matches!(ask(&Node::start(folder.path()).load(rule("admin"))).await, Ok(Outcome::Answer(_))));
}

#[test]
fn what_shapes_an_artefact_makes_another_and_what_does_not_is_checked_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.load(rule("infer"));
    let mut limited = rule("infer");
    limited.limits.memory_bytes /= 2;
    node.load(limited);
    assert_eq!(node.stats(), (0, 2, 0, 2), "memory is what `configure` had");

    let mut quick = rule("infer");
    quick.limits.deadline = Duration::from_millis(1);
    quick.name = "another-name".to_owned();
    assert_eq!(node.load(quick).name(), "another-name");
    assert_eq!(node.stats(), (1, 2, 0, 2));

    let mut poor = rule("infer");
    poor.grants = BTreeSet::from([Capability::Http]);
    assert!(matches!(node.engine.load(poor), Err(LoadError::NotGranted { .. })));
    let mut greedy = rule("infer");
    greedy.limits.instances = Some(u32::MAX);
    assert!(matches!(node.engine.load(greedy), Err(LoadError::BadLimits(_))));
    let wrong = spec("jwt-access", r#"{"rules":[{"scope":["infer"]}]}"#);
    for _ in 0..2 {
        assert!(matches!(node.engine.load(wrong.clone()), Err(LoadError::Refused(_))), "a refusal is not kept");
    }
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test]
async fn a_file_that_is_not_as_this_node_wrote_it_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.load(rule("infer"));
    let path = files(folder.path()).remove(0);
    let good = std::fs::read(&path).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    Node::start(elsewhere.path()).load(rule("infer"));
    let theirs = std::fs::read(files(elsewhere.path()).remove(0)).unwrap();
    node.load(rule("admin"));
    let other = files(folder.path()).into_iter().find(|one| *one != path).unwrap();
    let misplaced = std::fs::read(other).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let (length, cut) = (good.len(), good[..good.len() / 2].to_vec());
    let damaged = [flipped(0), flipped(20), flipped(length / 2), flipped(length - 1)];
    let longer = [good.as_slice(), b"x"].concat();
    for file in damaged.into_iter().chain([theirs, misplaced, cut, longer, Vec::new()]) {
        assert_ne!(file, good);
        std::fs::write(&path, &file).unwrap();
        let node = Node::start(folder.path());
        let plugin = node.load(rule("infer"));
        assert_eq!(node.stats(), (0, 1, 1, 1));
        assert!(matches!(ask(&plugin).await, Ok(Outcome::Continue(_))));
        node.load(rule("infer"));
        assert_eq!(node.stats(), (1, 1, 1, 1), "it was written anew");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    std::fs::remove_dir(folder.path().join("artefacts")).unwrap();
    node.load(rule("infer"));
    assert_eq!(node.stats(), (0, 1, 0, 0));
}

/// A generous bound, since tests share the machine and are not optimised; the benchmark has the figure.
#[test]
fn loading_again_takes_a_fraction_of_compiling() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let begun = Instant::now();
    node.load(rule("infer"));
    let compiling = begun.elapsed();
    let again = (0..5).map(|_| {
        let begun = Instant::now();
        node.load(rule("infer"));
        begun.elapsed()
    });
    let again = again.min().unwrap();
    assert!(again * 4 < compiling, "compiled in {compiling:?}, loaded in {again:?}");
}

#[tokio::test]
async fn a_plugin_that_did_not_change_lives_on_over_a_reload() {
    let mut trapping = spec("hostile", "trap");
    trapping.limits.quarantine_after = 1;
    let plugin = ENGINE.load(trapping.clone()).unwrap();
    assert!(matches!(ask(&plugin).await, Err(Failure::Trap(_))));

    let again = ENGINE.load_after(&plugin, trapping.clone()).unwrap();
    assert_eq!(ask(&again).await, Err(Failure::Quarantined), "a reload is no way out");
    // Other powers change nothing, as long as they are enough.
    let mut richer = trapping.clone();
    richer.grants = Capability::ALL.into();
    assert_eq!(ask(&ENGINE.load_after(&again, richer).unwrap()).await, Err(Failure::Quarantined));

    let changes: [fn(&mut PluginSpec); 3] = [
        |spec| spec.config = "ok".to_owned(),
        |spec| spec.limits.deadline *= 2,
        |spec| spec.name = "another".to_owned(),
    ];
    for change in changes {
        let mut changed = trapping.clone();
        change(&mut changed);
        let fresh = ENGINE.load_after(&plugin, changed).unwrap();
        assert_ne!(ask(&fresh).await, Err(Failure::Quarantined));
    }
    let mut poor = trapping;
    poor.grants.clear();
    assert!(matches!(ENGINE.load_after(&plugin, poor), Err(LoadError::NotGranted { .. })));
}
