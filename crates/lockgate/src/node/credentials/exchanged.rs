//! Tokens for servers that are gotten for each caller: who the caller is, and whom to ask.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use lockgate_authority::attest::Outside;
use lockgate_authority::{ExchangePlan, Exchanger, OnBehalf};
use lockgate_identity::token::TokenIssuer;
use lockgate_identity::verifier::ForeignRoots;
use lockgate_identity::{Caller, Principal, SpiffeId};
use lockgate_proxy::upstream::credential::{Getting, PerCaller};
use lockgate_transport::{Dialer, Trust, dialer};

use super::super::agility::{Compiled, Dialled};
use crate::config::ExchangeFrom;
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// The authorization server of one server.
pub(super) struct Exchanged {
    from: ExchangeFrom,
    outside: Outside,
    /// What asks, once it is known who signs.
    exchanger: OnceLock<Exchanger>,
}

impl Exchanged {
    /// How it is reached.
    ///
    /// # Errors
    /// A file of roots that cannot be used.
    pub(super) fn new(
        from: &ExchangeFrom,
        in_force: &Compiled,
        dialled: &mut Vec<Dialled>,
    ) -> Result<Self, Diagnostic> {
        let outside = outside((from.place(), &from.server, from.roots.as_deref()), in_force, dialled)?;
        Ok(Self { from: from.clone(), outside, exchanger: OnceLock::new() })
    }

    /// Has statements signed by `signer` from now on.
    pub(super) fn sign_by(&self, signer: &Arc<TokenIssuer>) {
        let ExchangeFrom { issuer, token_endpoint, grant, client_id, resource, scope, .. } = &self.from;
        let plan = ExchangePlan {
            issuer: issuer.clone(),
            token_endpoint: token_endpoint.clone(),
            client_id: client_id.clone().unwrap_or_else(|| signer.issuer().to_owned()),
            grant: *grant,
            resource: resource.clone(),
            scope: scope.to_string(),
        };
        // A node is put together once.
        let _ = self.exchanger.set(Exchanger::new(plan, self.outside.clone(), Arc::clone(signer)));
    }
}

/// How an authorization server is reached: by its place, for a server, with its roots.
pub(super) fn outside(
    (place, server, path): (String, &str, Option<&Path>),
    in_force: &Compiled,
    dialled: &mut Vec<Dialled>,
) -> Result<Outside, Diagnostic> {
    let Some(suite) = in_force.upstream(&place) else { return Ok(Outside::plain()) };
    let roots = roots(server, path)?;
    let dialer = Dialer::new(suite.clone(), None, Trust::foreign(&roots), dialer::Limits::default());
    let dialer = Arc::new(dialer.map_err(|error| trouble::tls(&error))?);
    dialled.push(Dialled { name: place, dialer: Arc::clone(&dialer), roots, own: None });
    Ok(Outside::new(dialer))
}

fn roots(server: &str, path: Option<&Path>) -> Result<ForeignRoots, Diagnostic> {
    let roots = match path {
        Some(path) => ForeignRoots::from_pem_file(path),
        None => ForeignRoots::system(),
    };
    roots.map_err(|error| {
        Diagnostic::new("LG-C009", format!("no roots for the authorization server of \"{server}\""))
            .because(&error)
            .hint("name a PEM file with its authority: roots = \"FILE\" in its exchange")
    })
}

impl PerCaller for Exchanged {
    fn value<'a>(&'a self, caller: &'a Caller) -> Getting<'a> {
        Box::pin(async move {
            let exchanger = self.exchanger.get().ok_or("this node does not sign tokens yet")?;
            let whom = whom(caller).ok_or("the caller has no id that a statement could be about")?;
            exchanger.value(&whom).await
        })
    }

    fn refused(&self, caller: &Caller) {
        if let (Some(exchanger), Some(whom)) = (self.exchanger.get(), whom(caller)) {
            exchanger.forget(&whom);
        }
    }
}

/// The subject is the furthest in whose name the call is made, and the caller is the nearest of those who act for it.
fn whom(caller: &Caller) -> Option<OnBehalf> {
    let mut chain = caller.everybody().map(id).collect::<Option<Vec<_>>>()?;
    let subject = chain.pop()?;
    Some(OnBehalf { subject, actors: chain })
}

fn id(caller: &Caller) -> Option<SpiffeId> {
    match caller.principal.as_ref() {
        Principal::Workload { id, .. } | Principal::Bearer { id, .. } => Some(id.clone()),
        Principal::LocalUser { .. } | Principal::Anonymous => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::SystemTime;

    use lockgate_identity::bind;

    use super::*;

    fn bearer(name: &str) -> Caller {
        let id = SpiffeId::agent("example.org", name).unwrap();
        let (issuer, not_after) = ("https://gw.example".into(), SystemTime::now());
        bind(&Arc::new(Principal::Bearer { id, issuer, key: None, not_after }))
    }

    #[test]
    fn the_furthest_is_the_subject_and_nobody_is_nobody() {
        let carol = Caller { acts_for: vec![bearer("bob"), bearer("alice")].into(), ..bearer("carol") };
        let whom = whom(&carol).unwrap();
        assert_eq!(whom.subject.path(), "/agent/alice");
        let actors: Vec<&str> = whom.actors.iter().map(SpiffeId::path).collect();
        assert_eq!(actors, ["/agent/carol", "/agent/bob"]);
        assert!(super::whom(&bind(&Arc::new(Principal::LocalUser { uid: 0 }))).is_none());
        assert!(super::whom(&bind(&Arc::new(Principal::Anonymous))).is_none());
    }
}
