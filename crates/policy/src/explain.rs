//! Denials that a person can act on: who, what, where, why, and the line that
//! would allow it.

use cedar_policy::Request;
use lockgate_identity::Principal;

use crate::{
    Policies,
    clause::{self, Fit},
    entity,
    frame::{Frame, Matched},
    index::Index,
    link::Link,
    method::{self, Group, Method, RESPONSE, Subject},
    permit::{Cause, Consequence, Refused},
    query::Query,
    rule::Rule,
    source::base_name,
    terms::Violation,
    verdict::Outcome,
};

/// Permits compared to find the nearest: a denial must not cost much more than
/// a decision.
const COMPARED_MAX: usize = 16;

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

/// What is to be explained.
pub(crate) struct Why<'a> {
    pub(crate) cause: Cause,
    /// The numbers of the policies that made it so.
    pub(crate) policies: &'a [u32],
    /// What failed or does not fit.
    pub(crate) detail: Option<&'a str>,
    pub(crate) retry_ms: Option<u64>,
}

/// Says why a call is denied and what would allow it.
pub(crate) fn denial(
    policies: &Policies,
    query: &Query<'_>,
    frame: Option<&Frame>,
    why: &Why<'_>,
    request: Option<&Request>,
) -> Text {
    let method = method::find(query.method);
    let what = format!("{} may not {}", who(query), what(query, method));
    let rule = why.policies.first().map(|&n| policies.index().rule(n));
    let detail = why.detail.unwrap_or("no detail");
    match why.cause {
        Cause::NotPermitted | Cause::UnknownMethod => {
            let near = frame.and_then(|frame| nearest(policies, frame, request));
            not_permitted(policies, query, near, &what)
        }
        Cause::Forbidden => forbidden(query, &what, rule),
        Cause::Held => Text {
            reason: format!("{what} yet: {} holds it until a person approves it", named(query, rule)),
            hint: own_hint(rule).unwrap_or_else(|| {
                "make the same call again once it is approved (lockgate approvals)".to_owned()
            }),
        },
        Cause::RateLimited => Text {
            reason: format!("{what} now: the rate of {} is used up", named(query, rule)),
            hint: match why.retry_ms {
                Some(ms) => format!("try again in {} seconds", ms.div_ceil(1_000)),
                None => "try again later".to_owned(),
            },
        },
        Cause::Misfit => Text {
            reason: format!("{what} like this: {detail}"),
            hint: "send arguments that fit the tool's definition".to_owned(),
        },
        Cause::PolicyFailed => Text {
            reason: format!(
                "{what}: {} could not be evaluated ({detail}), and a policy that fails denies",
                rule.map_or("the policy set".to_owned(), |rule| format!("policy {}", described(query, rule))),
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

/// Why a caller may not be connected with a server: the policy that forbids
/// it, or none that permits anything.
pub(crate) fn unreachable(query: &Query<'_>, rule: Option<&Rule>) -> Refused {
    let what = format!("{} may not reach server {}", who(query), shown(query.server));
    let text = match rule {
        Some(_) => forbidden(query, &what, rule),
        None => Text {
            reason: format!("{what}: no policy permits it anything there"),
            hint: format!(
                "to let it in, add this line to a policy file: {}; each tool takes a line of its own, or a role file",
                permit_line(query, method::connect())
            ),
        },
    };
    Refused {
        policy: rule.map(|rule| rule.id().to_owned()),
        consequence: match rule.map(Rule::violation) {
            Some(Violation::Kill) => Consequence::Kill,
            _ => Consequence::Deny,
        },
        reason: text.reason,
        hint: text.hint,
    }
}

/// What policies in shadow mode would change; `None` if nothing.
pub(crate) fn shadow(index: &Index, outcome: &Outcome, tried: &Outcome, matched: &Matched) -> Option<String> {
    let ids = |numbers: &mut dyn Iterator<Item = u32>| {
        let ids: Vec<&str> = numbers.map(|n| index.rule(n).id()).collect();
        ids.join(", ")
    };
    if outcome.word() != tried.word() {
        let (Outcome::Permit { policies, .. } | Outcome::Deny { policies, .. }) = tried;
        let mut own = policies.iter().copied().filter(|&n| index.rule(n).terms().shadow);
        let by = ids(&mut own);
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        return Some(format!("{}{by} instead of {}", tried.word(), outcome.word()));
    }
    let failed = ids(&mut matched.failed_shadows.iter().copied());
    (!failed.is_empty()).then(|| format!("{failed} could not be evaluated"))
}

/// A file's path for callers on this machine, its name for others.
fn file<'a>(query: &Query<'_>, path: &'a str) -> &'a str {
    if query.loopback { path } else { base_name(path) }
}

fn described(query: &Query<'_>, rule: &Rule) -> String {
    format!("`{}` ({}:{})", rule.id(), file(query, &rule.file), rule.line)
}

fn named(query: &Query<'_>, rule: Option<&Rule>) -> String {
    rule.map_or_else(|| "a policy".to_owned(), |rule| format!("policy {}", described(query, rule)))
}

fn own_hint(rule: Option<&Rule>) -> Option<String> {
    rule?.policy.annotation("hint").map(str::to_owned)
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
        hint: own_hint(Some(rule)).unwrap_or_else(|| {
            format!(
                "a forbid beats every permit; to allow the call, narrow that policy in {} at line {}",
                file(query, &rule.file),
                rule.line
            )
        }),
    }
}

/// The permit that misses least, and by what.
struct Nearest<'a> {
    rule: &'a Rule,
    clause: Option<String>,
    /// Other permits whose scope fits.
    others: usize,
    reads_link: bool,
}

fn nearest<'a>(policies: &'a Policies, frame: &Frame, request: Option<&Request>) -> Option<Nearest<'a>> {
    let rules = frame.slice.rules.iter().map(|&n| policies.index().rule(n));
    let permits: Vec<&Rule> = rules.filter(|rule| rule.is_permit() && !rule.terms().shadow).collect();
    let fits = permits.iter().take(COMPARED_MAX).map(|rule| match request {
        Some(request) => clause::fit(rule.known.clauses(), request, frame.entities()),
        None => Fit::default(),
    });
    let (n, fit) = fits.enumerate().min_by_key(|(n, fit)| (fit.missed, *n))?;
    let rule = permits[n];
    let reads_link = rule.known.reads.link;
    Some(Nearest { rule, clause: fit.first, others: permits.len() - 1, reads_link })
}

