//! Questions to a log: the same answer with an index, without one and with a broken one.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockgate_audit::query::{Field, Found, Indexer, Query, Search, Words};
use lockgate_audit::{Durability, Entry, Kind, Log, Options, Outcome, Record, read};
use proptest::prelude::*;

/// Few values, so that they meet.
fn record(number: u64) -> Record<'static> {
    let outcome = [Outcome::Ok, Outcome::Ok, Outcome::Refused, Outcome::Failed][number as usize / 3 % 4];
    Record {
        agent: Some(format!("spiffe://example.org/agent/a{}", number % 5).into()),
        server: (!number.is_multiple_of(4)).then(|| format!("S{}", number % 3).into()),
        method: Some("tools/call".into()),
        name: Some(if number % 50 == 7 {
            "x".repeat(200).into()
        } else {
            format!("tool-{}", number % 11).into()
        }),
        stage: (outcome == Outcome::Refused).then_some("permit".into()),
        code: (outcome == Outcome::Refused).then_some(-31001),
        policies: vec![format!("p{}", number % 2), format!("p{}", number % 7)].into(),
        findings: if number % 40 == 3 { vec!["LG-D007".to_owned()].into() } else { Vec::new().into() },
        quantum_safe: (!number.is_multiple_of(6)).then_some(!number.is_multiple_of(13)),
        group: (!number.is_multiple_of(6)).then_some("X25519MLKEM768".into()),
        ..Record::new(if outcome == Outcome::Refused { Kind::Refusal } else { Kind::Call }, outcome)
    }
}

fn written(dir: &Path, count: u64, segment_bytes_max: u64) {
    let log = Log::open(dir, Options { segment_bytes_max, ..Options::default() }).unwrap();
    for number in 0..count {
        log.append(&record(number), Durability::Grouped).unwrap();
    }
}

fn answer(search: &Search, query: &Query) -> (Vec<u64>, Found) {
    let mut seqs = Vec::new();
    let found = search
        .run(query, &mut |line| {
            let entry = Entry::parse(std::str::from_utf8(line).unwrap()).unwrap();
            seqs.push(entry.seq);
        })
        .unwrap();
    (seqs, found)
}

/// The same without anything of the search: whole records, one after the other.
fn expected(dir: &Path, asked: &Asked) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut lines = read(dir).unwrap();
    while let Some(line) = lines.next_line().unwrap() {
        let Some(entry) = line.entry() else { continue };
        if asked.fits(&entry) {
            seqs.push(entry.seq);
        }
    }
    seqs.reverse();
    seqs.truncate(asked.limit.unwrap_or(usize::MAX));
    seqs
}

/// A question in words of its own.
#[derive(Clone, Debug, Default)]
struct Asked {
    agent: Option<u64>,
    tool: Option<u64>,
    is_long: bool,
    denied: Option<bool>,
    policy: Option<u64>,
    finding: bool,
    safe: Option<bool>,
    code: bool,
    before: Option<u64>,
    limit: Option<usize>,
}

impl Asked {
    fn query(&self) -> Query {
        let mut query = Query { before: self.before, limit: self.limit, ..Query::default() };
        if let Some(agent) = self.agent {
            query = query.with(Field::Agent, vec![Words::parse(&format!("AGENT/A{agent}"))]);
        }
        if let Some(tool) = self.tool {
            query =
                query.with(Field::Name, vec![Words::parse(&format!("=tool-{tool}")), Words::parse("=none")]);
        }
        if self.is_long {
            query = query.with(Field::Name, vec![Words::parse("xxxx")]);
        }
        if let Some(denied) = self.denied {
            let verdicts = if denied { vec!["=denied"] } else { vec!["=ok", "=failed"] };
            query = query.with(Field::Verdict, verdicts.into_iter().map(Words::parse).collect());
        }
        if let Some(policy) = self.policy {
            query = query.with(Field::Policy, vec![Words::parse(&format!("=p{policy}"))]);
        }
        if self.finding {
            query = query.with(Field::Finding, vec![Words::parse("d007")]);
        }
        if let Some(safe) = self.safe {
            query = query.with(Field::QuantumSafe, vec![Words::parse(if safe { "=yes" } else { "=no" })]);
        }
        if self.code {
            query = query.with(Field::Code, vec![Words::parse("=-31001")]);
        }
        query
    }

