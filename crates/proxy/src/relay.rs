//! Streams: each event is decoded, judged and passed on as it comes; what nothing objects to keeps its exact bytes,
//! comments and `retry` included.
//!
//! Where only a part of results may pass, what a server says beside them is cut alike ([`Cuts::said`]): by the rules of the
//! call that a stream answers, and where nobody knows to which call a message belongs (a stream that only listens, the one
//! pipe of a child process) by those of all that the caller may call there. Of such a stream only ids, `retry` and data pass,
//! and a request of the server that may not pass is answered with an error here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use lockgate_audit::Outcome;
use lockgate_detect::Verdict;
use lockgate_mcp::{Era, Kind, Message, sse};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::{in_force, judge};
use crate::body::Body;
use crate::call::Call;
use crate::decode::Target;
use crate::link::LinkContext;
use crate::node::{Node, Server};
use crate::permit::may_connect;
use crate::pipeline::summary;
use crate::refusal::Refusal;
use crate::results::Cuts;
use crate::said::Decliner;
use crate::screen::{with_scene, withheld};
use crate::session::Session;
use crate::upstream::{Frame, Frames, UpstreamError, is_listening};

/// What a stream may last beyond its own deadline, in seconds, so that who still reads it is told why it ends.
const FAREWELL_S: u64 = 5;

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
    /// It lasts for as long as its client listens, and so must end when the link is to end.
    listens: bool,
    /// An event of this stream had an id: the client can resume it.
    resumable: bool,
    ended: bool,
    /// Ids of the servers whose stream it is.
    servers: Vec<String>,
    /// What was permitted to listen to: a method, and what of it has a name.
    listened: Vec<(String, Option<String>)>,
    /// Tells of policies that come into force.
    changes: watch::Receiver<u64>,
    /// What is taken from all that comes by.
    cuts: Cuts,
    /// What else is taken where nobody knows the call, by server, and the generation of policies that said so.
    beside: HashMap<String, (u64, Cuts)>,
    /// Answers for the client what it may not be asked.
    decliner: Decliner,
}

/// Turns a stream of frames into a response body. A listening stream is recorded here, as opened; the stream of a call
/// is recorded when its answer comes by, before it leaves. A call that listens has both.
///
/// # Errors
/// The call, when it cannot be recorded.
pub async fn begin(
    mut call: Call,
    server: Arc<Server>,
    frames: Frames,
    listen: bool,
) -> Result<Body, (Call, Refusal)> {
    let listens = listen || is_listening(call.method());
    let servers = match call.server() {
        Target::ALL => {
            let open = call.node.servers().map(|server| server.id.clone());
            open.filter(|id| may_connect(&call.node, &call.link, id)).collect()
        }
        _ => vec![server.id.clone()],
    };
    let mut changes = call.node.policy_changes.subscribe();
    // They may have changed between the decision and now: looked at once in any case.
    changes.mark_changed();
    let mut relay = Relay {
        node: call.node.clone(),
        link: call.link.clone(),
        session: call.session.clone(),
        server,
        frames,
        era: call.era,
        call: None,
        listens,
        resumable: false,
        ended: false,
        servers,
        listened: if listens { call.listens_to() } else { Vec::new() },
        changes,
        cuts: call.cuts().clone(),
        beside: HashMap::new(),
        decliner: Decliner::default(),
    };
    if listen {
        call.note_stream();
        if let Err(unrecorded) = call.record(Outcome::Ok, None, 0).await {
            return Err((call, unrecorded));
        }
    } else {
        if listens && let Err(unrecorded) = call.record_listening().await {
            return Err((call, unrecorded));
        }
        relay.call = Some(Box::new(call));
    }
    let life = relay.node.limits.life(listens) + Duration::from_secs(FAREWELL_S);
    let chunks = stream::unfold(Box::new(relay), |mut relay| async move {
        let bytes = relay.next().await?;
        Some((bytes, relay))
    });
    Ok(Body::stream(chunks, Instant::now() + life))
}

