//! What happened of late, asked for once or as a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use lockgate_live::{EVENTS_MAX, Filter, Page, Part, Recent, Wanted};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Access, Asked, document, unreadable};
use crate::api::{Live, LiveQuery, LiveSummary};
use crate::fault::Fault;

/// Events that are given where nobody says how many: some screens full.
pub const LIVE_DEFAULT: usize = 500;

/// Most streams at a time: each costs a connection, and a busy screen has one or two.
pub const STREAMS_MAX: usize = 16;

/// Events of one chunk: a tenth of what is kept, so that who reads slowly is told before it has lost much.
const BATCH_MAX: usize = EVENTS_MAX / 8;

/// Time after which a stream without events says that it is still there, in seconds.
const QUIET_S_MAX: u64 = 15;

/// Time until a browser that lost the stream asks again, in milliseconds.
const RETRY_MS: u64 = 1_000;

type Asking = Result<Query<LiveQuery>, QueryRejection>;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/live", get(live))
        .route("/live/summary", get(summary))
        .route("/live/stream", get(follow))
}

fn read(query: Asking) -> Result<(LiveQuery, Filter), Fault> {
    let Query(query) = query.map_err(|error| unreadable(error.body_text()))?;
    let filter = query.filter().map_err(|error| unreadable(error.to_string()))?;
    Ok((query, filter))
}

async fn live(State(access): Asked, query: Asking) -> Result<Response, Fault> {
    let (query, filter) = read(query)?;
    let limit = query.limit.unwrap_or(LIVE_DEFAULT);
    if limit > EVENTS_MAX {
        return Err(unreadable(format!("limit is {limit}, {EVENTS_MAX} events are kept")));
    }
    let recent = access.node.live();
    let Page { entries, first, last, missed } = recent.after(query.after.unwrap_or(0), EVENTS_MAX);
    let wanted: Vec<_> = entries.iter().filter(|entry| filter.passes(&entry.event)).collect();
    // Without a number the newest are asked for, with one those that follow it.
    let wanted = match query.after {
        None => &wanted[wanted.len().saturating_sub(limit)..],
        Some(_) => &wanted[..wanted.len().min(limit)],
    };
    let raw = |json: &str| RawValue::from_string(json.to_owned()).expect("entries are JSON");
    document(&Live {
        launch: recent.launch(),
        first,
        last,
        missed: if query.after.is_some() { missed } else { 0 },
        dropped: recent.dropped(),
        events: wanted.iter().map(|entry| raw(&entry.json)).collect(),
    })
}

/// Which part of the figures.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Parts {
    parts: String,
    since_s: u64,
}

async fn summary(
    State(access): Asked,
    parts: Result<Query<Parts>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(Parts { parts, since_s }) = parts.map_err(|error| unreadable(error.body_text()))?;
    let known = |name: &str| Part::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, part)| part);
    let parts = parts.split(',').filter(|name| !name.is_empty()).map(|name| {
        known(name).ok_or_else(|| {
            let names = Part::ALL.map(|(name, _)| name).join(", ");
            unreadable(format!("no part of the figures has this name; there are {names}"))
        })
    });
    let wanted = Wanted { parts: parts.collect::<Result<_, _>>()?, since_s };
    let recent = access.node.live();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let summary = recent.summary(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), &wanted);
    document(&LiveSummary { launch: recent.launch(), summary })
}

/// A stream on its way to somebody who looks on.
struct Stream {
    recent: Arc<Recent>,
    filter: Filter,
    head: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    at: u64,
    state: Reading,
    _place: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing was said yet.
    Begins,
    Follows,
    Ended,
}

async fn follow(State(access): Asked, headers: HeaderMap, query: Asking) -> Result<Response, Fault> {
    let (query, filter) = read(query)?;
    let place = access.streams.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{STREAMS_MAX} streams of events are open");
        let hint = "close a dashboard or a `lockgate tap`, then try again";
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-N429", message, hint)
    })?;
    let recent = access.node.live();
    let head = recent.watch();
    let resumed = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let at = match resumed.filter(|id| !id.is_empty()) {
        // A number of another launch says nothing of this one: all that is kept comes.
        Some(id) => number(id, recent.launch()).unwrap_or(0),
        None => query.after.unwrap_or(*head.borrow()),
    };
    let closing = access.closing.subscribe();
    let stream = Stream { recent, filter, head, closing, at, state: Reading::Begins, _place: place };
    let chunks = stream::unfold(Box::new(stream), |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), stream))
    });
    let kind = HeaderValue::from_static("text/event-stream");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(chunks)).into_response())
}

/// The number in `LAUNCH-NUMBER`, if the launch is this one.
fn number(id: &str, launch: u64) -> Option<u64> {
    let (of, number) = id.split_once('-')?;
    number.parse().ok().filter(|_| of.parse() == Ok(launch))
}

