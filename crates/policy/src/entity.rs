//! Principals and resources as Cedar entities.
//!
//! Ids are built by `EntityUid` constructors and never by pasting text, so
//! quotes and unicode in a tool's name stay inside the id. What is left to get
//! right is that two different (server, name) pairs never give one id.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use lockgate_identity::{Caller, Principal, Role};

use crate::method::{self, Subject};

/// The Cedar entity types, parsed once.
struct Types {
    action: EntityTypeName,
    agent: EntityTypeName,
    local_user: EntityTypeName,
    anonymous: EntityTypeName,
    role: EntityTypeName,
    group: EntityTypeName,
    subjects: [EntityTypeName; Subject::ALL.len()],
}

/// The id of all callers without an identity.
const ANONYMOUS: &str = "anonymous";

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let parse = |name: &str| {
        format!("Lockgate::{name}").parse().expect("the names of our types are Cedar identifiers")
    };
    Types {
        action: parse("Action"),
        agent: parse("Agent"),
        local_user: parse("LocalUser"),
        anonymous: parse("Anonymous"),
        role: parse("Role"),
        group: parse("ServerGroup"),
        subjects: Subject::ALL.map(|subject| parse(subject.type_name())),
    }
});

fn uid(entity_type: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(entity_type.clone(), EntityId::new(id))
}

/// The id of an action or of an action group.
pub(crate) fn action(id: &str) -> EntityUid {
    uid(&TYPES.action, id)
}

/// The id of the action of calling one tool.
pub(crate) fn tool_action(server: &str, tool: &str) -> EntityUid {
    action(&format!("{}:{}", method::TOOLS_CALL, joined(server, tool)))
}

/// Server and tool of an action of one tool.
pub(crate) fn tool_of_action(id: &EntityUid) -> Option<(String, String)> {
    if *id.type_name() != TYPES.action {
        return None;
    }
    let id: &str = id.id().unescaped();
    split(id.strip_prefix(method::TOOLS_CALL)?.strip_prefix(':')?)
}

/// Server and name of a tool.
pub(crate) fn tool_of_resource(id: &EntityUid) -> Option<(String, String)> {
    if id.type_name() != subject_type(Subject::Tool) {
        return None;
    }
    split(id.id().unescaped())
}

/// The server of a tool, resource, prompt or task.
pub(crate) fn server_of(id: &EntityUid) -> Option<String> {
    subject_of(id.type_name()).filter(|subject| *subject != Subject::Server)?;
    split(id.id().unescaped()).map(|(server, _)| server)
}

/// The server that something is, or is of.
pub(crate) fn server_named(id: &EntityUid) -> Option<String> {
    match subject_of(id.type_name())? {
        Subject::Server => Some(id.id().unescaped().to_owned()),
        _ => server_of(id),
    }
}

/// The name of a role.
pub(crate) fn role_named(id: &EntityUid) -> Option<&str> {
    (*id.type_name() == TYPES.role).then(|| id.id().unescaped())
}

/// Takes apart what [`joined`] joined.
fn split(id: &str) -> Option<(String, String)> {
    let (server, name) = id.split_once('/')?;
    // %25 last, so that an escaped percent sign begins no new escape.
    Some((server.replace("%2F", "/").replace("%25", "%"), name.to_owned()))
}

/// The id of a role.
pub(crate) fn role(name: &str) -> EntityUid {
    uid(&TYPES.role, name)
}

/// The id of a group of servers.
pub(crate) fn group(name: &str) -> EntityUid {
    uid(&TYPES.group, name)
}

/// Whether this is an action (or a group of them).
pub(crate) fn is_action(id: &EntityUid) -> bool {
    *id.type_name() == TYPES.action
}

/// Whether this is a group of servers.
pub(crate) fn is_group(id: &EntityUid) -> bool {
    *id.type_name() == TYPES.group
}

/// Whether there can be such an entity: of callers without an identity there is
/// one.
pub(crate) fn is_possible(id: &EntityUid) -> bool {
    *id.type_name() != TYPES.anonymous || id.id().unescaped() == ANONYMOUS
}

/// The subject whose entities have this type.
pub(crate) fn subject_of(kind: &EntityTypeName) -> Option<Subject> {
    Subject::ALL.into_iter().find(|subject| subject_type(*subject) == kind)
}

/// An action and the actions that it is in.
pub(crate) fn action_entity(id: EntityUid, parents: &[EntityUid]) -> Entity {
    entity(id, HashMap::new(), parents.iter().cloned())
}

/// The id of a server.
pub(crate) fn server(name: &str) -> EntityUid {
    uid(subject_type(Subject::Server), name)
}

fn subject_type(subject: Subject) -> &'static EntityTypeName {
    &TYPES.subjects[subject as usize]
}