impl Relay {
    /// The next bytes for the client.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended {
            let frame = tokio::select! {
                // What ends the stream comes before what is on it, however much that is.
                biased;
                () = self.link.kill.cancelled() => return self.dismiss().await,
                () = self.link.condemned.cancelled() => return self.dismiss().await,
                () = self.link.closing.cancelled(), if self.listens => return self.dismiss().await,
                Ok(()) = self.changes.changed() => {
                    if self.may_go_on() {
                        continue;
                    }
                    return self.close_off().await;
                }
                frame = self.frames.next() => frame,
            };
            match frame {
                None => return self.end(None).await,
                Some(Err(error)) => return self.end(Some(error)).await,
                Some(Ok(frame)) => {
                    self.resumable |= frame.event.as_ref().is_some_and(|event| event.id.is_some());
                    if let Some(bytes) = self.pass(frame).await {
                        return Some(bytes);
                    }
                }
            }
        }
        None
    }

    /// Whether policies that came into force let it go on; what they take from it is taken from now on.
    fn may_go_on(&mut self) -> bool {
        if let Some(call) = &self.call {
            let in_force = self.node.server(call.server()).map(|server| in_force(call, &server));
            match in_force {
                Some(Ok(cuts)) => self.cuts = cuts,
                Some(Err(_)) => return false,
                None => {}
            }
        }
        self.node.may_go_on(&self.link, &self.servers, &self.listened)
    }

    /// What the client gets of one frame; nothing, if it is held back.
    async fn pass(&mut self, frame: Frame) -> Option<Bytes> {
        let server = self.server_of(&frame);
        let cuts = self.cuts_on(&server);
        let Some(message) = &frame.message else {
            return Some(match &frame.event {
                Some(event) if !cuts.is_empty() => sse::bare(event, event.data.as_ref().map(|_| &b""[..])),
                _ => frame.raw,
            });
        };
        match message.kind() {
            Kind::Result | Kind::Error => self.pass_result(server, message.clone(), frame).await,
            Kind::Request | Kind::Notification => self.pass_said(&server, &cuts, frame).await,
        }
    }

    /// What is taken from what `server` says here.
    fn cuts_on(&mut self, server: &Server) -> Cuts {
        if self.frames.tells_calls_apart() && !self.listens {
            return self.cuts.clone();
        }
        let generation = self.node.policies.load().generation();
        let known = self.beside.get(&server.id).filter(|(under, _)| *under == generation);
        let beside = match known {
            Some((_, beside)) => beside.clone(),
            None => {
                let beside = Cuts::beside(&self.node, &self.link, &server.id);
                self.beside.insert(server.id.clone(), (generation, beside.clone()));
                beside
            }
        };
        self.cuts.and(&beside)
    }

    /// Whose frame it is.
    fn server_of(&self, frame: &Frame) -> Arc<Server> {
        let named = frame.server.as_deref().and_then(|id| self.node.server(id));
        named.unwrap_or_else(|| self.server.clone())
    }

    /// What the server says of its own accord passes without a record, unless detection has something to say about it, or
    /// the client may not be asked what the server asks.
    async fn pass_said(&mut self, server: &Arc<Server>, cuts: &Cuts, frame: Frame) -> Option<Bytes> {
        let said = frame.message.as_ref()?;
        let Some(message) = cuts.passing(said.clone()) else {
            if said.kind() == Kind::Request {
                let why = "it asks the client something in free text, and only certain fields may pass";
                let mut aside = self.aside();
                aside.note_said(&server.id, said);
                // What cannot be recorded is not answered, and does not pass either.
                aside.record_refusal(&Refusal::Unprojected { why: why.to_owned() }).await.ok()?;
                self.decliner.decline(aside, server, &frame);
            }
            return None;
        };
        let method = message.method().unwrap_or_default();
        let screened = with_scene(&self.node, &self.link, self.session.as_deref(), |scene| {
            self.node.detector.screen_result(&server.id, (method, None), &message, scene)
        });
        let passes = match screened.verdict {
            _ if screened.findings.is_empty() => true,
            Verdict::Pass | Verdict::Warn => {
                let mut aside = self.aside();
                aside.note_said(&server.id, &message);
                aside.note_findings(&screened.findings);
                aside.record(Outcome::Ok, None, message.bytes().len()).await.is_ok()
            }
            Verdict::Withhold => {
                let mut aside = self.aside();
                aside.note_said(&server.id, &message);
                // It does not pass, whether that can be recorded or not.
                let _ = aside.record_refusal(&withheld(screened)).await;
                false
            }
        };
        passes.then(|| match &frame.event {
            _ if cuts.is_empty() => frame.raw.clone(),
            Some(event) => sse::bare(event, Some(message.bytes())),
            None => sse::encode(message.bytes()),
        })
    }

    async fn pass_result(&mut self, server: Arc<Server>, message: Message, frame: Frame) -> Option<Bytes> {
        let id = message.id_raw().map(str::to_owned);
        let mut call = self.answered(&server, id.as_deref())?;
        let before = message.bytes().clone();
        let is_cut = !call.cuts().and(&self.cuts_on(&server)).is_empty();
        let sent = match judge(&mut call, &server, message).await {
            Ok(message) => {
                let (outcome, code, bytes) = summary(http::StatusCode::OK, Some(&message));
                call.note_result(&message);
                call.record(outcome, code, bytes).await.map(|()| message.bytes().clone())
            }
            Err(refusal) => {
                let recorded = call.record_refusal(&refusal).await;
                recorded.map(|()| refusal.for_caller(call.cuts()).message(call.id_raw()))
            }
        };
        let data = sent.unwrap_or_else(|unrecorded| unrecorded.message(call.id_raw()));
        Some(match &frame.event {
            Some(event) if is_cut => sse::bare(event, Some(&data)),
            _ if data == before => frame.raw,
            Some(event) => sse::with_data(event, &data),
            None => sse::encode(&data),
        })
    }

    /// The call that an answer belongs to: the one of this stream (an error without an id can be about nothing else), or
    /// one whose answer this server still owes to the session. Other answers were not asked for, and nobody gets them.
    fn answered(&mut self, server: &Arc<Server>, id: Option<&str>) -> Option<Box<Call>> {
        let is_own = self.call.as_deref().is_some_and(|call| match (call.id_raw(), id) {
            (Some(asked), Some(id)) => asked == id,
            (_, None) => true,
            (None, Some(_)) => false,
        });
        if is_own {
            return self.call.take();
        }
        let owed = id.zip(self.session.as_ref()).and_then(|(id, session)| session.settle(id, &server.id));
        let (Some(id), Some(owed)) = (id, owed) else {
            tracing::warn!(target: "lockgate::forward", server = %server.id, id, "an answer that nobody asked for was dropped");
            return None;
        };
        let mut call = self.aside();
        call.note_owed(id, owed);
        Some(Box::new(call))
    }

    /// A call of its own for something that comes by on this stream.
    fn aside(&self) -> Call {
        let mut call = Call::open(&self.node, &self.link);
        call.era = self.era;
        call.session = self.session.clone();
        call
    }

    /// The stream is over: the server closed it, or failed. In the legacy era it may end before the answer, whichever way,
    /// and the client resumes, if it has been given something to resume by. Otherwise the client is told in band,
    /// because the status has long been sent.
    async fn end(&mut self, error: Option<UpstreamError>) -> Option<Bytes> {
        self.ended = true;
        if let Some(error) = &error {
            self.server.upstream.report(error);
        }
        let mut call = self.call.take()?;
        let is_cut = matches!(error, None | Some(UpstreamError::Broken(_)));
        let recorded = if !call.asks() && error.is_none() {
            call.record(Outcome::Ok, None, 0).await.map(|()| None)
        } else if is_cut && self.resumable && self.session.is_some() {
            call.record_open().await.map(|()| None)
        } else {
            let ended = || UpstreamError::Broken("the stream ended before the answer".to_owned());
            let error = error.unwrap_or_else(ended);
            let refusal = Refusal::Upstream { server: self.server.id.clone(), error };
            let recorded = call.record_refusal(&refusal).await;
            recorded.map(|()| Some(refusal.for_caller(call.cuts()).message(call.id_raw())))
        };
        let message = recorded.unwrap_or_else(|unrecorded| Some(unrecorded.message(call.id_raw())));
        message.map(|message| sse::encode(&message))
    }

    /// Policies came into force that do not let the stream go on.
    async fn close_off(&mut self) -> Option<Bytes> {
        self.ended = true;
        self.tell(Refusal::Nowhere).await
    }

    /// The link is to end, which is no fault of the server. A client that listens comes back by itself.
    async fn dismiss(&mut self) -> Option<Bytes> {
        self.ended = true;
        let refusal = match self.link.is_expired() {
            _ if self.link.condemned.is_cancelled() || self.link.kill.is_cancelled() => Refusal::Cut,
            true => Refusal::Unauthenticated("the certificate of this link has expired".to_owned()),
            false if self.node.draining.is_cancelled() => Refusal::Draining,
            false => Refusal::Left,
        };
        self.tell(refusal).await
    }

    /// Tells why a stream ends that owes an answer.
    async fn tell(&mut self, refusal: Refusal) -> Option<Bytes> {
        let mut call = self.call.take()?;
        let told = match call.record_refusal(&refusal).await {
            Ok(()) => refusal,
            Err(unrecorded) => unrecorded,
        };
        Some(sse::encode(&told.message(call.id_raw())))
    }
}
