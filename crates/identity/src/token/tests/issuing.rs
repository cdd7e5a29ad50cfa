//! Issuing, and the life of the keys for it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use lockgate_crypto::{Ban, Conditions, Suite, profile};

use super::*;
use crate::IdentityError;

fn suite(alias: &str, banned: &[&str]) -> Suite {
    let ban = |id: &&str| Ban { algorithm: (*id).to_owned(), keep_hybrids: true, ..Ban::default() };
    let bans = banned.iter().map(ban).collect::<Vec<_>>().into();
    let conditions = Conditions { bans, ..Conditions::on(1, "2026-11-22".parse().unwrap()) };
    profile::find(alias).unwrap().compile_under(&conditions).unwrap()
}

fn issue(issuer: &TokenIssuer, then: SystemTime) -> String {
    issuer.issue(&grant(Confirmation::Certificate(CERTIFICATE)), then).unwrap().token.to_string()
}

#[test]
fn what_is_issued_is_verified() {
    let actors = vec![id("/agent/planner"), id("/agent/front")];
    let scope = Scope::parse("tools:read tools:write").unwrap();
    let grant = Grant {
        actors: actors.clone(),
        scope: scope.clone(),
        subject: id("/user/alice"),
        ..grant(Confirmation::Certificate(CERTIFICATE))
    };
    let issued = issuer().issue(&grant, now()).unwrap();
    let token = issuer().verifier().verify(&issued.token, &gateway(), now()).unwrap();
    assert_eq!(
        (token.actors.clone(), token.scope.clone(), token.id.clone()),
        (actors, scope, issued.id.clone())
    );
    assert_eq!((token.caller(), &token.subject), (&id("/agent/planner"), &id("/user/alice")));
    assert_eq!(token.expires_at, issued.expires_at);
    // Good for a server beneath the audience, and for none beside it.
    let crm = Resource::parse("https://gw.example.org/mcp/crm").unwrap();
    issuer().verifier().verify(&issued.token, &crm, now()).unwrap();
    let beside = Resource::parse("https://gw.example.org/mcp2").unwrap();
    assert_eq!(issuer().verifier().verify(&issued.token, &beside, now()).unwrap_err().check(), "audience");
    assert!((4_500..6_000).contains(&issued.token.len()), "{}", issued.token.len());
    assert!(!format!("{issued:?} {:?}", issuer()).contains(&issued.token[..40]));
}

#[test]
fn no_token_lives_longer_than_code_allows() {
    for (life, good) in [(59, false), (60, true), (300, true), (900, true), (901, false), (86_400, false)] {
        let grant = Grant { lifetime: seconds(life), ..grant(Confirmation::Certificate(CERTIFICATE)) };
        assert_eq!(issuer().issue(&grant, now()).is_ok(), good, "{life}");
    }
    let many = Grant {
        actors: vec![id("/agent/a"); ACTORS_MAX + 1],
        ..grant(Confirmation::Certificate(CERTIFICATE))
    };
    assert!(matches!(issuer().issue(&many, now()), Err(IdentityError::Range { .. })));
    assert!(issuer().issue_svid(&id("/agent/a"), &[], seconds(300), now()).is_err());
}

#[test]
fn a_key_that_is_replaced_is_good_for_what_it_signed() {
    let suite = suite("lattice-broken", &[]);
    let issuer = TokenIssuer::generate("https://gw.example.org", &suite, now()).unwrap();
    let old = issue(&issuer, now());
    issuer.rotate(&suite, now()).unwrap();
    let new = issue(&issuer, now());
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(kid(&old), kid(&new));
    for token in [&old, &new] {
        issuer.verifier().verify(token, &gateway(), now() + seconds(299)).unwrap();
    }
    assert_eq!(issuer.verifier().keys().keys().len(), 2);
    let published = jose::JwkSet::parse(&issuer.jwks()).unwrap();
    assert_eq!(published.keys(), issuer.verifier().keys().keys());
    // When nothing that it signed can live, it is gone.
    assert!(!issuer.follow(&suite, now() + seconds(900)).unwrap());
    assert!(issuer.follow(&suite, now() + seconds(931)).unwrap());
    assert_eq!(issuer.verifier().keys().keys().len(), 1);
    assert!(issuer.verifier().verify(&old, &gateway(), now()).unwrap_err().needs_keys());
    // And a key does not sign for ever.
    assert!(!issuer.follow(&suite, now() + seconds(29 * 86_400)).unwrap());
    assert!(issuer.follow(&suite, now() + seconds(31 * 86_400)).unwrap());
}

