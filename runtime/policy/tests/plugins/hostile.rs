//! Every attack ends in its own failure, in bounded time, and a good plugin goes on.
//!
//! `every_limit_has_a_guest_that_hits_it` is the list: run it with `--nocapture` to read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use forebay_policy::{CallLimits, Failure, LoadError, Outcome, Phase, Plugin};

use super::calls::{Ended, call};
use super::forged;
use super::stores::greedy;
use super::support::{ENGINE, Notes, Response, Slow, access, ask, hostile, of_acme, spec};

/// Generous, since tests share their cores; the deadlines under test are of milliseconds.
const BOUND: Duration = Duration::from_secs(10);

/// What every hostile act comes to, wherever it is performed.
const EVERYWHERE: [(&str, &str); 25] = [
    ("loop", "deadline"),
    ("trap", "trap"),
    ("memory", "memory"),
    ("pages", "memory"),
    ("recursion", "trap"),
    ("wide-recursion", "trap"),
    ("host-call-flood", "host-calls"),
    ("host-byte-flood", "host-calls"),
    ("giant-host-call", "bad-verdict"),
    ("handle-flood", "bad-verdict"),
    ("giant-answer", "bad-verdict"),
    ("long-answer", "bad-verdict"),
    ("many-headers", "bad-verdict"),
    ("heavy-headers", "bad-verdict"),
    ("bad-status", "bad-verdict"),
    ("bad-header", "bad-verdict"),
    ("own-header", "bad-verdict"),
    ("bad-problem", "bad-verdict"),
    ("control-detail", "bad-verdict"),
    ("bad-edit", "bad-verdict"),
    ("edit-flood", "bad-verdict"),
    ("heavy-edits", "bad-verdict"),
    ("edit-then-trap", "trap or bad-verdict"),
    ("edit-elsewhere", "bad-verdict"),
    ("log-flood", "continue"),
];

/// What can be done with a body alone.
const WITH_BODIES: [(&str, &str); 2] = [("giant-part", "bad-verdict"), ("read-flood", "host-calls")];

/// What a stream without end can do, and after how many parts it must have ended at the latest.
const WITH_STREAMS: [(&str, &str, usize); 4] = [
    ("hold-for-ever", "memory", 16 * 1024 * 1024 / super::calls::PART_BYTES),
    ("loop-at-third", "deadline", 3),
    ("trap-at-third", "trap", 3),
    // The honest one: as long as a stream may be, it costs no more at its end than at its beginning.
    ("count", "continue", STREAM_PARTS),
];

/// Parts of a stream that has no end.
const STREAM_PARTS: usize = 2_000;

/// What those of the forged components come to whose verdict or handles are not what is bad about them.
const FORGED: [(&str, &str); 3] =
    [("grows its table", "memory"), ("grows its table at once", "memory"), ("recurs without a frame", "trap")];

/// What asking for too much comes to.
const GREEDY: [(&str, &str); 10] = [
    ("no-time", "bad-verdict"),
    ("long-time", "bad-verdict"),
    ("no-window", "bad-verdict"),
    ("long-window", "bad-verdict"),
    ("many-random-bytes", "bad-verdict"),
    ("random-flood", "host-calls"),
    ("clock-flood", "host-calls"),
    ("counter-flood", "host-calls"),
    ("store-flood", "host-calls"),
    ("metric-flood", "host-calls"),
];

/// What a plugin may not do while it is configured, and how its load ends then.
const CONFIGURING: [(&str, &str, &str); 10] = [
    ("hostile", "loop-in-configure", "deadline"),
    ("hostile", "trap-in-configure", "trap"),
    ("hostile", "memory-in-configure", "memory"),
    ("hostile", "recursion-in-configure", "trap"),
    ("hostile", "call-in-configure", "trap"),
    ("greedy", "clock-in-configure", "trap"),
    ("greedy", "random-in-configure", "trap"),
    ("greedy", "counters-in-configure", "trap"),
    ("greedy", "store-in-configure", "trap"),
    ("greedy", "note-in-configure", "trap"),
];

