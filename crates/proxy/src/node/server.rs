//! An MCP server behind a node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use lockgate_mcp::headers::ParamHeaders;
use lockgate_mcp::list::Item;
use parking_lot::{Mutex, RwLock};

use crate::agility::upstreams;
use crate::pins::Unkept;
use crate::upstream::Upstream;

/// One MCP server behind this node.
pub struct Server {
    /// Its id: lower-case letters, digits and hyphens, unique on the node.
    pub id: String,
    /// How it is reached.
    pub upstream: Upstream,
    /// The header-mirrored parameters of its tools, learned from its lists.
    params: RwLock<HashMap<String, Arc<ParamHeaders>>>,
    pub(super) unkept: Arc<Unkept>,
    /// When the newest connection to it was opened that was looked at.
    pub(crate) links_seen: Mutex<SystemTime>,
}

/// Tools of one server whose header rules are remembered.
const TOOLS_MAX: usize = 10_000;

impl Server {
    /// The server `id` behind `upstream`.
    pub fn new(id: String, upstream: Upstream) -> Self {
        let links_seen = Mutex::new(upstreams::NONE_SEEN);
        Self { id, upstream, params: RwLock::default(), unkept: Arc::default(), links_seen }
    }

    /// What headers must mirror of the arguments of `tool`; none for a tool that was never listed.
    pub fn param_headers(&self, tool: &str) -> Option<Arc<ParamHeaders>> {
        self.params.read().get(tool).cloned()
    }

    /// Learns which arguments its tools mirror into headers. Tools that mirror none take no room.
    pub(crate) fn learn(&self, items: &[Item<'_>]) {
        let mut learned = Vec::new();
        for item in items {
            let params = ParamHeaders::from_tool_raw(item.raw).ok().filter(|p| !p.is_empty());
            learned.push((item.name.to_string(), params.map(Arc::new)));
        }
        let known = self.params.read();
        let fresh =
            learned.iter().any(|(name, params)| known.get(name).map(Arc::as_ref) != params.as_deref());
        drop(known);
        if !fresh {
            return;
        }
        let mut known = self.params.write();
        for (name, params) in learned {
            match params {
                Some(params) if known.len() < TOOLS_MAX || known.contains_key(&name) => {
                    known.insert(name, params);
                }
                Some(_) => {}
                None => {
                    known.remove(&name);
                }
            }
        }
    }
}
