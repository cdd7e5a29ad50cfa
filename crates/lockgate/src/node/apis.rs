//! REST APIs that this node serves as MCP servers: what of each is offered, and how that changes while the node runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_openapi::{Catalogue, Limits, Tool};
use lockgate_proxy::Server;
use lockgate_proxy::node::Observed;
use lockgate_proxy::upstream::rest::Offer;

use super::control::Control;
use super::parts;
use crate::config::{ApiPlan, ServerPlan, Settings, Target};
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// Problems of one document that are told.
const TOLD_MAX: usize = 10;

/// The offers of a configuration, by server.
pub(super) type Offers = BTreeMap<String, Offer>;

impl ApiPlan {
    /// Whether an operation is on: a reading one unless others are named, any other one only if it is named itself.
    pub(crate) fn is_on(&self, tool: &Tool) -> bool {
        match tool.is_safe() {
            true => self.allow.is_empty() || self.allow.iter().any(|pattern| fits(pattern, &tool.name)),
            false => self.allow_unsafe.contains(&tool.name),
        }
    }

    /// What is named and does not exist.
    pub(crate) fn unknown<'a>(&'a self, catalogue: &'a Catalogue) -> impl Iterator<Item = &'a String> {
        let named = self.allow.iter().chain(&self.allow_unsafe).chain(self.keep.keys());
        named.filter(|name| !catalogue.tools.iter().any(|tool| fits(name, &tool.name)))
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begins) => name.starts_with(begins),
        None => pattern == name,
    }
}

/// Reads a description.
///
/// # Errors
/// LG-C030 with all that is wrong.
pub(crate) fn catalogue(bytes: &[u8], shown: &str) -> Result<Catalogue, Diagnostic> {
    Catalogue::read(bytes, &Limits::default()).map_err(|rejected| {
        let what = format!("the description {shown} gives no tool");
        let mut diagnostic = Diagnostic::new("LG-C030", what);
        for problem in rejected.problems.iter().take(TOLD_MAX) {
            diagnostic = diagnostic.cause(crate::output::visible(&problem.to_string()));
        }
        match rejected.problems.len().saturating_sub(TOLD_MAX) {
            0 => diagnostic,
            more => diagnostic.cause(format!("and {more} more")),
        }
    })
}

/// What an API offers by its description and its settings.
///
/// # Errors
/// LG-C030, LG-C007.
pub(super) fn offer(plan: &ServerPlan, api: &ApiPlan) -> Result<Offer, Diagnostic> {
    let shown = api.document.display().to_string();
    let unread = |error: std::io::Error| {
        Diagnostic::new("LG-C030", format!("cannot read {shown}"))
            .because(&error)
            .hint(format!("it is the description of the server \"{}\"", plan.name))
    };
    let size = std::fs::metadata(&api.document).map_err(unread)?.len();
    if size > Limits::default().document_bytes_max as u64 {
        return Err(Diagnostic::new("LG-C030", format!("{shown} has {size} bytes, more than is read")));
    }
    let bytes = std::fs::read(&api.document).map_err(unread)?;
    let mut catalogue = catalogue(&bytes, &shown)?;
    let unknown: Vec<&str> = api.unknown(&catalogue).map(String::as_str).take(TOLD_MAX).collect();
    if !unknown.is_empty() {
        let what = format!("the API \"{}\" has no operation {}", plan.name, unknown.join(", "));
        return Err(Diagnostic::new("LG-C031", what)
            .hint(format!("see its operations: lockgate deploy {shown} --name {} --dry-run", plan.name)));
    }
    catalogue.retain(|tool| api.is_on(tool));
    if catalogue.tools.is_empty() {
        return Err(Diagnostic::new("LG-C031", format!("of the API \"{}\" no operation is on", plan.name))
            .hint("name some: allow_unsafe = [\"OPERATION\"]"));
    }
    Ok(Offer::new(catalogue, api.keep.clone(), api.listed_max))
}

/// The offers of all APIs, before anything is changed.
///
/// # Errors
/// As [`offer`].
pub(super) fn offers(settings: &Settings) -> Result<Offers, Diagnostic> {
    let mut offers = Offers::new();
    for plan in &settings.servers {
        if let Target::Api(api) = &plan.target {
            offers.insert(plan.name.clone(), offer(plan, api)?);
        }
    }
    Ok(offers)
}

pub(super) fn is_api(plan: &ServerPlan) -> bool {
    matches!(plan.target, Target::Api(_))
}

