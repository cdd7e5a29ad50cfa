//! Agents that were attested, and the roles that they got: for the data path, which asks on every link.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockgate_identity::token::Scope;
use lockgate_store::Store;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::registration::{LIFE_MAX, Registration, Registrations};
use crate::selector::Selector;
use crate::{Attested, AuthorityError};

/// The part of the store that holds what agents were attested as, by their SPIFFE id.
pub const REGISTRATIONS: &str = "registrations";

/// How long an agent is remembered after its last credential could have ended, in seconds: a day, for those who look.
const REMEMBERED_S: u64 = 24 * 3600;

/// What is remembered of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its roles.
    pub roles: Vec<String>,
    /// The most that its tokens may be used for, where its registration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Which attestor let it in.
    pub by: String,
    /// Of whom the evidence was.
    pub subject: String,
    /// What was proven.
    pub selectors: Vec<String>,
    /// When, Unix seconds.
    pub attested_at_s: u64,
}

impl Remembered {
    fn given(&self) -> Given {
        // What cannot be read limits to nothing.
        let scope = self.scope.as_deref().map(|text| Scope::parse(text).unwrap_or_default());
        Given { roles: self.roles.as_slice().into(), scope }
    }
}

/// What an agent's registration gives it.
#[derive(Clone, Default)]
struct Given {
    roles: Arc<[String]>,
    scope: Option<Scope>,
}

/// All agents that were attested. Cheap to clone.
#[derive(Clone)]
pub struct Known {
    store: Store,
    given: Arc<RwLock<HashMap<String, Given>>>,
}

impl Known {
    /// Reads what is remembered. Blocks on the store.
    ///
    /// # Errors
    /// [`AuthorityError::Store`].
    pub fn open(store: Store) -> Result<Self, AuthorityError> {
        let listed = store.list_json::<Remembered>(REGISTRATIONS, "")?;
        let given = listed.into_iter().map(|(id, known)| (id, known.given())).collect();
        Ok(Self { store, given: Arc::new(RwLock::new(given)) })
    }

    /// The roles of an agent by its registration; none for one that no registration let in.
    pub fn roles(&self, id: &str) -> Arc<[String]> {
        self.given.read().get(id).map(|given| Arc::clone(&given.roles)).unwrap_or_default()
    }

    /// The most that tokens of an agent may be used for, where its registration says so.
    pub fn scope(&self, id: &str) -> Option<Scope> {
        self.given.read().get(id).and_then(|given| given.scope.clone())
    }

    /// Everything that is remembered, by SPIFFE id. Blocks on the store.
    ///
    /// # Errors
    /// [`AuthorityError::Store`].
    pub fn list(&self) -> Result<Vec<(String, Remembered)>, AuthorityError> {
        Ok(self.store.list_json(REGISTRATIONS, "")?)
    }

    /// Remembers an agent that gets a credential. Blocks on the store.
    ///
    /// # Errors
    /// [`AuthorityError::Store`]; then nothing is to be issued.
    pub fn remember(
        &self,
        attested: &Attested,
        registration: &Registration,
        now: SystemTime,
    ) -> Result<(), AuthorityError> {
        let known = Remembered {
            roles: registration.roles.clone(),
            scope: registration.scope.as_ref().map(Scope::to_string),
            by: attested.by.name().to_owned(),
            subject: attested.subject.clone(),
            selectors: attested.selectors.iter().map(|selector| selector.as_str().to_owned()).collect(),
            attested_at_s: seconds(now),
        };
        let id = registration.id.as_str();
        self.store.put_json(REGISTRATIONS, id, &known)?;
        self.given.write().insert(id.to_owned(), known.given());
        Ok(())
    }

    /// Judges everybody again after the registrations changed: roles are those of the registration that now covers what
    /// was proven, and who is covered by none has none; likewise the scope of tokens. Also forgets who was not seen for longer than any credential
    /// lives. Blocks on the store. Answers the ids of those for whom something changed.
    ///
    /// # Errors
    /// [`AuthorityError::Store`].
    pub fn judge_again(
        &self,
        registrations: &Registrations,
        now: SystemTime,
    ) -> Result<Vec<String>, AuthorityError> {
        let mut changed = Vec::new();
        for (id, known) in self.list()? {
            if seconds(now).saturating_sub(known.attested_at_s) > LIFE_MAX.as_secs() + REMEMBERED_S {
                self.store.delete(REGISTRATIONS, &id)?;
                self.given.write().remove(&id);
                continue;
            }
            let (roles, scope) = given_now(&id, &known, registrations);
            if (&roles, &scope) != (&known.roles, &known.scope) {
                let known = Remembered { roles, scope, ..known };
                self.given.write().insert(id.clone(), known.given());
                self.store.put_json(REGISTRATIONS, &id, &known)?;
                changed.push(id);
            }
        }
        Ok(changed)
    }
}

