//! Streams of the Workload API: an answer at once, and another whenever it is due or anything under it changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::Workload;
use super::messages::{JwtBundlesResponse, X509BundlesResponse, X509Svid, X509SvidResponse};
use super::service::status;
use crate::AuthorityError;
use crate::attest::Peer;
use crate::known::renewal;
use crate::registration::SvidKind;

/// Pause between two looks at whether something changed that nobody told of, in seconds: revocations are told.
const LOOK_S: u64 = 1;

/// A stream of answers.
pub(super) type Answers<T> = BoxStream<'static, Result<T, Status>>;

struct State {
    workload: Arc<Workload>,
    peer: Arc<Peer>,
    changes: watch::Receiver<u64>,
    generation: u64,
    /// When the next answer is due; `None` before the first.
    due: Option<Instant>,
    over: bool,
}

impl State {
    fn new(workload: &Arc<Workload>, peer: &Arc<Peer>) -> Self {
        Self {
            workload: Arc::clone(workload),
            peer: Arc::clone(peer),
            changes: workload.watch(),
            generation: workload.issuance().generation(),
            due: None,
            over: false,
        }
    }

    /// Waits until the next answer is due, or something changed.
    async fn wait(&mut self) {
        let Some(due) = self.due else { return };
        loop {
            let look = Instant::now() + Duration::from_secs(LOOK_S);
            tokio::select! {
                () = tokio::time::sleep_until(due.min(look)) => {}
                // The sender lives as long as the workload, which we hold.
                _ = self.changes.changed() => return,
            }
            if Instant::now() >= due || self.workload.issuance().generation() != self.generation {
                return;
            }
        }
    }
}

/// X.509-SVIDs, and new ones before the old ones end. Each time the process is attested again.
pub(super) fn svids(workload: &Arc<Workload>, peer: &Arc<Peer>) -> Answers<X509SvidResponse> {
    let state = State::new(workload, peer);
    let stream = futures_util::stream::unfold(state, |mut state| async move {
        if state.over {
            return None;
        }
        state.wait().await;
        state.generation = state.workload.issuance().generation();
        let answer = fresh(&state.workload, &state.peer).await;
        let answer = answer.map(|(response, life)| {
            state.due = Some(Instant::now() + renewal(life));
            response
        });
        state.over = answer.is_err();
        Some((answer.map_err(|error| status(&error)), state))
    });
    stream.boxed()
}

/// What a process gets now, and the shortest life of it.
async fn fresh(
    workload: &Arc<Workload>,
    peer: &Arc<Peer>,
) -> Result<(X509SvidResponse, Duration), AuthorityError> {
    const METHOD: &str = "identity/svid";
    let entitled = workload.entitled(peer, METHOD).await?;
    let attested = entitled.attested.clone();
    let issued = match workload.issue(entitled, METHOD).await {
        Ok(issued) => issued,
        Err(error) => return Err(workload.refuse(METHOD, Some(&attested), peer, error).await),
    };
    let now = std::time::SystemTime::now();
    let lives = issued.iter().map(|(svid, _)| svid.not_after.duration_since(now).unwrap_or_default());
    let life = lives.min().unwrap_or_default();
    let several = issued.len() > 1;
    let svids = issued.into_iter().map(|(svid, registration)| X509Svid {
        spiffe_id: svid.id.to_string(),
        x509_svid: svid.certificate.to_vec(),
        x509_svid_key: svid.key_der().to_vec(),
        bundle: roots(workload, registration.svid),
        hint: if several {
            svid.id.path().rsplit('/').next().unwrap_or_default().to_owned()
        } else {
            String::new()
        },
    });
    let response = X509SvidResponse { svids: svids.collect(), ..X509SvidResponse::default() };
    Ok((response, life))
}

/// Roots of the kind that the SVIDs are of: who is to trust post-quantum signatures must not be shown an identity by a
/// traditional one, and who can read only those cannot use the others.
fn roots(workload: &Workload, kind: SvidKind) -> Vec<u8> {
    let bundle = workload.issuance().authority().bundle();
    let of_kind = bundle.roots().iter().filter(|root| kind.is_made_of(root.algorithm()));
    of_kind.flat_map(|root| root.certificate().to_vec()).collect()
}

/// Bundles, and new ones when they change, for a process with an identity.
fn bundles<T: Send + PartialEq + Clone + 'static>(
    workload: &Arc<Workload>,
    peer: &Arc<Peer>,
    make: fn(&Workload, SvidKind) -> Result<T, AuthorityError>,
) -> Answers<T> {
    let state = (State::new(workload, peer), None::<T>);
    let stream = futures_util::stream::unfold(state, move |(mut state, mut last)| async move {
        if state.over {
            return None;
        }
        loop {
            state.wait().await;
            state.generation = state.workload.issuance().generation();
            // No renewal here: looks alone tell of changes.
            state.due = Some(Instant::now() + Duration::from_secs(3600));
            let entitled = state.workload.entitled(&state.peer, "identity/bundle").await;
            let answer = entitled.and_then(|entitled| make(&state.workload, entitled.registrations[0].svid));
            match answer {
                Ok(answer) if last.as_ref() == Some(&answer) => {}
                Ok(answer) => {
                    last = Some(answer.clone());
                    return Some((Ok(answer), (state, last)));
                }
                Err(error) => {
                    state.over = true;
                    return Some((Err(status(&error)), (state, last)));
                }
            }
        }
    });
    stream.boxed()
}

fn trust_domain(workload: &Workload) -> String {
    format!("spiffe://{}", workload.issuance().authority().trust_domain())
}

pub(super) fn x509_bundles(workload: &Arc<Workload>, peer: &Arc<Peer>) -> Answers<X509BundlesResponse> {
    bundles(workload, peer, |workload, kind| {
        let bundles = HashMap::from([(trust_domain(workload), roots(workload, kind))]);
        Ok(X509BundlesResponse { bundles, ..X509BundlesResponse::default() })
    })
}

pub(super) fn jwt_bundles(workload: &Arc<Workload>, peer: &Arc<Peer>) -> Answers<JwtBundlesResponse> {
    bundles(workload, peer, |workload, kind| {
        let jwt = super::service::jwt_of(workload)?;
        Ok(JwtBundlesResponse {
            bundles: HashMap::from([(trust_domain(workload), jwt.bundle(kind).into_bytes())]),
        })
    })
}
