//! What profiles promise, and what is none.

use std::collections::HashSet;

use super::*;
use crate::catalog::Kind;

#[test]
fn names_are_found_and_unknown_ones_list_the_known() {
    for profile in all() {
        assert_eq!(find(profile.name).unwrap(), profile);
        assert_eq!(find(profile.alias).unwrap().alias, profile.alias);
        assert!(profile.name.starts_with(&format!("{}@", profile.alias)));
    }
    let names: HashSet<_> = all().iter().map(|profile| profile.name).collect();
    assert_eq!(names.len(), all().len());
    assert_eq!(default().alias, "pq-hybrid");
    let error = find("pq-wishful").unwrap_err().to_string();
    assert!(error.contains("pq-wishful"), "{error}");
    assert!(error.contains("pq-hybrid, pq-hybrid@20261122, pq-kex"), "{error}");
}

#[test]
fn every_id_is_a_usable_row_of_its_kind_and_listed_once() {
    for profile in all() {
        let lists = [
            (Kind::Group, profile.groups),
            (Kind::Signature, profile.signatures),
            (Kind::Cipher, profile.ciphers),
        ];
        for (kind, ids) in lists {
            assert!(!ids.is_empty(), "{}", profile.name);
            assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
            for id in ids {
                let row = catalog::find(id).unwrap_or_else(|| panic!("no row {id}"));
                assert_eq!(row.kind, kind, "{id}");
                assert!(row.is_usable(), "{id}");
            }
        }
    }
}

#[test]
fn quantum_safe_comes_first() {
    for profile in all() {
        let safe = |id: &&str| catalog::find(id).unwrap().is_quantum_safe();
        assert!(profile.groups.iter().map(safe).rev().is_sorted(), "{}", profile.name);
        assert!(profile.signatures.iter().map(safe).rev().is_sorted(), "{}", profile.name);
    }
}

#[test]
fn profiles_permit_what_they_promise() {
    // Whether a traditional group, and whether a traditional signature, is permitted.
    let table = [
        ("pq-hybrid", false, false),
        ("pq-kex", false, true),
        ("pq-transition", true, true),
        ("bsi-hybrid", false, false),
        ("cnsa2-transition", false, false),
        ("cnsa2", false, false),
        ("nist-fips", false, true),
        ("low-latency", false, false),
        ("lattice-broken", true, true),
        ("classical-broken", false, false),
    ];
    assert_eq!(table.len(), all().len());
    for (name, groups, signatures) in table {
        let profile = find(name).unwrap();
        let traditional = |id: &&str| !catalog::find(id).unwrap().is_quantum_safe();
        assert_eq!(profile.groups.iter().any(traditional), groups, "{name}");
        assert_eq!(profile.signatures.iter().any(traditional), signatures, "{name}");
    }
    let rests_on_lattices = |id: &&str| id.contains("ML-DSA") || id.contains("ML");
    let emergency = find("lattice-broken").unwrap();
    assert!(!emergency.groups.iter().chain(emergency.signatures).any(rests_on_lattices));
}

fn lab() -> Definition {
    Definition {
        name: "lab@20261122".to_owned(),
        groups: vec!["X25519".to_owned(), "X25519MLKEM1024".to_owned()],
        signatures: vec!["ML-DSA-65".to_owned()],
        ciphers: vec!["TLS_AES_256_GCM_SHA384".to_owned()],
        ..Definition::default()
    }
}

/// A new combination is data: no code, no build, no restart.
#[test]
fn a_profile_can_be_defined_while_running_checklist_03() {
    let profile = Profile::define(lab()).unwrap();
    assert!(std::ptr::eq(profile, Profile::define(lab()).unwrap()));
    assert_eq!((profile.alias, profile.groups), ("lab", &["X25519MLKEM1024", "X25519"][..]));
    let profiles = Profiles::with(vec![profile]);
    assert_eq!(profiles.find("lab").unwrap(), profile);
    assert_eq!(profiles.all().len(), all().len() + 1);
    assert_eq!(profile.compile(3).unwrap().groups()[0].id, "X25519MLKEM1024");
}

#[test]
fn bad_definitions_say_what_is_wrong() {
    let list = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let table = [
        (Definition { name: "lab".to_owned(), ..lab() }, "like lab-hybrid@20261122"),
        (Definition { groups: Vec::new(), ..lab() }, "groups is empty"),
        (Definition { groups: list(&["ROT13"]), ..lab() }, "no such algorithm"),
        (Definition { groups: list(&["HQC-192"]), ..lab() }, "no implementation"),
        (Definition { groups: list(&["X25519", "X25519"]), ..lab() }, "listed twice"),
        (Definition { signatures: list(&["X25519"]), ..lab() }, "another kind"),
        (Definition { ciphers: list(&["AES-256-GCM-SIV"]), ..lab() }, "for TLS"),
        (Definition { not_after: Some("2030-13-01".to_owned()), ..lab() }, "is no date"),
        (
            Definition { providers: [("X25519".to_owned(), "tin".to_owned())].into(), ..lab() },
            "no provider tin",
        ),
    ];
    for (definition, says) in table {
        let error = Profile::define(definition).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