/// The list of hostile guests: what stopped each, in which phase, after how long.
#[derive(Default)]
struct Suite {
    rows: Vec<String>,
    wrong: Vec<String>,
}

impl Suite {
    fn note(&mut self, guest: &str, phase: &str, expected: &str, ended: &Ended, after: &str) {
        let stopped = match ended {
            Ok(Outcome::Continue(())) => "continue",
            Ok(Outcome::Answer(_)) => "answer",
            Err(failure) => failure.reason(),
        };
        let why = match ended {
            Err(Failure::Trap(why) | Failure::BadVerdict(why)) => {
                format!(": {}", why.lines().next().unwrap_or_default())
            }
            _ => String::new(),
        };
        self.rows.push(format!("| {guest} | {phase} | {stopped}{} | {after} |", cut(&why)));
        if !expected.split(" or ").any(|expected| expected == stopped) {
            self.wrong.push(format!("{guest} in {phase}: {ended:?}, expected {expected}"));
        }
    }

    async fn run(&mut self, guest: &str, plugin: &Plugin, phase: Phase, expected: &str) {
        let started = Instant::now();
        let (ended, _) = call(plugin, phase, 1).await;
        let took = started.elapsed();
        assert!(took < BOUND, "{guest} in {phase} took {took:?}");
        self.note(guest, phase.hook(), expected, &ended, &format!("{:.1} ms", took.as_secs_f64() * 1e3));
        assert!(matches!(ask(&access()).await, Ok(Outcome::Continue(_))), "the good plugin suffered from {guest}");
    }

    #[allow(clippy::print_stdout)]
    fn tell(self) {
        println!("| guest | phase | stopped by | after |\n| --- | --- | --- | --- |\n{}", self.rows.join("\n"));
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(80)).unwrap_or_default()
}

#[tokio::test]
async fn every_limit_has_a_guest_that_hits_it() {
    let mut suite = Suite::default();
    told_acts(&mut suite).await;
    forged_components(&mut suite).await;
    greed(&mut suite).await;
    suite.tell();
}

async fn told_acts(suite: &mut Suite) {
    for (act, expected) in EVERYWHERE {
        let plugin = hostile(&format!("{act}-everywhere"));
        for phase in Phase::ALL {
            // There it is its right.
            if act != "edit-elsewhere" || phase != Phase::Request {
                suite.run(act, &plugin, phase, expected).await;
            }
        }
    }
    for (act, expected) in WITH_BODIES {
        let plugin = hostile(&format!("{act}-everywhere"));
        for phase in [Phase::RequestBody, Phase::RequestChunk, Phase::ResponseBody, Phase::ResponseChunk] {
            suite.run(act, &plugin, phase, expected).await;
        }
    }
    for (act, expected, most) in WITH_STREAMS {
        let deadline = if act == "loop-at-third" { CallLimits::default().deadline } else { Duration::from_secs(5) };
        let mut spec = spec("hostile", &format!("{act}-everywhere"));
        spec.limits.deadline = deadline;
        let plugin = ENGINE.load(spec).unwrap();
        for phase in [Phase::RequestChunk, Phase::ResponseChunk] {
            let (ended, parts) = call(&plugin, phase, STREAM_PARTS).await;
            suite.note(act, phase.hook(), expected, &ended, &format!("{parts} parts"));
            assert!(parts <= most, "{act} in {phase} went on for {parts} parts");
        }
    }
}

async fn forged_components(suite: &mut Suite) {
    for (name, act) in forged::ACTS {
        let expected =
            FORGED.iter().find(|(forged, _)| *forged == name).map_or("bad-verdict", |(_, expected)| expected);
        for phase in Phase::ALL {
            suite.run(name, &forged::plugin(phase, act), phase, expected).await;
        }
    }
    for phase in [Phase::RequestChunk, Phase::ResponseChunk] {
        let (ended, parts) = call(&forged::late(phase), phase, STREAM_PARTS).await;
        suite.note(
            "uses the handle of an earlier part",
            phase.hook(),
            "bad-verdict",
            &ended,
            &format!("{parts} parts"),
        );
    }
}

