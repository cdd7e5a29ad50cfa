//! From a query to its frame: which policies fit, and the entities that they are asked about.

use std::sync::Arc;

use cedar_policy::Entities;

use crate::{
    Policies,
    arguments::Needles,
    entity,
    frame::{Frame, Slice, Triple},
    index::Names,
    memo::Key,
    method::{self, Method, Subject, TOOLS_CALL},
    query::Query,
    reads::Reads,
};

/// Selections of policies kept ready. Calls of one tool by many agents share
/// one, so few exist; when the table is full it starts afresh.
const SLICES_MAX: usize = 4_096;

impl Policies {
    /// What all such calls have in common; `None` if the method needs a name
    /// that the query lacks.
    pub(crate) fn frame(&self, query: &Query<'_>) -> Option<Arc<Frame>> {
        self.frames.get_or(key(query, false), || self.make_frame(query, method::find(query.method)))
    }

    pub(crate) fn make_frame(&self, query: &Query<'_>, method: &'static Method) -> Option<Arc<Frame>> {
        let resource = entity::resource(method.subject, query.server, query.name)?;
        let names = self.names(query, method);
        let triple =
            Triple { principal: names.principal[0].clone(), action: names.action[0].clone(), resource };
        let entities = self.entities(query, method, &names)?;
        let slice = self.slice(self.index.select(&names));
        let shape = match (method.subject, query.name) {
            (Subject::Tool, Some(tool)) => self.shapes.get(query.server, tool).cloned(),
            _ => None,
        };
        Some(Arc::new(Frame::new(slice, method, shape, triple, entities)))
    }

    /// Everything that a call is known by.
    pub(crate) fn names(&self, query: &Query<'_>, method: &Method) -> Names {
        let mut principal = vec![entity::principal(query.caller)];
        principal.extend(self.roles(query.caller).iter().map(|role| entity::role(role)));
        let mut action = match (method.subject, query.name) {
            // Pinned or not: its own action, so that no policy on it is passed by.
            (Subject::Tool, Some(tool)) => {
                vec![entity::tool_action(query.server, tool), entity::action(TOOLS_CALL)]
            }
            _ => vec![method.action.clone()],
        };
        action.extend(method.group.as_ref().map(|(_, id)| id.clone()));
        let server = entity::server(query.server);
        let mut resource: Vec<_> =
            entity::resource(method.subject, query.server, query.name).into_iter().collect();
        if !resource.contains(&server) {
            resource.push(server);
        }
        resource.extend(self.groups_of(query.server).iter().map(|group| entity::group(group)));
        Names { principal, action, resource }
    }

    fn groups_of(&self, server: &str) -> &[String] {
        self.groups.get(server).map(Vec::as_slice).unwrap_or_default()
    }

    fn entities(&self, query: &Query<'_>, method: &Method, names: &Names) -> Option<Entities> {
        let groups = self.groups_of(query.server);
        let mut items = entity::resource_entities(method.subject, query.server, query.name, groups)?;
        items.push(entity::principal_entity(query.caller, &self.roles(query.caller)));
        for (n, id) in names.action.iter().enumerate() {
            items.push(entity::action_entity(id.clone(), &names.action[n + 1..]));
        }
        // Distinct ids without circles: there is nothing that could fail.
        Entities::from_entities(items, None).ok()
    }

    fn slice(&self, rules: Arc<[u32]>) -> Arc<Slice> {
        if let Some(ready) = self.slices.lock().get(&rules) {
            return ready.clone();
        }
        let slice =
            Arc::new(Slice::new(&self.index, rules.clone(), &self.facts, |reads| self.prepare(reads)));
        let mut slices = self.slices.lock();
        if slices.len() >= SLICES_MAX {
            slices.clear();
        }
        slices.insert(rules, slice.clone());
        slice
    }

    /// The needles that are asked for, ready to be looked for.
    fn prepare(&self, reads: &Reads) -> Needles {
        let asked = reads.needles.iter().map(String::as_str);
        let needles = if reads.all || reads.all_needles {
            Needles::new(self.needles.iter().map(String::as_str))
        } else {
            Needles::new(asked)
        };
        needles.expect("loading has checked each needle")
    }
}

/// What tells frames apart: everything that [`Policies::make_frame`] reads.
pub(crate) fn key(query: &Query<'_>, connect: bool) -> Key {
    let Query { caller, server, method, name, posture: _, loopback: _ } = query;
    let mut key = Key::new();
    let (kind, id) = entity::principal_id(caller);
    key.byte(kind);
    key.text(&id);
    key.text(&caller.roles.len().to_string());
    caller.roles.iter().for_each(|role| key.text(role));
    key.text(server);
    key.text(method);
    key.flag(connect);
    key.flag(name.is_some());
    key.text(name.unwrap_or_default());
    key
}
