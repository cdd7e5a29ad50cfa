//! The authority at work: invites, first certificates, renewals. Serves the enrolment of the data path and the admin
//! interface, which both must not open private keys themselves.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use lockgate_authority::attest::{INVITES, Invites};
use lockgate_authority::{Attested, AuthorityError, Kind, Known, Registrations, Selector};
use lockgate_identity::enrol::ProvenKey;
use lockgate_identity::invite::{Code, Invite};
use lockgate_identity::{
    Authority, IdentityError, Request, Revocations, Role, SpiffeId, Subject, TrustBundle,
};
use lockgate_proxy::oauth::Oauth;
use lockgate_proxy::wellknown::{EnrolRequest, Enrolled, Enrolment, NotEnrolled, Permitted, RenewRequest};
use lockgate_store::{Store, StoreError};
use parking_lot::RwLock;

use crate::node::TokenService;

/// Letters of an invite's hash that name it: enough to be unique among the invites of a node.
const ID_LETTERS: usize = 12;

/// Used and expired invites are remembered this long, in seconds, so that a second use is told from a wrong code.
const REMEMBERED_S: u64 = 30 * 24 * 3600;

/// The agent of this machine's own user, whom the starter policy permits.
const LOCAL_AGENT: &str = "local";

/// An authority with the invites that it gave out.
pub(crate) struct Registrar {
    authority: Arc<Authority>,
    store: Store,
    /// Base URL that invites lead to.
    endpoint: String,
    /// Life of the certificates of agents.
    lifetime: Duration,
    /// Who redeemed which invite.
    redeemed: Invites,
    registrations: RwLock<Registrations>,
    known: Known,
    revocations: Arc<Revocations>,
    /// What gives out tokens, once the node is put together.
    tokens: OnceLock<Arc<TokenService>>,
}

/// What a [`Registrar`] is made of.
pub(crate) struct Parts {
    pub(crate) authority: Authority,
    pub(crate) store: Store,
    /// Base URL that invites lead to.
    pub(crate) endpoint: String,
    /// Life of the certificates of agents whom no registration covers.
    pub(crate) lifetime: Duration,
    /// Who agents are by what they proved.
    pub(crate) registrations: Registrations,
    /// Who was attested.
    pub(crate) known: Known,
    /// Who is to stay out.
    pub(crate) revocations: Arc<Revocations>,
}

/// Why an invite was not made or found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InviteError {
    /// A name or lifetime that no invite can have.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name of the agent that this machine's user runs.
    #[error("the name \"{LOCAL_AGENT}\" belongs to this machine's own agent, whom the starter policy trusts")]
    Reserved,
    /// No invite of this id.
    #[error("there is no invite {0}")]
    Unknown(String),
}

