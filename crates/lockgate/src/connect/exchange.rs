//! One message over the tunnel and what comes back for it: answers, streams, and the session around them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use lockgate_mcp::headers::{self, ParamHeaders};
use lockgate_mcp::{Kind, Message, list, reply, salvage_id};
use lockgate_transport::http::{Body, PoolError};
use lockgate_tunnel::Repeat;

use super::answer::{Events, Place, Unanswered, collect, is_stream};
use super::stdio::Relay;

/// How long the gateway may take to accept a notification, which it answers before it acts.
const ACCEPT_S_MAX: u64 = 30;

/// How often a request is sent again whose answer broke off.
const REPEATS_MAX: u32 = 2;

/// Tools whose mirrored arguments are remembered.
const TOOLS_MAX: usize = 10_000;

/// A subscription has no answer for as long as its client wants it.
pub(super) fn is_endless(request: &Message) -> bool {
    request.method() == Some("subscriptions/listen")
}

/// Whether an error says that the gateway ends the link, or itself: not what the server answers, and no reason to end a
/// subscription that had begun. Where nothing helps, the next attempt is refused with a status.
fn ends_link(answer: &Message) -> bool {
    #[derive(serde::Deserialize)]
    struct Said {
        data: Where,
    }
    #[derive(serde::Deserialize)]
    struct Where {
        stage: String,
    }
    let said = answer.error_raw().and_then(|raw| serde_json::from_str::<Said>(raw).ok());
    said.is_some_and(|said| matches!(said.data.stage.as_str(), "accept" | "bind"))
}

impl Relay {
    /// Sends what has no answer. The client expects none, so that a failure goes to the log.
    pub(super) async fn notify(self: &Arc<Self>, message: &Message) {
        let deadline = Duration::from_secs(ACCEPT_S_MAX);
        let sent =
            tokio::time::timeout(deadline, self.post(message)).await.unwrap_or(Err(Unanswered::NoAnswer));
        let refused = match sent {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => Unanswered::Status(response.status(), Bytes::new()),
            Err(unanswered) => unanswered,
        };
        tracing::warn!(method = message.method().unwrap_or("response"), "not delivered: {refused}");
    }