impl Stream {
    async fn next(&mut self) -> Option<String> {
        let launch = self.recent.launch();
        match self.state {
            Reading::Ended => return None,
            Reading::Begins => {
                self.state = Reading::Follows;
                return Some(self.begin());
            }
            Reading::Follows => {}
        }
        loop {
            self.head.mark_unchanged();
            let page = self.recent.after(self.at, BATCH_MAX);
            if page.missed > 0 {
                return Some(self.end("cut", page.missed));
            }
            if let Some(newest) = page.entries.last() {
                self.at = newest.id;
                let wanted = page.entries.iter().filter(|entry| self.filter.passes(&entry.event));
                let mut chunk = String::new();
                for entry in wanted {
                    chunk.push_str(&format!("id: {launch}-{}\ndata: {}\n\n", entry.id, entry.json));
                }
                if !chunk.is_empty() {
                    return Some(chunk);
                }
                continue;
            }
            let goes_on = tokio::select! {
                changed = self.head.changed() => changed.is_ok(),
                _ = self.closing.wait_for(|closing| *closing) => false,
                // The number alone moves the reader's own, although nothing passed its filter.
                () = tokio::time::sleep(Duration::from_secs(QUIET_S_MAX)) => {
                    return Some(format!("id: {launch}-{}\n\n", self.at));
                }
            };
            if !goes_on {
                return Some(self.end("end", 0));
            }
        }
    }

    /// What comes first: when to ask again, where the stream stands, and what is missing before that.
    fn begin(&mut self) -> String {
        let launch = self.recent.launch();
        let page = self.recent.after(self.at, 1);
        self.at = self.at.max(page.first.saturating_sub(1)).min(page.last);
        format!(
            "retry: {RETRY_MS}\nevent: hello\nid: {launch}-{}\ndata: {{\"launch\":{launch},\"after\":{},\"missed\":{}}}\n\n",
            self.at, self.at, page.missed
        )
    }

    /// The last that is said: `cut` to who reads too slowly, `end` when the node ends.
    fn end(&mut self, why: &str, missed: u64) -> String {
        self.state = Reading::Ended;
        format!("event: {why}\ndata: {{\"missed\":{missed}}}\n\n")
    }
}

#[cfg(test)]
mod tests {
    use lockgate_live::{Event, Feed, Note, PostureSample, What, collect};
    use tokio::sync::Semaphore;

    use super::*;

    /// A ring through which so many events went.
    async fn ring(events: usize) -> Arc<Recent> {
        let (feed, recent) = (Feed::default(), Arc::new(Recent::new(7)));
        let inlet = feed.open().expect("nobody opened it before");
        for n in 0..events {
            let note = Note { topic: "lifecycle".into(), agent: Some(n.to_string()), ..Note::default() };
            feed.send(Event { at_ms: 1, seq: None, what: What::Note(Box::new(note)) });
        }
        drop(feed);
        collect(inlet, recent.clone(), PostureSample::default).await;
        recent
    }

    fn stream(recent: &Arc<Recent>, at: u64, filter: Filter) -> (Stream, watch::Sender<bool>) {
        let (ending, closing) = watch::channel(false);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
        let (recent, head) = (recent.clone(), recent.watch());
        (Stream { recent, filter, head, closing, at, state: Reading::Begins, _place: place }, ending)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_what_it_has_not_seen_and_hears_of_the_end() {
        let (mut reader, ending) = stream(&ring(3).await, 1, Filter::default());
        assert!(
            reader
                .next()
                .await
                .expect("hello")
                .contains("id: 7-1\ndata: {\"launch\":7,\"after\":1,\"missed\":0}")
        );
        let chunk = reader.next().await.expect("two events");
        assert_eq!(chunk.matches("\ndata: ").count(), 2, "{chunk}");
        assert!(chunk.starts_with("id: 7-2\ndata: {\"id\":2,"), "{chunk}");
        assert_eq!(reader.next().await.expect("a sign of life"), "id: 7-3\n\n");
        ending.send_replace(true);
        assert!(reader.next().await.expect("the end").starts_with("event: end\n"));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_what_is_gone_is_told_how_much() {
        let (mut reader, _ending) = stream(&ring(EVENTS_MAX + 10).await, 0, Filter::default());
        assert!(reader.next().await.expect("hello").contains("\"after\":10,\"missed\":10"));
        assert!(reader.next().await.expect("events").starts_with("id: 7-11\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_too_slowly_is_cut_off_and_told() {
        let (mut reader, _ending) = stream(&ring(EVENTS_MAX + 10).await, 5, Filter::default());
        // As if it had been there since the fifth event.
        reader.state = Reading::Follows;
        assert_eq!(reader.next().await.expect("the reason"), "event: cut\ndata: {\"missed\":5}\n\n");
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_the_filter_moves_the_reader_on() {
        let filter = Filter { agent: Some("nobody".into()), ..Filter::default() };
        let (mut reader, _ending) = stream(&ring(9).await, 0, filter);
        reader.next().await.expect("hello");
        assert_eq!(reader.next().await.expect("a sign of life"), "id: 7-9\n\n");
    }

    #[test]
    fn a_number_counts_on_its_own_launch_only() {
        for (id, found) in
            [("7-3", Some(3)), ("8-3", None), ("3", None), ("7-", None), ("7-x", None), ("", None)]
        {
            assert_eq!(number(id, 7), found, "{id:?}");
        }
    }
}