/// The roles and the scope that registrations give an agent now.
fn given_now(id: &str, known: &Remembered, registrations: &Registrations) -> (Vec<String>, Option<String>) {
    let split = |text: &String| {
        let name = text.match_indices(':').nth(1)?.0;
        Selector::new(&text[..name], &text[name + 1..])
    };
    let proven: BTreeSet<Selector> = known.selectors.iter().filter_map(split).collect();
    let mut covering = registrations.covering(&proven);
    match covering.find(|registration| registration.id.as_str() == id) {
        Some(found) => (found.roles.clone(), found.scope.as_ref().map(Scope::to_string)),
        None => (Vec::new(), Some(String::new())),
    }
}

/// A moment in a life at which to renew: at two thirds, up to a tenth of the life earlier, so that those who started
/// together do not come back together.
pub(crate) fn renewal(life: Duration) -> Duration {
    let mut random = [0; 2];
    lockgate_crypto::random::fill(&mut random);
    let early = life / 10 * u32::from(u16::from_be_bytes(random)) / u32::from(u16::MAX);
    (life / 3 * 2).saturating_sub(early)
}

pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lockgate_identity::SpiffeId;

    use super::*;
    use crate::{Kind, Pattern, SvidKind};

    fn registration(selector: &str, roles: &[&str]) -> Registration {
        Registration {
            selectors: vec![Pattern::parse(selector).unwrap()],
            id: SpiffeId::parse("spiffe://d/agent/a").unwrap(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            scope: None,
            life: LIFE_MAX,
            svid: SvidKind::Stock,
        }
    }

    #[test]
    fn roles_survive_a_restart_and_follow_the_configuration() {
        let store = Store::in_memory().unwrap();
        let now = SystemTime::now();
        let known = Known::open(store.clone()).unwrap();
        let mut attested = Attested::new(Kind::Process, "process 7".to_owned());
        attested.add("unix:uid", "7");
        attested.add("unix:path", "/a:b");
        known.remember(&attested, &registration("unix:path:/a:b", &["billing"]), now).unwrap();
        let known = Known::open(store).unwrap();
        let id = "spiffe://d/agent/a";
        assert_eq!(*known.roles(id), ["billing".to_owned()]);
        assert!(known.roles("spiffe://d/agent/b").is_empty());

        let more = Registrations::new(vec![registration("unix:path:/a:b", &["billing", "audit"])]).unwrap();
        assert_eq!(known.judge_again(&more, now).unwrap(), [id]);
        assert_eq!(known.roles(id).len(), 2);
        assert!(known.judge_again(&more, now).unwrap().is_empty());
        let other = Registrations::new(vec![registration("unix:uid:8", &["billing"])]).unwrap();
        assert_eq!(known.judge_again(&other, now).unwrap(), [id]);
        assert!(known.roles(id).is_empty());
        let much_later = now + LIFE_MAX + Duration::from_secs(REMEMBERED_S + 1);
        known.judge_again(&more, much_later).unwrap();
        assert!(known.list().unwrap().is_empty());
    }

    #[test]
    fn the_scope_of_tokens_follows_the_configuration() {
        let store = Store::in_memory().unwrap();
        let now = SystemTime::now();
        let id = "spiffe://d/agent/a";
        let limited = |scope: Option<&str>| {
            let scope = scope.map(|text| Scope::parse(text).unwrap());
            Registration { scope, ..registration("unix:uid:7", &[]) }
        };
        let mut attested = Attested::new(Kind::Process, "process 7".to_owned());
        attested.add("unix:uid", "7");
        Known::open(store.clone()).unwrap().remember(&attested, &limited(Some("crm.read")), now).unwrap();
        let known = Known::open(store).unwrap();
        assert_eq!(known.scope(id).unwrap().to_string(), "crm.read");
        assert_eq!(known.scope("spiffe://d/agent/b"), None);
        for (scope, wanted) in [(Some(""), Some("")), (None, None), (Some("x y"), Some("x y"))] {
            let registrations = Registrations::new(vec![limited(scope)]).unwrap();
            assert_eq!(known.judge_again(&registrations, now).unwrap(), [id], "{scope:?}");
            assert_eq!(known.scope(id).map(|scope| scope.to_string()).as_deref(), wanted);
        }
        // Who is covered by nothing any more has no limit that says nothing, but one that lets nothing pass.
        known.judge_again(&Registrations::default(), now).unwrap();
        assert_eq!(known.scope(id), Some(Scope::default()));
    }

    #[test]
    fn renewals_spread_before_two_thirds() {
        let life = Duration::from_secs(3600);
        let moments: BTreeSet<Duration> = (0..100).map(|_| renewal(life)).collect();
        assert!(moments.len() > 50);
        assert!(
            moments.iter().all(|at| (Duration::from_secs(2040)..=Duration::from_secs(2400)).contains(at))
        );
    }
}