impl Registrar {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { authority, store, endpoint, lifetime, registrations, known, revocations } = parts;
        let standing = Arc::clone(&revocations);
        let revoked = move |id: &SpiffeId, key: &str| {
            let subject = Subject { agent: id.as_str(), key: Some(key), ..Subject::default() };
            standing.check(&subject, seconds(SystemTime::now()) * 1000).is_err()
        };
        let redeemed = Invites::new(store.clone(), Arc::new(revoked));
        let registrations = RwLock::new(registrations);
        let tokens = OnceLock::new();
        let authority = Arc::new(authority);
        Self { authority, store, endpoint, lifetime, redeemed, registrations, known, revocations, tokens }
    }

    /// What gives out tokens.
    pub(crate) fn tokens(&self) -> Option<&Arc<TokenService>> {
        self.tokens.get()
    }

    /// Takes in what gives out tokens, once.
    pub(crate) fn offer(&self, tokens: Arc<TokenService>) {
        // A node is put together once.
        let _ = self.tokens.set(tokens);
    }

    /// Agents that were attested, with their roles.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// Who is to stay out.
    pub(crate) fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Takes other registrations into force, for the next invite that is redeemed.
    pub(crate) fn register(&self, registrations: Registrations) {
        if let Some(tokens) = self.tokens() {
            tokens.endpoint.register(registrations.clone());
        }
        *self.registrations.write() = registrations;
    }

    /// The public roots.
    pub(crate) fn bundle(&self) -> TrustBundle {
        self.authority.bundle()
    }

    /// The authority, for the node's own certificates.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The same, for whoever issues beside it.
    pub(crate) fn shared_authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Makes an invite and forgets those that nobody can mistake for open any more.
    pub(crate) fn invite(&self, name: &str, lifetime: Duration) -> Result<(Code, Invite), InviteError> {
        // Whoever redeemed it would be that agent, and could do what only this machine's user may.
        if name == LOCAL_AGENT {
            return Err(InviteError::Reserved);
        }
        let now = SystemTime::now();
        let (code, invite) = Invite::mint(&self.bundle(), name, &self.endpoint, lifetime, now)?;
        self.store.put_json(INVITES, &invite.secret_sha256, &invite)?;
        let forgotten = seconds(now).saturating_sub(REMEMBERED_S);
        for (key, old) in self.store.list_json::<Invite>(INVITES, "")? {
            if old.expires_at_s < forgotten {
                self.store.delete(INVITES, &key)?;
            }
        }
        Ok((code, invite))
    }

    /// The invites that are remembered, the newest first.
    pub(crate) fn invites(&self) -> Result<Vec<Invite>, InviteError> {
        let mut invites: Vec<Invite> =
            self.store.list_json(INVITES, "")?.into_iter().map(|(_, invite)| invite).collect();
        invites.sort_by_key(|invite| std::cmp::Reverse(invite.expires_at_s));
        Ok(invites)
    }

    /// Forgets an invite, used or not.
    pub(crate) fn revoke(&self, id: &str) -> Result<(), InviteError> {
        let found = self.invites()?.into_iter().find(|invite| id_of(invite) == id);
        let found = found.ok_or_else(|| InviteError::Unknown(id.to_owned()))?;
        self.store.delete(INVITES, &found.secret_sha256)?;
        Ok(())
    }

    /// This machine's own agent.
    ///
    /// # Errors
    /// A trust domain that is too long.
    pub(crate) fn local(&self) -> Result<SpiffeId, NotEnrolled> {
        let id = SpiffeId::agent(self.authority.trust_domain(), LOCAL_AGENT);
        id.map_err(|error| not_issued(&error))
    }

    /// A certificate for this machine's own agent, which has these roles.
    pub(crate) fn issue_local(
        &self,
        csr: &str,
        permitted: &Permitted,
        roles: &[String],
    ) -> Result<Enrolled, NotEnrolled> {
        self.check(csr, permitted)?;
        let id = self.local()?;
        let key = ProvenKey::from_request_pem(csr).map_err(|error| not_issued(&error))?;
        self.check_revoked(&id, &key.fingerprint(), roles).map_err(|error| unredeemed(&error))?;
        self.issue(id, csr, self.lifetime).map_err(|error| not_issued(&error))
    }

    fn issue(&self, id: SpiffeId, csr: &str, lifetime: Duration) -> Result<Enrolled, IdentityError> {
        let request = Request {
            key: ProvenKey::from_request_pem(csr)?,
            id,
            role: Role::Agent,
            dns_names: Vec::new(),
            ips: Vec::new(),
            lifetime,
        };
        let issued = self.authority.issue(&request, SystemTime::now())?;
        Ok(Enrolled {
            id: issued.id.to_string(),
            certificate: issued.to_pem(),
            authority: self.bundle().to_pem(),
            not_after_ms: seconds(issued.not_after) * 1000,
        })
    }

    fn redeem(&self, request: &EnrolRequest, permitted: &Permitted) -> Result<Enrolled, NotEnrolled> {
        // The key first: an invite is not spent on a request that cannot be answered.
        self.check(&request.csr, permitted)?;
        let key = ProvenKey::from_request_pem(&request.csr).map_err(|error| not_issued(&error))?;
        let key = key.fingerprint();
        let invite = self.redeemed.redeem(&request.secret, &key, SystemTime::now());
        let invite = invite.map_err(|error| unredeemed(&error))?;
        let (id, lifetime) = self.registered(&invite, &key).map_err(|error| unredeemed(&error))?;
        self.issue(id, &request.csr, lifetime).map_err(|error| not_issued(&error))
    }

    /// Who the holder of an invite is, and for how long at a time: by the first registration that covers it, else by the
    /// name that it was invited under.
    fn registered(&self, invite: &Invite, key: &str) -> Result<(SpiffeId, Duration), AuthorityError> {
        let facts = [Selector::new("invite:name", &invite.name), Selector::new("invite:key", key)];
        let attested = Attested {
            by: Kind::Invite,
            subject: format!("the invite of {}", invite.name),
            selectors: facts.into_iter().flatten().collect(),
            notes: Vec::new(),
            not_after: None,
        };
        let registrations = self.registrations.read();
        let Some(registration) = registrations.first(&attested.selectors) else {
            self.check_revoked(&invite.id, key, &[])?;
            return Ok((invite.id.clone(), self.lifetime));
        };
        self.check_revoked(&registration.id, key, &registration.roles)?;
        self.known.remember(&attested, registration, SystemTime::now())?;
        Ok((registration.id.clone(), registration.life))
    }

    /// Who is locked out stays so whatever invite it holds: neither its name nor its key gets a certificate.
    fn check_revoked(&self, id: &SpiffeId, key: &str, roles: &[String]) -> Result<(), AuthorityError> {
        let subject = Subject { agent: id.as_str(), key: Some(key), roles, ..Subject::default() };
        let checked = self.revocations.check(&subject, seconds(SystemTime::now()) * 1000);
        checked.map_err(|_| AuthorityError::Revoked { id: id.to_string() })
    }

    /// Life of the next certificate of an agent: that of its registration, else that of all.
    fn lifetime_of(&self, id: &SpiffeId) -> Duration {
        let registrations = self.registrations.read();
        let registered = registrations.iter().find(|registration| registration.id == *id);
        registered.map_or(self.lifetime, |registration| registration.life)
    }
}