    fn fits(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        let name = record.name.as_deref().unwrap_or_default();
        self.before.is_none_or(|before| entry.seq < before)
            && self
                .agent
                .is_none_or(|agent| record.agent.as_deref().unwrap().ends_with(&format!("/a{agent}")))
            && self.tool.is_none_or(|tool| name == format!("tool-{tool}"))
            && (!self.is_long || name.starts_with("xxxx"))
            && self.denied.is_none_or(|denied| denied == (record.outcome == Outcome::Refused))
            && self.policy.is_none_or(|policy| record.policies.contains(&format!("p{policy}")))
            && (!self.finding || !record.findings.is_empty())
            && self.safe.is_none_or(|safe| record.quantum_safe == Some(safe))
            && (!self.code || record.code.is_some())
    }
}

fn index_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir.join("index")) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "index"));
    files.sort();
    files
}

prop_compose! {
    fn asked()(
        agent in proptest::option::of(0_u64..6),
        tool in proptest::option::of(0_u64..12),
        is_long in proptest::bool::weighted(0.1),
        denied: Option<bool>,
        policy in proptest::option::of(0_u64..8),
        finding in proptest::bool::weighted(0.1),
        safe: Option<bool>,
        code in proptest::bool::weighted(0.1),
        before in proptest::option::of(1_u64..400),
        limit in proptest::option::of(0_usize..9),
    ) -> Asked {
        Asked { agent, tool, is_long, denied, policy, finding, safe, code, before, limit }
    }
}

/// What is done to the index before a question.
#[derive(Clone, Debug)]
enum Harm {
    None,
    Gone(prop::sample::Index),
    Cut(prop::sample::Index, prop::sample::Index),
    Bit(prop::sample::Index, prop::sample::Index, u8),
    Swapped(prop::sample::Index, prop::sample::Index),
    Longer(prop::sample::Index, Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    use prop::sample::Index;
    prop_oneof![
        Just(Harm::None),
        any::<Index>().prop_map(Harm::Gone),
        any::<(Index, Index)>().prop_map(|(file, at)| Harm::Cut(file, at)),
        any::<(Index, Index, u8)>().prop_map(|(file, at, bit)| Harm::Bit(file, at, bit)),
        any::<(Index, Index)>().prop_map(|(one, two)| Harm::Swapped(one, two)),
        any::<(Index, Vec<u8>)>().prop_map(|(file, more)| Harm::Longer(file, more)),
    ]
}

impl Harm {
    fn done(&self, files: &[PathBuf]) {
        match self {
            Self::None => {}
            Self::Gone(file) => fs::remove_file(file.get(files)).unwrap(),
            Self::Cut(file, at) => {
                let mut bytes = fs::read(file.get(files)).unwrap();
                bytes.truncate(at.index(bytes.len()));
                fs::write(file.get(files), bytes).unwrap();
            }
            Self::Bit(file, at, bit) => {
                let mut bytes = fs::read(file.get(files)).unwrap();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
                fs::write(file.get(files), bytes).unwrap();
            }
            Self::Swapped(one, two) => {
                let bytes = fs::read(one.get(files)).unwrap();
                fs::copy(two.get(files), one.get(files)).unwrap();
                fs::write(two.get(files), bytes).unwrap();
            }
            Self::Longer(file, more) => {
                let bytes = [fs::read(file.get(files)).unwrap(), more.clone()].concat();
                fs::write(file.get(files), bytes).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_way_gives_what_a_walk_over_all_records_gives(
        count in 1_u64..400,
        segment_bytes_max in 2_000_u64..60_000,
        questions in proptest::collection::vec((asked(), harm()), 1..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("audit");
        written(&dir, count, segment_bytes_max);
        for (asked, harm) in questions {
            let (query, expected) = (asked.query(), expected(&dir, &asked));
            // Makes what is missing of it.
            prop_assert_eq!(&answer(&Search::of(&dir).keeping(), &query).0, &expected, "kept");
            let files = index_files(&dir);
            if !files.is_empty() {
                harm.done(&files);
            }
            let (seqs, found) = answer(&Search::of(&dir), &query);
            prop_assert_eq!(&seqs, &expected, "{:?}", harm);
            prop_assert_eq!(found.records as usize, expected.len());
            prop_assert_eq!(&answer(&Search::of(&dir).by_scan(), &query).0, &expected, "by scan");
            prop_assert_eq!(&answer(&Search::of(&dir).keeping(), &query).0, &expected, "mended");
        }
    }
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    written(&dir, 500, 20_000);
    let asked = Asked { agent: Some(2), ..Asked::default() };
    let mut query = Query { limit: Some(7), ..asked.query() };
    let mut seqs = Vec::new();
    loop {
        let (page, found) = answer(&Search::of(&dir).keeping(), &query);
        seqs.extend(page);
        match found.next_before {
            Some(before) => query.before = Some(before),
            None => break,
        }
    }
    assert_eq!(seqs, expected(&dir, &asked));
}

#[test]
fn damage_is_said_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    written(&dir, 300, 20_000);
    let asked = Asked { tool: Some(3), ..Asked::default() };
    let (_, found) = answer(&Search::of(&dir).keeping(), &asked.query());
    assert!(found.unindexed > 0 && found.damaged.is_empty(), "{found:?}");
    let (_, found) = answer(&Search::of(&dir), &asked.query());
    assert!(found.unindexed < 100 && found.read < 40, "only the last segment has no index: {found:?}");
    let files = index_files(&dir);
    assert!(files.len() > 5);
    for file in &files {
        let mut bytes = fs::read(file).unwrap();
        bytes[230] ^= 4;
        fs::write(file, bytes).unwrap();
    }
    let (seqs, found) = answer(&Search::of(&dir), &asked.query());
    assert_eq!((seqs, found.damaged.len()), (expected(&dir, &asked), files.len()));
}

/// An index whose sums all hold, of a segment in which other records have taken the place of those it was made over.
#[test]
fn an_index_of_other_records_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    written(&one, 200, 10_000);
    written(&two, 260, 10_000);
    let asked = Asked { agent: Some(1), ..Asked::default() };
    for dir in [&one, &two] {
        answer(&Search::of(dir).keeping(), &asked.query());
    }
    for file in index_files(&one) {
        fs::copy(&file, two.join("index").join(file.file_name().unwrap())).unwrap();
    }
    let (seqs, found) = answer(&Search::of(&two), &asked.query());
    assert_eq!(seqs, expected(&two, &asked));
    assert!(!found.damaged.is_empty());
}

#[test]
fn lines_that_are_no_records_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    written(&dir, 100, 10_000);
    let segment = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).min().unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("{\"unmapped\"", "{\"unmoped\"", 1)).unwrap();
    let asked = Asked::default();
    for search in [Search::of(&dir), Search::of(&dir).keeping(), Search::of(&dir)] {
        let (seqs, found) = answer(&search, &asked.query());
        assert_eq!((seqs, found.unreadable), (expected(&dir, &asked), 1));
    }
}