fn not_permitted(policies: &Policies, query: &Query<'_>, near: Option<Nearest<'_>>, what: &str) -> Text {
    let method = method::find(query.method);
    let target = policies.files().iter().find(|path| !path.ends_with(".toml"));
    let target = target.map_or("a policy file", |path| file(query, path));
    let add = match query.name {
        Some(name) if name.len() > ADVICE_NAME_BYTES_MAX => {
            format!("to allow it, add a policy to {target}; the name is too long to write the line here")
        }
        _ => format!("to allow it, add this line to {target}: {}", permit_line(query, method)),
    };
    let Some(Nearest { rule, clause, others, reads_link }) = near else {
        return Text { reason: format!("{what}: no policy permits it"), hint: add };
    };
    let over = match reads_link {
        true => format!(" over this link ({})", Link::new(query.posture, query.loopback).describe()),
        false => String::new(),
    };
    let clause = clause.map(|clause| format!(": {clause}")).unwrap_or_default();
    let more = if others > 0 { format!(" ({others} more permits miss it too)") } else { String::new() };
    Text {
        reason: format!(
            "{what}{over}: {} would permit it, but its condition is not met{clause}{more}",
            described(query, rule)
        ),
        hint: own_hint(Some(rule)).unwrap_or_else(|| format!("meet that condition; or, {add}")),
    }
}

fn who(query: &Query<'_>) -> String {
    match &*query.caller.principal {
        Principal::Workload { id, .. } | Principal::Bearer { id, .. } => format!("agent {}", id.as_str()),
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
        // A pinned tool's own action is in this one.
        Some(Group::Use) => format!("in {}", method.action),
        None => format!("== {}", method.action),
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
