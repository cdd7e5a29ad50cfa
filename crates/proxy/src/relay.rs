//! Streams: each event is decoded, judged and passed on as it comes; what nothing objects to keeps its exact bytes,
//! comments and `retry` included.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use lockgate_audit::Outcome;
use lockgate_mcp::{Era, Kind, Message, sse};

use crate::answer::{judge, screen_text};
use crate::body::Body;
use crate::call::Call;
use crate::link::LinkContext;
use crate::node::{Node, Server};
use crate::pipeline::summary;
use crate::refusal::Refusal;
use crate::session::{Owed, Session};
use crate::upstream::{Frame, Frames, UpstreamError};

/// A stream on its way to a client.
struct Relay {
    node: Arc<Node>,
    link: Arc<LinkContext>,
    session: Option<Arc<Session>>,
    server: Arc<Server>,
    frames: Frames,
    era: Era,
    /// The call that this stream answers; none once it is answered, and none on a listening stream.
    call: Option<Box<Call>>,
    ended: bool,
}

/// Turns a stream of frames into a response body. A listening stream is recorded here, as opened; the stream of a call
/// is recorded when its answer comes by, before it leaves.
///
/// # Errors
/// The call, when it cannot be recorded.
pub async fn begin(
    mut call: Call,
    server: Arc<Server>,
    frames: Frames,
    listen: bool,
) -> Result<Body, (Call, Refusal)> {
    let mut relay = Relay {
        node: call.node.clone(),
        link: call.link.clone(),
        session: call.session.clone(),
        server,
        frames,
        era: call.era,
        call: None,
        ended: false,
    };
    if listen {
        call.note_stream();
        if let Err(unrecorded) = call.record(Outcome::Ok, None, 0).await {
            return Err((call, unrecorded));
        }
    } else {
        relay.call = Some(Box::new(call));
    }
    Ok(Body::stream(stream::unfold(Box::new(relay), |mut relay| async move {
        let bytes = relay.next().await?;
        Some((bytes, relay))
    })))
}

impl Relay {
    /// The next bytes for the client.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended {
            let frame = tokio::select! {
                frame = self.frames.next() => frame,
                () = self.link.kill.cancelled() => None,
            };
            match frame {
                None => return self.end().await,
                Some(Err(error)) => return self.break_off(error).await,
                Some(Ok(frame)) => {
                    if let Some(bytes) = self.pass(frame).await {
                        return Some(bytes);
                    }
                }
            }
        }
        None
    }

    /// What the client gets of one frame; nothing, if it is held back.
    async fn pass(&mut self, frame: Frame) -> Option<Bytes> {
        let Some(message) = &frame.message else { return Some(frame.raw) };
        match message.kind() {
            Kind::Result | Kind::Error => self.pass_result(message.clone(), frame).await,
            Kind::Request | Kind::Notification => {
                let method = message.method().unwrap_or_default().to_owned();
                let mut aside =
                    self.aside(Owed { server: self.server.id.clone(), method, name: None }, message);
                match screen_text(&mut aside, &self.server.id, "", message) {
                    Ok(()) => {
                        aside.dismiss();
                        Some(frame.raw)
                    }
                    Err(refusal) => {
                        let _ = aside.record_refusal(&refusal).await;
                        None
                    }
                }
            }
        }
    }

    async fn pass_result(&mut self, message: Message, frame: Frame) -> Option<Bytes> {
        let id = message.id_raw().unwrap_or("null").to_owned();
        let own = self.call.as_deref().is_some_and(|call| call.id_raw() == Some(&id) || id == "null");
        let owed = if own { None } else { self.session.as_ref().and_then(|session| session.settle(&id)) };
        let mut call = match owed {
            _ if own => self.call.take()?,
            Some(owed) => Box::new(self.aside(owed, &message)),
            None => {
                tracing::warn!(target: "lockgate::forward", server = %self.server.id, id, "an answer that nobody asked for was dropped");
                return None;
            }
        };
        let before = message.bytes().clone();
        let judged = judge(&mut call, &self.server, message).await;
        let sent = match judged {
            Ok(message) => {
                let (outcome, code, bytes) = summary(http::StatusCode::OK, Some(&message));
                call.record(outcome, code, bytes).await.map(|()| message.bytes().clone())
            }
            Err(refusal) => call.record_refusal(&refusal).await.map(|()| refusal.message(Some(&id))),
        };
        let data = sent.unwrap_or_else(|unrecorded| unrecorded.message(Some(&id)));
        Some(match &frame.event {
            _ if data == before => frame.raw,
            Some(event) => sse::with_data(event, &data),
            None => sse::encode(&data),
        })
    }

    /// A call of its own for something that comes by on this stream.
    fn aside(&self, owed: Owed, message: &Message) -> Call {
        let mut call = Call::open(&self.node, &self.link);
        call.era = self.era;
        call.note_message(message);
        call.note_owed(owed);
        call
    }

    /// The server closed the stream. In the legacy era it may do so before the answer, and the client resumes.
    async fn end(&mut self) -> Option<Bytes> {
        self.ended = true;
        let mut call = self.call.take()?;
        let resumable = self.era == Era::Legacy && self.session.is_some();
        if !resumable || self.link.kill.is_cancelled() {
            let error = UpstreamError::Broken("the stream ended before the answer".to_owned());
            self.call = Some(call);
            return self.break_off(error).await;
        }
        if let (Some(session), Some(id)) = (&self.session, call.id_raw()) {
            session.owe(id, call.owed());
        }
        match call.record(Outcome::Ok, None, 0).await {
            Ok(()) => None,
            Err(unrecorded) => Some(sse::encode(&unrecorded.message(call.id_raw()))),
        }
    }

    /// The upstream failed in the middle: the client is told in band, because the status has long been sent.
    async fn break_off(&mut self, error: UpstreamError) -> Option<Bytes> {
        self.ended = true;
        self.server.upstream.report(&error);
        let refusal = Refusal::Upstream { server: self.server.id.clone(), error };
        let mut call = self.call.take()?;
        let message = match call.record_refusal(&refusal).await {
            Ok(()) => refusal.message(call.id_raw()),
            Err(unrecorded) => unrecorded.message(call.id_raw()),
        };
        Some(sse::encode(&message))
    }
}
