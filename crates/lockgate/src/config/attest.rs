//! `[[attest]]` and `[[register]]`: how agents prove what they are, and what that entitles them to.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use lockgate_authority::{LIFE_MAX, LIFE_MIN, Pattern, Registration, Registrations, SvidKind};
use lockgate_identity::SpiffeId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::Resolver;
use crate::cli::Seconds;

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

/// What proven facts entitle to. The first whose selectors all hold counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    /// Facts that must all be proven, like "unix:uid:1000" or "oidc:repository:acme/*"; `lockgate identity whoami` shows those of a process.
    pub(crate) selectors: Vec<String>,
    /// The agent, as agent/NAME in this node's trust domain.
    pub(crate) id: String,
    /// Roles that policies know it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    /// Life of its certificates, like "1h": from 1m to 24h.
    #[serde(default = "an_hour")]
    pub(crate) life: String,
    /// What its X.509-SVIDs from the Workload API are made of.
    #[serde(default)]
    pub(crate) svid: Svid,
}

fn an_hour() -> String {
    "1h".to_owned()
}

/// What X.509-SVIDs are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Svid {
    /// What SPIFFE clients without post-quantum code can read.
    #[default]
    Stock,
    /// A standard post-quantum algorithm.
    PostQuantum,
    /// A composite of both, for clients that know it.
    Hybrid,
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

/// Tokens that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenPlan {
    pub(crate) audience: String,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) source: TokenSource,
}

/// Who issues them, and how they are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// An OIDC issuer; its keys are found by discovery unless named.
    Oidc { issuer: String, claims: Vec<String>, keys: Option<KeySource> },
    /// A Kubernetes cluster whose API server is asked.
    Review { issuer: String, api: Uri, token: PathBuf },
    /// A Kubernetes cluster of which only the keys are known.
    Cluster { issuer: String, keys: KeySource },
    /// Another SPIFFE trust domain, through its agent on this machine.
    Spiffe { trust_domain: String, issuer: String, socket: PathBuf },
}

impl TokenSource {
    /// The kind of attestor.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Oidc { .. } => AttestKind::Oidc.name(),
            Self::Review { .. } | Self::Cluster { .. } => AttestKind::Kubernetes.name(),
            Self::Spiffe { .. } => AttestKind::Spiffe.name(),
        }
    }

    /// Where keys come from, or who is asked, in words.
    pub(crate) fn from(&self) -> String {
        match self {
            Self::Oidc { keys: None, .. } => "keys by discovery".to_owned(),
            Self::Oidc { keys: Some(keys), .. } | Self::Cluster { keys, .. } => match keys {
                KeySource::File(path) => format!("keys in {}", path.display()),
                KeySource::Url(uri) => format!("keys at {uri}"),
            },
            Self::Review { api, .. } => format!("TokenReview at {api}"),
            Self::Spiffe { trust_domain, socket, .. } => {
                format!("bundle of {trust_domain} at {}", socket.display())
            }
        }
    }
}

