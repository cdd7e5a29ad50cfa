//! Who the tunnel is: its certificate, the roots it trusts, and how both are renewed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey, Suite};
use lockgate_identity::TrustBundle;
use lockgate_identity::enrol::{AgentIdentity, Enrolment};
use lockgate_transport::http::{self as pool, Pool, Target};
use lockgate_transport::{Dialer, Trust, dialer};

use crate::TunnelError;
use crate::issue::Issue;
use crate::service::{self, BUNDLE};
use crate::shared::Shared;

/// An enrolled agent, and who issues its next certificate.
#[derive(Debug)]
pub(crate) struct Member<I> {
    pub(crate) identity: AgentIdentity,
    issuer: I,
    folder: Option<PathBuf>,
}

/// The algorithm of a new certificate: the strongest that the suite permits, that keys can be made for, and that a
/// trusted root issues. Where no root fits, it is the strongest all the same, for the authority to make a root; none only
/// if the suite permits nothing that keys can be made for.
#[must_use]
pub fn algorithm_for(suite: &Suite, bundle: &TrustBundle) -> Option<&'static Algorithm> {
    let rooted = |row: &&'static Algorithm| bundle.roots().iter().any(|root| root.algorithm() == *row);
    let identities = || suite.identities().iter().copied();
    let permitted = || suite.signatures().iter().copied().filter(|row| PrivateKey::can_make(row));
    identities().find(rooted).or_else(|| permitted().find(rooted)).or_else(|| identities().next())
}

/// The algorithms of roots that may vouch for others. What the suite to come has given up counts only where there is
/// nobody else: it may be given up because it is broken.
fn vouching(trusted: &TrustBundle, [today, next]: [&Suite; 2]) -> Vec<&'static Algorithm> {
    let permits = |suite: &Suite| suite.signatures().to_vec();
    let vouches = trusted.roots().iter().any(|root| next.signatures().contains(&root.algorithm()));
    if vouches { permits(next) } else { [permits(today), permits(next)].concat() }
}

impl<I: Issue> Member<I> {
    pub(crate) fn new(identity: AgentIdentity, issuer: I, folder: Option<PathBuf>) -> Self {
        Self { identity, issuer, folder }
    }

    /// How long until the certificate should be renewed.
    pub(crate) fn renew_in(&self) -> Duration {
        self.identity.leaf.renew_at().duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Whether the certificate can be presented under `suite`.
    pub(crate) fn fits(&self, suite: &Suite) -> bool {
        suite.signatures().contains(&self.identity.leaf.algorithm)
    }

    /// Fetches the authority's roots, if those of number `sequence` are newer than ours, and takes them if one vouches
    /// for them that we trust already. Whoever may vouch must be of an algorithm that the second of `suites` permits, the
    /// one to come; where we trust no root of such an algorithm, the first, under which the link is up.
    pub(crate) async fn newer_bundle(
        &self,
        pool: &Pool,
        sequence: u64,
        suites: [&Suite; 2],
        shared: &Shared,
    ) -> Result<Option<TrustBundle>, TunnelError> {
        let (trusted, last) = (&self.identity.bundle, self.identity.bundle_sequence());
        if sequence <= last {
            return Ok(None);
        }
        let update = service::ask_text(pool, service::get(BUNDLE)).await?;
        let accepted = shared.bundle(trusted, last, update, vouching(trusted, suites)).await;
        let (bundle, _) = accepted.map_err(TunnelError::Bundle)?;
        Ok(Some(bundle))
    }

    /// Reads the authority's roots from whoever answers at `target`, and trusts them if one vouches for them that is
    /// trusted already and of an algorithm that `suite` permits. Nothing secret is sent, and nothing is believed that is
    /// not signed.
    pub(crate) async fn learn_bundle(
        &mut self,
        target: &str,
        suite: &Suite,
        shared: &Shared,
        limits: dialer::Limits,
    ) -> Result<(), TunnelError> {
        let url = target.parse().map_err(|_| TunnelError::Bundle(format!("{target} is no URL")))?;
        let dialer = Arc::new(Dialer::new(suite.clone(), None, Trust::any_for_pinning(), limits)?);
        let pool = Pool::new(Target::new(&url, dialer)?, pool::Limits::default());
        let bundle = self.newer_bundle(&pool, u64::MAX, [suite, suite], shared).await?;
        let bundle = bundle.ok_or_else(|| TunnelError::Bundle("there are none".to_owned()))?;
        self.identity.adopt(bundle)?;
        self.save();
        Ok(())
    }

    /// Trusts `bundle`, and gets a new certificate where ours is not good under it and `suite`. Answers whether it
    /// got one.
    pub(crate) async fn settle(
        &mut self,
        pool: &Pool,
        suite: &Suite,
        bundle: Option<TrustBundle>,
    ) -> Result<bool, TunnelError> {
        let bundle = match bundle {
            Some(bundle) if self.fits(suite) && self.identity.adopt(bundle.clone()).is_ok() => {
                self.save();
                return Ok(false);
            }
            Some(bundle) => bundle,
            None if self.fits(suite) => return Ok(false),
            None => self.identity.bundle.clone(),
        };
        self.certify(pool, suite, bundle).await?;
        Ok(true)
    }

    /// Gets a new certificate for a fresh key.
    pub(crate) async fn certify(
        &mut self,
        pool: &Pool,
        suite: &Suite,
        bundle: TrustBundle,
    ) -> Result<(), TunnelError> {
        let algorithm = algorithm_for(suite, &bundle).unwrap_or(self.identity.leaf.algorithm);
        // Making a key takes up to milliseconds, of the largest algorithms tens of them.
        let enrolment = tokio::task::spawn_blocking(move || Enrolment::begin(algorithm)).await;
        let enrolment = enrolment.map_err(|error| TunnelError::NotIssued(error.to_string()))??;
        let certificate = self.issuer.issue(pool, enrolment.request_pem()).await?;
        let identity = enrolment.finish(&certificate, bundle, SystemTime::now())?;
        if identity.id != self.identity.id {
            let cause = format!("it is for {}, not for {}", identity.id, self.identity.id);
            return Err(TunnelError::NotIssued(cause));
        }
        self.identity = identity;
        self.save();
        Ok(())
    }

    /// Writes down what is in force already. That it cannot be written (a full disk) costs an invite after a restart at
    /// worst; to fail for it would leave the links on a certificate that runs out.
    fn save(&self) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = self.identity.save(folder) {
            tracing::warn!(folder = %folder.display(), %error, "the identity is in force but not saved: free or mend the folder before the next restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::profile;
    use lockgate_identity::Authority;

    use super::*;

    #[test]
    fn who_is_given_up_vouches_only_where_nobody_else_can() {
        let suite = |name: &str| profile::find(name).unwrap().compile(1).unwrap();
        let (today, next) = (suite("pq-kex"), suite("cnsa2"));
        let given_up: Vec<_> =
            today.signatures().iter().copied().filter(|row| !next.signatures().contains(row)).collect();
        assert!(!given_up.is_empty());
        let bundle = |algorithms: &[&'static Algorithm]| {
            Authority::generate("example.org", algorithms, SystemTime::now()).unwrap().bundle()
        };
        let (old, new) =
            (given_up.iter().copied().find(|row| PrivateKey::can_make(row)).unwrap(), next.identities()[0]);
        for (roots, counts) in [(vec![old], true), (vec![old, new], false), (vec![new], false)] {
            let vouching = vouching(&bundle(&roots), [&today, &next]);
            assert_eq!(vouching.contains(&old), counts, "{roots:?}");
            assert!(vouching.contains(&new));
        }
    }
}
