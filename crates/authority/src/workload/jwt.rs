//! JWT-SVIDs by the issuers of tokens that a node has: one with keys that stock clients can verify with, one without.

use std::sync::Arc;
use std::time::SystemTime;

use lockgate_crypto::Algorithm;
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{ForeignIssuer, KeyCache, TOKEN_LIFETIME, TokenIssuer, TokenRefused};
use serde_json::{Map, Value, json};

use super::JwtSvids;
use crate::registration::{Registration, SvidKind};
use crate::{AuthorityError, Kind};

/// Signs and checks with [`TokenIssuer`]s.
pub struct TokenSvids {
    trust_domain: String,
    /// With traditional keys, if the profiles in force permit any.
    stock: Option<Arc<TokenIssuer>>,
    /// With the keys that the profile prefers.
    own: Arc<TokenIssuer>,
}

impl TokenSvids {
    /// With the issuer of the profile, and one that stock clients understand.
    pub fn new(trust_domain: &str, own: Arc<TokenIssuer>, stock: Option<Arc<TokenIssuer>>) -> Self {
        Self { trust_domain: trust_domain.to_owned(), stock, own }
    }

    fn of(&self, kind: SvidKind) -> Option<&Arc<TokenIssuer>> {
        match kind {
            SvidKind::Stock => self.stock.as_ref(),
            // Tokens have no composite signatures; their post-quantum half stands in (see the suite's choice).
            SvidKind::PostQuantum | SvidKind::Hybrid => {
                Some(&self.own).filter(|own| own.algorithm().is_quantum_safe())
            }
        }
    }

    fn check(
        &self,
        issuer: &TokenIssuer,
        token: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<(SpiffeId, Map<String, Value>), AuthorityError> {
        let refused =
            |error: TokenRefused| AuthorityError::refused(Kind::Spiffe, error.check(), error.to_string());
        let verifier = issuer.verifier();
        let mut keys = KeyCache::default();
        keys.replace(verifier.keys().clone(), now);
        let algorithms: Vec<&'static Algorithm> = vec![issuer.algorithm()];
        let judge = ForeignIssuer::new(issuer.issuer(), audience, algorithms);
        let claims = judge.verify(token, &keys, now).map_err(refused)?;
        let id = SpiffeId::parse(&claims.subject)
            .map_err(|error| AuthorityError::refused(Kind::Spiffe, "subject", error.to_string()))?;
        if id.trust_domain() != self.trust_domain {
            return Err(AuthorityError::refused(Kind::Spiffe, "trust domain", id.to_string()));
        }
        Ok((id, claims.members().clone()))
    }
}

impl JwtSvids for TokenSvids {
    fn issue(
        &self,
        id: &SpiffeId,
        audience: &[String],
        registration: &Registration,
    ) -> Result<String, AuthorityError> {
        let issuer = self.of(registration.svid).ok_or_else(|| AuthorityError::Algorithm {
            id: id.to_string(),
            wanted: registration.svid.name(),
            hint: "give its [[register]] another svid, or a listener a profile with such signatures",
        })?;
        let issued = issuer.issue_svid(id, audience, TOKEN_LIFETIME, SystemTime::now())?;
        Ok(issued.token.as_str().to_owned())
    }

    fn bundle(&self, kind: SvidKind) -> String {
        let Some(issuer) = self.of(kind) else { return json!({ "keys": [] }).to_string() };
        let mut set = issuer.verifier().keys().to_json();
        for key in set["keys"].as_array_mut().into_iter().flatten() {
            key["use"] = "jwt-svid".into();
        }
        set.to_string()
    }

    fn validate(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<(SpiffeId, Map<String, Value>), AuthorityError> {
        let now = SystemTime::now();
        let checked = self.check(&self.own, token, audience, now);
        match (checked, &self.stock) {
            // Signed by the other, or by nobody here: that one says what is wrong with it.
            (Err(AuthorityError::Refused { check: "key" | "algorithm", .. }), Some(stock)) => {
                self.check(stock, token, audience, now)
            }
            (checked, _) => checked,
        }
    }
}
