//! Registrations: what proven facts entitle to.

use std::collections::BTreeSet;
use std::time::Duration;

use lockgate_crypto::Algorithm;
use lockgate_crypto::catalog::Nature;
use lockgate_identity::token::Scope;
use lockgate_identity::{
    LEAF_LIFETIME_MAX, LEAF_LIFETIME_MIN, ROLE_NAME_BYTES_MAX, Role, SpiffeId, is_role_name,
};

use crate::selector::{Pattern, Selector};
use crate::{AuthorityError, Evidence, Kind};

/// Shortest life of a credential.
pub const LIFE_MIN: Duration = LEAF_LIFETIME_MIN;
/// Longest life of a credential, whatever the configuration says.
pub const LIFE_MAX: Duration = LEAF_LIFETIME_MAX;
/// Most registrations: each attestation looks at all of them.
pub const REGISTRATIONS_MAX: usize = 10_000;
/// Most selectors in one: more is no rule that a person can read.
const SELECTORS_MAX: usize = 32;
/// Most roles of one agent.
const ROLES_MAX: usize = 32;

/// Of which algorithms the X.509-SVIDs of an agent are made: who reads them decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SvidKind {
    /// What libraries without post-quantum code can read.
    #[default]
    Stock,
    /// A standard post-quantum algorithm.
    PostQuantum,
    /// A composite of both, which few besides Lockgate can read.
    Hybrid,
}

impl SvidKind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            SvidKind::Stock => "stock",
            SvidKind::PostQuantum => "post_quantum",
            SvidKind::Hybrid => "hybrid",
        }
    }

    /// Whether SVIDs of this kind are made of an algorithm.
    pub fn is_made_of(self, algorithm: &Algorithm) -> bool {
        algorithm.nature
            == match self {
                SvidKind::Stock => Nature::Traditional,
                SvidKind::PostQuantum => Nature::PostQuantum,
                SvidKind::Hybrid => Nature::Hybrid,
            }
    }

    /// The first algorithm of this kind among those in force.
    ///
    /// # Errors
    /// [`AuthorityError::Algorithm`] if there is none; never one of another kind.
    pub fn choose(
        self,
        id: &SpiffeId,
        in_force: &[&'static Algorithm],
    ) -> Result<&'static Algorithm, AuthorityError> {
        let found = in_force.iter().copied().find(|algorithm| self.is_made_of(algorithm));
        found.ok_or_else(|| AuthorityError::Algorithm {
            id: id.to_string(),
            wanted: self.name(),
            hint: match self {
                SvidKind::Stock => {
                    "give its [[register]] svid = \"post_quantum\", or a listener a profile with traditional signatures"
                }
                SvidKind::PostQuantum | SvidKind::Hybrid => {
                    "give its [[register]] another svid, or a listener a profile with such signatures"
                }
            },
        })
    }
}

/// What proven facts entitle to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// All of them must hold; at least one.
    pub selectors: Vec<Pattern>,
    /// The agent's id, in our trust domain.
    pub id: SpiffeId,
    /// The roles that policy knows it in.
    pub roles: Vec<String>,
    /// The most that its tokens may be used for; `None` sets no limit.
    pub scope: Option<Scope>,
    /// Life of its certificates, [`LIFE_MIN`] to [`LIFE_MAX`].
    pub life: Duration,
    /// What its X.509-SVIDs are made of.
    pub svid: SvidKind,
}

impl Registration {
    fn check(&self) -> Result<(), AuthorityError> {
        let fail = |reason: String| Err(AuthorityError::Registration { id: self.id.to_string(), reason });
        if self.selectors.is_empty() || self.selectors.len() > SELECTORS_MAX {
            return fail(format!(
                "it needs 1 to {SELECTORS_MAX} selectors: without any it would be everybody's"
            ));
        }
        if self.id.role() != Some(Role::Agent) {
            return fail("nodes are not registered; an agent's id does not lie under /node/".to_owned());
        }
        if !(LIFE_MIN..=LIFE_MAX).contains(&self.life) {
            let (min, max) = (LIFE_MIN.as_secs(), LIFE_MAX.as_secs());
            return fail(format!("its life must be {min} s to {} h", max / 3600));
        }
        if self.roles.len() > ROLES_MAX {
            return fail(format!("it has more than {ROLES_MAX} roles"));
        }
        if let Some(role) = self.roles.iter().find(|role| !is_role_name(role)) {
            return fail(format!(
                "{role:?} is no role: write up to {ROLE_NAME_BYTES_MAX} letters, digits, - and _"
            ));
        }
        Ok(())
    }

    fn covers(&self, proven: &BTreeSet<Selector>) -> bool {
        self.selectors.iter().all(|pattern| proven.iter().any(|selector| pattern.holds_for(selector)))
    }
}

/// All registrations, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations(Vec<Registration>);

