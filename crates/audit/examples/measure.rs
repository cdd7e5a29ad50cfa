//! Measures the log: `cargo xtask bench audit`. Prints a table; `--quick` shows in seconds that everything runs.
//!
//! Figures are of one process on one machine and one disk (`TMPDIR`), whatever else runs there; the load average is in the
//! table. Events are calls with the facts that a gateway records; their size in bytes is in the table too.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on says where")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockgate_audit::query::{Field, Query, Search, Words};
use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_audit::{
    Checks, Durability, Kind, Log, Options, Outcome, Record, Sealing, prove, tail, verify_with,
};
use lockgate_crypto::{PrivateKey, profile};

/// How much is measured.
struct Plan {
    /// Length of each measurement under load.
    load: Duration,
    /// Records of the log that is proved and verified.
    records: u64,
    /// Proofs that are made.
    proofs: u64,
    /// Records of the log that is asked.
    asked: u64,
}

/// Waiters of the measurement of throughput: as many calls as a busy gateway has in flight.
const IN_FLIGHT: usize = 512;

fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let plan = match quick {
        true => Plan { load: Duration::from_millis(300), records: 5_000, proofs: 50, asked: 30_000 },
        false => Plan { load: Duration::from_secs(10), records: 1_000_000, proofs: 2_000, asked: 10_000_000 },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let load_average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("# The audit log, measured\n\n```text\ncargo xtask bench audit\n```\n");
    println!(
        "Load average at the start: {}\n",
        load_average.split(' ').take(3).collect::<Vec<_>>().join(" ")
    );
    println!("| what | aim | measured |\n| --- | --- | --- |");
    let folder = tempfile::tempdir().unwrap();
    let only = std::env::args().any(|word| word == "--queries");
    if only {
        return questions(&folder.path().join("asked"), plan.asked);
    }
    let (rate, bytes) = runtime.block_on(throughput(&folder.path().join("throughput"), plan.load));
    println!("| durable events a second, {IN_FLIGHT} in flight, {bytes} bytes each | ≥ 25,000 | {rate:.0} |");
    std::fs::remove_dir_all(folder.path().join("throughput")).unwrap();
    for per_s in [1_000, 5_000] {
        let paced = runtime.block_on(paced(&folder.path().join(format!("paced-{per_s}")), per_s, plan.load));
        let Paced { mut acks, mut lags } = paced;
        acks.sort_unstable();
        lags.sort_unstable();
        let aim = if per_s == 5_000 { "≤ 25 ms" } else { "" };
        let (p50, p99) = (percentile(&acks, 50), percentile(&acks, 99));
        println!("| ack at {per_s} a second, p50, ms |  | {} |", ms(p50));
        println!("| ack at {per_s} a second, p99, ms | {aim} | {} |", ms(p99));
        let (lag, most) = (percentile(&lags, 50), lags.last().copied().unwrap_or_default());
        println!(
            "| checkpoint behind a record at {per_s} a second, p50 and most, ms | ≤ 1,000 | {} and {} |",
            ms(lag),
            ms(most)
        );
    }
    whole(&runtime, &folder.path().join("whole"), &plan);
    std::fs::remove_dir_all(folder.path().join("whole")).unwrap();
    questions(&folder.path().join("asked"), plan.asked);
}

fn signers() -> Vec<Signer> {
    let suite = profile::find("pq-hybrid").unwrap().compile(1).unwrap();
    let signer =
        |(row, signs)| Signer::new("example.org/audit", PrivateKey::generate(row).unwrap(), signs).unwrap();
    suite.note_algorithms().into_iter().map(signer).collect()
}

fn open(dir: &Path, signers: &[Signer]) -> Arc<Log> {
    let sealing = Some(Sealing::new("example.org/audit", signers.to_vec()));
    Log::open(dir, Options { sealing, ..Options::default() }).unwrap()
}

