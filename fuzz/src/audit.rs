//! The targets on what auditors read: notes and checkpoints, verifier keys, proofs, tiles and lines of the audit log.

use lockgate_audit::Entry;
use lockgate_audit::tlog::checkpoint::{Checkpoint, Signed};
use lockgate_audit::tlog::merkle::{TreeHead, is_consistent, is_included};
use lockgate_audit::tlog::note::Note;
use lockgate_audit::tlog::proof::Proof;
use lockgate_audit::tlog::tile::{read_bundle, read_hashes, write_entry};
use lockgate_audit::tlog::witness::{AddCheckpoint, read_answer};
use lockgate_crypto::note::NoteKey;

/// Checkpoints of the specifications.
pub const CHECKPOINT_SEEDS: &[&[u8]] = &[
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n".as_bytes(),
    "a\n\nb\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n".as_bytes(),
];

/// Verifier keys.
pub const VKEY_SEEDS: &[&[u8]] = &[b"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"];

/// A request to a witness, by the specification.
pub const WITNESS_SEEDS: &[&[u8]] = &[
    "old 1\ngSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\nexample.com/log\n2\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n\u{2014} example.com/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n".as_bytes(),
    b"old 0\n\n",
];

/// A proof of the specification's form.
pub const TLOG_PROOF_SEEDS: &[&[u8]] = &[
    "c2sp.org/tlog-proof@v1\nextra dHdv\nindex 1\ngSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\nexample.com/log\n2\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n\u{2014} example.com/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n".as_bytes(),
];

/// A width, then a tile or a bundle.
pub const TILE_SEEDS: &[&[u8]] = &[b"\x02\x00\x03one\x00\x00\x00\x01x", &[1; 65]];

/// Lines of both formats.
pub const LINE_SEEDS: &[&[u8]] = &[
    br#"{"schema":"lockgate.audit/1","seq":7,"prev":"0000000000000000000000000000000000000000000000000000000000000000","time":"2026-11-22T14:00:00.000000Z","kind":"refusal","outcome":"refused","agent":"a","policies":["p"],"quantum_safe":true}"#,
    br#"{"unmapped":{"schema":"lockgate.audit/2","seq":7,"prev":"0000000000000000000000000000000000000000000000000000000000000000","kind":"call","outcome":"ok","quantum_safe":true},"metadata":{"uid":"0000000000000000-7","sequence":7,"version":"1.8.0"},"time":1795356000000,"time_dt":"2026-11-22T14:00:00.000000Z","activity_name":"tools/call","actor":{"user":{"uid":"a","groups":[{"name":"g"}]},"session":{"uid":"s"}},"api":{"operation":"tools/call","service":{"name":"s"},"request":{"uid":"1"},"response":{"code":-31001}},"src_endpoint":{"ip":"::1","port":1},"resources":[{"name":"n","type":"tools"}],"authorizations":[{"decision":"deny","policy":{"uid":"p"}}],"status_detail":"r"}"#,
];

/// Patches for a block of the index, each a place and a byte.
pub const INDEX_SEEDS: &[&[u8]] = &[b"", b"\x10\x00\x09", b"\x6c\x00\xff\xc8\x00\x02\xd0\x00\x07"];

/// What is read as a note is written as it was, and no line of it verifies by a key that did not make it.
pub fn checkpoint(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.write().as_bytes(), data);
        if let Ok(checkpoint) = Checkpoint::parse(&note.text) {
            assert_eq!(checkpoint.text(), note.text);
        }
    }
    let Ok(signed) = Signed::parse(data) else { return };
    let key = std::str::from_utf8(VKEY_SEEDS[0]).expect("text");
    let key = NoteKey::parse(key).expect("a key");
    assert!(signed.verify(&key).is_err(), "that key signed no checkpoint");
}

/// What is read as a verifier key is written as it was.
pub fn vkey(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = NoteKey::parse(text) {
        assert_eq!(key.to_string(), text);
        assert!(key.verify(b"message", data).is_err());
    }
}

/// What is read as a proof is written as it was; nothing is trusted without a key.
pub fn proof(data: &[u8]) {
    let Ok(proof) = Proof::parse(data) else { return };
    assert_eq!(proof.write().as_bytes(), data);
    assert!(proof.verify(&[]).is_err());
    let head = proof.signed.checkpoint.head;
    let _ = is_included(&[0; 32], proof.index, head.size, &proof.path, &head.root);
    let old = TreeHead { size: proof.index, root: [0; 32] };
    let _ = is_consistent(&old, &head, &proof.path);
}

/// Any bytes are a tile or bundle of that width, or are refused; entries are written as they were.
pub fn tile(data: &[u8]) {
    let Some((&width, data)) = data.split_first() else { return };
    if let Ok(hashes) = read_hashes(data, u64::from(width)) {
        assert_eq!(hashes.as_flattened(), &data[..hashes.len() * 32]);
    }
    if let Ok(entries) = read_bundle(data, u64::from(width)) {
        let mut again = Vec::new();
        for entry in &entries {
            write_entry(&mut again, &data[entry.clone()]).expect("it was an entry");
        }
        assert_eq!(again, data[..again.len()]);
    }
}

/// What is read as a record has a flat form that says the same.
pub fn line(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(entry) = Entry::parse(text) else { return };
    let _ = entry.uid();
    assert_eq!(Entry::parse(&entry.flat()).ok().as_ref(), Some(&entry));
}

/// A block of the index is read or refused, whatever its bytes say.
pub fn index(data: &[u8]) {
    let lines = [LINE_SEEDS[0], &b"\n"[..], LINE_SEEDS[1], &b"\nno record\n"[..]].concat();
    let read = lockgate_audit::query::read_patched(&lines, data);
    assert!(!data.is_empty() || read == Some(1));
}

/// What is read as a request to a witness is written as it was; no line of an answer counts without its key.
pub fn witness(data: &[u8]) {
    let Ok(request) = AddCheckpoint::parse(data) else { return };
    assert_eq!(request.write().as_bytes(), data);
    let key = std::str::from_utf8(VKEY_SEEDS[0]).expect("text");
    let key = NoteKey::parse(key).expect("a key");
    assert!(read_answer(&request.signed, &[key], data).is_err());
}
