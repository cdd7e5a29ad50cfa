//! What is on the disk, and what is done when it is not as it should be.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{IdentityError, Leaf, TrustBundle};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn an_authority_is_the_same_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    assert!(Authority::open(&dir).unwrap().is_none());
    let first = Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap();
    let second = Authority::open_or_create(&dir, "example.org", &all(), now() + DAY).unwrap();
    assert_eq!(first.bundle(), second.bundle());
    assert_eq!(first.bundle().fingerprint().len(), 64);
    let agent = agent(&second, composite());
    assert_eq!(agent.bundle, first.bundle());

    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("roots.pem")), 0o600);
    let public = Authority::bundle_path(&dir);
    assert_eq!(mode(&public), 0o644);
    let text = fs::read_to_string(&public).unwrap();
    assert!(!text.contains("PRIVATE"));
    assert_eq!(TrustBundle::from_pem(&text).unwrap(), first.bundle());

    fs::remove_file(&public).unwrap();
    Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap();
    assert_eq!(fs::read_to_string(&public).unwrap(), text, "it comes back");
}

#[test]
fn two_processes_that_start_at_once_share_one_authority() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    let fingerprints: Vec<_> = std::thread::scope(|scope| {
        let start = || {
            let authority = Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap();
            authority.bundle().fingerprint().to_owned()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(fingerprints.iter().all(|found| *found == fingerprints[0]));
}

#[test]
fn authorities_that_cannot_be_used_say_why() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap();
    let error = |expected: &str| {
        let error = Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };

    let other = Authority::open_or_create(&dir, "example.net", &all(), now()).unwrap_err();
    assert!(matches!(other, IdentityError::TrustDomain { .. }), "{other}");

    let keys = dir.join("roots.pem");
    set_mode(&keys, 0o640);
    error(&format!("chmod 600 {}", keys.display()));
    set_mode(&keys, 0o600);

    let good = fs::read_to_string(&keys).unwrap();
    let public = good.find("-----BEGIN CERTIFICATE").unwrap();
    fs::write(&keys, &good[public..]).unwrap();
    error("the private key of the");
    let one_key = good.find("-----END PRIVATE KEY-----\n").unwrap() + 26;
    fs::write(&keys, [&good[..one_key], &good[public..]].concat()).unwrap();
    error("root is missing");
    fs::write(&keys, "nonsense").unwrap();
    error("roots.pem");
    let foreign = theirs().to_pem();
    fs::write(&keys, [&good[..public], &foreign].concat()).unwrap();
    error("do not belong together");
    fs::write(&keys, good).unwrap();
    Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap();
}

#[test]
fn an_agent_keeps_its_identity_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("agent");
    assert!(AgentIdentity::load(&dir).unwrap().is_none());
    for algorithm in all() {
        let agent = agent(authority(), algorithm);
        agent.save(&dir).unwrap();
        let loaded = AgentIdentity::load(&dir).unwrap().unwrap();
        assert_eq!(loaded.id, agent.id);
        assert_eq!(loaded.bundle, agent.bundle);
        assert_eq!(loaded.leaf.certificate(), agent.leaf.certificate());
        assert_eq!(loaded.leaf.algorithm, algorithm);
        assert_eq!(loaded.leaf.not_after(), agent.leaf.not_after());
    }
    let secret = dir.join("identity.pem");
    assert_eq!((mode(&dir), mode(&secret)), (0o700, 0o600));

    set_mode(&secret, 0o604);
    let error = AgentIdentity::load(&dir).unwrap_err();
    assert!(matches!(error, IdentityError::Permissions { .. }), "{error}");
    set_mode(&secret, 0o600);
    // As an earlier version wrote it.
    let (agent, bundle) = (agent(authority(), all()[0]), dir.join("authority.pem"));
    fs::write(&secret, agent.leaf.to_pem()).unwrap();
    fs::write(&bundle, agent.bundle.to_pem()).unwrap();
    assert_eq!(AgentIdentity::load(&dir).unwrap().unwrap().bundle, agent.bundle);
    fs::write(&bundle, theirs().to_pem()).unwrap();
    let error = AgentIdentity::load(&dir).unwrap_err().to_string();
    assert!(error.contains("identity.pem") && error.contains("not issued by"), "{error}");
}

/// The roots and the certificate changed together; whoever stops the process between two writes finds them so.
#[test]
fn an_identity_is_of_one_moment_wherever_its_writing_stops() {
    let root = tempfile::tempdir().unwrap();
    let (dir, algorithm) = (root.path().join("agent"), all()[0]);
    let (before, after) = (Authority::generate("example.org", &all(), now()).unwrap(), authority());
    agent(&before, algorithm).save(&dir).unwrap();
    let old = fs::read(dir.join("authority.pem")).unwrap();
    let next = agent(after, algorithm);
    next.save(&dir).unwrap();
    fs::write(dir.join("authority.pem"), old).unwrap();
    let loaded = AgentIdentity::load(&dir).unwrap().unwrap();
    assert_eq!((loaded.bundle, loaded.leaf.certificate()), (next.bundle.clone(), next.leaf.certificate()));
    fs::remove_file(dir.join("authority.pem")).unwrap();
    assert!(AgentIdentity::load(&dir).unwrap().is_some());
    // Half of it is no identity.
    let secret = dir.join("identity.pem");
    let whole = fs::read(&secret).unwrap();
    fs::write(&secret, &whole[..whole.len() - 100]).unwrap();
    assert!(AgentIdentity::load(&dir).is_err());
}