fn call() -> Record<'static> {
    Record {
        agent: Some("spiffe://example.org/agent/editor".into()),
        server: Some("crm".into()),
        method: Some("tools/call".into()),
        name: Some("get_customer".into()),
        request_id: Some("17".into()),
        policy_generation: Some(3),
        quantum_safe: Some(true),
        bytes_in: Some(211),
        bytes_out: Some(1024),
        duration_us: Some(812),
        epoch: Some(2),
        ..Record::new(Kind::Call, Outcome::Ok)
    }
}

/// Durable events a second, and their size.
async fn throughput(dir: &Path, length: Duration) -> (f64, usize) {
    let log = open(dir, &signers());
    let (done, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (log, done, is_over) = (log.clone(), done.clone(), is_over.clone());
            tokio::spawn(async move {
                let record = call();
                while !is_over.load(Ordering::Relaxed) {
                    log.record(&record, Durability::Durable).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(length).await;
    is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let rate = done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
    (rate, tail(dir, 1).unwrap()[0].len())
}

/// Times in microseconds.
struct Paced {
    /// From the append to the sync.
    acks: Vec<u64>,
    /// From the append to the checkpoint.
    lags: Vec<u64>,
}

/// Durable events at a steady rate, each waited for on its own.
async fn paced(dir: &Path, per_s: u64, length: Duration) -> Paced {
    let log = open(dir, &signers());
    let mut tasks = Vec::new();
    let begin = Instant::now();
    let mut due = 0_u64;
    while begin.elapsed() < length {
        let now = u64::try_from(begin.elapsed().as_micros()).unwrap() * per_s / 1_000_000;
        while due < now {
            due += 1;
            let log = log.clone();
            tasks.push(tokio::spawn(async move {
                let begin = Instant::now();
                let receipt = log.record(&call(), Durability::Durable).await.unwrap();
                let ack = begin.elapsed();
                log.covered(&receipt).await.unwrap();
                (ack, begin.elapsed())
            }));
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let mut paced = Paced { acks: Vec::new(), lags: Vec::new() };
    for task in tasks {
        let (ack, lag) = task.await.unwrap();
        paced.acks.push(u64::try_from(ack.as_micros()).unwrap());
        paced.lags.push(u64::try_from(lag.as_micros()).unwrap());
    }
    paced
}

/// Proofs out of a large log, and the whole of it verified with the public keys.
fn whole(runtime: &tokio::runtime::Runtime, dir: &Path, plan: &Plan) {
    let signers = signers();
    let log = open(dir, &signers);
    let record = call();
    let (begin, cpu) = (Instant::now(), processor_s());
    let mut last = None;
    for _ in 0..plan.records {
        last = Some(log.append(&record, Durability::Grouped).unwrap());
    }
    let appended = begin.elapsed();
    runtime.block_on(log.covered(&last.unwrap())).unwrap();
    let covered = begin.elapsed();
    drop(log);
    let cpu = (processor_s() - cpu) * 1e6 / plan.records as f64;
    println!(
        "| processor time of the whole trail, syncs and tree included, µs a record | ≤ 15 % of a call's | {cpu:.1} |"
    );
    let rate = plan.records as f64 / appended.as_secs_f64();
    println!("| events a second appended by one thread, synced in groups |  | {rate:.0} |");
    println!(
        "| until {} of them were under a checkpoint, s |  | {:.2} |",
        plan.records,
        covered.as_secs_f64()
    );
    let keys: Vec<_> = signers.iter().map(|signer| signer.public().clone()).collect();
    let mut times = Vec::new();
    for number in 0..plan.proofs {
        let seq = 1 + number * 7_919 % plan.records;
        let begin = Instant::now();
        let proof = prove(dir, seq).unwrap().unwrap();
        times.push(u64::try_from(begin.elapsed().as_micros()).unwrap());
        if number == 0 {
            proof.verify(&keys).unwrap();
        }
    }
    times.sort_unstable();
    println!(
        "| inclusion proof in {} records, p50 and p99, ms | ≤ 1 | {} and {} |",
        plan.records,
        ms(percentile(&times, 50)),
        ms(percentile(&times, 99))
    );
    let begin = Instant::now();
    let report = verify_with(dir, &Checks { keys: &keys, ..Checks::default() }).unwrap();
    assert_eq!((report.records, report.unsealed), (plan.records, 0));
    println!(
        "| offline verification of {} records, s | ≤ 10 for 1,000,000 | {:.2} |",
        plan.records,
        begin.elapsed().as_secs_f64()
    );
}

/// Processor time of this process so far, in seconds.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in ticks of a hundredth of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Calls as a busy gateway has them: 400 agents, 60 tools, some refusals, few links that are not quantum-safe.
fn various(number: u64) -> Record<'static> {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let denied = mixed.is_multiple_of(97);
    let outcome = if denied { Outcome::Refused } else { Outcome::Ok };
    Record {
        agent: Some(format!("spiffe://example.org/agent/agent-{}", mixed % 400).into()),
        name: Some(format!("tool-{}", mixed / 400 % 60).into()),
        server: Some(format!("server-{}", mixed % 7).into()),
        stage: denied.then_some("permit".into()),
        code: denied.then_some(-31001),
        policies: vec![format!("rule-{}", mixed % 25)].into(),
        findings: if mixed.is_multiple_of(100_003) {
            vec!["LG-D001".to_owned()].into()
        } else {
            Vec::new().into()
        },
        quantum_safe: Some(!mixed.is_multiple_of(10_007)),
        group: Some("a post-quantum group".into()),
        kind: if denied { Kind::Refusal } else { Kind::Call },
        outcome,
        ..call()
    }
}

/// Questions to a large log.
fn questions(dir: &Path, records: u64) {
    // Not sealed and seldom synced: what is measured here is reading.
    let options = Options { sync_ms_max: 60_000, ..Options::default() };
    let log = Log::open(dir, options).unwrap();
    for number in 0..records {
        log.append(&various(number), Durability::Grouped).unwrap();
    }
    drop(log);
    let (begin, cpu) = (Instant::now(), processor_s());
    let nothing = Query { limit: Some(1), ..Query::default() };
    let nothing = nothing.with(Field::Agent, vec![Words::parse("=nobody")]);
    Search::of(dir).keeping().run(&nothing, &mut |_| {}).unwrap();
    println!(
        "| index of {records} records made anew, s, and processor time, µs a record |  | {:.1} and {:.2} |",
        begin.elapsed().as_secs_f64(),
        (processor_s() - cpu) * 1e6 / records as f64
    );
    let size = |dir: &Path| -> u64 {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        files.filter(|file| file.is_file()).map(|file| file.len()).sum()
    };
    let share = size(&dir.join("index")) as f64 * 100.0 / size(dir) as f64;
    println!("| size of the index, of the log's {} MB |  | {share:.1} % |", size(dir) >> 20);
    let is = |text: &str| vec![Words::Whole(text.to_owned())];
    let part = |text: &str| vec![Words::Part(text.to_owned())];
    let any = Query::default;
    for (what, query) in [
        ("an agent that there is not", any().with(Field::Agent, is("nobody"))),
        ("a finding", any().with(Field::Finding, is("LG-D001"))),
        (
            "an agent, denied by a rule, a tool",
            any()
                .with(Field::Agent, part("agent-37"))
                .with(Field::Verdict, is("denied"))
                .with(Field::Policy, is("rule-12"))
                .with(Field::Name, is("tool-5")),
        ),
        ("not quantum-safe", any().with(Field::QuantumSafe, is("no"))),
        (
            "the newest 100 of an agent",
            Query { limit: Some(100), ..any() }.with(Field::Agent, is("spiffe://example.org/agent/agent-3")),
        ),
        (
            "all that a rule denied",
            any().with(Field::Verdict, is("denied")).with(Field::Policy, is("rule-7")),
        ),
    ] {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..5 {
            let begin = Instant::now();
            found = Search::of(dir).run(&query, &mut |_| {}).unwrap().records;
            times.push(u64::try_from(begin.elapsed().as_micros()).unwrap());
        }
        times.sort_unstable();
        println!(
            "| {what}: {found} of {records}, best and median of 5, ms | well under 1,000 | {} and {} |",
            ms(times[0]),
            ms(times[2])
        );
    }
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Microseconds as milliseconds.
fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1000, us % 1000 / 10)
}
