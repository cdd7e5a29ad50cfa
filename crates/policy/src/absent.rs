//! What policies name that is not there: a rule about it permits nothing, and forbids nothing either.

use std::collections::BTreeSet;

use crate::{entity, error::Fault, known::Known, nearest, options::Options, source::Finding};

/// A warning for each. `roles` are those that somebody can have, if that is known.
pub(crate) fn of(
    known: &Known,
    options: &Options<'_>,
    roles: &Option<BTreeSet<&str>>,
) -> impl Iterator<Item = Finding> {
    let role = roles.as_ref().and_then(|roles| role(known, roles));
    group(known, options).into_iter().chain(server(known, options)).chain(role)
}

fn group(known: &Known, options: &Options<'_>) -> Option<Finding> {
    let group = known.needs.groups.iter().find(|group| !options.groups.contains_key(*group))?;
    let what = format!("there is no group of servers named `{group}`, so nothing is in it");
    Some(Finding::new(Fault::NotSeen, what, Some("name the group in the configuration".to_owned())))
}

fn server(known: &Known, options: &Options<'_>) -> Option<Finding> {
    if options.servers.is_empty() {
        return None;
    }
    let id = known.scope.resource.as_ref()?;
    let server = entity::server_named(id)?;
    if options.servers.contains(&server) {
        return None;
    }
    let what =
        format!("there is no server named `{}`, so the policy is about nothing", server.escape_debug());
    let servers = options.servers.iter().map(String::as_str);
    Some(Finding::new(
        Fault::NotSeen,
        what,
        Some(meant(&server, servers, "name a server of the configuration")),
    ))
}

fn role(known: &Known, roles: &BTreeSet<&str>) -> Option<Finding> {
    let role = known.roles.iter().find(|role| !roles.contains(role.as_str()))?;
    let what = format!(
        "no registration and no role file gives the role `{}`, so nobody is in it",
        role.escape_debug()
    );
    let hint = meant(role, roles.iter().copied(), "give it by a [[register]], or by a role file with agents");
    Some(Finding::new(Fault::NotSeen, what, Some(hint)))
}

fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    match nearest::word(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => otherwise.to_owned(),
    }
}
