//! `credential` of `[[server]]`: what a server is shown in place of what its client showed.

use std::path::PathBuf;

use http::{HeaderName, Uri, header};
use lockgate_authority::ExchangeGrant;
use lockgate_crypto::Profile;
use lockgate_identity::token::{Resource, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Target;
use super::attest::is_https;
use super::settings::Resolver;

/// What the names of connections to authorization servers begin with, among all places that a node reaches.
const PLACE: &str = "exchange:";

/// What a server is shown: a secret of the sealed store (`lockgate secret put NAME`), or a token that is gotten for each caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credential {
    /// Name of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// Header of an HTTP server that carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    /// What stands before the secret in that header, such as Bearer; empty for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scheme: Option<String>,
    /// Name in the query of a REST API that carries it; it then stands in that API's logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    /// Cookie of a REST API that carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cookie: Option<String>,
    /// Whether the secret is USER:PASSWORD, for HTTP Basic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) basic: bool,
    /// The client whose secret it is, at an authorization server that gives tokens for it (OAuth 2 client credentials).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<Client>,
    /// Environment variable of a stdio server that carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<String>,
    /// The authorization server of an HTTP server, which gives a token for each caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exchange: Option<Exchange>,
}

/// A client of an authorization server, for OAuth 2 client credentials (RFC 6749, section 4.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// What the authorization server knows this node by.
    pub(crate) id: String,
    /// Its token endpoint.
    pub(crate) token_endpoint: String,
    /// Scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scope: Vec<String>,
    /// The API as it knows it (RFC 8707), if it wants to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    /// PEM file with its roots, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection to it may use.
    #[serde(default = "super::foreign_profile")]
    pub(crate) profile: String,
}

/// Where tokens for a server come from. This node vouches for its caller, and for itself, with statements that the keys at its
/// own /oauth/jwks verify; the token that a client showed is never passed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// The authorization server, exactly as its metadata says it.
    pub(crate) issuer: String,
    /// Its token endpoint; found in its metadata unless named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_endpoint: Option<String>,
    /// How the caller is shown.
    #[serde(default)]
    pub(crate) grant: Grant,
    /// What it knows this node by. Without a value it is the issuer of this node's own tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    /// The server as it knows it (RFC 8707). Without a value it is the URL in `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    /// Scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scope: Vec<String>,
    /// PEM file with its roots, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection to it may use.
    #[serde(default = "super::foreign_profile")]
    pub(crate) profile: String,
}

/// How a caller is shown to an authorization server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grant {
    /// As the subject of a token exchange (RFC 8693).
    #[default]
    TokenExchange,
    /// As an authorization grant (RFC 7523).
    JwtBearer,
}

/// What a server is shown, with its types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CredentialPlan {
    /// A secret of the sealed store, and where it goes.
    Sealed { secret: String, place: CredentialPlace },
    /// A token for each caller.
    Exchange(Box<ExchangeFrom>),
    /// A token for this node.
    Client(Box<ClientFrom>),
}

/// Where a server finds its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CredentialPlace {
    /// In a header, after a scheme.
    Header { name: HeaderName, scheme: String },
    /// In a header, as HTTP Basic has it.
    Basic,
    /// In the query.
    Query(String),
    /// In a cookie.
    Cookie(String),
    /// In an environment variable.
    Variable(String),
}

/// An authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExchangeFrom {
    /// The server that its tokens are for.
    pub(crate) server: String,
    pub(crate) issuer: String,
    pub(crate) token_endpoint: Option<Uri>,
    pub(crate) grant: ExchangeGrant,
    pub(crate) client_id: Option<String>,
    pub(crate) resource: String,
    pub(crate) scope: Scope,
    pub(crate) roots: Option<PathBuf>,
    profile: &'static Profile,
}

impl CredentialPlan {
    /// Where tokens are asked for, and what the connection there may use; none where nothing is asked over TLS.
    pub(crate) fn asks(&self) -> Option<(String, &'static Profile)> {
        match self {
            Self::Exchange(from) => Some((from.place(), from.profile()?)),
            Self::Client(from) => Some((from.place(), from.profile()?)),
            Self::Sealed { .. } => None,
        }
    }
}

/// An authorization server that gives this node tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFrom {
    /// The server that its tokens are for.
    pub(crate) server: String,
    /// The secret's name.
    pub(crate) secret: String,
    pub(crate) id: String,
    pub(crate) token_endpoint: Uri,
    pub(crate) scope: Scope,
    pub(crate) resource: Option<String>,
    pub(crate) roots: Option<PathBuf>,
    profile: &'static Profile,
}

impl ClientFrom {
    /// What connections to it are called among the places that this node reaches.
    pub(crate) fn place(&self) -> String {
        format!("{PLACE}{}", self.server)
    }

