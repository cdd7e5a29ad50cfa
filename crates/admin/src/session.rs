//! Sessions of the dashboard: how a browser comes to ask, and what it may ask for.
//!
//! The token of the launch never reaches a browser. Who has it gets a *ticket*, good once and for a minute, which travels in
//! the fragment of a URL: browsers send that to nobody, and the page removes it from the address bar at once. The page
//! exchanges it for the token of a *session*, which it keeps for its tab and sends as a bearer token.
//!
//! There is no cookie, on purpose. Cookies know no ports: every other service on this machine would be sent it, and every
//! page of another site could have it sent. A header that only our own page can set makes forged requests impossible.

use std::time::{Duration, Instant};

use lockgate_crypto::{digest, random};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::guard::{Token, same};

/// How long a ticket can be used, in seconds: as long as a browser takes to start on a slow machine.
pub(crate) const TICKET_S_MAX: u64 = 60;

/// Tickets that wait to be used; the oldest makes room.
const TICKETS_MAX: usize = 8;

/// Sessions at a time: a few people with a few tabs each. The one not used for longest makes room.
pub(crate) const SESSIONS_MAX: usize = 32;

/// A session that is not used for so long ends, in seconds: half a day.
pub(crate) const IDLE_S_MAX: u64 = 12 * 3600;

/// Longest name of who opened a session, in bytes.
const BY_BYTES_MAX: usize = 128;

/// Random bytes of a ticket and of a session's token.
const SECRET_BYTES: usize = 32;

/// Tickets and sessions of one launch. Only hashes are kept.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Held>);

#[derive(Default)]
struct Held {
    tickets: Vec<Entry>,
    sessions: Vec<Entry>,
}

struct Entry {
    hash: [u8; 32],
    by: String,
    /// When it was made, or last used.
    at: Instant,
}

impl Sessions {
    /// A ticket for whoever asks as `by`.
    pub(crate) fn ticket(&self, by: &str, now: Instant) -> Zeroizing<String> {
        let by = &by[..by.floor_char_boundary(BY_BYTES_MAX)];
        let mut held = self.0.lock();
        held.tickets.retain(|ticket| !is_old(ticket, now, TICKET_S_MAX));
        add(&mut held.tickets, TICKETS_MAX, by.to_owned(), now)
    }

    /// The token of a new session for a ticket, with the name of who opened it. The ticket is used up.
    pub(crate) fn exchange(&self, ticket: &str, now: Instant) -> Option<(Token, String)> {
        let mut held = self.0.lock();
        held.tickets.retain(|ticket| !is_old(ticket, now, TICKET_S_MAX));
        let hash = digest::sha256(ticket.as_bytes());
        let found = held.tickets.iter().position(|ticket| same(&ticket.hash, &hash))?;
        let by = held.tickets.remove(found).by;
        held.sessions.retain(|session| !is_old(session, now, IDLE_S_MAX));
        let secret = add(&mut held.sessions, SESSIONS_MAX, by.clone(), now);
        Some((Token::from(secret.as_str().to_owned()), by))
    }

    /// Whether `given` is the token of a session.
    pub(crate) fn knows(&self, given: &str, now: Instant) -> bool {
        let hash = digest::sha256(given.as_bytes());
        let mut held = self.0.lock();
        let found = held.sessions.iter_mut().find(|session| same(&session.hash, &hash));
        let Some(session) = found.filter(|session| !is_old(session, now, IDLE_S_MAX)) else { return false };
        session.at = now;
        true
    }
}

fn is_old(entry: &Entry, now: Instant, s_max: u64) -> bool {
    now.saturating_duration_since(entry.at) >= Duration::from_secs(s_max)
}

/// Adds an entry with a fresh secret, and gives the secret.
fn add(entries: &mut Vec<Entry>, max: usize, by: String, at: Instant) -> Zeroizing<String> {
    if entries.len() >= max {
        let oldest = entries.iter().enumerate().min_by_key(|(_, entry)| entry.at).map(|(n, _)| n);
        oldest.map(|oldest| entries.remove(oldest));
    }
    let secret = Zeroizing::new(random::token_base64url(SECRET_BYTES));
    entries.push(Entry { hash: digest::sha256(secret.as_bytes()), by, at });
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, s: u64) -> Instant {
        start + Duration::from_secs(s)
    }

    #[test]
    fn a_ticket_is_good_once_and_for_a_minute() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let ticket = sessions.ticket("ann", start);
        assert!(sessions.exchange("guess", start).is_none());
        let (token, by) = sessions.exchange(&ticket, after(start, TICKET_S_MAX - 1)).expect("a session");
        assert_eq!(by, "ann");
        assert!(sessions.exchange(&ticket, start).is_none(), "used up");
        assert!(sessions.knows(token.reveal(), start) && !sessions.knows(&ticket, start));
        let late = sessions.ticket("ann", start);
        assert!(sessions.exchange(&late, after(start, TICKET_S_MAX)).is_none(), "too late");
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let ticket = sessions.ticket("ann", start);
        let (token, _) = sessions.exchange(&ticket, start).expect("a session");
        assert!(sessions.knows(token.reveal(), after(start, IDLE_S_MAX - 1)));
        assert!(sessions.knows(token.reveal(), after(start, 2 * IDLE_S_MAX - 2)), "it was used meanwhile");
        assert!(!sessions.knows(token.reveal(), after(start, 4 * IDLE_S_MAX)));
    }

    #[test]
    fn tickets_and_sessions_are_bounded() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let first = sessions.ticket("ann", start);
        (1..=TICKETS_MAX as u64).for_each(|s| drop(sessions.ticket("ann", after(start, s))));
        assert!(sessions.exchange(&first, after(start, 9)).is_none(), "it made room");
        let mut tokens = Vec::new();
        for s in 0..=SESSIONS_MAX as u64 {
            let ticket = sessions.ticket("ann", after(start, s));
            tokens.push(sessions.exchange(&ticket, after(start, s)).expect("a session").0);
        }
        let known = tokens.iter().filter(|token| sessions.knows(token.reveal(), after(start, 99))).count();
        assert_eq!(known, SESSIONS_MAX);
    }

    #[test]
    fn the_name_of_who_opens_it_is_bounded() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let ticket = sessions.ticket(&"é".repeat(1_000), start);
        assert!(sessions.exchange(&ticket, start).expect("a session").1.len() <= BY_BYTES_MAX);
    }
}
