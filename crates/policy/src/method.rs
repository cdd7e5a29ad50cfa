//! MCP methods as Cedar actions.
//!
//! One row per method that Lockgate knows: the group that it belongs to and
//! the kind of thing that it is done to. `schema.cedarschema` says the same in
//! Cedar's words and a test holds the two together.

use std::{collections::HashMap, sync::LazyLock};

use cedar_policy::EntityUid;

use crate::entity;

/// The method of a [`Query`](crate::Query) about a message that has none: the
/// client's answer to a request of the server.
pub const RESPONSE: &str = "response";

/// Stands for each `notifications/…` method without a row of its own.
const NOTIFICATION: &str = "notifications/*";

/// Stands for each other method without a row.
const OTHER: &str = "other";

/// The action of reaching a server at all. No message has it as its method.
pub(crate) const CONNECT: &str = "connect";

/// The action of calling a tool, and the group of what has a tool's name in it.
pub(crate) const TOOLS_CALL: &str = "tools/call";

/// The action groups of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Open, keep and close a session.
    Session,
    /// Learn what a server offers.
    List,
    /// Use what a server offers.
    Use,
}

impl Group {
    /// The group's name, which is the id of its Cedar action.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Session => "session",
            Group::List => "list",
            Group::Use => "use",
        }
    }
}

/// What a method is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The server as a whole.
    Server,
    /// A tool, by name.
    Tool,
    /// A resource, by URI.
    Resource,
    /// A prompt, by name.
    Prompt,
    /// A task, by id.
    Task,
}

impl Subject {
    /// All of them.
    pub(crate) const ALL: [Subject; 5] =
        [Subject::Server, Subject::Tool, Subject::Resource, Subject::Prompt, Subject::Task];

    /// The Cedar entity type without its namespace.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Subject::Server => "Server",
            Subject::Tool => "Tool",
            Subject::Resource => "Resource",
            Subject::Prompt => "Prompt",
            Subject::Task => "Task",
        }
    }
}

const ROWS: &[(&str, Option<Group>, Subject)] = {
    use {Group::*, Subject::*};
    &[
        (CONNECT, Some(Session), Server),
        ("initialize", Some(Session), Server),
        ("ping", Some(Session), Server),
        ("logging/setLevel", Some(Session), Server),
        ("server/discover", Some(Session), Server),
        ("notifications/initialized", Some(Session), Server),
        ("notifications/cancelled", Some(Session), Server),
        ("notifications/progress", Some(Session), Server),
        ("notifications/roots/list_changed", Some(Session), Server),
        (NOTIFICATION, Some(Session), Server),
        (RESPONSE, Some(Session), Server),
        ("tools/list", Some(List), Server),
        ("resources/list", Some(List), Server),
        ("resources/templates/list", Some(List), Server),
        ("prompts/list", Some(List), Server),
        ("tasks/list", Some(List), Server),
        ("subscriptions/listen", Some(List), Server),
        (TOOLS_CALL, Some(Use), Tool),
        ("resources/read", Some(Use), Resource),
        ("resources/subscribe", Some(Use), Resource),
        ("resources/unsubscribe", Some(Use), Resource),
        ("prompts/get", Some(Use), Prompt),
        ("completion/complete", Some(Use), Server),
        ("tasks/get", Some(Use), Task),
        ("tasks/result", Some(Use), Task),
        ("tasks/update", Some(Use), Task),
        ("tasks/cancel", Some(Use), Task),
        (OTHER, None, Server),
    ]
};

/// A row with its Cedar ids made once.
#[derive(Debug)]
pub(crate) struct Method {
    /// The Cedar action that is decided on.
    pub(crate) action: EntityUid,
    /// The group's Cedar action and the group; `None` only for `other`.
    pub(crate) group: Option<(Group, EntityUid)>,
    /// What it is done to.
    pub(crate) subject: Subject,
}

impl Method {
    /// Whether this is the action for methods that Lockgate does not know.
    pub(crate) fn is_other(&self) -> bool {
        self.group.is_none()
    }
}

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    ROWS.iter()
        .map(|&(name, group, subject)| {
            let method = Method {
                action: entity::action(name),
                group: group.map(|group| (group, entity::action(group.name()))),
                subject,
            };
            (name, method)
        })
        .collect()
});

/// The row of an MCP method, or the row that stands for methods like it.
pub(crate) fn find(method: &str) -> &'static Method {
    let name = match method {
        CONNECT => OTHER,
        known if METHODS.contains_key(known) => known,
        notification if notification.starts_with("notifications/") => NOTIFICATION,
        _ => OTHER,
    };
    METHODS.get(name).expect("every name chosen above is the name of a row")
}

/// The methods that have a row of their own.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|&(name, _, _)| name).filter(|name| ![NOTIFICATION, RESPONSE, OTHER].contains(name))
}

/// The row of reaching a server.
pub(crate) fn connect() -> &'static Method {
    METHODS.get(CONNECT).expect("it is a row")
}

/// The methods that have an action of their own, and what stands for others.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, Option<Group>, Subject)> {
    ROWS.iter().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schema::SCHEMA;

    #[test]
    fn rows_and_schema_say_the_same() {
        let groups = [Group::Session, Group::List, Group::Use].map(|group| entity::action(group.name()));
        let rows: BTreeSet<String> = METHODS.values().map(|m| m.action.to_string()).collect();
        let declared: BTreeSet<String> =
            SCHEMA.actions().filter(|action| !groups.contains(action)).map(ToString::to_string).collect();
        assert_eq!(rows, declared);
        for (name, method) in METHODS.iter() {
            let resources: Vec<String> = SCHEMA
                .resources_for_action(&method.action)
                .expect("declared")
                .map(|t| t.basename().to_owned())
                .collect();
            assert_eq!(resources, [method.subject.type_name()], "{name}");
            let parents: Vec<_> = SCHEMA
                .action_entities()
                .expect("schema is sound")
                .get(&method.action)
                .map(|_| ())
                .into_iter()
                .collect();
            assert_eq!(parents.len(), 1, "{name}");
        }
    }

    #[test]
    fn unknown_methods_are_in_no_group() {
        for (method, action) in [
            ("tools/call", "tools/call"),
            ("notifications/initialized", "notifications/initialized"),
            ("notifications/vendor/thing", "notifications/*"),
            ("Tools/Call", "other"),
            ("tools/call ", "other"),
            ("other", "other"),
            ("", "other"),
            ("com.example/reset", "other"),
            ("connect", "other"),
        ] {
            let found = find(method);
            assert_eq!(found.action, entity::action(action), "{method:?}");
            assert_eq!(found.is_other(), action == "other", "{method:?}");
        }
    }
}