    /// What connections to it may use; none where nothing is asked over TLS.
    pub(crate) fn profile(&self) -> Option<&'static Profile> {
        (self.token_endpoint.scheme_str() == Some("https")).then_some(self.profile)
    }
}

impl ExchangeFrom {
    /// What connections to it are called among the places that this node reaches.
    pub(crate) fn place(&self) -> String {
        format!("{PLACE}{}", self.server)
    }

    /// What connections to it may use; none where nothing is asked over TLS.
    pub(crate) fn profile(&self) -> Option<&'static Profile> {
        let https = match &self.token_endpoint {
            Some(uri) => uri.scheme_str() == Some("https"),
            None => self.issuer.starts_with("https://"),
        };
        https.then_some(self.profile)
    }
}

impl Resolver<'_> {
    /// Reads what a server is shown.
    pub(super) fn credential(
        &mut self,
        path: &str,
        server: &str,
        given: &Credential,
        target: &Target,
    ) -> Option<CredentialPlan> {
        let secret = match (&given.secret, &given.exchange) {
            (Some(secret), None) => secret.clone(),
            (None, Some(exchange)) => return self.exchange(path, server, (given, exchange), target),
            _ => {
                let what = "a credential is either a secret or gotten by exchange".to_owned();
                let hint = "write secret = \"NAME\", or exchange = { issuer = \"https://…\" }";
                self.problem("LG-C007", path, what, hint);
                return None;
            }
        };
        if let Some(client) = &given.client {
            return self.client(path, server, (given, client, secret), target);
        }
        if let Some(place) = self.place_at_api(path, given, target)? {
            return Some(CredentialPlan::Sealed { secret, place });
        }
        let stdio = matches!(target, Target::Stdio { .. });
        let (header, env) = (given.header.is_some() || given.scheme.is_some(), given.env.is_some());
        let misplaced = match stdio {
            true if header || !env => Some("a stdio server takes it from a variable: add env = \"NAME\""),
            false if env => {
                Some("an HTTP server takes it from a header: remove env, or write header = \"NAME\"")
            }
            _ => None,
        };
        if let Some(hint) = misplaced {
            self.problem("LG-C007", path, "the credential cannot be presented this way".to_owned(), hint);
            return None;
        }
        if let Some(variable) = &given.env {
            return Some(CredentialPlan::Sealed {
                secret,
                place: CredentialPlace::Variable(variable.clone()),
            });
        }
        let name = match given.header.as_deref().map_or(Ok(header::AUTHORIZATION), str::parse::<HeaderName>) {
            Ok(name) if !is_ours(&name) => name,
            _ => {
                let what =
                    format!("{:?} cannot be the credential's header", given.header.as_deref().unwrap_or(""));
                self.problem("LG-C007", &format!("{path}.header"), what, "write it like X-Api-Key");
                return None;
            }
        };
        // Only Authorization has schemes (RFC 9110, section 11.6.2).
        let usual = if name == header::AUTHORIZATION { "Bearer" } else { "" };
        let scheme = given.scheme.clone().unwrap_or_else(|| usual.to_owned());
        Some(CredentialPlan::Sealed { secret, place: CredentialPlace::Header { name, scheme } })
    }

    /// The places that only REST APIs have.
    fn place_at_api(
        &mut self,
        path: &str,
        given: &Credential,
        target: &Target,
    ) -> Option<Option<CredentialPlace>> {
        let place = match (&given.query, &given.cookie, given.basic) {
            (None, None, false) => return Some(None),
            (Some(name), None, false) if is_word(name) => CredentialPlace::Query(name.clone()),
            (None, Some(name), false) if is_word(name) => CredentialPlace::Cookie(name.clone()),
            (None, None, true) => CredentialPlace::Basic,
            _ => {
                let what = "the credential has two places, or one that no request has".to_owned();
                self.problem("LG-C007", path, what, "keep one of header, query, cookie and basic");
                return None;
            }
        };
        let alone = given.header.is_none() && given.scheme.is_none() && given.env.is_none();
        if !alone || !matches!(target, Target::Api(_)) {
            let what =
                "query, cookie and basic are for REST APIs, and go without header, scheme and env".to_owned();
            self.problem("LG-C007", path, what, "for an MCP server write header = \"NAME\"");
            return None;
        }
        Some(Some(place))
    }

    fn client(
        &mut self,
        path: &str,
        server: &str,
        (given, client, secret): (&Credential, &Client, String),
        target: &Target,
    ) -> Option<CredentialPlan> {
        let before = self.problems.len();
        let elsewhere = [&given.header, &given.scheme, &given.env, &given.query, &given.cookie];
        if elsewhere.iter().any(|place| place.is_some())
            || given.basic
            || matches!(target, Target::Stdio { .. })
        {
            let what = "a token that is gotten goes into Authorization of an HTTP server".to_owned();
            self.problem("LG-C007", path, what, "remove header, scheme, query, cookie, basic and env");
        }
        let endpoint: Option<Uri> = client.token_endpoint.parse().ok();
        let endpoint = endpoint.filter(|uri| uri.host().is_some() && is_https(uri));
        if endpoint.is_none() {
            let what = format!("{:?} cannot be asked for tokens", client.token_endpoint);
            let hint = "write https://HOST/…; http:// is taken for loopback addresses only";
            self.problem("LG-C007", &format!("{path}.client.token_endpoint"), what, hint);
        }
        let scope = Scope::parse(&client.scope.join(" ")).ok();
        if scope.is_none() {
            let (what, hint) =
                ("the scopes are no scopes".to_owned(), "write words, each once, like [\"crm.read\"]");
            self.problem("LG-C007", &format!("{path}.client.scope"), what, hint);
        }
        let profile = self.profile(&format!("{path}.client.profile"), &client.profile)?;
        if self.problems.len() > before {
            return None;
        }
        Some(CredentialPlan::Client(Box::new(ClientFrom {
            server: server.to_owned(),
            secret,
            id: client.id.clone(),
            token_endpoint: endpoint?,
            scope: scope?,
            resource: client.resource.clone(),
            roots: client.roots.as_ref().map(|roots| self.base.join(roots)),
            profile,
        })))
    }

    fn exchange(
        &mut self,
        path: &str,
        server: &str,
        (given, exchange): (&Credential, &Exchange),
        target: &Target,
    ) -> Option<CredentialPlan> {
        let before = self.problems.len();
        let Some(uri) = target.uri() else {
            let hint = "a stdio server takes a secret from a variable: secret = \"NAME\", env = \"VARIABLE\"";
            self.problem("LG-C007", path, "a stdio server takes no token for each call".to_owned(), hint);
            return None;
        };
        if given.header.is_some() || given.scheme.is_some() || given.env.is_some() {
            let what = "a token that is gotten by exchange goes into Authorization".to_owned();
            self.problem("LG-C007", path, what, "remove header, scheme and env");
        }
        let endpoint = exchange.token_endpoint.as_deref();
        for (key, text) in [("issuer", Some(exchange.issuer.as_str())), ("token_endpoint", endpoint)] {
            let asked = text
                .is_none_or(|text| text.parse().is_ok_and(|uri: Uri| uri.host().is_some() && is_https(&uri)));
            if !asked {
                let what = format!("{:?} cannot be asked for tokens", text.unwrap_or_default());
                let hint = "write https://HOST/…; http:// is taken for loopback addresses only";
                self.problem("LG-C007", &format!("{path}.exchange.{key}"), what, hint);
            }
        }
        let resource = exchange.resource.clone().unwrap_or_else(|| uri.to_string());
        if Resource::parse(&resource).is_err() {
            let what = format!("{resource:?} is no resource");
            let hint = "write its URL as the authorization server knows it, without query and fragment";
            let given = if exchange.resource.is_some() { ".resource" } else { "" };
            self.problem("LG-C007", &format!("{path}.exchange{given}"), what, hint);
        }
        let scope = Scope::parse(&exchange.scope.join(" ")).ok();
        if scope.is_none() {
            let what = "the scopes are no scopes".to_owned();
            let hint = "write words, each once, like [\"crm.read\"]";
            self.problem("LG-C007", &format!("{path}.exchange.scope"), what, hint);
        }
        let profile = self.profile(&format!("{path}.exchange.profile"), &exchange.profile)?;
        if self.problems.len() > before {
            return None;
        }
        Some(CredentialPlan::Exchange(Box::new(ExchangeFrom {
            server: server.to_owned(),
            issuer: exchange.issuer.clone(),
            token_endpoint: endpoint.and_then(|text| text.parse().ok()),
            grant: match exchange.grant {
                Grant::TokenExchange => ExchangeGrant::TokenExchange,
                Grant::JwtBearer => ExchangeGrant::JwtBearer,
            },
            client_id: exchange.client_id.clone(),
            resource,
            scope: scope?,
            roots: exchange.roots.as_ref().map(|roots| self.base.join(roots)),
            profile,
        })))
    }
}

/// A name that can stand in a query or a cookie as it is.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Headers that the protocol or the connection needs for itself.
fn is_ours(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with("mcp-")
        || [
            "host",
            "connection",
            "content-type",
            "content-length",
            "transfer-encoding",
            "te",
            "upgrade",
            "accept",
        ]
        .contains(&text)
}
