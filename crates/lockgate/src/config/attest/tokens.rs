//! `[[attest]]` whose evidence is a signed token of somebody else.

use std::path::PathBuf;

use http::Uri;
use lockgate_crypto::Profile;
use lockgate_identity::SpiffeId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attest, AttestKind, AttestPlan, CODE};
use crate::config::settings::Resolver;

/// What the names of connections to issuers begin with, among all places that a node reaches.
pub(crate) const PLACE: &str = "issuer:";
/// What others are asked under unless the configuration says otherwise: what can be expected of servers that are not ours.
const PROFILE: &str = "pq-kex";

/// Tokens that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenPlan {
    pub(crate) audience: String,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) source: TokenSource,
    /// Whether its access tokens are taken.
    pub(crate) access: Option<Access>,
    /// What connections to it may use.
    pub(crate) profile: &'static Profile,
}

/// Which access tokens of an issuer are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Access {
    /// Those that are bound to a key or a certificate (DPoP, RFC 8705).
    Bound,
    /// Those that are bound to nothing, too. Whoever sees one, in a log or on its way, can use it until it ends.
    Unbound,
}

impl Access {
    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Unbound => "unbound",
        }
    }
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

    /// Whether its keys are fetched and its tokens read as those of another plan.
    pub(crate) fn is_asked_like(&self, other: &Self) -> bool {
        *self == Self { access: self.access, ..other.clone() }
    }

    /// What connections to it are called among the places that this node reaches.
    pub(crate) fn place(&self) -> String {
        format!("{PLACE}{}", self.name())
    }

    /// What connections to it may use; none where nothing is asked over TLS.
    pub(crate) fn profile(&self) -> Option<&'static Profile> {
        let https = match &self.source {
            TokenSource::Oidc { issuer, keys: None, .. } => issuer.starts_with("https://"),
            TokenSource::Oidc { keys: Some(keys), .. } | TokenSource::Cluster { keys, .. } => match keys {
                KeySource::Url(uri) => uri.scheme_str() == Some("https"),
                KeySource::File(_) => false,
            },
            TokenSource::Review { api, .. } => api.scheme_str() == Some("https"),
            TokenSource::Spiffe { .. } => false,
        };
        https.then_some(self.profile)
    }
}

impl Resolver<'_> {
    pub(super) fn tokens(&mut self, path: &str, attest: &Attest) -> Option<TokenPlan> {
        let audience = self.needed(path, attest, "audience", &attest.audience);
        let source = match attest.kind {
            AttestKind::Oidc => self.oidc(path, attest),
            AttestKind::Kubernetes => self.kubernetes(path, attest),
            _ => self.spiffe(path, attest),
        };
        let profile = attest.profile.as_deref().unwrap_or(PROFILE);
        let profile = self.profile(&format!("{path}.profile"), profile);
        let plan = TokenPlan {
            audience: audience?,
            roots: attest.roots.as_ref().map(|roots| self.base.join(roots)),
            source: source?,
            access: attest.access,
            profile: profile?,
        };
        if attest.profile.is_some() && plan.profile().is_none() {
            let what = format!("`profile` says nothing of {}", plan.source.from());
            self.problem(CODE, &format!("{path}.profile"), what, "remove it: nothing is asked over TLS");
        }
        Some(plan)
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

    pub(super) fn issuers_differ(&mut self, plan: &AttestPlan) {
        let names: Vec<String> = plan.tokens.iter().map(TokenPlan::name).collect();
        for (n, name) in names.iter().enumerate() {
            if names[..n].contains(name) {
                let hint = "keep one: of two with other audiences or keys nobody could say which counts";
                self.problem(CODE, "attest", format!("{name} is named twice"), hint);
            }
        }
    }
}

/// https, or a loopback address, where there is no way for anybody to be on.
pub(crate) fn is_https(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && loopback)
}