async fn greed(suite: &mut Suite) {
    for (act, expected) in GREEDY {
        suite.run(act, &greedy(act).unwrap(), Phase::Request, expected).await;
    }
    for (guest, act, expected) in CONFIGURING {
        let started = Instant::now();
        let loaded = if guest == "greedy" {
            greedy(act)
        } else {
            let mut spec = spec(guest, act);
            if expected == "deadline" {
                spec.limits.configure_deadline = Duration::from_millis(20);
            }
            ENGINE.load(spec)
        };
        let ended = match loaded {
            Err(LoadError::Configure(failure)) => Err(failure),
            other => panic!("{act}: {other:?}"),
        };
        let after = format!("{:.0} ms with compiling", started.elapsed().as_secs_f64() * 1e3);
        suite.note(act, "configure", expected, &ended, &after);
    }
}

async fn fails_as(behaviour: &str) -> Failure {
    let plugin = hostile(behaviour);
    let started = Instant::now();
    let failure = ask(&plugin).await.expect_err(behaviour);
    assert!(started.elapsed() < BOUND, "{behaviour} took {:?}", started.elapsed());
    assert!(failure.blames_plugin());
    assert!(matches!(ask(&access()).await, Ok(Outcome::Continue(_))), "the good plugin suffered from {behaviour}");
    failure
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline() {
    assert_eq!(fails_as("loop").await, Failure::Deadline);
}

#[tokio::test]
async fn a_panic_is_a_trap() {
    assert!(matches!(fails_as("trap").await, Failure::Trap(_)));
}

#[tokio::test]
async fn hoarding_ends_at_the_memory_limit() {
    assert_eq!(fails_as("memory").await, Failure::Memory);
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    assert!(matches!(fails_as("recursion").await, Failure::Trap(_)));
}

#[tokio::test]
async fn a_giant_answer_is_a_bad_verdict() {
    assert!(matches!(fails_as("giant-answer").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn a_status_without_a_body_is_a_bad_verdict() {
    assert!(matches!(fails_as("bad-status").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn a_header_that_splits_the_answer_is_a_bad_verdict() {
    assert!(matches!(fails_as("bad-header").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn editing_the_gateways_own_header_is_a_bad_verdict() {
    assert!(matches!(fails_as("bad-edit").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn floods_end_at_their_limits() {
    assert!(matches!(fails_as("edit-flood").await, Failure::BadVerdict(_)));
    assert_eq!(fails_as("host-call-flood").await, Failure::HostCalls);
    assert_eq!(fails_as("host-byte-flood").await, Failure::HostCalls);
}

#[tokio::test]
async fn work_of_the_host_ends_with_its_time() {
    let mut spec = spec("hostile", "ask-on-forward");
    (spec.limits.deadline, spec.limits.host_time) = (Duration::from_millis(10), Duration::from_millis(40));
    let plugin = ENGINE.load(spec).unwrap();
    let (takes, asked) = (Duration::from_millis(10), Arc::new(AtomicU32::new(0)));
    let message = Box::new(Slow { takes, asked: Arc::clone(&asked) });
    assert!(matches!(plugin.on_forward(message, &of_acme()).await, Err(Failure::Deadline)));
    // It asks 64 times and would have ticks for eleven.
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked <= 6, "asked {asked} times");
}

#[tokio::test]
async fn failing_again_and_again_ends_in_quarantine_for_that_plugin_alone() {
    let mut spec = spec("hostile", "trap");
    spec.limits.quarantine_after = CallLimits::default().quarantine_after;
    let most = spec.limits.quarantine_after;
    let plugin = ENGINE.load(spec).unwrap();
    let mut traps = 0;
    let quarantined = loop {
        match ask(&plugin).await {
            Err(Failure::Trap(_)) => traps += 1,
            other => break other,
        }
        assert!(traps <= most, "never quarantined");
    };
    assert_eq!((traps, &quarantined), (most, &Err(Failure::Quarantined)));
    assert!(!Failure::Quarantined.blames_plugin());
    assert!(matches!(ask(&access()).await, Ok(Outcome::Continue(_))));
}

#[tokio::test]
async fn a_hook_that_always_fails_is_not_excused_by_another_that_never_does() {
    let mut spec = spec("hostile", "trap-on-request-body");
    spec.limits.quarantine_after = 3;
    let plugin = ENGINE.load(spec).unwrap();
    for _ in 0..3 {
        assert!(matches!(call(&plugin, Phase::Request, 1).await.0, Ok(Outcome::Continue(()))));
        assert!(matches!(call(&plugin, Phase::RequestBody, 1).await.0, Err(Failure::Trap(_))));
    }
    for phase in Phase::ALL {
        assert_eq!(call(&plugin, phase, 1).await.0, Err(Failure::Quarantined), "{phase}");
    }
    assert!(!plugin.served_well());
}

#[tokio::test]
async fn a_log_flood_is_cut_and_harms_nobody() {
    assert!(matches!(ask(&hostile("log-flood")).await, Ok(Outcome::Continue(_))));
}

#[tokio::test]
async fn edits_before_a_trap_are_dropped() {
    assert!(matches!(fails_as("edit-then-trap").await, Failure::Trap(_)));
}

#[tokio::test]
async fn a_call_remembers_nothing_of_the_one_before() {
    let plugin = hostile("remember");
    for _ in 0..3 {
        let Ok(Outcome::Continue(edits)) = ask(&plugin).await else { panic!("refused") };
        let mut headers = http::HeaderMap::new();
        edits.apply(&mut headers);
        assert_eq!(headers["x-seen"], "0");
    }
}

#[tokio::test]
async fn traps_in_later_phases_take_the_message_with_them() {
    let text = forebay_policy::Field::Input("text".to_owned());
    for behaviour in ["trap-on-forward", "seal-then-trap"] {
        let message = Notes::boxed(&[(text.clone(), None)]);
        assert!(matches!(hostile(behaviour).on_forward(message, &of_acme()).await, Err(Failure::Trap(_))));
    }
    let message = Notes::boxed(&[]);
    assert!(matches!(hostile("trap-on-return").on_return(message, &of_acme()).await, Err(Failure::Trap(_))));
    let response = Arc::new(Response);
    let plugin = hostile("trap-on-response");
    assert!(matches!(plugin.on_response(response, None, &of_acme()).await, Err(Failure::Trap(_))));
}

#[tokio::test]
async fn a_guest_that_computes_lets_other_tasks_of_its_thread_run() {
    let mut spec = spec("hostile", "loop");
    spec.limits.deadline = Duration::from_millis(100);
    let looping = ENGINE.load(spec).unwrap();
    let good = access();
    // Both run on this one thread: the good call ends while the loop is still in its deadline.
    let (looped, asked) = tokio::join!(
        async {
            let failure = ask(&looping).await;
            (failure, Instant::now())
        },
        async {
            let outcome = ask(&good).await;
            (outcome, Instant::now())
        }
    );
    assert_eq!(looped.0, Err(Failure::Deadline));
    assert!(matches!(asked.0, Ok(Outcome::Continue(_))));
    assert!(asked.1 < looped.1);
}

#[tokio::test]
async fn dropping_a_call_ends_it_and_frees_its_instance() {
    let mut spec = spec("hostile", "loop");
    spec.limits.deadline = Duration::from_secs(60);
    let plugin = ENGINE.load(spec).unwrap();
    for _ in 0..70 {
        let ended = tokio::time::timeout(Duration::from_millis(2), ask(&plugin)).await;
        assert!(ended.is_err());
    }
    assert!(ask(&access()).await.is_ok());
}