#[test]
fn the_keys_follow_the_profile_and_its_bans() {
    let (hybrid, broken) = (suite("pq-hybrid", &[]), suite("lattice-broken", &[]));
    let issuer = TokenIssuer::generate("https://gw.example.org", &hybrid, now()).unwrap();
    assert_eq!(issuer.algorithm().id, "ML-DSA-65");
    let lattice = issue(&issuer, now());
    // A profile that permits both: the old key verifies what it signed.
    let fips = suite("cnsa2", &[]);
    let other = TokenIssuer::generate("https://gw.example.org", &fips, now()).unwrap();
    let strong = issue(&other, now());
    assert!(other.follow(&suite("nist-fips", &[]), now()).unwrap());
    assert_eq!(other.algorithm().id, "ML-DSA-65");
    other.verifier().verify(&strong, &gateway(), now()).unwrap();
    // An emergency: what the broken algorithm signed is worth nothing from now on.
    assert!(issuer.follow(&broken, now()).unwrap());
    assert_eq!(issuer.algorithm().id, "ECDSA-P256-SHA256");
    assert!(issuer.verifier().verify(&lattice, &gateway(), now()).is_err());
    assert_eq!(issuer.verifier().keys().keys().len(), 1);
    // Nothing left: nothing is issued, and nothing is taken.
    let curve = issue(&issuer, now());
    let nothing = suite("pq-hybrid", &["ML-DSA-65", "ML-DSA-44"]);
    assert!(issuer.follow(&nothing, now()).is_err());
    assert!(issuer.issue(&grant(Confirmation::Certificate(CERTIFICATE)), now()).is_err());
    assert!(issuer.verifier().verify(&curve, &gateway(), now()).is_err());
}

#[test]
fn keys_outlive_a_restart_in_a_file_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("tokens");
    let suite = suite("lattice-broken", &[]);
    let open = || TokenIssuer::open_or_create(&folder, "https://gw.example.org", &suite, now());
    let first = open().unwrap();
    let old = issue(&first, now());
    first.rotate(&suite, now()).unwrap();
    let second = open().unwrap();
    assert_eq!(second.jwks(), first.jwks());
    second.verifier().verify(&old, &gateway(), now()).unwrap();
    let path = folder.join("token-keys.pem");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("PRIVATE KEY").count(), 2, "the private half of the old key is gone");

    for damaged in [
        text.replace("# lockgate.token-keys/1 ", "# else "),
        text.replace("\"until_s\"", "\"until\""),
        text.replacen("-----END", "-----", 1),
        text.replace("\"jwk\":{", "\"jwk\":{\"d\":\"AA\","),
        String::new(),
    ] {
        fs::write(&path, &damaged).unwrap();
        let error = open().unwrap_err();
        assert!(matches!(error, IdentityError::File { .. }), "{damaged:.80}: {error}");
    }
    use std::os::unix::fs::PermissionsExt;
    fs::write(&path, &text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(), Err(IdentityError::Permissions { .. })));
}

/// The sets of a foreign issuer are ours too: what we publish, [`ForeignIssuer`] reads.
#[test]
fn another_gateway_verifies_our_tokens_by_what_we_publish() {
    let audience = "https://other.example".to_owned();
    let issued = issuer()
        .issue_svid(&id("/agent/claude"), std::slice::from_ref(&audience), seconds(120), now())
        .unwrap();
    let mut keys = KeyCache::default();
    keys.replace(jose::JwkSet::parse(&issuer().jwks()).unwrap(), now());
    let them = ForeignIssuer::new("https://gw.example.org", &audience, vec![row("ML-DSA-65")]);
    let claims = them.verify(&issued.token, &keys, now()).unwrap();
    assert_eq!(claims.subject, "spiffe://example.org/agent/claude");
    assert_eq!(claims.id.as_deref(), Some(issued.id.as_str()));
}
