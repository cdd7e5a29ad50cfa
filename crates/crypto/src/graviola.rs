//! Key exchange by a second library, so that a flaw in the first one is answered by a choice
//! in a profile instead of a release.
//!
//! Graviola shares no code with AWS-LC. It runs on `x86_64` and `aarch64` processors that have
//! the instructions it is written in; elsewhere there is no second implementation and a profile
//! that asks for one does not compile.

use rustls::crypto::SupportedKxGroup;

/// Graviola's implementation of the group with this catalog id; `None` if it has none, or if
/// this processor cannot run it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn group(id: &str) -> Option<&'static dyn SupportedKxGroup> {
    use rustls_graviola::kx;
    // It panics on a processor that lacks an instruction.
    if !graviola::util::is_cpu_supported() {
        return None;
    }
    match id {
        "X25519MLKEM768" => Some(kx::X25519MLKEM768),
        "X25519" => Some(&kx::X25519),
        "secp256r1" => Some(&kx::P256),
        "secp384r1" => Some(&kx::P384),
        _ => None,
    }
}

/// There is no second implementation for this architecture.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn group(_id: &str) -> Option<&'static dyn SupportedKxGroup> {
    None
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use rustls::crypto::aws_lc_rs::kx_group;

    use super::*;

    /// Each group here beside the same group of the first library.
    const PAIRS: [(&str, &dyn SupportedKxGroup); 4] = [
        ("X25519MLKEM768", kx_group::X25519MLKEM768),
        ("X25519", kx_group::X25519),
        ("secp256r1", kx_group::SECP256R1),
        ("secp384r1", kx_group::SECP384R1),
    ];

    /// Both ends of an exchange, and whether they agree on the secret.
    fn agree(client: &dyn SupportedKxGroup, server: &dyn SupportedKxGroup) -> bool {
        let begun = client.start().unwrap();
        let done = server.start_and_complete(begun.pub_key()).unwrap();
        assert_eq!(done.group, client.name());
        begun.complete(&done.pub_key).unwrap().secret_bytes() == done.secret.secret_bytes()
    }

    /// checklist 12: two libraries for one group, each at either end.
    #[test]
    fn the_second_library_and_the_first_agree_in_both_roles() {
        for (id, first) in PAIRS {
            let Some(second) = group(id) else {
                assert!(!graviola::util::is_cpu_supported());
                eprintln!("skipped: this processor cannot run the second library");
                return;
            };
            assert_eq!(second.name(), first.name(), "{id}");
            assert!(agree(first, second), "{id}: first library dials second");
            assert!(agree(second, first), "{id}: second library dials first");
            assert!(agree(second, second), "{id}: second library with itself");
        }
    }

    #[test]
    fn shares_that_are_no_shares_are_refused_by_both() {
        for (id, first) in PAIRS {
            let Some(second) = group(id) else { return };
            let share_bytes = first.start().unwrap().pub_key().len();
            for share in [vec![], vec![0; share_bytes - 1], vec![0xff; share_bytes], vec![4; share_bytes + 1]]
            {
                for group in [first, second] {
                    let refused = group.start_and_complete(&share).is_err();
                    // Any 32 bytes are a point of X25519 (RFC 7748 section 5).
                    assert!(refused || id == "X25519" && share.len() == 32, "{id}: {} bytes", share.len());
                }
            }
        }
    }

    #[test]
    fn what_the_second_library_lacks_is_not_made_up() {
        for id in ["SecP384r1MLKEM1024", "MLKEM1024", "ROT13", ""] {
            assert!(group(id).is_none(), "{id}");
        }
    }
}
