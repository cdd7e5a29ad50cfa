use proptest::prelude::*;

use super::*;

/// A document with everything in it.
const WHOLE: &str = r#"schema = "lockgate.crypto/1"
epoch = 3
issued = 2026-11-22

[[profile]]
name = "plant@20261122"
purpose = "the controllers in hall 4"
groups = ["X25519MLKEM768", "X25519"]
signatures = ["MLDSA65-Ed25519-SHA512"]
ciphers = ["TLS_AES_256_GCM_SHA384"]
providers = { X25519MLKEM768 = "aws-lc" }
not_after = 2029-12-31

[[sunset]]
algorithm = "ECDSA-P256-SHA256"
warn_after = "2027-06-30"
not_after = 2027-12-31

[[ban]]
algorithm = "secp256r1"
keep_hybrids = true
reason = "hall 4 has no use for it"
"#;

/// The start of every document.
const HEAD: &str = "schema = \"lockgate.crypto/1\"\nepoch = 1\nissued = 2026-11-22\n";

fn problems(text: &str) -> Vec<String> {
    Document::parse(text).unwrap_err().0.iter().map(Problem::to_string).collect()
}

/// A profile with these lines in place of its own.
fn profile(changed: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("name", "\"plant@20261122\""),
        ("groups", "[\"X25519MLKEM768\"]"),
        ("signatures", "[\"ML-DSA-65\"]"),
        ("ciphers", "[\"TLS_AES_256_GCM_SHA384\"]"),
    ];
    for (key, value) in changed {
        lines.retain(|line| line.0 != *key);
        lines.push((key, value));
    }
    let lines: Vec<String> = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("{HEAD}[[profile]]\n{}", lines.concat())
}

#[test]
fn a_whole_document_is_read() {
    let document = Document::parse(WHOLE).unwrap();
    assert_eq!((document.epoch, document.issued.to_string().as_str()), (3, "2026-11-22"));
    assert_eq!(document.sha256, hex(&sha256(WHOLE.as_bytes())));
    let [definition] = &document.profiles[..] else { panic!("one profile") };
    assert_eq!(definition.name, "plant@20261122");
    assert_eq!(definition.groups, ["X25519MLKEM768", "X25519"]);
    assert_eq!(definition.providers["X25519MLKEM768"], "aws-lc");
    assert_eq!(definition.not_after.as_deref(), Some("2029-12-31"));
    let sunset = Sunset {
        algorithm: "ECDSA-P256-SHA256".to_owned(),
        warn_after: Some("2027-06-30".to_owned()),
        not_after: Some("2027-12-31".to_owned()),
    };
    assert_eq!(document.sunsets, [sunset]);
    let [ban] = &document.bans[..] else { panic!("one ban") };
    assert_eq!((ban.algorithm.as_str(), ban.keep_hybrids), ("secp256r1", true));
    assert_eq!((ban.by.as_str(), ban.since_ms), ("crypto document 3", 1_795_305_600_000));
    assert_eq!(document.profiles().unwrap().find("plant").unwrap().name, "plant@20261122");
    assert!(document.profiles().unwrap().find("pq-hybrid").is_ok());
    let empty = Document::parse(HEAD).unwrap();
    assert!(empty.profiles.is_empty() && empty.sunsets.is_empty() && empty.bans.is_empty());
}

