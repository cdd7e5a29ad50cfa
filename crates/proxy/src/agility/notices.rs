//! The notices: what is in force, told in band to those who hold a stream open for it, so that they move first.
//!
//! `GET /.well-known/lockgate/notices?profile=NAME&version=V&instance=ID` on a link that proves a certificate answers
//! with one [`Notice`] a line (`application/x-ndjson`): the first at once, another on each change, and an empty line as a
//! sign of life every [`SIGN_OF_LIFE_S`] seconds. A link has at most one such stream. It is no call in flight, and ends as
//! soon as its link takes no more calls.
//!
//! The query says what the peer dials by. `instance` is a connector's own name for itself: when it follows the notices on
//! a new link, its old link has been replaced and is closed gracefully at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use lockgate_crypto::{Announced, Notice};
use tokio::sync::watch;
use tokio::time::sleep;

use super::verdict::Judged;
use super::{Following, millis};
use crate::body::Body;
use crate::link::LinkContext;
use crate::node::Node;
use crate::wellknown::{self, NotEnrolled};

/// Seconds between two signs of life.
pub const SIGN_OF_LIFE_S: u64 = 30;

/// Longest value in the query, in bytes.
const VALUE_BYTES_MAX: usize = 64;

/// Opens the stream for the peer of `link`.
///
/// # Errors
/// Why there is none: the link proves nobody, has one already, or the query cannot be read.
pub(crate) fn open(
    node: &Arc<Node>,
    link: &Arc<LinkContext>,
    query: Option<&str>,
) -> Result<Response<Body>, NotEnrolled> {
    if !wellknown::is_proven(link) {
        return Err(NotEnrolled {
            status: StatusCode::UNAUTHORIZED,
            code: "LG-I403",
            message: "only a link that proves a certificate can follow the notices".to_owned(),
            hint: "enrol with an invite: lockgate connect --invite CODE".to_owned(),
        });
    }
    let following = read(query.unwrap_or_default())?;
    let seat = Seat::take(node, link, following)?;
    let changes = node.agility.changes.subscribe();
    let notices = Box::new(Notices { seat, changes, has_begun: false });
    let lines = stream::unfold(notices, |mut notices| async move {
        let line = notices.next().await?;
        Some((line, notices))
    });
    let mut response = Response::new(Body::until_closed(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Reads the query. Names that it does not know are passed over.
fn read(query: &str) -> Result<Following, NotEnrolled> {
    let is_plain = |value: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"@._-".contains(&byte);
        value.len() <= VALUE_BYTES_MAX && value.bytes().all(known)
    };
    let mut following = Following::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let field = match name {
            "profile" => &mut following.profile,
            "version" => &mut following.version,
            "instance" => &mut following.instance,
            _ => continue,
        };
        if !is_plain(value) {
            return Err(NotEnrolled {
                status: StatusCode::BAD_REQUEST,
                code: "LG-I400",
                message: format!("the value of {name} in the query cannot be read"),
                hint: format!("write at most {VALUE_BYTES_MAX} letters, digits and @._- as they are"),
            });
        }
        *field = Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    Ok(following)
}

/// The place of the one stream that a link may have.
struct Seat {
    node: Arc<Node>,
    link: Arc<LinkContext>,
    key: Option<(String, String)>,
}

impl Seat {
    fn take(node: &Arc<Node>, link: &Arc<LinkContext>, following: Following) -> Result<Self, NotEnrolled> {
        if !link.follow() {
            return Err(NotEnrolled {
                status: StatusCode::CONFLICT,
                code: "LG-I409",
                message: "this link has a stream of notices already".to_owned(),
                hint: "read the stream that is open, or close it first".to_owned(),
            });
        }
        let key = following.instance.clone().map(|instance| (link.caller.agent.clone(), instance));
        let seat = Self { node: node.clone(), link: link.clone(), key };
        node.agility.peers.follows(link, following);
        seat.replace();
        Ok(seat)
    }

    /// Takes over from the link on which the same connector followed before. If that one has to go, it can do so now.
    fn replace(&self) {
        let Some(key) = &self.key else { return };
        let before = self.node.agility.followers.lock().insert(key.clone(), Arc::downgrade(&self.link));
        let Some(before) = before.as_ref().and_then(Weak::upgrade) else { return };
        if before.number != self.link.number && before.fate.goes() && !self.link.fate.goes() {
            before.closing.cancel();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.link.unfollow();
        let Some(key) = &self.key else { return };
        let mut followers = self.node.agility.followers.lock();
        if followers.get(key).is_some_and(|link| std::ptr::eq(link.as_ptr(), Arc::as_ptr(&self.link))) {
            followers.remove(key);
        }
    }
}

/// One stream.
struct Notices {
    seat: Seat,
    changes: watch::Receiver<u64>,
    has_begun: bool,
}

impl Notices {
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(self.line());
        }
        tokio::select! {
            biased;
            () = self.seat.link.closing.cancelled() => None,
            () = self.seat.link.kill.cancelled() => None,
            changed = self.changes.changed() => changed.ok().map(|()| self.line()),
            () = sleep(Duration::from_secs(SIGN_OF_LIFE_S)) => Some(Bytes::from_static(b"\n")),
        }
    }

    fn line(&mut self) -> Bytes {
        // What changes from here on is told by the next line.
        self.changes.borrow_and_update();
        let notice = self.seat.node.notice_for(&self.seat.link);
        let mut line = notice
            .map_or_else(Vec::new, |notice| serde_json::to_vec(&notice).expect("a notice is plain data"));
        line.push(b'\n');
        line.into()
    }
}

impl Node {
    /// What the peer of `link` is to know now; nothing if its listener has no rule.
    fn notice_for(&self, link: &LinkContext) -> Option<Notice> {
        let standing = self.agility.standing();
        let now_ms = self.now_ms();
        let suite = standing.in_force.rule(&link.listener, &link.caller.agent, now_ms)?;
        let why = match standing.judge(link, now_ms) {
            Judged::Goes(why) => why,
            Judged::Stays | Judged::Ahead => Vec::new(),
        };
        let closes_at_ms = link.fate.departure().map(|departure| departure.closes_at_ms);
        Some(Notice {
            schema: Notice::SCHEMA.to_owned(),
            epoch: standing.in_force.epoch,
            announced: Announced::of(suite),
            authority: standing.in_force.authority.clone(),
            bundle_sequence: standing.in_force.bundle_sequence,
            move_within_ms: millis(standing.pace.within),
            closes_at_ms: closes_at_ms.or_else(|| (!why.is_empty()).then(|| standing.closes_at_ms())),
            stays: why.is_empty(),
            why,
            endings: suite.endings(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_the_peer_dials_by_and_nothing_long_or_odd() {
        let following = read("profile=pq-hybrid@20261122&version=1.2.3&instance=ab-1&more=%00").unwrap();
        assert_eq!(following.profile.as_deref(), Some("pq-hybrid@20261122"));
        assert_eq!(
            (following.version.as_deref(), following.instance.as_deref()),
            (Some("1.2.3"), Some("ab-1"))
        );
        assert_eq!(read("").unwrap(), Following::default());
        assert_eq!(read("profile=&version").unwrap(), Following::default());
        let long = format!("profile={}", "x".repeat(65));
        for odd in ["profile=a%20b", "instance=a\"b", "version=<b>", &long] {
            assert_eq!(read(odd).unwrap_err().code, "LG-I400", "{odd}");
        }
    }
}
