//! Denials that a person can act on: who, what, where, why, and the line that
//! would allow it.

use lockgate_identity::Principal;

use crate::{
    decide::Policies,
    entity,
    link::Link,
    method::{self, Group, Method, RESPONSE, Subject},
    permit::Cause,
    query::Query,
    source::{Rule, base_name},
};

/// Conditional permits named in one denial: enough to find the nearest,
/// short enough to read.
const NEAREST_MAX: usize = 3;

/// Longest name repeated in a denial, in characters. A denial is for reading,
/// and a caller chooses the name.
const NAME_CHARS_MAX: usize = 200;

/// Longest name that a line of advice is written for, in bytes. Resource URIs
/// may be megabytes long, and an answer must not be.
const ADVICE_NAME_BYTES_MAX: usize = 1_024;

/// The two texts of a denial.
pub(crate) struct Text {
    pub(crate) reason: String,
    pub(crate) hint: String,
}

/// Says why a call is denied and what would allow it.
pub(crate) fn denial(
    policies: &Policies,
    query: &Query<'_>,
    cause: Cause,
    policy: Option<&str>,
    detail: Option<&str>,
) -> Text {
    let method = method::find(query.method);
    let what = format!("{} may not {}", who(query), what(query, method));
    let selected = policies.selected(query, method).unwrap_or_default();
    let rule = policy.and_then(|id| policies.index().find(&selected, id));
    match cause {
        Cause::NotPermitted | Cause::UnknownMethod => not_permitted(policies, query, method, &what),
        Cause::Held | Cause::RateLimited | Cause::Misfit | Cause::Forbidden => forbidden(query, &what, rule),
        Cause::PolicyFailed => Text {
            reason: format!(
                "{what}: {} could not be evaluated ({}), and a policy that fails denies",
                rule.map_or("the policy set".to_owned(), |rule| format!("policy {}", described(query, rule))),
                detail.unwrap_or("no detail"),
            ),
            hint: match rule {
                Some(rule) => {
                    format!("mend that policy in {} at line {}", file(query, &rule.file), rule.line)
                }
                None => "report this as a bug of Lockgate".to_owned(),
            },
        },
        Cause::NoSubject => Text {
            reason: format!("{what}: the call does not say which {}", noun(method.subject)),
            hint: format!("name the {} in the request's params", noun(method.subject)),
        },
        Cause::Mismatch => Text {
            reason: format!("{what}: the decision was asked for another message than this one"),
            hint: "report this as a bug of Lockgate".to_owned(),
        },
    }
}

/// A file's path for callers on this machine, its name for others.
fn file<'a>(query: &Query<'_>, path: &'a str) -> &'a str {
    if query.loopback { path } else { base_name(path) }
}

fn described(query: &Query<'_>, rule: &Rule) -> String {
    format!("`{}` ({}:{})", rule.id(), file(query, &rule.file), rule.line)
}

fn forbidden(query: &Query<'_>, what: &str, rule: Option<&Rule>) -> Text {
    let Some(rule) = rule else {
        return Text {
            reason: format!("{what}: a policy forbids it"),
            hint: "a forbid beats every permit".to_owned(),
        };
    };
    let own_words = rule.policy.annotation("reason").map(|words| format!(": {words}")).unwrap_or_default();
    Text {
        reason: format!("{what}: policy {} forbids it{own_words}", described(query, rule)),
        hint: format!(
            "a forbid beats every permit; to allow the call, narrow that policy in {} at line {}",
            file(query, &rule.file),
            rule.line
        ),
    }
}

fn not_permitted(policies: &Policies, query: &Query<'_>, method: &Method, what: &str) -> Text {
    let selected = policies.selected(query, method).unwrap_or_default();
    let mut nearest: Vec<String> =
        policies.index().permits(&selected).map(|rule| described(query, rule)).collect();
    let target = policies.files().first().map_or("a policy file", |path| file(query, path));
    let add = match query.name {
        Some(name) if name.len() > ADVICE_NAME_BYTES_MAX => {
            format!("to allow it, add a policy to {target}; the name is too long to write the line here")
        }
        _ => format!("to allow it, add this line to {target}: {}", permit_line(query, method)),
    };
    if nearest.is_empty() {
        return Text { reason: format!("{what}: no policy permits it"), hint: add };
    }
    let link = Link::new(query.posture, query.loopback).describe();
    let more = nearest.len().saturating_sub(NEAREST_MAX);
    nearest.truncate(NEAREST_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Text {
        reason: format!(
            "{what} over this link ({link}): {}{more} would permit it, but the condition there is not met",
            nearest.join(", ")
        ),
        hint: format!("meet that condition (see the link above); or, {add}"),
    }
}

fn who(query: &Query<'_>) -> String {
    match &*query.caller.principal {
        Principal::Workload { id, .. } => format!("agent {}", id.as_str()),
        Principal::LocalUser { uid } => format!("the local user {uid}"),
        Principal::Anonymous => "an anonymous caller".to_owned(),
    }
}

fn noun(subject: Subject) -> String {
    subject.type_name().to_lowercase()
}

fn what(query: &Query<'_>, method: &Method) -> String {
    let server = shown(query.server);
    let verb = match query.method {
        RESPONSE => "answer requests of the server".to_owned(),
        "tools/call" => "call".to_owned(),
        other if method.is_other() => format!("use {} (a method that no group holds)", shown(other)),
        known => format!("use {known}"),
    };
    match query.name {
        Some(name) if method.subject != Subject::Server => {
            format!("{verb} {} {} on server {server}", noun(method.subject), shown(name))
        }
        _ => format!("{verb} on server {server}"),
    }
}

/// A name in quotes, cut to a readable length, control characters escaped.
fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(NAME_CHARS_MAX).collect();
    if text.len() < name.len() {
        text.push('…');
    }
    format!("{text:?}")
}

/// The narrowest policy that permits the call; for opening a session or
/// listing, the one that permits both, as neither is of use alone.
fn permit_line(query: &Query<'_>, method: &Method) -> String {
    let principal = entity::principal(query.caller);
    let resource = entity::resource(method.subject, query.server, query.name)
        .map_or_else(String::new, |id| format!(" == {id}"));
    let action = match method.group.as_ref().map(|(group, _)| group) {
        Some(Group::Session | Group::List) => {
            format!("in [{}, {}]", entity::action("session"), entity::action("list"))
        }
        Some(Group::Use) | None => format!("== {}", method.action),
    };
    let condition = if method.is_other() {
        format!(" when {{ context.method == {} }}", cedar_string(query.method))
    } else {
        String::new()
    };
    format!("permit(principal == {principal}, action {action}, resource{resource}){condition};")
}

/// A Cedar string literal.
fn cedar_string(text: &str) -> String {
    format!("\"{}\"", cedar_policy::EntityId::new(text).escaped())
}