/// checklist 15, 16: each mistake is told with its place and what to do.
#[test]
fn every_mistake_is_told_where_it_stands() {
    let sunset = |lines: &str| format!("{HEAD}[[sunset]]\n{lines}");
    let ban = |lines: &str| format!("{HEAD}[[ban]]\nreason = \"why\"\n{lines}");
    let table: &[(String, &str)] = &[
        ("epoch = ".to_owned(), "1:9: "),
        ("epoch = 1\nissued = 2026-11-22\n".to_owned(), "1:1: the document has no schema"),
        (HEAD.replace("crypto/1", "crypto/9"), "1:10: this build reads schema \"lockgate.crypto/1\""),
        (HEAD.replace("epoch = 1", "epoch = 0"), "2:9: epoch is the number"),
        (HEAD.replace("epoch = 1", "epoch = \"1\""), "2:9: epoch is the number"),
        (HEAD.replace("epoch = 1", "epoch = 99999999999999999999"), "2:9: epoch is the number"),
        (HEAD.replace("2026-11-22", "2026-11-31"), "3:"),
        (HEAD.replace("2026-11-22", "1026-11-22"), "3:10: issued is a date like 2030-12-31"),
        (HEAD.replace("2026-11-22", "2026-11-22T00:00:00Z"), "3:10: issued is a date like"),
        (format!("{HEAD}bans = []"), "4:1: the document has no key \"bans\"; it has schema, epoch"),
        (format!("{HEAD}ban = 3"), "4:7: write [[ban]], once for each"),
        (format!("{HEAD}ban = [3]"), "4:8: write [[ban]], once for each"),
        (profile(&[("name", "\"plant\"")]), "a profile's name is like lab-hybrid@20261122"),
        (profile(&[("name", "\"\"")]), "8:8: name is empty"),
        (profile(&[("name", "\"pq-kex@20300101\"")]), "8:8: pq-kex is a profile that is shipped"),
        (profile(&[("groups", "[]")]), "8:10: groups is empty: list at least one"),
        (profile(&[("groups", "\"X25519\"")]), "8:10: groups is a list of algorithms"),
        (profile(&[("groups", "[\"X25519MLKEM768\", \"ROT13\"]")]), "8:29: there is no algorithm \"ROT13\""),
        (profile(&[("groups", "[\"ML-DSA-65\"]")]), "8:11: ML-DSA-65 is a signature"),
        (profile(&[("groups", "[\"HQC-192\"]")]), "8:11: HQC-192 cannot be used in TLS"),
        (
            profile(&[("groups", "[\"X25519MLKEM768\", \"X25519MLKEM768\"]")]),
            "X25519MLKEM768 is listed twice",
        ),
        (profile(&[("groups", "[3]")]), "8:11: groups holds names of algorithms"),
        (profile(&[("ciphers", "[\"AES-256-GCM-SIV\"]")]), "AES-256-GCM-SIV cannot be used in TLS"),
        (
            profile(&[("providers", "{ X25519MLKEM768 = \"abacus\" }")]),
            "9:32: X25519MLKEM768 is provided by aws-lc",
        ),
        (profile(&[("providers", "{ ROT13 = \"abacus\" }")]), "9:15: there is no algorithm \"ROT13\""),
        (profile(&[("providers", "\"abacus\"")]), "9:13: providers is a table"),
        (profile(&[("not_after", "2026-11-21")]), "not_after 2026-11-21 is before the document was issued"),
        (profile(&[("not_after", "\"soon\"")]), "9:13: not_after is a date like 2030-12-31"),
        (profile(&[("purpose", "\"a\\u0007b\"")]), "9:11: purpose has control characters"),
        (sunset("algorithm = \"X25519\"\n"), "5:13: a sunset needs warn_after, not_after, or both"),
        (
            sunset("algorithm = \"X25519\"\nnot_after = 2040-01-01\n"),
            "6:13: not_after of X25519 is 2035-12-31 in the catalog",
        ),
        (
            sunset("algorithm = \"X25519\"\nwarn_after = 2028-01-01\nnot_after = 2027-01-01\n"),
            "6:14: warn_after is later than 2027-01-01",
        ),
        (
            sunset("algorithm = \"ML-DSA-65\"\nwarn_after = 2028-01-01\nuntil = 3\n"),
            "7:1: [[sunset]] has no key \"until\"",
        ),
        (
            sunset(
                "algorithm = \"X25519\"\nnot_after = 2028-01-01\n[[sunset]]\nalgorithm = \"X25519\"\nnot_after = 2027-01-01\n",
            ),
            "8:13: X25519 has a sunset already",
        ),
        (format!("{HEAD}[[ban]]\nalgorithm = \"X25519\""), "4:1: [[ban]] has no reason"),
        (ban("algorithm = \"ROT13\""), "6:13: there is no algorithm \"ROT13\""),
        (ban("algorithm = \"X25519\"\nprovider = \"abacus\""), "7:12: X25519 is provided by aws-lc"),
        (ban("algorithm = \"X25519\"\nkeep_hybrids = 1"), "7:16: keep_hybrids is true or false"),
        (
            ban("algorithm = \"X25519\"\n[[ban]]\nreason = \"why\"\nalgorithm = \"X25519\""),
            "9:13: X25519 is banned already",
        ),
    ];
    for (text, expected) in table {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{text}\n{expected}\n{found:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_order() {
    let text = WHOLE
        .replace("epoch = 3", "epoch = -3")
        .replace("\"X25519\"]", "\"ROT13\"]")
        .replace("2027-12-31", "2040-12-31")
        .replace("keep_hybrids", "spare_hybrids");
    let found = problems(&text);
    let places: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["2:9", "8:29", "17:13", "21:1"], "{found:#?}");
}

/// A profile of which a document's own bans and sunsets leave nothing.
#[test]
fn a_profile_that_its_own_document_empties_is_refused() {
    let banned = profile(&[]) + "[[ban]]\nalgorithm = \"X25519MLKEM768\"\nreason = \"drill\"\n";
    let [problem] = &problems(&banned)[..] else { panic!("one problem") };
    assert!(problem.starts_with("6:10: nothing of groups may be used by this document itself"), "{problem}");
    assert!(problem.contains("drill"), "{problem}");
    let other = banned.replace("algorithm = \"X25519MLKEM768\"", "algorithm = \"MLKEM1024\"");
    Document::parse(&other).unwrap();
    let ended = profile(&[]) + "[[sunset]]\nalgorithm = \"ML-DSA-65\"\nnot_after = 2026-11-21\n";
    assert!(problems(&ended)[0].contains("nothing of signatures"), "{:?}", problems(&ended));
}

#[test]
fn two_profiles_with_one_name_are_one_too_many() {
    let one = profile(&[]);
    let two = format!("{one}{}", one.strip_prefix(HEAD).unwrap());
    assert!(problems(&two)[0].contains("10:8: there are two profiles named plant@20261122"));
    let other = format!("{one}{}", one.strip_prefix(HEAD).unwrap().replace("20261122", "20261123"));
    assert_eq!(Document::parse(&other).unwrap().profiles.len(), 2);
}

#[test]
fn documents_have_a_limit_in_every_direction() {
    let long = format!("{HEAD}#{}", "x".repeat(DOCUMENT_BYTES_MAX));
    assert!(problems(&long)[0].contains("more than 262144 bytes"));
    let many = format!("{HEAD}{}", "[[ban]]\n".repeat(ENTRIES_MAX + 1));
    assert!(problems(&many)[0].contains("more than 128 of [[ban]]"));
    let many = format!("{HEAD}{}", "[[profile]]\n".repeat(PROFILES_MAX + 1));
    assert!(problems(&many)[0].contains("more than 32 of [[profile]]"));
    let wide = profile(&[("groups", &format!("[{}]", "\"X25519\",".repeat(65)))]);
    assert!(problems(&wide).iter().any(|problem| problem.contains("lists more than 64")));
    let wordy = profile(&[("purpose", &format!("\"{}\"", "x".repeat(513)))]);
    assert!(problems(&wordy)[0].contains("more than 512 bytes"));
    let nonsense: Vec<String> = (0..500).map(|n| format!("k{n} = {n}\n")).collect();
    assert_eq!(Document::parse(&nonsense.concat()).unwrap_err().0.len(), 100);
    let deep = format!("{HEAD}ban = {}", "[".repeat(100_000));
    assert!(!problems(&deep).is_empty());
    let foreign = profile(&[("groups", &format!("[\"{}\\u001b[2J\"]", "x".repeat(400)))]);
    let found = problems(&foreign).join("\n");
    assert!(found.len() < 400 && !found.contains('\u{1b}'), "{found}");
}

/// checklist 16: a document is the work of whoever holds the key, byte for byte.
#[test]
fn a_signature_binds_the_document_to_a_trusted_key() {
    for id in ["MLDSA65-Ed25519-SHA512", "ML-DSA-87", "Ed25519", "SLH-DSA-SHA2-128f"] {
        let key = PrivateKey::generate_algorithm(id).unwrap();
        let other = PrivateKey::generate_algorithm("Ed25519").unwrap();
        let trusted = [other.spki_der(), key.spki_der()];
        let file = sign(WHOLE.as_bytes(), &key).unwrap();
        assert!(file.len() <= SIGNATURE_FILE_BYTES_MAX);
        let signer = verify(WHOLE.as_bytes(), &file, &trusted).unwrap();
        assert_eq!((signer.algorithm.id, signer.fingerprint), (id, fingerprint(&key.spki_der())));

        let changed = WHOLE.replace("epoch = 3", "epoch = 4");
        let error = verify(changed.as_bytes(), &file, &trusted).unwrap_err();
        assert!(matches!(error, DocumentError::BadSignature { .. }), "{error}");
        let error = verify(WHOLE.as_bytes(), &file, &trusted[..1]).unwrap_err();
        assert!(matches!(error, DocumentError::NotTrusted { .. }), "{error}");
        let error = verify(WHOLE.as_bytes(), &file, &[]).unwrap_err().to_string();
        assert!(error.contains("trusted are none"), "{error}");
        // Another key under this signer's name.
        let impostor = sign(WHOLE.as_bytes(), &other).unwrap();
        let impostor = impostor.replace(&fingerprint(&other.spki_der()), &fingerprint(&key.spki_der()));
        let error = verify(WHOLE.as_bytes(), &impostor, &trusted).unwrap_err();
        assert!(matches!(error, DocumentError::BadSignature { .. }), "{error}");
    }
}

/// What a key signed for another purpose is no signature of a document.
#[test]
fn a_signature_for_another_purpose_does_not_fit() {
    let key = PrivateKey::generate_algorithm("Ed25519").unwrap();
    let file = sign(WHOLE.as_bytes(), &key).unwrap();
    let mut foreign: SignatureFile = serde_json::from_str(&file).unwrap();
    foreign.signature = STANDARD.encode(key.sign(WHOLE.as_bytes()).unwrap());
    let foreign = serde_json::to_string(&foreign).unwrap();
    let error = verify(WHOLE.as_bytes(), &foreign, &[key.spki_der()]).unwrap_err();
    assert!(matches!(error, DocumentError::BadSignature { .. }), "{error}");
}

#[test]
fn signature_files_that_are_none_say_why() {
    let key = PrivateKey::generate_algorithm("Ed25519").unwrap();
    let file = sign(WHOLE.as_bytes(), &key).unwrap();
    let table = [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid"),
        (file.replace("signature/1", "signature/2"), "its schema is"),
        (file.replace("\"signer\"", "\"author\""), "unknown field `author`"),
        (file.replace("\"signature\": \"", "\"signature\": \"?"), "no base64"),
        (" ".repeat(SIGNATURE_FILE_BYTES_MAX + 1), "more than 65536 bytes"),
    ];
    for (text, expected) in table {
        let error = verify(WHOLE.as_bytes(), &text, &[key.spki_der()]).unwrap_err();
        assert!(matches!(error, DocumentError::SignatureFile { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("lockgate crypto sign"), "{error}");
    }
}

/// checklist 16: an older document never comes back.
#[test]
fn an_older_document_never_comes_back() {
    let document = Document::parse(WHOLE).unwrap();
    let seen = document.seen();
    assert!(document.follows(None).is_ok());
    assert!(document.follows(Some(&seen)).is_ok(), "the same again, as at every start");
    let earlier = Seen { epoch: 2, sha256: "00".to_owned() };
    assert!(document.follows(Some(&earlier)).is_ok());
    let later = Seen { epoch: 4, sha256: seen.sha256.clone() };
    let error = document.follows(Some(&later)).unwrap_err();
    assert!(matches!(error, DocumentError::RolledBack { epoch: 3, last: 4 }));
    assert!(error.to_string().contains("give it an epoch above 4"), "{error}");
    let changed = Document::parse(&WHOLE.replace("hall 4", "hall 5")).unwrap();
    let error = changed.follows(Some(&seen)).unwrap_err();
    assert!(matches!(error, DocumentError::SameEpoch { epoch: 3 }));
    let written = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Seen>(&written).unwrap(), seen);
}

#[test]
fn public_keys_travel_as_pem() {
    let key = PrivateKey::generate_algorithm("MLDSA65-Ed25519-SHA512").unwrap();
    let pem = public_key_pem(&key.spki_der()).unwrap();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(public_key_from_pem(&pem).unwrap(), key.spki_der());
    assert_eq!(public_key_from_pem(&format!("\n{pem}\n\n")).unwrap(), key.spki_der());
    let other = pem.replace("PUBLIC KEY", "CERTIFICATE");
    assert!(public_key_from_pem(&other).unwrap_err().to_string().contains("CERTIFICATE"));
    assert!(public_key_from_pem("nothing").is_err());
    assert!(public_key_pem(b"nothing").is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = Document::parse(&text);
    }

    /// Whatever a change does to a good document, it is read or refused with places in it; and
    /// what is read can be defined.
    #[test]
    fn no_change_makes_it_panic(at in 0..WHOLE.len(), cut in 0usize..40, new in "[\\[\\]\"=\\-0-9a-z\n é]{0,6}") {
        let end = WHOLE.floor_char_boundary((at + cut).min(WHOLE.len()));
        let text = format!("{}{new}{}", &WHOLE[..at], &WHOLE[end.max(at)..]);
        match Document::parse(&text) {
            Ok(document) => {
                for definition in &document.profiles {
                    prop_assert!(definition.check().is_ok());
                }
            }
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                let lines = text.split('\n').count();
                for problem in errors.0 {
                    prop_assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem}");
                }
            }
        }
    }
}
