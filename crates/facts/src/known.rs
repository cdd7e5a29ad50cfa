//! What is known of the records of one fact, by key, within bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::absence::{Absence, Outcome};

/// Most keys of which something is known, each fact for itself: with the largest answers 64 MiB. What is known to be
/// absent goes first, then what nobody asked for longest.
pub const KEYS_MAX: usize = 1_024;

/// What a decision can be told.
#[derive(Debug, Clone)]
pub struct Found {
    /// The record, of the shape that was promised.
    pub record: Option<Arc<Map<String, Value>>>,
    /// How old it is, in milliseconds.
    pub age_ms: Option<u64>,
    /// How it came about.
    pub outcome: Outcome,
}

/// How the last use ended.
#[derive(Clone)]
pub(crate) struct Last {
    pub(crate) at_ms: u64,
    pub(crate) key: Option<String>,
    pub(crate) age_ms: Option<u64>,
    pub(crate) outcome: Outcome,
}

/// What is known of one key.
pub(crate) struct Known {
    pub(crate) held: Option<Held>,
    pub(crate) why: Option<Absence>,
    /// When the last question began.
    pub(crate) asked: Option<Instant>,
    /// When somebody last wanted it.
    pub(crate) wanted: Instant,
    pub(crate) open: Option<watch::Receiver<()>>,
}

#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) record: Arc<Map<String, Value>>,
    pub(crate) as_of_ms: u64,
    /// Its age at a moment of the clock that nobody can set back.
    pub(crate) age_ms: u64,
    pub(crate) at: Instant,
}

impl Held {
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        let since = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        now_ms.saturating_sub(self.as_of_ms).max(self.age_ms.saturating_add(since))
    }
}

/// The place of a key, made if need be within the bounds.
pub(crate) fn known<'a>(
    all: &'a mut HashMap<Option<String>, Known>,
    key: Option<&str>,
    now: Instant,
) -> &'a mut Known {
    let key = key.map(str::to_owned);
    if all.len() >= KEYS_MAX && !all.contains_key(&key) {
        let idle = all.iter().filter(|(_, known)| known.open.is_none());
        let oldest =
            idle.min_by_key(|(_, known)| (known.held.is_some(), known.wanted)).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            all.remove(&oldest);
        }
    }
    match all.entry(key) {
        Place::Occupied(place) => {
            let known = place.into_mut();
            known.wanted = now;
            known
        }
        Place::Vacant(place) => {
            place.insert(Known { held: None, why: None, asked: None, wanted: now, open: None })
        }
    }
}

pub(crate) fn held_found(held: &Held, now_ms: u64, outcome: Outcome) -> Found {
    Found { record: Some(Arc::clone(&held.record)), age_ms: Some(held.age_ms(now_ms)), outcome }
}

pub(crate) fn absent(why: Absence) -> Found {
    let age_ms = match why {
        Absence::Stale { age_ms, .. } => Some(age_ms),
        _ => None,
    };
    Found { record: None, age_ms, outcome: Outcome::Absent(why) }
}