impl Registrar {
    /// Whether a certificate can be issued for the key of a request: of an algorithm that may be used on this link, and
    /// for which there is a root. Roots are made when algorithms are put in force, never because a peer asks for one.
    fn check(&self, csr: &str, permitted: &Permitted) -> Result<(), NotEnrolled> {
        let key = ProvenKey::from_request_pem(csr).map_err(|error| not_issued(&error))?;
        permitted.check(key.algorithm())?;
        let bundle = self.bundle();
        let roots: Vec<&str> = bundle.roots().iter().map(|root| root.algorithm().id).collect();
        if roots.contains(&key.algorithm().id) {
            return Ok(());
        }
        Err(NotEnrolled {
            status: StatusCode::FORBIDDEN,
            code: "LG-I402",
            message: format!("this authority has no root for a key of {}", key.algorithm().id),
            hint: format!("make a key of one of {} and ask again", roots.join(", ")),
        })
    }
}

impl Enrolment for Registrar {
    fn oauth(&self) -> Option<Arc<dyn Oauth>> {
        self.tokens().map(|tokens| Arc::clone(tokens) as _)
    }

    fn roles(&self, agent: &str) -> Arc<[String]> {
        self.known.roles(agent)
    }

    fn authority_pem(&self) -> String {
        self.bundle().to_pem()
    }

    fn signed_bundle(&self) -> String {
        self.authority.signed_bundle().unwrap_or_else(|error| {
            // Peers go on with the bundle that they have, and ask again.
            tracing::error!(%error, "the authority's bundle could not be signed");
            String::new()
        })
    }

    fn enrol(&self, request: &EnrolRequest, permitted: &Permitted) -> Result<Enrolled, NotEnrolled> {
        self.redeem(request, permitted)
    }

    fn renew(
        &self,
        (id, key): (&SpiffeId, &str),
        request: &RenewRequest,
        permitted: &Permitted,
    ) -> Result<Enrolled, NotEnrolled> {
        self.check(&request.csr, permitted)?;
        let issued = self.issue(id.clone(), &request.csr, self.lifetime_of(id));
        let issued = issued.map_err(|error| not_issued(&error))?;
        if let Ok(next) = ProvenKey::from_request_pem(&request.csr)
            && let Err(error) = self.redeemed.renewed(id, key, &next.fingerprint())
        {
            // The certificate is good all the same; only the way back in by the used invite is that of the old key.
            tracing::warn!(%error, "an invite could not be bound to its agent's next key");
        }
        // Roots come in the signed bundle; here they would be tens of kilobytes that nobody may trust.
        Ok(Enrolled { authority: String::new(), ..issued })
    }
}

/// What an invite is called; it says nothing about its secret.
pub(crate) fn id_of(invite: &Invite) -> String {
    invite.secret_sha256.chars().take(ID_LETTERS).collect()
}

fn refused(error: &IdentityError) -> NotEnrolled {
    NotEnrolled {
        status: StatusCode::FORBIDDEN,
        code: "LG-I003",
        message: error.to_string(),
        hint: "get a new invite on the gateway's machine: lockgate identity invite --name NAME".to_owned(),
    }
}

