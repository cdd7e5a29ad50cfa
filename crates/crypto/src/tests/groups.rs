//! Composed groups: against the library's own hybrids, against their components, and with
//! broken halves.

use rustls::crypto::SupportedKxGroup;

use crate::catalog;
use crate::group::{Hybrid, implementation};

fn library(id: &str) -> &'static dyn SupportedKxGroup {
    let row = catalog::find(id).unwrap();
    implementation(row, row.providers[0]).unwrap()
}

fn composed(id: &str) -> Hybrid {
    Hybrid::compose(catalog::find(id).unwrap()).unwrap()
}

/// Runs both roles; the client's share and the server's may be altered on the way.
fn agree(
    client: &dyn SupportedKxGroup,
    server: &dyn SupportedKxGroup,
    alter_client: impl FnOnce(&mut Vec<u8>),
    alter_server: impl FnOnce(&mut Vec<u8>),
) -> Result<bool, rustls::Error> {
    let active = client.start()?;
    let mut share = active.pub_key().to_vec();
    alter_client(&mut share);
    let completed = server.start_and_complete(&share)?;
    let mut share = completed.pub_key;
    alter_server(&mut share);
    let secret = active.complete(&share)?;
    Ok(secret.secret_bytes() == completed.secret.secret_bytes())
}

/// Our composition and the library's are two implementations of the same two groups.
#[test]
fn composition_interoperates_with_the_librarys_hybrids() {
    for id in ["X25519MLKEM768", "SecP256r1MLKEM768"] {
        let (ours, theirs) = (composed(id), library(id));
        assert_eq!(ours.name(), theirs.name());
        assert!(agree(&ours, theirs, |_| (), |_| ()).unwrap(), "{id}: we are the client");
        assert!(agree(theirs, &ours, |_| (), |_| ()).unwrap(), "{id}: we are the server");
    }
}

/// SecP384r1MLKEM1024 by hand: P-384 first in shares and secret (RFC 10024).
#[test]
fn secp384r1mlkem1024_is_p384_then_ml_kem_1024() {
    let hybrid = library("SecP384r1MLKEM1024");
    assert_eq!(u16::from(hybrid.name()), 0x11ed);
    let active = hybrid.start().unwrap();
    let (point, encapsulation_key) = active.pub_key().split_at(97);
    assert_eq!(point[0], 4, "an uncompressed point");
    assert_eq!(encapsulation_key.len(), 1568);
    let classical = library("secp384r1").start_and_complete(point).unwrap();
    let quantum_safe = library("MLKEM1024").start_and_complete(encapsulation_key).unwrap();
    let share = [classical.pub_key, quantum_safe.pub_key].concat();
    assert_eq!(share.len(), 1665);
    let secret = active.complete(&share).unwrap();
    let expected = [classical.secret.secret_bytes(), quantum_safe.secret.secret_bytes()].concat();
    assert_eq!(secret.secret_bytes(), expected);
    assert_eq!(expected.len(), 48 + 32);
}

/// A client that offers both sends the traditional share for free.
#[test]
fn the_traditional_half_can_be_completed_alone() {
    for (id, half) in [("SecP384r1MLKEM1024", "secp384r1"), ("X25519MLKEM768", "X25519")] {
        let active = composed(id).start().unwrap();
        let (name, share) = active.hybrid_component().unwrap();
        assert_eq!(name, library(half).name());
        let server = library(half).start_and_complete(share).unwrap();
        let secret = active.complete_hybrid_component(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
    }
}

/// If either half is tampered with, in either direction, there is no shared secret: an
/// error where the half is checked, and different secrets where ML-KEM rejects implicitly.
#[test]
fn tampering_with_either_half_of_a_share_fails() {
    let hybrids = ["X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"];
    for id in hybrids {
        let group = library(id);
        let share = group.start().unwrap().pub_key().len();
        for at in [1, share / 2, share - 1] {
            let flip = |share: &mut Vec<u8>| {
                let at = at.min(share.len() - 1);
                share[at] ^= 1;
            };
            let client = agree(group, group, flip, |_| ());
            assert!(!matches!(client, Ok(true)), "{id}: client share, byte {at}");
            let server = agree(group, group, |_| (), flip);
            assert!(!matches!(server, Ok(true)), "{id}: server share, byte {at}");
        }
    }
}

#[test]
fn shares_of_the_wrong_length_are_refused() {
    let group = library("SecP384r1MLKEM1024");
    for length in [0, 1, 96, 97, 1664, 1666, 4000] {
        let resize = |share: &mut Vec<u8>| share.resize(length, 0);
        assert!(agree(group, group, resize, |_| ()).is_err(), "client {length}");
        assert!(agree(group, group, |_| (), resize).is_err(), "server {length}");
    }
}

#[test]
fn a_composed_group_is_made_once() {
    let [first, second] = [(); 2].map(|()| library("SecP384r1MLKEM1024"));
    assert!(std::ptr::addr_eq(first, second));
    assert_eq!(format!("{first:?}"), "SecP384r1MLKEM1024");
}

#[test]
fn every_usable_group_has_an_implementation_of_its_code_point() {
    for row in catalog::all() {
        if row.kind == catalog::Kind::Group {
            let group = row.providers.first().and_then(|provider| implementation(row, provider));
            assert_eq!(group.is_some(), row.is_usable(), "{}", row.id);
            if let Some(group) = group {
                assert_eq!(Some(u16::from(group.name())), row.code_point);
            }
        }
    }
}
