//! The lists of all servers as one.

use std::sync::Arc;

use lockgate_mcp::{Era, Kind, Message, list, reply};
use serde_json::json;

use crate::answer::{Reply, judge};
use crate::call::Call;
use crate::decode::Inbound;
use crate::node::Server;
use crate::refusal::Refusal;
use crate::upstream::UpstreamError;

use super::ask::{Asking, Part, ask_all, sort};
use super::whole;

/// The list that a method asks for: its key, and how its items are prefixed.
pub(super) fn listed(method: &str) -> Option<(&'static str, char)> {
    match method {
        "tools/list" => Some(("tools", '_')),
        "prompts/list" => Some(("prompts", '_')),
        "resources/list" => Some(("resources", '+')),
        "resources/templates/list" => Some(("resourceTemplates", '+')),
        _ => None,
    }
}

/// All pages of all lists, judged server by server, prefixed and put together.
pub(super) async fn answer(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let (key, separator) =
        listed(message.method().unwrap_or_default()).expect("the caller checked the method");
    let parts = ask_all(call, inbound, &message, pages).await;
    let mut judged: Vec<Part<Vec<String>>> = Vec::new();
    for (server, pages) in parts {
        let items = match pages {
            Ok(pages) => judged_items(call, &server, pages, (key, separator)).await,
            Err(refusal) => Err(refusal),
        };
        judged.push((server, items));
    }
    let (came, missing) = sort(call, judged)?;
    let mut result = json!({ key: [] });
    if inbound.era == Era::Modern {
        result["resultType"] = "complete".into();
        result["ttlMs"] = 0.into();
        result["cacheScope"] = "private".into();
    }
    if !missing.is_empty() {
        result["_meta"] = json!({ "lockgate/unavailable": missing });
    }
    let items = came.iter().flat_map(|(_, items)| items).map(String::as_str);
    match whole(call, result)? {
        Reply::Whole { status, headers, message: Some(empty) } => {
            let full = list::append(&empty, key, items).map_err(Refusal::Decode)?;
            Ok(Reply::Whole { status, headers, message: Some(full) })
        }
        reply => Ok(reply),
    }
}

/// The items of one server's pages that this caller may see, under their prefixed names.
async fn judged_items(
    call: &mut Call,
    server: &Arc<Server>,
    pages: Vec<Message>,
    (key, separator): (&'static str, char),
) -> Result<Vec<String>, Refusal> {
    let mut items = Vec::new();
    for page in pages {
        let judged = judge(call, server, page).await?;
        let renamed =
            list::rename(&judged, key, |item| Some(format!("{}{separator}{}", server.id, item.name)));
        let renamed = renamed.map_err(Refusal::Decode)?;
        let of_page = list::items(&renamed, key).map_err(Refusal::Decode)?;
        items.extend(of_page.iter().map(|item| item.raw.to_owned()));
    }
    Ok(items)
}

/// All pages of one server's list, within the bounds of one result.
async fn pages(mut asking: Asking<'_>) -> Result<Vec<Message>, Refusal> {
    let limits = asking.call.node.limits.clone();
    let (mut pages, mut bytes) = (Vec::new(), 0);
    while pages.len() < limits.list_pages_max {
        let answer = asking.exchange().await?;
        let page = asking.finish(answer).await?;
        if page.kind() == Kind::Error {
            // A server without this kind of thing says "method not found": it has nothing to list.
            return match page.error_code() {
                Some(reply::code::METHOD_NOT_FOUND) => Ok(pages),
                code => Err(asking.refusal(UpstreamError::Declined(code))),
            };
        }
        bytes += page.bytes().len();
        if bytes > limits.result_bytes_max {
            return Err(asking.refusal(UpstreamError::TooLarge { limit: limits.result_bytes_max }));
        }
        let cursor = page.result_member_raw("nextCursor").filter(|raw| *raw != "null").map(str::to_owned);
        pages.push(page);
        let Some(cursor) = cursor else { break };
        let next = asking.screened.message().with_params_member("cursor", &cursor);
        asking.go_on(next.map_err(Refusal::Decode)?).await?;
    }
    Ok(pages)
}
