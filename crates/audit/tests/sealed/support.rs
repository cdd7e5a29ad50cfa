//! Logs to look at and to damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_audit::{
    AuditError, Break, Checks, Durability, Kind, Log, Options, Outcome, Record, Report, Sealing, verify_with,
};
use lockgate_crypto::PrivateKey;
use lockgate_crypto::digest::{hex, sha256};
use lockgate_crypto::note::{NoteKey, Signs};

pub(crate) const NAME: &str = "example.org/gateway/audit";

pub(crate) fn signer() -> Signer {
    let key = PrivateKey::generate_algorithm("ML-DSA-44").unwrap();
    Signer::new(NAME, key, Signs::Subtree).unwrap()
}

pub(crate) fn options(signers: &[Signer]) -> Options {
    let sealing = Sealing { checkpoint_ms_min: 5, ..Sealing::new(NAME, signers.to_vec()) };
    Options { segment_bytes_max: 20_000, sealing: Some(sealing), ..Options::default() }
}

pub(crate) fn open(dir: &Path, signer: &Signer) -> Arc<Log> {
    Log::open(dir, options(std::slice::from_ref(signer))).unwrap()
}

pub(crate) fn append(log: &Log, from: u64, count: u64) {
    for number in from..from + count {
        let record = Record {
            method: Some("tools/call".into()),
            name: Some(format!("tool-{number}").into()),
            ..Record::new(Kind::Call, Outcome::Ok)
        };
        let _ = log.append(&record, Durability::Grouped).unwrap();
    }
}

/// A closed log of `count` records, all of them covered.
pub(crate) fn written(dir: &Path, signer: &Signer, count: u64) {
    let log = open(dir, signer);
    append(&log, 1, count);
    drop(log);
}

pub(crate) fn check(dir: &Path, keys: &[NoteKey]) -> Result<Report, AuditError> {
    verify_with(dir, &Checks { keys, ..Checks::default() })
}

#[track_caller]
pub(crate) fn broken(result: Result<Report, AuditError>) -> Break {
    match result {
        Err(AuditError::Broken(found)) => found,
        other => panic!("not found: {other:?}"),
    }
}

/// Every file of a log that means something, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.file_name().is_some_and(|name| name == "lock") => {}
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files = files(dir);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files
}

/// The only shard.
pub(crate) fn shard(dir: &Path) -> PathBuf {
    let folders: Vec<_> =
        fs::read_dir(dir.join("tree")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "the month has not just ended");
    folders[0].clone()
}

/// Copies a whole folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let place = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(file, place).unwrap();
    }
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
}

/// What somebody does who can write the folder and knows the format: changes lines, and makes chain and head file fit.
pub(crate) fn rewrite(dir: &Path, change: impl Fn(&mut Vec<String>)) {
    let mut lines: Vec<String> = Vec::new();
    for segment in segments(dir) {
        lines.extend(fs::read_to_string(&segment).unwrap().lines().map(str::to_owned));
        fs::remove_file(segment).unwrap();
    }
    change(&mut lines);
    let mut prev = "0".repeat(64);
    let mut whole = String::new();
    for (number, line) in (1..).zip(&lines) {
        let fixed = refit(line, number, &prev);
        prev = hex(&sha256(fixed.as_bytes()));
        whole.push_str(&fixed);
    }
    fs::write(dir.join("audit-00000000000000000001.jsonl"), whole).unwrap();
    let head =
        format!("{{\"schema\":\"lockgate.audit-head/1\",\"seq\":{},\"hash\":\"{prev}\"}}", lines.len());
    fs::write(dir.join("head"), format!("{head:<255}\n")).unwrap();
}

/// The line with this number and predecessor, and its newline.
fn refit(line: &str, seq: u64, prev: &str) -> String {
    let (before, rest) = line.split_once("\"seq\":").unwrap();
    let (_, rest) = rest.split_once("\"prev\":\"").unwrap();
    format!("{before}\"seq\":{seq},\"prev\":\"{prev}{}\n", &rest[64..])
}

/// Lines as the first version of the format had them, one a time.
pub(crate) fn write_old(dir: &Path, times: &[&str]) {
    fs::create_dir_all(dir).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    let mut prev = "0".repeat(64);
    let mut whole = String::new();
    for (seq, time) in (1..).zip(times) {
        let line = format!(
            "{{\"schema\":\"lockgate.audit/1\",\"seq\":{seq},\"prev\":\"{prev}\",\"time\":\"{time}\",\"kind\":\"call\",\"outcome\":\"ok\",\"method\":\"tools/call\",\"name\":\"old-{seq}\"}}\n"
        );
        prev = hex(&sha256(line.as_bytes()));
        whole.push_str(&line);
    }
    fs::write(dir.join("audit-00000000000000000001.jsonl"), whole).unwrap();
    let head =
        format!("{{\"schema\":\"lockgate.audit-head/1\",\"seq\":{},\"hash\":\"{prev}\"}}", times.len());
    fs::write(dir.join("head"), format!("{head:<255}\n")).unwrap();
}
