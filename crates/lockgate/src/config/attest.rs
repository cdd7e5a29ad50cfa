//! `[[attest]]` and `[[register]]`: how agents prove what they are, and what that entitles them to.
//!
//! [`tokens`] are those of others, [`register`] says what facts entitle to.

use std::path::PathBuf;

use lockgate_authority::Registrations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::Resolver;

mod register;
mod tokens;

pub(crate) use register::Register;
pub(super) use tokens::is_https;
pub(crate) use tokens::{Access, KeySource, PLACE as ISSUER_PLACE, TokenPlan, TokenSource};

/// One way in which agents prove what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attest {
    /// What is taken as evidence.
    pub(crate) kind: AttestKind,
    /// The Unix socket: for `process` the one to offer, the SPIFFE Workload API of this node, in STATE/workload.sock unless said otherwise; for `spiffe` the one of the other trust domain's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// Exactly what `iss` of the tokens says, of `oidc`, `kubernetes` and `spiffe`. A token is judged by the attestor that names its issuer, and shown to no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// What `aud` of the tokens must hold. Ask for tokens that are for this gateway alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// Claims of an OIDC token that become selectors, like "repository": oidc:repository:VALUE. `sub` always does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) claims: Vec<String>,
    /// The public keys of the issuer, a JWK Set: an https:// URL or a file. For `oidc` they are found by discovery unless named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<String>,
    /// URL of the Kubernetes API server, which is asked about each token (TokenReview).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<String>,
    /// File with the token by which this node may ask the API server; it is read anew each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<PathBuf>,
    /// PEM file with the roots of the API server or the issuer, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// The other trust domain, like prod.example, of `spiffe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trust_domain: Option<String>,
    /// Which access tokens (RFC 9068) of an OIDC issuer are taken at this gateway itself, each for exactly the server that its `aud` names. Without a value there are none: its tokens are evidence at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Access>,
    /// Algorithms that the connections to the issuer or the API server may use; see `lockgate crypto profiles`. Without a value it is pq-kex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
}

/// What is taken as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AttestKind {
    /// A one-time code of `lockgate identity invite`; always taken.
    Invite,
    /// A service-account token.
    Kubernetes,
    /// The process at the other end of a Unix socket.
    Process,
    /// A JWT-SVID of another SPIFFE trust domain.
    Spiffe,
    /// A token of an OIDC issuer.
    Oidc,
    /// The process that started the one at the socket.
    Parent,
}

impl AttestKind {
    fn name(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Kubernetes => "kubernetes",
            Self::Process => "process",
            Self::Spiffe => "spiffe",
            Self::Oidc => "oidc",
            Self::Parent => "parent",
        }
    }
}

/// `[[attest]]` and `[[register]]` with their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AttestPlan {
    /// The socket of this node's own Workload API, if it offers one; `Some(None)` is the one of the state directory.
    pub(crate) socket: Option<Option<PathBuf>>,
    /// Whether parents are looked at.
    pub(crate) parents: bool,
    /// Whose tokens are taken.
    pub(crate) tokens: Vec<TokenPlan>,
    /// What facts entitle to.
    pub(crate) registrations: Registrations,
}

/// Code of everything that is wrong here.
const CODE: &str = "LG-C021";

impl Resolver<'_> {
    /// Reads both lists; problems are collected.
    pub(super) fn attest(&mut self, config: &Config) -> AttestPlan {
        let mut plan = AttestPlan::default();
        for (n, attest) in config.attest.iter().enumerate() {
            let path = format!("attest.{n}");
            self.attest_keys_fit(&path, attest);
            match attest.kind {
                AttestKind::Invite => {}
                AttestKind::Process | AttestKind::Parent => self.socket(&mut plan, &path, attest),
                AttestKind::Kubernetes | AttestKind::Spiffe | AttestKind::Oidc => {
                    plan.tokens.extend(self.tokens(&path, attest));
                }
            }
        }
        self.issuers_differ(&plan);
        plan.registrations = self.registrations(config);
        plan
    }

    fn socket(&mut self, plan: &mut AttestPlan, path: &str, attest: &Attest) {
        plan.parents |= attest.kind == AttestKind::Parent;
        let socket = attest.socket.as_ref().map(|socket| self.base.join(socket));
        // sun_path has 108 bytes with its end (unix(7)).
        if socket.as_ref().is_some_and(|socket| socket.as_os_str().len() > 107) {
            let hint = "name a shorter one: the system takes up to 107 bytes";
            self.problem(
                CODE,
                &format!("{path}.socket"),
                "the path of the socket is too long".to_owned(),
                hint,
            );
        }
        match (&mut plan.socket, socket) {
            (held @ None, socket) => *held = Some(socket),
            (Some(held @ None), Some(socket)) => *held = Some(socket),
            (Some(Some(held)), Some(other)) if *held != other => {
                let hint = "name it once: `process` and `parent` look at the same connections";
                self.problem(
                    CODE,
                    &format!("{path}.socket"),
                    "there are two workload sockets".to_owned(),
                    hint,
                );
            }
            _ => {}
        }
    }

    /// A setting that cannot have an effect is a mistake of whoever wrote it.
    fn attest_keys_fit(&mut self, path: &str, attest: &Attest) {
        use AttestKind::{Kubernetes, Oidc, Parent, Process, Spiffe};
        let review = attest.kind == Kubernetes && attest.api.is_some();
        let keys: &[AttestKind] = if review { &[Oidc] } else { &[Oidc, Kubernetes] };
        let given: [(&str, bool, &[AttestKind]); 11] = [
            ("socket", attest.socket.is_some(), &[Process, Parent, Spiffe]),
            ("issuer", attest.issuer.is_some(), &[Oidc, Spiffe, Kubernetes]),
            ("audience", attest.audience.is_some(), &[Oidc, Spiffe, Kubernetes]),
            ("claims", !attest.claims.is_empty(), &[Oidc]),
            ("keys", attest.keys.is_some(), keys),
            ("api", attest.api.is_some(), &[Kubernetes]),
            ("token", attest.token.is_some(), &[Kubernetes]),
            ("roots", attest.roots.is_some(), &[Oidc, Kubernetes]),
            ("trust_domain", attest.trust_domain.is_some(), &[Spiffe]),
            ("access", attest.access.is_some(), &[Oidc]),
            ("profile", attest.profile.is_some(), &[Oidc, Kubernetes]),
        ];
        for (key, given, kinds) in given {
            if given && !kinds.contains(&attest.kind) {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                let what = format!("`{key}` says nothing to the attestor \"{}\"", attest.kind.name());
                let hint = match review {
                    true => "remove it: an API server that is asked needs no `keys`".to_owned(),
                    false => format!("remove it; it is for: {}", names.join(", ")),
                };
                self.problem(CODE, &format!("{path}.{key}"), what, &hint);
            }
        }
    }
}