/// What runs, with the APIs of the new settings.
pub(super) fn merge(merged: &mut Settings, new: &Settings) {
    let names =
        |plan: &ServerPlan| merged.servers.iter().any(|other| other.name == plan.name && !is_api(other));
    // A name that another server has is not taken over: that needs a restart.
    let fresh: Vec<ServerPlan> =
        new.servers.iter().filter(|plan| is_api(plan) && !names(plan)).cloned().collect();
    merged.servers.retain(|plan| !is_api(plan));
    merged.servers.extend(fresh);
}

impl Control {
    /// Serves the APIs of the new settings from now on; algorithms for them are in force already. Says what changed.
    ///
    /// # Errors
    /// What a new API cannot be reached by; then it is not served, and the others are.
    pub(super) fn renew_apis(
        &self,
        old: &Settings,
        new: &Settings,
        offers: Offers,
    ) -> Result<Vec<String>, Diagnostic> {
        let mut changed = Vec::new();
        let before = |name: &str| old.servers.iter().find(|plan| plan.name == name);
        for plan in old.servers.iter().filter(|plan| is_api(plan)) {
            if !offers.contains_key(&plan.name) {
                self.node().remove_server(&plan.name);
                self.changing().lock().dialled.retain(|dialled| !is_of(&dialled.name, &plan.name));
                changed.push(format!("the API {} is not served any more", plan.name));
            }
        }
        for (name, offer) in offers {
            let Some(plan) = new.servers.iter().find(|plan| plan.name == name) else { continue };
            let running = self.node().server(&name);
            match (before(&name), running) {
                (Some(was), Some(server))
                    if is_api(was) && was.target == plan.target && same_way(was, plan) =>
                {
                    let Some(rest) = server.upstream.transport().rest() else { continue };
                    if rest.offer().is_same(&offer) {
                        continue;
                    }
                    let operations = offer.len();
                    let observed = self.observe(&server, &offer)?;
                    rest.put_offer(offer);
                    changed.push(told(&name, "another description", operations, observed));
                }
                // What was another kind of server needs a restart, and is named as that.
                (Some(was), _) if !is_api(was) => {}
                _ => {
                    let operations = offer.len();
                    let server = self.make(plan, new, offer)?;
                    let observed = match server.upstream.transport().rest() {
                        Some(rest) => self.observe(&server, &rest.offer())?,
                        None => Observed::default(),
                    };
                    self.node().put_server(server);
                    changed.push(told(&name, "served", operations, observed));
                }
            }
        }
        Ok(changed)
    }

    fn make(&self, plan: &ServerPlan, settings: &Settings, offer: Offer) -> Result<Server, Diagnostic> {
        let in_force = Arc::clone(&self.changing().lock().in_force);
        let mut reached = parts::Reached {
            dialled: Vec::new(),
            credentials: self.credentials().clone(),
            offers: Offers::new(),
        };
        reached.offers.insert(plan.name.clone(), offer);
        let upstream = parts::upstream(plan, settings, &self.node().limits, &in_force, &mut reached)?;
        // What it is shown must not leave by an answer.
        self.credentials()
            .guard(&self.node().detector)
            .map_err(|what| trouble::secret("a credential cannot be guarded".to_owned(), &what))?;
        let mut changing = self.changing().lock();
        changing.dialled.retain(|dialled| !is_of(&dialled.name, &plan.name));
        changing.dialled.extend(reached.dialled);
        drop(changing);
        Ok(Server::new(plan.name.clone(), upstream))
    }

    fn observe(&self, server: &Server, offer: &Offer) -> Result<Observed, Diagnostic> {
        self.node().observe_offer(server, offer).map_err(|error| {
            Diagnostic::new("LG-S005", "the pins of tool definitions cannot be kept").because(&error)
        })
    }

    /// Looks at the definitions of all APIs, so that policy knows them before the first client lists them.
    pub(super) fn observe_apis(&self) -> Result<(), Diagnostic> {
        for server in self.node().servers() {
            if let Some(rest) = server.upstream.transport().rest() {
                self.observe(&server, &rest.offer())?;
            }
        }
        Ok(())
    }
}

/// Whether a connection's name is one of the server's own: to it, or to what gives tokens for it.
fn is_of(dialled: &str, server: &str) -> bool {
    dialled == server || dialled.strip_prefix("exchange:") == Some(server)
}

/// Whether both are reached in the same way.
fn same_way(was: &ServerPlan, is: &ServerPlan) -> bool {
    (&was.credential, &was.roots, &was.client_certificate)
        == (&is.credential, &is.roots, &is.client_certificate)
}

fn told(name: &str, what: &str, operations: usize, observed: Observed) -> String {
    let held = match observed.held {
        0 => String::new(),
        held => format!(", {held} changed and wait for approval (lockgate threats list)"),
    };
    format!("the API {name}: {what}, {operations} operations, {} new{held}", observed.new)
}
