#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

struct Bench {
    folder: TempDir,
    journals: Journals,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), journals: Journals::default(), metrics: Arc::default() }
    }

    fn settings(&self, name: &str) -> config::Journal {
        config::Journal {
            file: self.folder.path().join(name),
            file_bytes: 1 << 20,
            files: 2,
            sync: Duration::from_millis(1),
            queue_bytes: 1 << 20,
        }
    }

    fn open(&self, settings: &config::Journal) -> Arc<dyn Journal> {
        self.journals.open("p", settings, &self.metrics).unwrap_or_else(|error| panic!("{error}"))
    }

    fn records(&self, result: &'static str) -> u64 {
        self.metrics.plugins.records("p", result).get()
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn every_record_of_every_thread_is_there_once_and_in_order() {
    const THREADS: usize = 4;
    const EACH: usize = 1_000;
    let bench = Bench::new();
    let settings = bench.settings("j");
    let journal = bench.open(&settings);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || (0..EACH).for_each(|n| journal.append(&format!("{thread}:{n}")).unwrap()));
        }
    });
    bench.journals.close(SOON);
    let lines = lines(&settings.file);
    assert_eq!((lines.len(), bench.records("taken")), (THREADS * EACH, 4_000));
    for thread in 0..THREADS {
        let own = lines.iter().filter(|line| line.starts_with(&format!("{thread}:")));
        assert!(own.enumerate().all(|(n, line)| *line == format!("{thread}:{n}")));
    }
    assert_eq!((journal.append("late"), bench.records("lost")), (Err(JournalFailure::Unavailable), 0));
}

#[test]
fn a_full_queue_is_told_and_counted() {
    let bench = Bench::new();
    let settings = config::Journal { queue_bytes: 4, ..bench.settings("j") };
    let journal = bench.open(&settings);
    assert_eq!(journal.append("1234"), Err(JournalFailure::Full));
    assert_eq!(journal.append("123"), Ok(()));
    bench.journals.close(SOON);
    assert_eq!(lines(&settings.file), ["123"]);
    assert_eq!((bench.records("taken"), bench.records("full"), bench.records("unavailable")), (1, 1, 0));
}

#[test]
fn a_queue_is_bounded_by_records_too_and_makes_room_when_they_are_written() {
    let bench = Bench::new();
    let queue = Queue::new(&bench.settings("j"));
    let mut taken = 0;
    while queue.push("x").is_ok() {
        taken += 1;
    }
    assert_eq!((taken, queue.push("x")), (16_384, Err(JournalFailure::Full)));
    let mut batch = Vec::new();
    assert_eq!((queue.take(&mut batch, None), batch.len()), (queue::Next::Write, 2 * 16_384));
    // What the writer holds is not written yet.
    assert_eq!(queue.push("x"), Err(JournalFailure::Full));
    queue.written();
    assert_eq!((queue.push("x"), queue.waiting()), (Ok(()), 1));
}

#[test]
fn nothing_is_taken_while_nothing_can_be_written_and_what_was_is_kept() {
    let bench = Bench::new();
    let settings = bench.settings("folder/j");
    let folder = settings.file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    let journal = bench.open(&settings);
    fs::remove_dir_all(folder).unwrap();
    let until = Instant::now() + SOON;
    let mut taken = Vec::new();
    for n in 0.. {
        assert!(Instant::now() < until);
        match journal.append(&format!("{n}")) {
            Ok(()) => taken.push(format!("{n}")),
            Err(failure) => {
                assert_eq!(failure, JournalFailure::Unavailable);
                break;
            }
        }
        std::thread::yield_now();
    }
    fs::create_dir(folder).unwrap();
    while journal.append("again").is_err() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    taken.push("again".to_owned());
    bench.journals.close(SOON);
    assert_eq!(lines(&settings.file), taken);
    assert_eq!(bench.records("lost"), 0);
}

#[test]
fn what_can_not_be_written_by_the_end_is_counted_as_lost() {
    let bench = Bench::new();
    let settings = bench.settings("folder/j");
    let folder = settings.file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    let journal = bench.open(&settings);
    fs::remove_dir_all(folder).unwrap();
    journal.append("gone").unwrap();
    bench.journals.close(SOON);
    assert_eq!((bench.records("taken"), bench.records("lost")), (1, 1));
}

#[test]
fn a_file_outlives_a_reload_takes_new_settings_and_is_free_when_its_plugin_is_gone() {
    let bench = Bench::new();
    let settings = bench.settings("j");
    let before = bench.open(&settings);
    let after = bench.open(&config::Journal { queue_bytes: 4, ..settings.clone() });
    assert_eq!((before.append("a"), after.append("too long")), (Ok(()), Err(JournalFailure::Full)));
    drop((before, after));
    // By another name: the records that were taken are there before it writes.
    let other = bench.journals.open("q", &settings, &bench.metrics).unwrap_or_else(|error| panic!("{error}"));
    other.append("b").unwrap();
    bench.journals.close(SOON);
    assert_eq!(lines(&settings.file), ["a", "b"]);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let bench = Bench::new();
    let error = bench.journals.open("p", &bench.settings("none/j"), &bench.metrics).err().unwrap().to_string();
    assert!(error.contains("`p`") && error.contains("none/j"), "{error}");
}