impl Registrations {
    /// Takes them in.
    ///
    /// # Errors
    /// [`AuthorityError::Registration`] for the first that cannot be.
    pub fn new(registrations: Vec<Registration>) -> Result<Self, AuthorityError> {
        if let Some(over) = registrations.get(REGISTRATIONS_MAX) {
            let reason = format!("it is one of more than {REGISTRATIONS_MAX} registrations");
            return Err(AuthorityError::Registration { id: over.id.to_string(), reason });
        }
        registrations.iter().try_for_each(Registration::check)?;
        Ok(Self(registrations))
    }

    /// Those that cover what was proven, in their order.
    pub fn covering<'a>(
        &'a self,
        proven: &'a BTreeSet<Selector>,
    ) -> impl Iterator<Item = &'a Registration> + 'a {
        self.0.iter().filter(move |registration| registration.covers(proven))
    }

    /// The first that covers what was proven.
    pub fn first(&self, proven: &BTreeSet<Selector>) -> Option<&Registration> {
        self.0.iter().find(|registration| registration.covers(proven))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.0.iter()
    }
}

impl Evidence<'_> {
    /// What is offered, for messages.
    pub(crate) fn offered(&self) -> &'static str {
        match self {
            Evidence::Invite { .. } => "an invite",
            Evidence::Process(_) => "a process at a socket",
            Evidence::Token(_) => "a token",
        }
    }

    /// The error of an attestor that was given another's evidence.
    pub(crate) fn not_for(&self, by: Kind) -> AuthorityError {
        AuthorityError::refused(
            by,
            "kind of evidence",
            format!("{} is nothing that it judges", self.offered()),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn registration(selectors: &[&str], id: &str) -> Registration {
        Registration {
            selectors: selectors.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            id: SpiffeId::parse(id).unwrap(),
            roles: vec!["billing".to_owned()],
            scope: None,
            life: lockgate_identity::AGENT_LIFETIME,
            svid: SvidKind::Stock,
        }
    }

    fn proven(facts: &[(&str, &str)]) -> BTreeSet<Selector> {
        facts.iter().map(|(fact, value)| Selector::new(fact, value).unwrap()).collect()
    }

    #[test]
    fn all_selectors_must_hold() {
        let all = Registrations::new(vec![
            registration(&["unix:uid:1000", "unix:path:/opt/bill"], "spiffe://d/agent/billing"),
            registration(&["unix:uid:1000"], "spiffe://d/agent/user"),
        ])
        .unwrap();
        let ids = |facts: &[(&str, &str)]| {
            let proven = proven(facts);
            all.covering(&proven).map(|found| found.id.path().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            ids(&[("unix:uid", "1000"), ("unix:path", "/opt/bill")]),
            ["/agent/billing", "/agent/user"]
        );
        assert_eq!(ids(&[("unix:uid", "1000")]), ["/agent/user"]);
        assert_eq!(ids(&[("unix:path", "/opt/bill")]), [""; 0]);
        // The same number of another kind of fact proves nothing.
        assert_eq!(ids(&[("unix:gid", "1000")]), [""; 0]);
        assert_eq!(ids(&[]), [""; 0]);
    }

    #[test]
    fn what_cannot_be_registered_says_why() {
        let good = registration(&["unix:uid:1"], "spiffe://d/agent/a");
        for (bad, reason) in [
            (Registration { selectors: Vec::new(), ..good.clone() }, "everybody's"),
            (registration(&["unix:uid:1"], "spiffe://d/node/a"), "under /node/"),
            (registration(&["unix:uid:1"], "spiffe://d"), "under /node/"),
            (Registration { life: Duration::from_secs(59), ..good.clone() }, "60 s to 24 h"),
            (Registration { life: LIFE_MAX + Duration::from_secs(1), ..good.clone() }, "60 s to 24 h"),
            (Registration { roles: vec!["admin.all".to_owned()], ..good.clone() }, "no role"),
            (Registration { roles: vec!["a".to_owned(); 33], ..good.clone() }, "32 roles"),
        ] {
            let error = Registrations::new(vec![good.clone(), bad]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn an_svid_is_never_of_another_kind_than_asked_for() {
        let id = SpiffeId::parse("spiffe://d/agent/a").unwrap();
        let of = |profile: &str| lockgate_crypto::profile::find(profile).unwrap().identities();
        for (profile, kind, found) in [
            ("pq-kex", SvidKind::Stock, true),
            ("pq-kex", SvidKind::PostQuantum, true),
            ("pq-kex", SvidKind::Hybrid, true),
            ("pq-hybrid", SvidKind::Stock, false),
            ("pq-hybrid", SvidKind::PostQuantum, true),
            ("bsi-hybrid", SvidKind::PostQuantum, false),
        ] {
            let chosen = kind.choose(&id, &of(profile));
            assert_eq!(chosen.is_ok(), found, "{profile} {}", kind.name());
            if let Err(error) = chosen {
                assert!(error.to_string().contains(kind.name()), "{error}");
            }
        }
    }
}