/// Where public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    File(PathBuf),
    Url(Uri),
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
        let given: [(&str, bool, &[AttestKind]); 9] = [
            ("socket", attest.socket.is_some(), &[Process, Parent, Spiffe]),
            ("issuer", attest.issuer.is_some(), &[Oidc, Spiffe, Kubernetes]),
            ("audience", attest.audience.is_some(), &[Oidc, Spiffe, Kubernetes]),
            ("claims", !attest.claims.is_empty(), &[Oidc]),
            ("keys", attest.keys.is_some(), keys),
            ("api", attest.api.is_some(), &[Kubernetes]),
            ("token", attest.token.is_some(), &[Kubernetes]),
            ("roots", attest.roots.is_some(), &[Oidc, Kubernetes]),
            ("trust_domain", attest.trust_domain.is_some(), &[Spiffe]),
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

    fn tokens(&mut self, path: &str, attest: &Attest) -> Option<TokenPlan> {
        let audience = self.needed(path, attest, "audience", &attest.audience);
        let source = match attest.kind {
            AttestKind::Oidc => self.oidc(path, attest),
            AttestKind::Kubernetes => self.kubernetes(path, attest),
            _ => self.spiffe(path, attest),
        };
        Some(TokenPlan {
            audience: audience?,
            roots: attest.roots.as_ref().map(|roots| self.base.join(roots)),
            source: source?,
        })
    }

    fn oidc(&mut self, path: &str, attest: &Attest) -> Option<TokenSource> {
        let issuer = self.needed(path, attest, "issuer", &attest.issuer);
        let keys = match &attest.keys {
            Some(keys) => Some(self.keys(path, keys)?),
            None => None,
        };
        let issuer = issuer?;
        let plain = issuer.parse::<Uri>().ok().filter(|uri| uri.host().is_some() && uri.query().is_none());
        if plain.is_none_or(|uri| !is_https(&uri)) {
            let hint = "write it exactly as `iss` of its tokens says, like https://token.actions.githubusercontent.com";
            self.problem(CODE, &format!("{path}.issuer"), format!("{issuer:?} is no OIDC issuer"), hint);
            return None;
        }
        for claim in &attest.claims {
            let fits = !claim.is_empty()
                && claim.len() <= 64
                && !claim.contains(':')
                && !claim.chars().any(char::is_control);
            if !fits {
                let hint = "name top-level claims of the token, like \"repository\"";
                self.problem(
                    CODE,
                    &format!("{path}.claims"),
                    format!("{claim:?} is no name of a claim"),
                    hint,
                );
            }
        }
        Some(TokenSource::Oidc { issuer, claims: attest.claims.clone(), keys })
    }

    fn kubernetes(&mut self, path: &str, attest: &Attest) -> Option<TokenSource> {
        let issuer = self.needed(path, attest, "issuer", &attest.issuer);
        let Some(api) = &attest.api else {
            if attest.keys.is_none() {
                let hint = "add api = \"https://kubernetes.default.svc\" and token = \"FILE\"; where no API server is reachable, keys";
                self.problem(
                    CODE,
                    path,
                    "a Kubernetes attestor has neither `api` nor `keys`".to_owned(),
                    hint,
                );
            }
            let keys = attest.keys.as_ref().and_then(|keys| self.keys(path, keys));
            return Some(TokenSource::Cluster { issuer: issuer?, keys: keys? });
        };
        let token = attest.token.as_ref().map(|token| self.base.join(token));
        if token.is_none() {
            let hint = "name the file, like /var/run/secrets/kubernetes.io/serviceaccount/token";
            self.problem(CODE, path, "`api` needs `token`, by which it may be asked".to_owned(), hint);
        }
        let api = self.url(&format!("{path}.api"), api);
        Some(TokenSource::Review { issuer: issuer?, api: api?, token: token? })
    }

    fn spiffe(&mut self, path: &str, attest: &Attest) -> Option<TokenSource> {
        let trust_domain = self.needed(path, attest, "trust_domain", &attest.trust_domain);
        let issuer = self.needed(path, attest, "issuer", &attest.issuer);
        let socket = attest.socket.as_ref().map(|socket| self.base.join(socket));
        if socket.is_none() {
            let hint = "name the socket of the other domain's agent, like /run/spire/agent.sock";
            self.problem(CODE, path, "a SPIFFE attestor has no `socket`".to_owned(), hint);
        }
        let trust_domain = trust_domain?;
        if SpiffeId::of_trust_domain(&trust_domain).is_err() {
            let what = format!("{trust_domain:?} is no trust domain");
            self.problem(CODE, &format!("{path}.trust_domain"), what, "write it like prod.example");
            return None;
        }
        Some(TokenSource::Spiffe { trust_domain, issuer: issuer?, socket: socket? })
    }

    fn needed(&mut self, path: &str, attest: &Attest, key: &str, value: &Option<String>) -> Option<String> {
        match value.as_deref() {
            Some(text) if !text.is_empty() && text.len() <= 2048 => Some(text.to_owned()),
            _ => {
                let what = format!("the attestor \"{}\" has no `{key}`", attest.kind.name());
                let hint = match key {
                    "audience" => "add what its tokens must be for: without it a token for anybody would do",
                    _ => "add it as the tokens say it",
                };
                self.problem(CODE, path, what, hint);
                None
            }
        }
    }

    fn keys(&mut self, path: &str, text: &str) -> Option<KeySource> {
        match text.contains("://") {
            true => self.url(&format!("{path}.keys"), text).map(KeySource::Url),
            false => Some(KeySource::File(self.base.join(text))),
        }
    }

    /// Whoever can change keys or answers on their way can be anybody.
    fn url(&mut self, path: &str, text: &str) -> Option<Uri> {
        let uri = text.parse::<Uri>().ok().filter(|uri| uri.host().is_some() && is_https(uri));
        if uri.is_none() {
            let hint = "write https://HOST/…; http:// is taken for loopback addresses only";
            self.problem(CODE, path, format!("{text:?} cannot be asked"), hint);
        }
        uri
    }

    fn issuers_differ(&mut self, plan: &AttestPlan) {
        let names: Vec<String> = plan.tokens.iter().map(TokenPlan::name).collect();
        for (n, name) in names.iter().enumerate() {
            if names[..n].contains(name) {
                let hint = "keep one: of two with other audiences or keys nobody could say which counts";
                self.problem(CODE, "attest", format!("{name} is named twice"), hint);
            }
        }
    }

    fn registrations(&mut self, config: &Config) -> Registrations {
        let before = self.problems.len();
        let mut registrations = Vec::new();
        for (n, register) in config.register.iter().enumerate() {
            registrations.extend(self.registration(config, n, register));
        }
        if self.problems.len() > before {
            return Registrations::default();
        }
        Registrations::new(registrations).unwrap_or_else(|error| {
            self.problem(CODE, "register", error.to_string(), "correct that [[register]]");
            Registrations::default()
        })
    }

    fn registration(&mut self, config: &Config, n: usize, register: &Register) -> Option<Registration> {
        let path = format!("register.{n}");
        let mut selectors = Vec::new();
        for (m, text) in register.selectors.iter().enumerate() {
            let place = format!("{path}.selectors.{m}");
            match Pattern::parse(text) {
                Ok(pattern) => {
                    self.selector_can_hold(&place, config, &pattern);
                    selectors.push(pattern);
                }
                Err(error) => {
                    let hint = "write it like unix:uid:1000, parent:path:/usr/bin/code, k8s:namespace:retail or oidc:repository:acme/*";
                    self.problem(CODE, &place, error.to_string(), hint);
                }
            }
        }
        self.issuer_is_named(&path, config, &selectors);
        let whole = match register.id.contains("://") {
            true => register.id.clone(),
            false => format!("spiffe://{}/{}", config.node.trust_domain, register.id),
        };
        let id = SpiffeId::parse(&whole).ok().filter(|id| {
            id.trust_domain() == config.node.trust_domain
                && id.path().starts_with("/agent/")
                && id.path() != "/agent/local"
        });
        if id.is_none() {
            let hint = "write it like agent/billing; agent/local is this machine's own user";
            self.problem(
                CODE,
                &format!("{path}.id"),
                format!("{:?} cannot be registered", register.id),
                hint,
            );
        }
        let life = register.life.parse::<Seconds>().ok().map(|life| Duration::from_secs(life.0));
        let life = life.filter(|life| (LIFE_MIN..=LIFE_MAX).contains(life));
        if life.is_none() {
            let what = format!("{:?} is no life of a certificate", register.life);
            self.problem(CODE, &format!("{path}.life"), what, "write it like 15m or 8h: from 1m to 24h");
        }
        Some(Registration {
            selectors,
            id: id?,
            roles: register.roles.clone(),
            life: life?,
            svid: match register.svid {
                Svid::Stock => SvidKind::Stock,
                Svid::PostQuantum => SvidKind::PostQuantum,
                Svid::Hybrid => SvidKind::Hybrid,
            },
        })
    }

    /// With several issuers of one kind, each can say of anybody what another says: which one counts must be named.
    fn issuer_is_named(&mut self, path: &str, config: &Config, selectors: &[Pattern]) {
        for (kind, attestor, named) in
            [("oidc", AttestKind::Oidc, "oidc:iss:"), ("k8s", AttestKind::Kubernetes, "k8s:issuer:")]
        {
            let several = config.attest.iter().filter(|attest| attest.kind == attestor).count() > 1;
            let used = selectors.iter().any(|pattern| pattern.kind() == kind);
            if several && used && !selectors.iter().any(|pattern| pattern.as_str().starts_with(named)) {
                let what = format!(
                    "there are several attestors \"{}\", and it does not say which one",
                    attestor.name()
                );
                let hint =
                    format!("add the selector \"{named}ISSUER\": each of them could say the rest of anybody");
                self.problem(CODE, &format!("{path}.selectors"), what, &hint);
            }
        }
    }

    /// A selector that no configured attestor gives never holds, and so does the whole registration.
    fn selector_can_hold(&mut self, place: &str, config: &Config, pattern: &Pattern) {
        let given = |kinds: &[AttestKind]| config.attest.iter().any(|attest| kinds.contains(&attest.kind));
        let (holds, kind) = match pattern.kind() {
            "unix" => (given(&[AttestKind::Process, AttestKind::Parent]), "process"),
            "parent" => (given(&[AttestKind::Parent]), "parent"),
            "k8s" => (given(&[AttestKind::Kubernetes]), "kubernetes"),
            "oidc" => (given(&[AttestKind::Oidc]), "oidc"),
            "spiffe" => (given(&[AttestKind::Spiffe]), "spiffe"),
            _ => (true, "invite"),
        };
        if !holds {
            let hint = format!("add [[attest]] kind = \"{kind}\"");
            self.problem(CODE, place, format!("nothing here can prove {pattern}"), &hint);
        }
    }
}

impl TokenPlan {
    /// Whose tokens, for messages; each can be there once.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            TokenSource::Oidc { issuer, .. }
            | TokenSource::Cluster { issuer, .. }
            | TokenSource::Review { issuer, .. }
            | TokenSource::Spiffe { issuer, .. } => issuer.clone(),
        }
    }
}

/// https, or a loopback address, where there is no way for anybody to be on.
fn is_https(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && loopback)
}
