//! The server's side of MCP, in both eras.

use std::sync::Arc;

use lockgate_mcp::reply::code;
use lockgate_mcp::{Era, version};
use lockgate_openapi::{ResourceKind, Response};
use serde_json::{Value, json};

use super::offer::{Offer, text};
use super::said::Wanted;
use super::send::Answered;
use super::{Party, RestUpstream, searching};
use crate::upstream::{Exchange, UpstreamError};

/// Entries of one page of a list.
const PAGE_MAX: usize = 200;

/// How long a list may be held by who asked for it, in milliseconds. Changes are told besides.
const TTL_MS: u64 = 60_000;

/// "Resource not found" (MCP up to 2025-11-25).
const NOT_FOUND: i64 = -32002;

/// What is answered.
pub(super) enum Reply {
    /// A result.
    Result(Value),
    /// A result that is JSON text already.
    Raw(String),
    /// A JSON-RPC error.
    Error { code: i64, text: String },
    /// A result, and that the list of tools is another now.
    Changed(Value),
    /// A stream of what changes (MCP 2026-07-28).
    Subscribed(Wanted),
}

impl Reply {
    fn error(code: i64, text: impl Into<String>) -> Self {
        Self::Error { code, text: text.into() }
    }
}

/// One request, and all that answering it takes.
pub(super) struct Asked<'a> {
    pub(super) upstream: &'a RestUpstream,
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) party: &'a Party,
    pub(super) offer: &'a Arc<Offer>,
}

