//! `[[register]]`: what proven facts entitle to.

use std::time::Duration;

use lockgate_authority::{LIFE_MAX, LIFE_MIN, Pattern, Registration, Registrations, SvidKind};
use lockgate_identity::SpiffeId;
use lockgate_identity::token::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttestKind, CODE};
use crate::cli::Seconds;
use crate::config::Config;
use crate::config::settings::Resolver;

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
    /// The most that tokens of it may be used for, like ["crm.read"]; [] is nothing that needs a scope. Without it scopes have no limit; see [[scope]].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<Vec<String>>,
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

impl Resolver<'_> {
    pub(super) fn registrations(&mut self, config: &Config) -> Registrations {
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
        let scope = register.scopes.as_ref().map(|words| Scope::parse(&words.join(" "))).transpose();
        let scope = scope.unwrap_or_else(|error| {
            let hint = "write words without spaces, each once, like [\"crm.read\"]";
            self.problem(CODE, &format!("{path}.scopes"), error.to_string(), hint);
            None
        });
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
            scope,
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
