//! Tokens for this node itself, by OAuth 2 client credentials.

use std::sync::Arc;

use http::HeaderValue;
use lockgate_authority::attest::Outside;
use lockgate_authority::{ClientGrant, ClientPlan};
use lockgate_identity::{Caller, SealedStore};
use lockgate_proxy::upstream::credential::{Getting, PerCaller};
use zeroize::Zeroizing;

use super::line;
use crate::config::ClientFrom;

/// What gets tokens for one server; the same for all of its callers.
pub(super) struct Granted {
    secret: String,
    store: SealedStore,
    grant: ClientGrant,
}

impl Granted {
    /// By the secret in `store`, from where `outside` leads.
    pub(super) fn new(from: &ClientFrom, store: SealedStore, outside: Outside) -> Arc<Self> {
        let plan = ClientPlan {
            id: from.id.clone(),
            token_endpoint: from.token_endpoint.clone(),
            scope: from.scope.to_string(),
            resource: from.resource.clone(),
        };
        Arc::new(Self { secret: from.secret.clone(), store, grant: ClientGrant::new(plan, outside) })
    }

    fn secret(&self) -> Result<Zeroizing<String>, String> {
        let secret = self.store.get(&self.secret).map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(line(&secret)).map_err(|_| "the secret is not text".to_owned())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    async fn authorization(&self) -> Result<HeaderValue, String> {
        self.grant.value(|| self.secret()).await
    }
}

impl PerCaller for Granted {
    fn value<'a>(&'a self, _caller: &'a Caller) -> Getting<'a> {
        Box::pin(self.authorization())
    }

    fn refused(&self, _caller: &Caller) {
        self.grant.forget();
    }
}