impl Asked<'_> {
    pub(super) async fn answer(&self) -> Result<Reply, UpstreamError> {
        let message = self.exchange.screened.message();
        let is_modern = self.exchange.era == Era::Modern;
        Ok(match message.method().unwrap_or_default() {
            "initialize" if !is_modern => Reply::Result(self.initialized()),
            "server/discover" if is_modern => Reply::Result(self.discovered()),
            "ping" if !is_modern => Reply::Result(json!({})),
            "tools/list" => self.list("tools", self.offer.listed(&self.party.active())),
            "resources/list" => {
                self.list("resources", self.offer.resources(ResourceKind::Fixed, &self.upstream.server))
            }
            "resources/templates/list" => self.list(
                "resourceTemplates",
                self.offer.resources(ResourceKind::Template, &self.upstream.server),
            ),
            "tools/call" => self.call().await?,
            "resources/read" => self.read().await?,
            "subscriptions/listen" if is_modern => {
                let notifications = message.params_member_raw("notifications");
                let notifications = notifications.and_then(|raw| serde_json::from_str::<Value>(raw).ok());
                Reply::Subscribed(Wanted::of(&notifications.unwrap_or_default()))
            }
            other => {
                let shown: String = other.chars().take(100).collect();
                Reply::error(code::METHOD_NOT_FOUND, format!("{shown}: this server does not offer it"))
            }
        })
    }

    fn capabilities() -> Value {
        json!({ "tools": { "listChanged": true }, "resources": { "listChanged": true } })
    }

    fn info(&self) -> Value {
        let title = &self.offer.title;
        json!({ "name": self.upstream.server, "title": title, "version": env!("CARGO_PKG_VERSION") })
    }

    fn initialized(&self) -> Value {
        let asked = self.exchange.screened.message().params_member_raw("protocolVersion");
        let asked = asked.and_then(|raw| serde_json::from_str::<String>(raw).ok());
        let spoken = asked.filter(|asked| version::era(asked) == Some(Era::Legacy));
        json!({
            "protocolVersion": spoken.unwrap_or_else(|| version::LATEST_LEGACY.to_owned()),
            "capabilities": Self::capabilities(),
            "serverInfo": self.info(),
            "instructions": self.offer.instructions(),
        })
    }

    fn discovered(&self) -> Value {
        json!({
            "resultType": "complete",
            "supportedVersions": version::known(),
            "capabilities": Self::capabilities(),
            "instructions": self.offer.instructions(),
            "ttlMs": TTL_MS,
            "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": self.info() },
        })
    }

    /// One page. A cursor is good for the offer that it was given for.
    fn list(&self, key: &str, entries: Vec<String>) -> Reply {
        let message = self.exchange.screened.message();
        let cursor =
            message.params_member_raw("cursor").and_then(|raw| serde_json::from_str::<String>(raw).ok());
        let start = match &cursor {
            None => Some(0),
            Some(cursor) => cursor.split_once('.').and_then(|(mark, n)| {
                let of_this = u64::from_str_radix(mark, 16) == Ok(self.offer.mark);
                n.parse::<usize>().ok().filter(|n| of_this && *n < entries.len())
            }),
        };
        let Some(start) = start else {
            return Reply::error(
                code::INVALID_PARAMS,
                "this cursor is of no list that is offered now: begin anew",
            );
        };
        let end = entries.len().min(start + PAGE_MAX);
        let next = match end < entries.len() {
            true => format!(",\"nextCursor\":\"{:x}.{end}\"", self.offer.mark),
            false => String::new(),
        };
        let modern = match self.exchange.era {
            Era::Modern => {
                format!(",\"resultType\":\"complete\",\"ttlMs\":{TTL_MS},\"cacheScope\":\"private\"")
            }
            Era::Legacy => String::new(),
        };
        Reply::Raw(format!("{{\"{key}\":[{}]{next}{modern}}}", entries[start..end].join(",")))
    }

    /// A result with what the modern era adds to it.
    fn complete(&self, mut result: Value) -> Value {
        if self.exchange.era == Era::Modern {
            result["resultType"] = "complete".into();
        }
        result
    }

    async fn call(&self) -> Result<Reply, UpstreamError> {
        let message = self.exchange.screened.message();
        let name = message.name().unwrap_or_default();
        let arguments: Value = message
            .arguments_raw()
            .and_then(|raw| serde_json::from_str(raw).ok())
            .unwrap_or_else(|| json!({}));
        if self.offer.is_searched {
            match name {
                searching::SEARCH => {
                    return Ok(Reply::Result(self.complete(searching::search(self.offer, &arguments))));
                }
                searching::ACTIVATE => {
                    let (result, changed) = searching::activate(self.offer, self.party, &arguments);
                    let result = self.complete(result);
                    // In the modern era changes are told to who subscribed, and nowhere else.
                    let tells = changed && self.exchange.era == Era::Legacy;
                    return Ok(if tells { Reply::Changed(result) } else { Reply::Result(result) });
                }
                _ => {}
            }
        }
        let Some(tool) = self.offer.tool(name) else {
            return Ok(Reply::error(code::INVALID_PARAMS, "Unknown tool: no operation of this name is on"));
        };
        if self.offer.is_searched && !self.party.has(name) {
            let what = format!("{name} is not on: call {} with it first", searching::ACTIVATE);
            return Ok(Reply::Result(self.complete(searching::failed(&what))));
        }
        let request = match tool.request(&arguments, &self.offer.limits) {
            Ok(request) => request,
            // The model can do better next time, so it is told as a result.
            Err(error) => return Ok(Reply::Result(self.complete(searching::failed(&error.to_string())))),
        };
        let answered = self.upstream.send(&request, self.exchange.caller).await?;
        let shaping = self.offer.shaping(tool);
        let result = tool.result(&arguments, &response(&answered), &shaping, &self.upstream.server);
        Ok(Reply::Result(self.complete(result)))
    }

    async fn read(&self) -> Result<Reply, UpstreamError> {
        let uri = self.exchange.screened.message().name().unwrap_or_default();
        let not_found = || {
            let code = if self.exchange.era == Era::Modern { code::INVALID_PARAMS } else { NOT_FOUND };
            Reply::error(code, "Resource not found")
        };
        let base = format!("rest://{}", self.upstream.server);
        let path = uri.strip_prefix(&base).filter(|path| path.starts_with('/'));
        let Some((tool, arguments)) = path.and_then(|path| self.offer.catalogue.reads(path)) else {
            return Ok(not_found());
        };
        let Ok(request) = tool.request(&arguments, &self.offer.limits) else { return Ok(not_found()) };
        let answered = self.upstream.send(&request, self.exchange.caller).await?;
        let result =
            tool.result(&arguments, &response(&answered), &self.offer.shaping(tool), &self.upstream.server);
        let content = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        if answered.status == 404 {
            return Ok(not_found());
        }
        if result["isError"] == true {
            let why = content.first().and_then(|content| text(content, "text")).unwrap_or("the API refused");
            return Ok(Reply::error(code::INTERNAL_ERROR, why));
        }
        let media = if answered.media.is_empty() { "application/json" } else { &answered.media };
        let contents: Vec<Value> = content
            .iter()
            .map(|content| match content["type"].as_str() {
                Some("text") => json!({ "uri": uri, "mimeType": media, "text": content["text"] }),
                Some("resource") => {
                    json!({ "uri": uri, "mimeType": media, "blob": content["resource"]["blob"] })
                }
                _ => json!({ "uri": uri, "mimeType": media, "blob": content["data"] }),
            })
            .collect();
        let mut result = self.complete(json!({ "contents": contents }));
        if self.exchange.era == Era::Modern {
            result["ttlMs"] = 0.into();
            result["cacheScope"] = "private".into();
        }
        Ok(Reply::Result(result))
    }
}

fn response(answered: &Answered) -> Response<'_> {
    Response {
        status: answered.status,
        media: &answered.media,
        link: answered.link.as_deref(),
        body: &answered.body,
    }
}