fn wait_for(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < end, "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_indexer_follows_a_log_that_grows_and_forgets_what_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    let log = Log::open(&dir, Options { segment_bytes_max: 6 << 20, ..Options::default() }).unwrap();
    let append = |from, to| {
        for number in from..to {
            log.append(&record(number), Durability::Grouped).unwrap();
        }
    };
    append(0, 5000);
    let indexer = Indexer::start(&dir).unwrap();
    let asked = Asked { finding: true, ..Asked::default() };
    let unindexed = || answer(&Search::of(&dir), &asked.query()).1.unindexed;
    // One block of the segment that grows.
    wait_for(|| unindexed() == 5000 - 4096);
    append(5000, 20_000);
    wait_for(|| index_files(&dir).len() > 1 && unindexed() < 4096);
    // Another who keeps it does not disturb this one.
    assert_eq!(answer(&Search::of(&dir).keeping(), &asked.query()).0, expected(&dir, &asked));
    let first = dir.join("audit-00000000000000000001.jsonl");
    fs::remove_file(first).unwrap();
    wait_for(|| !dir.join("index/audit-00000000000000000001.index").exists());
    assert_eq!(answer(&Search::of(&dir), &asked.query()).0, expected(&dir, &asked));
    drop(indexer);
}

#[test]
fn a_question_that_takes_too_long_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    written(&dir, 100, 10_000);
    let late = Search::of(&dir).until(Instant::now() - Duration::from_secs(1));
    let (seqs, found) = answer(&late, &Query::default());
    assert!(seqs.is_empty() && found.is_late);
}