/// The id of what a method is done to; `None` if the method needs a name and
/// there is none.
pub(crate) fn resource(subject: Subject, server_name: &str, name: Option<&str>) -> Option<EntityUid> {
    match subject {
        Subject::Server => Some(server(server_name)),
        named => Some(uid(subject_type(named), &joined(server_name, name?))),
    }
}

/// `server/name`, reversibly: a slash in the server's id is escaped, so that
/// the first slash is the boundary whatever the name holds.
fn joined(server: &str, name: &str) -> String {
    let mut id = String::with_capacity(server.len() + 1 + name.len());
    for c in server.chars() {
        match c {
            '%' => id.push_str("%25"),
            '/' => id.push_str("%2F"),
            other => id.push(other),
        }
    }
    id.push('/');
    id.push_str(name);
    id
}

/// The principal's Cedar type and id as plain text, without allocation: what
/// the memo of decisions tells callers apart by.
pub(crate) fn principal_id(caller: &Caller) -> (u8, std::borrow::Cow<'_, str>) {
    match &*caller.principal {
        Principal::Workload { id, .. } | Principal::Bearer { id, .. } => (b'a', id.as_str().into()),
        Principal::LocalUser { uid } => (b'l', uid.to_string().into()),
        Principal::Anonymous => (b'n', ANONYMOUS.into()),
    }
}

/// The id of a caller.
pub(crate) fn principal(caller: &Caller) -> EntityUid {
    let entity_type = match &*caller.principal {
        Principal::Workload { .. } | Principal::Bearer { .. } => &TYPES.agent,
        Principal::LocalUser { .. } => &TYPES.local_user,
        Principal::Anonymous => &TYPES.anonymous,
    };
    uid(entity_type, &principal_id(caller).1)
}

/// The caller as an entity, with the attributes that the schema gives it, in
/// its roles.
pub(crate) fn principal_entity(caller: &Caller, roles: &[String]) -> Entity {
    let attributes = match &*caller.principal {
        Principal::Workload { id, role, .. } => {
            strings(&[("trust_domain", id.trust_domain()), ("path", id.path()), ("role", &role.to_string())])
        }
        // Tokens are issued to agents alone.
        Principal::Bearer { id, .. } => {
            let role = Role::Agent.to_string();
            strings(&[("trust_domain", id.trust_domain()), ("path", id.path()), ("role", &role)])
        }
        Principal::LocalUser { .. } | Principal::Anonymous => HashMap::new(),
    };
    entity(principal(caller), attributes, roles.iter().map(|name| role(name)))
}

/// What is acted on, and its server if that is another entity, in its groups.
pub(crate) fn resource_entities(
    subject: Subject,
    server_name: &str,
    name: Option<&str>,
    groups: &[String],
) -> Option<Vec<Entity>> {
    let parents = groups.iter().map(|name| group(name));
    let server_entity = entity(server(server_name), strings(&[("name", server_name)]), parents);
    if subject == Subject::Server {
        return Some(vec![server_entity]);
    }
    let attributes = strings(&[("server", server_name), ("name", name?)]);
    let item = entity(resource(subject, server_name, name)?, attributes, [server(server_name)]);
    Some(vec![item, server_entity])
}

fn strings(pairs: &[(&str, &str)]) -> HashMap<String, RestrictedExpression> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), RestrictedExpression::new_string(value.to_owned())))
        .collect()
}

fn entity(
    id: EntityUid,
    attributes: HashMap<String, RestrictedExpression>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Entity {
    Entity::new(id, attributes, parents.into_iter().collect::<HashSet<_>>())
        .expect("attributes are plain strings, whose evaluation cannot fail")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_slash_is_the_boundary() {
        assert_eq!(joined("files", "read"), "files/read");
        assert_eq!(joined("a", "b/c"), "a/b/c");
        assert_eq!(joined("a/b", "c"), "a%2Fb/c");
        assert_eq!(joined("a%2Fb", "c"), "a%252Fb/c");
    }

    proptest! {
        #[test]
        fn different_pairs_never_share_an_id(
            a in ("[a/%\"\\\\é\u{202e}]{0,4}", "[b/%\"\\\\é\u{202e}]{0,4}"),
            b in ("[a/%\"\\\\é\u{202e}]{0,4}", "[b/%\"\\\\é\u{202e}]{0,4}"),
        ) {
            prop_assert_eq!(a == b, joined(&a.0, &a.1) == joined(&b.0, &b.1));
            prop_assert_eq!(split(&joined(&a.0, &a.1)), Some(a.clone()));
            prop_assert_eq!(tool_of_action(&tool_action(&a.0, &a.1)), Some(a));
        }

        #[test]
        fn an_id_survives_cedar_syntax(server_name in any::<String>(), name in any::<String>()) {
            let id = resource(Subject::Tool, &server_name, Some(&name)).expect("named");
            let again: EntityUid = id.to_string().parse().expect("Cedar reads what it writes");
            prop_assert_eq!(&again, &id);
            prop_assert_eq!(again.id().unescaped(), joined(&server_name, &name));
        }
    }
}
