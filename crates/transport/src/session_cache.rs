//! Resumable sessions of a listener.
//!
//! Sessions stay here and the client holds a 32-byte name of one. A self-contained ticket would carry the
//! client's certificate chain: 5.4 kB in each direction with ML-DSA. It would also outlive the policy it was
//! issued under, whereas a cache can be dropped.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::StoresServerSessions;
use tokio::time::Instant;

/// Sessions kept by one listener. Each holds the client's certificate, 6 kB with ML-DSA, so that the default
/// costs 12 MiB; 36 MiB in the emergency of SLH-DSA. Beyond it the oldest goes, and its client makes a full
/// handshake, half a millisecond of a core.
pub(crate) const SESSIONS_MAX: usize = 2_048;

/// A session is resumed for at most this long: the life of an agent's certificate, which resumption does not
/// renew.
pub(crate) const SESSION_S_MAX: u64 = 3_600;

/// A bounded store of sessions, oldest out first. A session can be taken once.
pub(crate) struct SessionCache {
    sessions_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_name: HashMap<Vec<u8>, Session>,
    /// Names by the order in which they were stored.
    by_age: BTreeMap<u64, Vec<u8>>,
    stored: u64,
}

struct Session {
    number: u64,
    since: Instant,
    /// Boxed: rustls hands over a vector with twice the capacity it needs.
    value: Box<[u8]>,
}

impl SessionCache {
    pub(crate) fn new(sessions_max: usize) -> Arc<Self> {
        Arc::new(Self { sessions_max, held: Mutex::default() })
    }

    fn put(&self, name: Vec<u8>, value: Vec<u8>) {
        let mut held = self.held.lock();
        while held.by_age.len() >= self.sessions_max {
            let Some((_, oldest)) = held.by_age.pop_first() else {
                return;
            };
            held.by_name.remove(&oldest);
        }
        let number = held.stored;
        held.stored += 1;
        held.by_age.insert(number, name.clone());
        let session = Session { number, since: Instant::now(), value: value.into_boxed_slice() };
        if let Some(replaced) = held.by_name.insert(name, session) {
            held.by_age.remove(&replaced.number);
        }
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut held = self.held.lock();
        let session = held.by_name.remove(name)?;
        held.by_age.remove(&session.number);
        let fresh = session.since.elapsed() < Duration::from_secs(SESSION_S_MAX);
        fresh.then(|| session.value.into_vec())
    }
}

/// The sessions that were authenticated by one leaf's algorithm.
///
/// Resumption skips the server's signature. A session is therefore resumed only where a full handshake would
/// present a leaf of the same algorithm, so that what the posture says of it stays true.
#[derive(Debug)]
pub(crate) struct LeafSessions {
    /// Set when its configuration is published, before the first handshake.
    pub(crate) cache: Arc<OnceLock<Arc<SessionCache>>>,
    /// Code point of the leaf's algorithm: prefix of the names.
    pub(crate) algorithm: u16,
}

impl LeafSessions {
    fn name(&self, id: &[u8]) -> Vec<u8> {
        [&self.algorithm.to_be_bytes(), id].concat()
    }
}

impl StoresServerSessions for LeafSessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let cache = self.cache.get();
        cache.inspect(|cache| cache.put(self.name(&id), session)).is_some()
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None // TLS 1.2 only: a TLS 1.3 session is taken
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.get()?.take(&self.name(id))
    }

    fn can_cache(&self) -> bool {
        self.cache.get().is_some_and(|cache| cache.sessions_max > 0)
    }
}

impl fmt::Debug for SessionCache {
    /// Sessions are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache [redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(cache: &Arc<SessionCache>, algorithm: u16) -> LeafSessions {
        LeafSessions { cache: Arc::new(OnceLock::from(Arc::clone(cache))), algorithm }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_taken_once_in_time_and_for_its_leaf() {
        let cache = SessionCache::new(10);
        let (ours, other) = (sessions(&cache, 1), sessions(&cache, 2));
        assert!(ours.put(b"a".to_vec(), b"first".to_vec()));
        assert_eq!(other.take(b"a"), None);
        assert_eq!(ours.take(b"a").as_deref(), Some(&b"first"[..]));
        assert_eq!(ours.take(b"a"), None);

        ours.put(b"b".to_vec(), b"second".to_vec());
        tokio::time::advance(Duration::from_secs(SESSION_S_MAX)).await;
        assert_eq!(ours.take(b"b"), None);
    }

    #[test]
    fn the_oldest_goes_first_and_memory_is_bounded() {
        let cache = SessionCache::new(2);
        let ours = sessions(&cache, 1);
        for id in [b"a", b"b", b"c"] {
            ours.put(id.to_vec(), id.to_vec());
        }
        assert_eq!(ours.take(b"a"), None);
        assert!(ours.take(b"b").is_some());
        // Resuming again and again leaves the other session where it is.
        for id in 200..=255u8 {
            ours.put(vec![id], vec![id]);
            assert!(ours.take(&[id]).is_some(), "{id}");
        }
        assert!(ours.take(b"c").is_some());
        let held = cache.held.lock();
        assert!(held.by_age.is_empty() && held.by_name.is_empty());
    }
}