    /// Sends a request and passes on everything that comes before and with its answer. `swallow` keeps the answer
    /// itself from the client. If the answer breaks off, as on a link that is cut, a request that is safe to repeat is
    /// sent again, unless the client has seen a part of what came; a subscription is, whatever came.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        message: &Message,
        swallow: Option<&str>,
    ) -> Result<(), Unanswered> {
        let endless = is_endless(message);
        let mut place = Place::default();
        let mut repeats = 0;
        loop {
            let mut passed = false;
            let unanswered = match self.attempt(message, swallow, &mut passed).await {
                Err(cut @ (Unanswered::NoAnswer | Unanswered::Tunnel(PoolError::Body(_)))) => cut,
                done => return done,
            };
            let safe = self.repeatable.of(message) == Repeat::Safe;
            if endless && safe {
                if passed {
                    place = Place::default();
                }
                tokio::time::sleep(place.pause()).await;
            } else if safe && !passed && repeats < REPEATS_MAX {
                repeats += 1;
            } else {
                return Err(unanswered);
            }
            tracing::info!(method = message.method(), "the answer broke off; asking again: {unanswered}");
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        message: &Message,
        swallow: Option<&str>,
        passed: &mut bool,
    ) -> Result<(), Unanswered> {
        let response = self.post(message).await?;
        if message.method() == Some("initialize") {
            self.session.learn_id(response.headers());
        }
        let id = message.id_raw();
        let status = response.status();
        if !status.is_success() {
            let body = collect(response.into_body(), self.results.message_bytes_max).await?;
            return Err(Unanswered::Status(status, body));
        }
        if is_stream(&response) {
            return self.stream(response, message, swallow, passed).await;
        }
        let body = collect(response.into_body(), self.results.message_bytes_max).await?;
        if body.is_empty() {
            return Err(Unanswered::NoAnswer);
        }
        let answer =
            Message::decode(body, &self.results).map_err(|error| Unanswered::Malformed(error.to_string()))?;
        if answer.id_raw() != id {
            // An error without an id, which JSON-RPC allows, still answers this request.
            return Err(Unanswered::Status(status, answer.bytes().clone()));
        }
        self.pass(&answer, Some(message), swallow).await;
        Ok(())
    }

    /// Passes on a stream until it brings the answer. One that broke before is resumed where the server can, which is
    /// where it numbers its events (legacy only).
    async fn stream(
        self: &Arc<Self>,
        response: Response<Body>,
        message: &Message,
        swallow: Option<&str>,
        passed: &mut bool,
    ) -> Result<(), Unanswered> {
        let mut events = Events::new(response.into_body(), &self.results);
        let mut place = Place::default();
        loop {
            while let Some(event) = events.next().await {
                place.note(&event);
                let Some(answer) = self.read_event(event.data).await else { continue };
                let answers = matches!(answer.kind(), Kind::Result | Kind::Error)
                    && answer.id_raw() == message.id_raw();
                if answers && *passed && is_endless(message) && ends_link(&answer) {
                    return Err(Unanswered::NoAnswer);
                }
                self.pass(&answer, answers.then_some(message), swallow).await;
                *passed = true;
                if answers {
                    return Ok(());
                }
            }
            let Some(last) = place.last.clone() else { return Err(Unanswered::NoAnswer) };
            tokio::time::sleep(place.pause()).await;
            let response = self.get(Some(&last)).await?;
            if !response.status().is_success() || !is_stream(&response) {
                return Err(Unanswered::NoAnswer);
            }
            events = Events::new(response.into_body(), &self.results);
        }
    }

    /// Listens for what the server says by itself, until the session or the relay ends.
    pub(super) fn listen(self: &Arc<Self>) {
        let over = self.session.listen();
        let relay = Arc::clone(self);
        self.listening.spawn(async move {
            tokio::select! {
                () = relay.hear() => {}
                () = over.cancelled() => {}
                () = relay.ended.cancelled() => {}
            }
        });
    }

    async fn hear(self: &Arc<Self>) {
        let mut place = Place::default();
        loop {
            let session = self.session.id();
            match self.get(place.last.as_ref()).await {
                Ok(response) if response.status().is_success() && is_stream(&response) => {
                    let mut events = Events::new(response.into_body(), &self.results);
                    while let Some(event) = events.next().await {
                        place.note(&event);
                        if let Some(message) = self.read_event(event.data).await {
                            self.pass(&message, None, None).await;
                        }
                    }
                }
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    // Opened anew, the session listens by itself, and this stream ends: so does this task, at once.
                    let relay = Arc::clone(self);
                    self.listening.spawn(async move {
                        let Some(lost) = session else { return };
                        tokio::select! {
                            revived = relay.revive(&lost) => {
                                if let Err(unanswered) = revived {
                                    tracing::warn!("the session has ended: {unanswered}");
                                }
                            }
                            () = relay.ended.cancelled() => {}
                        }
                    });
                    return;
                }
                // A server need not offer this stream (405).
                Ok(response) if response.status().is_client_error() => return,
                Ok(response) => tracing::debug!(status = %response.status(), "no listening stream yet"),
                Err(unanswered) => tracing::debug!("no listening stream yet: {unanswered}"),
            }
            tokio::time::sleep(place.pause()).await;
        }
    }

    /// The message in an event. One that cannot be read is answered, if it is an answer that somebody waits for.
    async fn read_event(&self, data: Option<Bytes>) -> Option<Message> {
        let data = data.filter(|data| !data.is_empty())?;
        match Message::decode(data.clone(), &self.results) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::warn!(%error, "a message from the server was left out");
                let id = salvage_id(&data, &self.results).filter(|id| self.calls.lock().contains_key(id))?;
                let text = format!("the answer is no MCP message: {error}");
                Message::decode(reply::error(Some(&id), reply::code::UPSTREAM, &text, None), &self.results)
                    .ok()
            }
        }
    }

    /// Passes a message to the client, after learning from it what later requests need.
    async fn pass(&self, message: &Message, answers: Option<&Message>, swallow: Option<&str>) {
        match answers.and_then(Message::method) {
            Some("initialize") => self.session.learn_version(message),
            Some("tools/list") => self.learn_tools(message),
            _ => {}
        }
        if answers.is_none() || swallow.is_none() || message.id_raw() != swallow {
            self.say(message.bytes().clone()).await;
        }
    }

    fn learn_tools(&self, result: &Message) {
        let Ok(items) = list::items(result, "tools") else { return };
        let mut tools = self.tools.lock();
        for item in items {
            let name = &item.name;
            self.repeatable.learn(name, item.raw);
            // An invalid annotation is the server's mistake: nothing is mirrored, and the gateway says what is missing.
            match ParamHeaders::from_tool_raw(item.raw) {
                Ok(params) if !params.is_empty() && tools.len() < TOOLS_MAX => {
                    tools.insert(name.to_string(), Arc::new(params));
                }
                _ => drop(tools.remove(name.as_ref())),
            }
        }
    }

    /// Posts a message. Where the gateway no longer knows the session, it is opened anew and the message, which then
    /// reached nobody, is posted once more.
    async fn post(self: &Arc<Self>, message: &Message) -> Result<Response<Body>, Unanswered> {
        let legacy = message.meta_protocol_version().is_none() && message.method() != Some("initialize");
        if legacy {
            // A session that is being opened anew has no id yet, and without one a message belongs nowhere.
            drop(self.session.reviving.lock().await);
        }
        let session = self.session.id().filter(|_| legacy);
        let repeat = self.repeatable.of(message);
        let response = self.send(self.post_request(message, legacy), repeat).await?;
        match session {
            Some(lost) if response.status() == StatusCode::NOT_FOUND => {
                self.revive(&lost).await?;
                self.send(self.post_request(message, legacy), repeat).await
            }
            _ => Ok(response),
        }
    }

    fn post_request(&self, message: &Message, in_session: bool) -> Request<Full<Bytes>> {
        let tool = message.name().and_then(|name| self.tools.lock().get(name).cloned());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.extend(headers::mirror(message, tool.as_deref()));
        if in_session {
            self.session.sign(&mut headers);
        }
        self.request(Method::POST, headers, message.bytes().clone())
    }

    async fn get(&self, last: Option<&HeaderValue>) -> Result<Response<Body>, Unanswered> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.session.sign(&mut headers);
        if let Some(last) = last {
            headers.insert(headers::LAST_EVENT_ID, last.clone());
        }
        self.send(self.request(Method::GET, headers, Bytes::new()), Repeat::Safe).await
    }

    pub(super) fn request(&self, method: Method, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.tunnel.endpoint().path.parse().expect("an endpoint's path is a URI");
        *request.headers_mut() = headers;
        request
    }

    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        repeat: Repeat,
    ) -> Result<Response<Body>, Unanswered> {
        self.tunnel.send(request, repeat).await.map_err(Unanswered::Tunnel)
    }

    /// Opens the session anew with the client's own `initialize`. Its answer is not for the client, who has one.
    async fn revive(self: &Arc<Self>, lost: &HeaderValue) -> Result<(), Unanswered> {
        let _turn = self.session.reviving.lock().await;
        if self.session.id().as_ref() != Some(lost) {
            return Ok(());
        }
        let hello = self.session.hello().ok_or(Unanswered::SessionLost)?;
        tracing::info!("the session has ended; opening it anew");
        self.session.begin(&hello);
        Box::pin(self.exchange(&hello, hello.id_raw())).await.map_err(|unanswered| match unanswered {
            Unanswered::Tunnel(error) => Unanswered::Tunnel(error),
            _ => Unanswered::SessionLost,
        })?;
        let ready = reply::call(None, "notifications/initialized", None);
        let ready = Message::decode(ready, &self.requests).expect("our own notification is a message");
        let response = self.send(self.post_request(&ready, true), Repeat::Safe).await?;
        if !response.status().is_success() {
            return Err(Unanswered::SessionLost);
        }
        self.listen();
        Ok(())
    }
}