#[test]
fn a_configured_certificate_is_read_with_its_key() {
    let root = tempfile::tempdir().unwrap();
    let (certificate, secret) = (root.path().join("cert.pem"), root.path().join("key.pem"));
    let nodes = node(authority());
    for leaf in &nodes.leaves {
        fs::write(&certificate, leaf.certificate_pem()).unwrap();
        fs::write(&secret, leaf.to_pem()).unwrap();
        set_mode(&secret, 0o600);
        let read = Leaf::from_pem_files(&certificate, &secret).unwrap();
        assert_eq!(read.chain, leaf.chain);
        assert_eq!(read.algorithm, leaf.algorithm);
    }
    fs::write(&certificate, nodes.leaves[0].certificate_pem()).unwrap();
    let error = Leaf::from_pem_files(&certificate, &secret).unwrap_err().to_string();
    assert!(error.contains("do not belong together"), "{error}");
    let error = Leaf::from_pem_files(&certificate, &certificate).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    fs::write(&secret, "nothing").unwrap();
    let error = Leaf::from_pem_files(&certificate, &secret).unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("PKCS#8"), "{error}");
    let error = Leaf::from_pem_files(&root.path().join("none"), &secret).unwrap_err();
    assert!(matches!(error, IdentityError::Io { .. }), "{error}");
}

#[test]
fn secrets_do_not_print() {
    let agent = agent(authority(), composite());
    for text in [
        format!("{:?}", agent),
        format!("{:?}", authority()),
        format!("{:?}", node(authority())),
        format!("{:?}", Enrolment::begin(ecdsa()).unwrap()),
    ] {
        assert!(text.contains("[redacted]"), "{text}");
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn bundles_are_checked_and_pinned() {
    let bundle = ours();
    let pem = bundle.to_pem();
    assert_eq!(bundle.trust_domain(), "example.org");
    assert_eq!(bundle.roots().len(), 3);

    // Neither order nor repetition of the roots makes another bundle.
    let mut roots: Vec<_> = bundle.roots().iter().map(|r| r.certificate().clone()).collect();
    roots.reverse();
    roots.push(roots[0].clone());
    assert_eq!(TrustBundle::new(roots.clone()).unwrap().to_pem(), pem);
    let fewer = TrustBundle::new(roots[..1].to_vec()).unwrap();
    assert_ne!(fewer.fingerprint(), bundle.fingerprint());

    TrustBundle::from_pem_pinned(&pem, &bundle.fingerprint().to_uppercase()).unwrap();
    let error = TrustBundle::from_pem_pinned(&pem, theirs().fingerprint());
    assert!(matches!(error, Err(IdentityError::PinMismatch { .. })));

    let leaf = agent(authority(), ml_dsa()).leaf.certificate_pem();
    let elsewhere = Authority::generate("example.net", &all(), now()).unwrap().bundle().to_pem();
    for (text, reason) in [
        (String::new(), "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(), "PEM"),
        (leaf, "authority"),
        ([pem.as_str(), &elsewhere].concat(), "different trust domains"),
        (pem.repeat(11), "more than 32"),
    ] {
        let error = TrustBundle::from_pem(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn an_altered_root_is_no_root() {
    for root in ours().roots() {
        let good = root.certificate().to_vec();
        for at in (0..good.len()).step_by(good.len() / 23) {
            let mut altered = good.clone();
            altered[at] ^= 1;
            assert!(TrustBundle::new(vec![altered.into()]).is_err(), "{at}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_bundle_or_an_error(text in "\\PC{0,200}", der in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(TrustBundle::from_pem(&text).is_err());
        let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der).unwrap();
        prop_assert!(TrustBundle::from_pem(&pem).is_err());
        let pem = der::pem::encode_string("CERTIFICATE REQUEST", der::pem::LineEnding::LF, &der).unwrap();
        prop_assert!(ProvenKey::from_request_pem(&pem).is_err());
    }

    /// Damage anywhere in a good bundle is refused, or was in a place that carries no meaning.
    #[test]
    fn a_damaged_bundle_never_becomes_another(at in 0usize..1000, with in any::<char>()) {
        let good = ours();
        let mut text: Vec<char> = good.to_pem().chars().collect();
        let at = at * text.len() / 1000;
        text[at] = with;
        if let Ok(bundle) = TrustBundle::from_pem(&text.into_iter().collect::<String>()) {
            for root in bundle.roots() {
                prop_assert!(good.roots().iter().any(|r| r.certificate() == root.certificate()));
            }
        }
    }
}
