//! What the tunnels of one process share, so that ten thousand of them cost what one costs: compiled suites and
//! accepted trust bundles.
//!
//! A suite is compiled and tests itself, which takes milliseconds of a processor, and a bundle is checked by several
//! post-quantum signatures. All tunnels to one gateway need the same ones in the same moment: the first makes them,
//! off the threads that serve, and the others wait for it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use lockgate_crypto::{Algorithm, Announced, Conditions, CryptoError, Profile, Suite, digest};
use lockgate_identity::{IdentityError, TrustBundle};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::TunnelError;
use crate::floor;

/// Suites kept: a few gateways, each with an epoch before and after.
const SUITES_MAX: usize = 16;
/// Bundles kept, for the same reason.
const BUNDLES_MAX: usize = 16;

/// Results that several tunnels need. Cheap to clone.
#[derive(Clone, Default)]
pub struct Shared(Arc<Inner>);

#[derive(Default)]
struct Inner {
    suites: Kept<Result<Compiled, Arc<CryptoError>>>,
    bundles: Kept<Result<(TrustBundle, u64), String>>,
}

/// A suite to dial by, and what of an announcement it leaves out.
#[derive(Clone)]
pub(crate) struct Compiled {
    pub(crate) suite: Suite,
    /// Catalog ids below the floor.
    pub(crate) left_out: Arc<[String]>,
}

impl Shared {
    /// A profile as it is, without a gateway's word.
    pub(crate) async fn profile(&self, profile: &'static Profile) -> Result<Suite, TunnelError> {
        let conditions = Conditions::today(1);
        let key = key(&[b"profile", profile.name.as_bytes(), conditions.date.to_string().as_bytes()]);
        let compile = move || {
            let suite = profile.compile_under(&conditions).map_err(Arc::new)?;
            Ok(Compiled { suite, left_out: Arc::default() })
        };
        Ok(self.0.suites.get(key, SUITES_MAX, compile).await?.suite)
    }

    /// What a gateway announced, held against the floor.
    pub(crate) async fn announced(
        &self,
        announced: &Announced,
        epoch: u64,
        floor: &'static Profile,
    ) -> Result<Compiled, TunnelError> {
        let conditions = Conditions::today(epoch);
        let lists = serde_json::to_vec(announced).expect("plain data serialises");
        let date = conditions.date.to_string();
        let key = key(&[b"announced", &lists, &epoch.to_be_bytes(), floor.name.as_bytes(), date.as_bytes()]);
        let announced = announced.clone();
        let compile = move || floor::compile(&announced, &conditions, floor).map_err(Arc::new);
        Ok(self.0.suites.get(key, SUITES_MAX, compile).await?)
    }

    /// The bundle that a signed update turns `trusted` into, and its sequence.
    pub(crate) async fn bundle(
        &self,
        trusted: &TrustBundle,
        sequence: u64,
        update: String,
        permitted: Vec<&'static Algorithm>,
    ) -> Result<(TrustBundle, u64), String> {
        let now = SystemTime::now();
        // What holds, and what is refused, can depend on the time: it is looked at again each minute.
        let minute = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        let ids: Vec<_> = permitted.iter().map(|row| row.id).collect();
        let key = key(&[
            trusted.fingerprint().as_bytes(),
            &sequence.to_be_bytes(),
            ids.join(" ").as_bytes(),
            update.as_bytes(),
            &minute.to_be_bytes(),
        ]);
        let trusted = trusted.clone();
        let accept = move || {
            let permits = |row: &Algorithm| permitted.iter().any(|permitted| permitted.id == row.id);
            let accepted = trusted.accept_update(&update, permits, sequence, now);
            accepted.map_err(|error: IdentityError| error.to_string())
        };
        self.0.bundles.get(key, BUNDLES_MAX, accept).await
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A digest of all parts, each with its length before it.
fn key(parts: &[&[u8]]) -> [u8; 32] {
    let mut whole = Vec::new();
    for part in parts {
        whole.extend_from_slice(&(part.len() as u64).to_be_bytes());
        whole.extend_from_slice(part);
    }
    digest::sha256(&whole)
}

/// The last few results by the digest of what went in.
struct Kept<T>(Mutex<Vec<Entry<T>>>);

type Entry<T> = ([u8; 32], Arc<OnceCell<T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Kept<T> {
    /// The result for `key`, made by `make` on a thread of its own if nobody has made it.
    async fn get(&self, key: [u8; 32], entries_max: usize, make: impl FnOnce() -> T + Send + 'static) -> T {
        let cell = self.cell(key, entries_max);
        let made = cell.get_or_init(|| async {
            match tokio::task::spawn_blocking(make).await {
                Ok(made) => made,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is going down, and whoever waits goes with it.
                Err(_) => std::future::pending().await,
            }
        });
        made.await.clone()
    }

    fn cell(&self, key: [u8; 32], entries_max: usize) -> Arc<OnceCell<T>> {
        let mut entries = self.0.lock();
        if let Some((_, cell)) = entries.iter().find(|(kept, _)| *kept == key) {
            return Arc::clone(cell);
        }
        if entries.len() >= entries_max {
            entries.remove(0);
        }
        let cell = Arc::new(OnceCell::new());
        entries.push((key, Arc::clone(&cell)));
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_need_the_same_make_it_once() {
        let (kept, made) = (Arc::new(Kept::default()), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (kept, made) = (Arc::clone(&kept), Arc::clone(&made));
                tokio::spawn(async move {
                    kept.get([1; 32], 2, move || made.fetch_add(1, Ordering::SeqCst)).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 0);
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
        // The oldest gives way.
        for number in 2..=3 {
            kept.get([number; 32], 2, move || usize::from(number)).await;
        }
        assert_eq!(kept.get([1; 32], 2, || 9).await, 9);
    }

    #[test]
    fn keys_tell_their_parts_apart() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    }
}