fn unredeemed(error: &AuthorityError) -> NotEnrolled {
    match error {
        AuthorityError::Identity(error) => refused(error),
        AuthorityError::Store(error) => unstored(error),
        AuthorityError::Revoked { .. } => NotEnrolled {
            status: StatusCode::FORBIDDEN,
            code: "LG-I503",
            message: error.for_peer(),
            hint: "ask whoever runs the gateway".to_owned(),
        },
        other => NotEnrolled {
            status: StatusCode::FORBIDDEN,
            code: other.code(),
            message: other.for_peer(),
            hint: "the gateway's log says more".to_owned(),
        },
    }
}

fn not_issued(error: &IdentityError) -> NotEnrolled {
    NotEnrolled {
        status: StatusCode::BAD_REQUEST,
        code: "LG-I400",
        message: error.to_string(),
        hint: "compare the versions of both ends: lockgate --version".to_owned(),
    }
}

fn unstored(error: &StoreError) -> NotEnrolled {
    NotEnrolled {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "LG-S005",
        message: error.to_string(),
        hint: "on the gateway's machine: lockgate doctor".to_owned(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::{Algorithm, catalog};
    use lockgate_identity::enrol::Enrolment as Request;

    use super::*;

    fn algorithm(id: &str) -> &'static Algorithm {
        catalog::find(id).unwrap()
    }

    fn registrar() -> Registrar {
        let algorithms = [algorithm("ECDSA-P256-SHA256"), algorithm("ML-DSA-65")];
        let authority = Authority::generate("example.org", &algorithms, SystemTime::now()).unwrap();
        let store = Store::in_memory().unwrap();
        Registrar::new(Parts {
            authority,
            known: Known::open(store.clone()).unwrap(),
            store,
            endpoint: "https://gw:1".to_owned(),
            lifetime: lockgate_identity::AGENT_LIFETIME,
            registrations: Registrations::default(),
            revocations: Arc::default(),
        })
    }

    fn asks(secret: &str, key: &Request) -> EnrolRequest {
        EnrolRequest { secret: secret.to_owned(), csr: key.request_pem().to_owned() }
    }

    #[test]
    fn an_invite_works_once_and_survives_a_bad_request() {
        let (registrar, any) = (registrar(), Permitted::everything());
        let (code, invite) = registrar.invite("laptop", Duration::from_secs(60)).unwrap();
        let key = Request::begin(algorithm("ECDSA-P256-SHA256")).unwrap();
        let secret = code.secret.reveal().as_str().to_owned();
        let bad = EnrolRequest { secret: secret.clone(), csr: "nonsense".to_owned() };
        assert_eq!(registrar.enrol(&bad, &any).unwrap_err().code, "LG-I400");
        let good = EnrolRequest { secret, csr: key.request_pem().to_owned() };
        assert_eq!(registrar.enrol(&good, &any).unwrap().id, "spiffe://example.org/agent/laptop");
        let other = Request::begin(algorithm("ECDSA-P256-SHA256")).unwrap();
        let again = registrar.enrol(&asks(&good.secret, &other), &any).unwrap_err();
        assert_eq!((again.code, again.status), ("LG-I003", StatusCode::FORBIDDEN));
        assert!(registrar.invites().unwrap()[0].used_at_s.is_some());
        registrar.revoke(&id_of(&invite)).unwrap();
        assert!(registrar.invites().unwrap().is_empty());
        assert!(matches!(registrar.revoke("x"), Err(InviteError::Unknown(_))));
    }

    #[test]
    fn nobody_is_invited_as_the_local_agent() {
        let registrar = registrar();
        let refused = registrar.invite(LOCAL_AGENT, Duration::from_secs(60));
        assert!(matches!(refused, Err(InviteError::Reserved)));
        assert!(registrar.invites().unwrap().is_empty());
    }

    #[test]
    fn the_key_of_an_agent_comes_again_with_its_used_invite_until_it_is_revoked() {
        let (registrar, any) = (registrar(), Permitted::everything());
        let (code, invite) = registrar.invite("laptop", Duration::from_secs(60)).unwrap();
        let secret = code.secret.reveal().as_str().to_owned();
        let [first, second] = [(); 2].map(|()| Request::begin(algorithm("ML-DSA-65")).unwrap());
        registrar.enrol(&asks(&secret, &first), &any).unwrap();
        assert_eq!(registrar.enrol(&asks(&secret, &first), &any).unwrap().id, invite.id.to_string());
        // A renewal proves the old key and hands the place to the new one.
        let print = |key: &Request| ProvenKey::from_request_pem(key.request_pem()).unwrap().fingerprint();
        let renewal = RenewRequest { csr: second.request_pem().to_owned() };
        registrar.renew((&invite.id, &print(&first)), &renewal, &any).unwrap();
        assert_eq!(registrar.enrol(&asks(&secret, &first), &any).unwrap_err().code, "LG-I003");
        registrar.enrol(&asks(&secret, &second), &any).unwrap();
        let target = lockgate_identity::Target::parse(invite.id.as_str(), "example.org").unwrap();
        let revocation = lockgate_identity::Revocation::new(target, "test", "", 0);
        registrar.revocations.add(revocation).unwrap();
        assert_eq!(registrar.enrol(&asks(&secret, &second), &any).unwrap_err().code, "LG-I503");
    }

    #[test]
    fn a_registration_gives_the_holder_of_an_invite_its_roles() {
        let (registrar, any) = (registrar(), Permitted::everything());
        let registration = lockgate_authority::Registration {
            selectors: vec![lockgate_authority::Pattern::parse("invite:name:laptop").unwrap()],
            id: "spiffe://example.org/agent/desk".parse().unwrap(),
            roles: vec!["billing".to_owned()],
            scope: None,
            life: Duration::from_secs(120),
            svid: lockgate_authority::SvidKind::Stock,
        };
        registrar.register(Registrations::new(vec![registration]).unwrap());
        let (code, _) = registrar.invite("laptop", Duration::from_secs(60)).unwrap();
        let key = Request::begin(algorithm("ML-DSA-65")).unwrap();
        let enrolled = registrar.enrol(&asks(code.secret.reveal().as_str(), &key), &any).unwrap();
        assert_eq!(enrolled.id, "spiffe://example.org/agent/desk");
        assert!(enrolled.not_after_ms <= (seconds(SystemTime::now()) + 121) * 1000);
        assert_eq!(*registrar.roles(&enrolled.id), ["billing".to_owned()]);
        assert!(registrar.roles("spiffe://example.org/agent/laptop").is_empty());
    }

    #[test]
    fn the_local_agent_gets_no_certificate_while_it_is_revoked() {
        let (registrar, any) = (registrar(), Permitted::everything());
        let key = Request::begin(algorithm("ML-DSA-65")).unwrap();
        let print = ProvenKey::from_request_pem(key.request_pem()).unwrap().fingerprint();
        let roles = ["ops".to_owned()];
        let asks = || registrar.issue_local(key.request_pem(), &any, &roles);
        assert_eq!(asks().unwrap().id, "spiffe://example.org/agent/local");
        for target in ["agent/local", &format!("key:{print}"), "role:ops"] {
            let target = lockgate_identity::Target::parse(target, "example.org").unwrap();
            registrar
                .revocations
                .add(lockgate_identity::Revocation::new(target.clone(), "test", "", 0))
                .unwrap();
            assert_eq!(asks().unwrap_err().code, "LG-I503", "{target}");
            registrar.revocations.restore(&target);
        }
        asks().unwrap();
    }

    #[test]
    fn renewal_keeps_the_id() {
        let registrar = registrar();
        let key = Request::begin(algorithm("ECDSA-P256-SHA256")).unwrap();
        let id: SpiffeId = "spiffe://example.org/agent/ci".parse().unwrap();
        let request = RenewRequest { csr: key.request_pem().to_owned() };
        let renewed = registrar.renew((&id, ""), &request, &Permitted::everything()).unwrap();
        assert_eq!(renewed.id, id.to_string());
    }

    #[test]
    fn no_certificate_of_an_algorithm_that_may_not_be_used_checklist_09() {
        let registrar = registrar();
        let only = Permitted::only(&[algorithm("ML-DSA-65"), algorithm("ML-DSA-87")]);
        let (code, _) = registrar.invite("laptop", Duration::from_secs(60)).unwrap();
        let secret = code.secret.reveal().as_str().to_owned();
        let asks = |id: &str| {
            let csr = Request::begin(algorithm(id)).unwrap().request_pem().to_owned();
            EnrolRequest { secret: secret.clone(), csr }
        };
        // One is not permitted, for the other there is no root; the invite is spent on neither.
        for id in ["ECDSA-P256-SHA256", "ML-DSA-87"] {
            let refused = registrar.enrol(&asks(id), &only).unwrap_err();
            assert_eq!((refused.code, refused.status), ("LG-I402", StatusCode::FORBIDDEN), "{id}");
            assert!(refused.hint.contains("ML-DSA-65"), "{}", refused.hint);
        }
        assert!(registrar.invites().unwrap()[0].used_at_s.is_none());
        registrar.enrol(&asks("ML-DSA-65"), &only).unwrap();
    }
}
