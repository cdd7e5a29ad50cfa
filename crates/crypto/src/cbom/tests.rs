use std::collections::HashSet;

use super::*;

/// An inventory with one of everything.
fn inventory() -> Inventory {
    let posture = Posture {
        protocol: "TLSv1.3".to_owned(),
        group: "X25519MLKEM768".to_owned(),
        provider: "aws-lc".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        peer_signature: Some("MLDSA65-Ed25519-SHA512".to_owned()),
        own_signature: Some("ECDSA-P256-SHA256".to_owned()),
        resumed: false,
        hello_retry: false,
        handshake_us: 1_234,
        bytes_in: 9_000,
        bytes_out: 9_500,
        epoch: 7,
        profile: "pq-hybrid@20261122".to_owned(),
    };
    let foreign = Posture {
        group: "0x1a2b".to_owned(),
        peer_signature: None,
        protocol: "none".to_owned(),
        ..posture.clone()
    };
    let link = |id: &str, posture: &Posture| LinkFact {
        id: id.to_owned(),
        peer: "spiffe://plant.test/agent/press".to_owned(),
        place: "listener main".to_owned(),
        epoch: 7,
        opened: "2026-11-22T12:00:00Z".to_owned(),
        posture: posture.clone(),
    };
    let certificate = |role: &str, fingerprint: &str| CertificateFact {
        role: role.to_owned(),
        key_algorithm: "MLDSA65-Ed25519-SHA512".to_owned(),
        signature_algorithm: "MLDSA65-Ed25519-SHA512".to_owned(),
        subject: format!("CN={role}"),
        issuer: "CN=root".to_owned(),
        serial: "01ab".to_owned(),
        not_before: "2026-11-22T00:00:00Z".to_owned(),
        not_after: "2026-11-23T00:00:00Z".to_owned(),
        fingerprint: fingerprint.repeat(32),
    };
    let key = |name: &str, kind: KeyKind, algorithm: &str| KeyFact {
        name: name.to_owned(),
        kind,
        algorithm: algorithm.to_owned(),
        created: Some("2026-11-22T00:00:00Z".to_owned()),
        expires: None,
        fingerprint: (kind != KeyKind::SecretKey).then(|| "cd".repeat(32)),
    };
    Inventory {
        node: "spiffe://plant.test/node/gate".to_owned(),
        version: "0.1.0".to_owned(),
        timestamp: "2026-11-22T12:30:00Z".to_owned(),
        epoch: 7,
        algorithms_in_force: ["X25519MLKEM768", "SecP384r1MLKEM1024", "TLS_AES_256_GCM_SHA384", "ML-DSA-65"]
            .map(str::to_owned)
            .to_vec(),
        certificates: vec![certificate("root", "ab"), certificate("leaf", "12")],
        keys: vec![
            key("leaf", KeyKind::PrivateKey, "MLDSA65-Ed25519-SHA512"),
            key("document trust", KeyKind::PublicKey, "SLH-DSA-SHA2-128f"),
            key("seal", KeyKind::SecretKey, "AES-256-GCM-SIV"),
        ],
        links: vec![link("1", &posture), link("2", &foreign)],
    }
}

fn refs(bom: &Value) -> Vec<&str> {
    bom["components"].as_array().unwrap().iter().map(|part| part["bom-ref"].as_str().unwrap()).collect()
}

fn find<'a>(bom: &'a Value, reference: &str) -> &'a Value {
    let components = bom["components"].as_array().unwrap();
    let found = components.iter().find(|part| part["bom-ref"] == reference);
    found.unwrap_or_else(|| panic!("no {reference}"))
}

fn property<'a>(component: &'a Value, name: &str) -> Option<&'a str> {
    let properties = component["properties"].as_array().unwrap();
    let found = properties.iter().find(|property| property["name"] == format!("lockgate:{name}"));
    found.map(|property| property["value"].as_str().unwrap())
}

