//! Attestation by a one-time invite, bound to the key that redeemed it.
//!
//! An invite works once. The key that redeemed it may come again with it: a machine that was off for longer than its
//! certificate lived needs nobody to invite it anew, and whoever finds the used code later has nothing without that key.

use std::sync::Arc;
use std::time::SystemTime;

use lockgate_identity::invite::{self, Invite, Secret};
use lockgate_identity::{IdentityError, SpiffeId};
use lockgate_store::Store;

use super::{Attested, Attestor, Evidence, Judged, Kind};
use crate::AuthorityError;

/// The part of the store that holds invites, by the hash of their secret.
pub const INVITES: &str = "invites";

/// Whether an agent, or the key with this fingerprint, is revoked.
pub type Revoked = dyn Fn(&SpiffeId, &str) -> bool + Send + Sync;

/// Attests holders of invites.
#[derive(Clone)]
pub struct Invites {
    store: Store,
    revoked: Arc<Revoked>,
}

impl Invites {
    /// Over a store, with the question whether somebody is revoked.
    pub fn new(store: Store, revoked: Arc<Revoked>) -> Self {
        Self { store, revoked }
    }

    /// Redeems an invite for a key, or lets the key that did so in again. Blocks on the store.
    ///
    /// # Errors
    /// [`AuthorityError::Identity`] with [`IdentityError::InviteUnknown`], [`IdentityError::InviteUsed`] or
    /// [`IdentityError::InviteExpired`]; [`AuthorityError::Revoked`]; [`AuthorityError::Store`].
    pub fn redeem(&self, secret: &str, key: &str, now: SystemTime) -> Result<Invite, AuthorityError> {
        let secret = Secret::parse(secret)?;
        let at = secret.hash();
        let stored: Option<Invite> = self.store.get_json(INVITES, &at)?;
        if let Some(known) = stored.as_ref().filter(|known| known.is_held_by(&secret, key)) {
            return self.not_revoked(known, key).map(|()| known.clone());
        }
        let mut used = invite::redeem(stored.as_ref(), &secret, now)?;
        self.not_revoked(&used, key)?;
        used.key = Some(key.to_owned());
        if !self.store.compare_and_swap_json(INVITES, &at, stored.as_ref(), Some(&used))? {
            return Err(IdentityError::InviteUsed { used_at: "a moment ago".to_owned() }.into());
        }
        Ok(used)
    }

    /// Binds the invite of a key to the next key of the same agent: it was renewed.
    ///
    /// # Errors
    /// [`AuthorityError::Store`]; the old key then stays the one that may come again.
    pub fn renewed(&self, id: &SpiffeId, old: &str, new: &str) -> Result<(), AuthorityError> {
        for (at, held) in self.store.list_json::<Invite>(INVITES, "")? {
            if held.id == *id && held.key.as_deref() == Some(old) {
                let next = Invite { key: Some(new.to_owned()), ..held.clone() };
                self.store.compare_and_swap_json(INVITES, &at, Some(&held), Some(&next))?;
            }
        }
        Ok(())
    }

    fn not_revoked(&self, invite: &Invite, key: &str) -> Result<(), AuthorityError> {
        match (self.revoked)(&invite.id, key) {
            true => Err(AuthorityError::Revoked { id: invite.id.to_string() }),
            false => Ok(()),
        }
    }
}

impl Attestor for Invites {
    fn kind(&self) -> Kind {
        Kind::Invite
    }

    fn attest<'a>(&'a self, evidence: Evidence<'a>) -> Judged<'a> {
        Box::pin(async move {
            let Evidence::Invite { secret, key } = evidence else {
                return Err(evidence.not_for(Kind::Invite));
            };
            let invite = self.redeem(secret, key, SystemTime::now())?;
            let mut attested = Attested::new(Kind::Invite, format!("the invite of {}", invite.name));
            attested.add("invite:name", &invite.name);
            attested.add("invite:key", key);
            Ok(attested)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use lockgate_identity::Authority;

    use super::*;

    fn minted() -> (Store, Invites, String) {
        let suite = lockgate_crypto::profile::find("pq-kex").unwrap().identities();
        let authority = Authority::generate("example.org", &suite[..1], SystemTime::now()).unwrap();
        let (code, invite) =
            Invite::mint(&authority.bundle(), "ann", "https://x", invite::LIFETIME, SystemTime::now())
                .unwrap();
        let store = Store::in_memory().unwrap();
        store.put_json(INVITES, &invite.secret_sha256, &invite).unwrap();
        let invites =
            Invites::new(store.clone(), Arc::new(|id, key| id.path().ends_with("/bad") || key == "stolen"));
        (store, invites, code.secret.reveal().to_string())
    }

    #[test]
    fn the_key_that_redeemed_it_may_come_again_and_no_other() {
        let (_, invites, secret) = minted();
        let now = SystemTime::now();
        let first = invites.redeem(&secret, "key-1", now).unwrap();
        assert_eq!(first.id.path(), "/agent/ann");
        let much_later = now + Duration::from_secs(3 * 24 * 3600);
        assert_eq!(invites.redeem(&secret, "key-1", much_later).unwrap(), first);
        let error = invites.redeem(&secret, "key-2", now).unwrap_err().to_string();
        assert!(error.contains("was used"), "{error}");
    }

    #[test]
    fn a_renewal_hands_the_invite_to_the_next_key() {
        let (_, invites, secret) = minted();
        let now = SystemTime::now();
        let id = invites.redeem(&secret, "key-1", now).unwrap().id;
        invites.renewed(&id, "key-1", "key-2").unwrap();
        invites.redeem(&secret, "key-2", now).unwrap();
        assert!(invites.redeem(&secret, "key-1", now).is_err());
        // Another key of the same agent, from another invite, takes nothing over.
        invites.renewed(&id, "key-9", "key-3").unwrap();
        assert!(invites.redeem(&secret, "key-3", now).is_err());
    }

    #[test]
    fn a_revoked_key_spends_nothing_and_does_not_come_again() {
        let (store, invites, secret) = minted();
        let now = SystemTime::now();
        assert!(matches!(invites.redeem(&secret, "stolen", now), Err(AuthorityError::Revoked { .. })));
        let kept: Vec<(String, Invite)> = store.list_json(INVITES, "").unwrap();
        assert_eq!(kept[0].1.used_at_s, None, "the invite was not spent");
        invites.redeem(&secret, "key-1", now).unwrap();
        let everybody = Invites::new(store, Arc::new(|_, _| true));
        assert!(matches!(everybody.redeem(&secret, "key-1", now), Err(AuthorityError::Revoked { .. })));
    }

    #[test]
    fn an_expired_invite_and_a_damaged_secret_are_refused() {
        let (_, invites, secret) = minted();
        let late = SystemTime::now() + invite::LIFETIME + Duration::from_secs(1);
        for (secret, now, says) in [
            (secret.as_str(), late, "expired"),
            ("", late, "damaged"),
            (&secret[1..], late, "damaged"),
            (&"A".repeat(43), late, "unknown"),
        ] {
            let error = invites.redeem(secret, "key", now).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