/// checklist 8: every link, key, certificate and algorithm is in the inventory.
#[test]
fn everything_in_use_is_listed() {
    let bom = inventory().cyclonedx();
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.7")));
    for reference in [
        "link/1",
        "link/2",
        "key/seal",
        "key/document trust",
        "protocol/tls-1.3",
        "algorithm/X25519MLKEM768",
        // A part of what is used.
        "algorithm/Ed25519",
        // Permitted, used by nothing.
        "algorithm/SecP384r1MLKEM1024",
    ] {
        find(&bom, reference);
    }
    let in_use = |id: &str| property(find(&bom, &format!("algorithm/{id}")), "in-use").unwrap() == "true";
    assert!(in_use("X25519MLKEM768") && in_use("X25519") && in_use("AES-256-GCM-SIV"));
    assert!(!in_use("SecP384r1MLKEM1024") && !in_use("MLKEM1024"));
    let link = find(&bom, "link/1");
    assert_eq!(property(link, "epoch"), Some("7"));
    assert_eq!(property(link, "provider"), Some("aws-lc"));
    assert_eq!(property(link, "quantum-safe"), Some("false"), "our own signature is traditional");
    assert_eq!(property(find(&bom, "link/2"), "peer-signature"), None);
}

#[test]
fn references_are_unique_and_lead_somewhere() {
    let bom = inventory().cyclonedx();
    let refs: Vec<_> = refs(&bom);
    let known: HashSet<_> = refs.iter().copied().chain([NODE]).collect();
    assert_eq!(known.len(), refs.len() + 1);
    for dependency in bom["dependencies"].as_array().unwrap() {
        assert!(known.contains(dependency["ref"].as_str().unwrap()));
        for reference in dependency["dependsOn"].as_array().unwrap() {
            assert!(known.contains(reference.as_str().unwrap()), "{reference}");
        }
    }
    let mut text = bom.to_string();
    while let Some(at) = text.find("\"ref\":\"") {
        text = text.split_off(at + 7);
        let reference = text.split('"').next().unwrap();
        assert!(known.contains(reference), "{reference}");
    }
}

#[test]
fn the_same_inventory_gives_the_same_document() {
    let one = inventory();
    let again: Inventory = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
    assert_eq!(one, again);
    assert_eq!(one.cyclonedx(), again.cyclonedx());
    let other = Inventory { epoch: 8, ..one.clone() };
    assert_ne!(one.cyclonedx()["serialNumber"], other.cyclonedx()["serialNumber"]);
}

#[test]
fn rows_become_what_the_schema_calls_them() {
    let of = |id: &str| {
        let component = component(catalog::find(id).unwrap(), true);
        let crypto = &component["cryptoProperties"];
        let fields = &crypto["algorithmProperties"];
        let text = |key: &str| fields[key].as_str().unwrap_or("-").to_owned();
        (
            text("primitive"),
            text("algorithmFamily"),
            text("parameterSetIdentifier"),
            text("ellipticCurve"),
            fields["nistQuantumSecurityLevel"].as_u64().unwrap(),
        )
    };
    let table = [
        ("X25519MLKEM768", "combiner", "-", "MLKEM768+X25519", "-", 3),
        ("MLKEM1024", "kem", "ML-KEM", "1024", "-", 5),
        ("X25519", "key-agree", "ECDH", "-", "other/Curve25519", 0),
        ("secp384r1", "key-agree", "ECDH", "384r1", "secg/secp384r1", 0),
        ("MLDSA65-Ed25519-SHA512", "combiner", "-", "ML-DSA-65+Ed25519", "-", 3),
        ("ML-DSA-65", "signature", "ML-DSA", "65", "-", 3),
        ("SLH-DSA-SHA2-128s", "signature", "SLH-DSA", "SHA2-128s", "-", 1),
        ("Ed25519", "signature", "EdDSA", "-", "other/Ed25519", 0),
        ("ECDSA-P256-SHA256", "signature", "ECDSA", "P256-SHA256", "nist/P-256", 0),
        ("TLS_AES_256_GCM_SHA384", "ae", "AES", "256", "-", 5),
        ("TLS_CHACHA20_POLY1305_SHA256", "ae", "ChaCha20", "-", "-", 5),
    ];
    for (id, primitive, family, parameters, curve, level) in table {
        let expected =
            (primitive.to_owned(), family.to_owned(), parameters.to_owned(), curve.to_owned(), level);
        assert_eq!(of(id), expected, "{id}");
    }
}

/// Written where a validator that others wrote can read it: `tests/python/cbom.py`.
#[test]
fn every_row_is_written_for_the_validator() {
    let all = catalog::all().iter().map(|row| row.id.to_owned()).collect();
    let bom = Inventory { algorithms_in_force: all, ..inventory() }.cyclonedx();
    for row in catalog::all() {
        find(&bom, &format!("algorithm/{}", row.id));
    }
    if let Some(path) = std::env::var_os("LOCKGATE_CBOM_OUT") {
        std::fs::write(path, serde_json::to_vec_pretty(&bom).unwrap()).unwrap();
    }
}
