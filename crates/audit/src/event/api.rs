//! What of a record has a place in its class.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::object::{
    Actor, Api, Authorization, Device, Endpoint, Entity, FindingInfo, MessageContext, Named, Resource,
    Response, Uid, User, owned,
};
use crate::record::{Kind, Record, Text};

/// Stands for a method where there is none.
const NO_METHOD: &str = "-";

/// The attributes of an event that hold facts of a record. Each class has some of them.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mapped<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Api<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorizations: Vec<Authorization<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_context: Option<MessageContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    privileges: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<Entity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding_info: Option<FindingInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<Named<'a>>,
}

fn lent<'a>(text: Option<&'a Text<'_>>) -> Option<Text<'a>> {
    text.map(|text| Cow::Borrowed(&**text))
}

impl<'a> Mapped<'a> {
    /// The attributes for `record`; what an API activity has a place for is taken out of `rest`.
    pub(super) fn take(class: &Class, record: &'a Record<'_>, rest: &mut Record<'_>) -> Self {
        match class {
            Class::Api(activity) => Self::api(record, rest, *activity),
            class => Self::other(*class, record),
        }
    }

    fn api(record: &'a Record<'_>, rest: &mut Record<'_>, activity: u32) -> Self {
        let user = User {
            // OCSF wants a user; a record without one says so.
            name: record.agent.is_none().then(|| "unknown".into()),
            uid: lent(record.agent.as_ref()),
            credential_uid: lent(record.principal.as_ref()),
            groups: record.roles.iter().map(|role| Named { name: role.as_str().into() }).collect(),
        };
        let session = lent(record.session.as_ref()).map(|uid| Uid { uid });
        let method = lent(record.method.as_ref());
        // A method that reads like none stays where it is unmistakable.
        if method.as_deref() != Some(NO_METHOD) {
            rest.method = None;
        }
        let decision = if record.kind == Kind::Refusal { "deny" } else { "allow" };
        let authorizations = record.policies.iter().map(|policy| Authorization {
            decision: Some(decision.into()),
            policy: Uid { uid: policy.as_str().into() },
        });
        let kind = record.method.as_deref().and_then(|method| method.split('/').next());
        let mapped = Self {
            activity_name: (activity == 99).then(|| method.clone().unwrap_or(NO_METHOD.into())),
            actor: Some(Actor { user: Some(user), session }),
            api: Some(Api {
                operation: method.unwrap_or(NO_METHOD.into()),
                service: lent(record.server.as_ref()).map(|name| Named { name }),
                request: lent(record.request_id.as_ref()).map(|uid| Uid { uid }),
                response: record.code.map(|code| Response { code }),
            }),
            src_endpoint: Some(Endpoint::of(record.peer.as_deref())),
            resources: lent(record.name.as_ref())
                .map(|name| Resource { name, kind: kind.map(Cow::Borrowed) })
                .into_iter()
                .collect(),
            authorizations: authorizations.collect(),
            message_context: Some(MessageContext {
                ai_role_id: 4,
                application: Named { name: "MCP".into() },
            }),
            status_detail: lent(record.reason.as_ref()),
            duration: record.duration_us.map(|us| us / 1000),
            ..Self::default()
        };
        rest.agent = None;
        rest.principal = None;
        rest.roles = Cow::Borrowed(&[]);
        rest.session = None;
        rest.peer = None;
        rest.server = None;
        rest.name = None;
        rest.request_id = None;
        rest.code = None;
        rest.reason = None;
        rest.policies = Cow::Borrowed(&[]);
        mapped
    }

    fn other(class: Class, record: &'a Record<'_>) -> Self {
        let agent = || lent(record.agent.as_ref());
        let user = |uid: Option<Text<'a>>| User {
            name: uid.is_none().then(|| "unknown".into()),
            uid,
            ..User::default()
        };
        let actor = agent().map(|uid| Actor { user: Some(user(Some(uid))), session: None });
        let method = || lent(record.method.as_ref()).unwrap_or_else(|| kind_name(record).into());
        let name = || lent(record.name.as_ref()).unwrap_or_else(method);
        let common = Self {
            activity_name: (class.activity() == 99).then(method),
            status_detail: lent(record.reason.as_ref()),
            ..Self::default()
        };
        let endpoint = Some(Endpoint::of(record.peer.as_deref()));
        match class {
            Class::Api(_) => common,
            Class::Authentication(_) => Self {
                user: Some(user(agent())),
                src_endpoint: endpoint,
                service: Some(Named { name: "Lockgate".into() }),
                ..common
            },
            Class::AuthorizeSession => Self {
                user: Some(user(agent())),
                src_endpoint: endpoint,
                privileges: vec![method()],
                ..common
            },
            Class::UserAccess(_) => {
                let target = lent(record.name.as_ref());
                Self {
                    actor,
                    user: Some(user(target)),
                    src_endpoint: endpoint,
                    privileges: vec!["*".into()],
                    ..common
                }
            }
            Class::Entity(_) => Self {
                actor,
                src_endpoint: endpoint,
                entity: Some(Entity { name: name(), kind: method() }),
                ..common
            },
            Class::ConfigChange => {
                Self { actor, device: Some(Device { name: "lockgate".into(), type_id: 1 }), ..common }
            }
            Class::Finding(_) => {
                let uid = record.findings.first().map_or_else(method, |finding| finding.as_str().into());
                let title = lent(record.reason.as_ref()).unwrap_or_else(name);
                Self { actor, finding_info: Some(FindingInfo { uid, title }), ..common }
            }
            Class::Lifecycle(_) => Self { actor, app: Some(Named { name: "Lockgate".into() }), ..common },
        }
    }

    /// Puts what an API activity holds back into its record. Of every other class the record holds all itself.
    pub(super) fn give_back(self, record: &mut Record<'static>) {
        let Some(api) = self.api else { return };
        let Actor { user, session } = self.actor.unwrap_or_default();
        let User { uid, credential_uid, groups, .. } = user.unwrap_or_default();
        record.agent = uid.map(owned);
        record.principal = credential_uid.map(owned);
        record.roles = groups.into_iter().map(|group| group.name.into_owned()).collect();
        record.session = session.map(|session| owned(session.uid));
        record.peer = self.src_endpoint.and_then(Endpoint::peer);
        record.server = api.service.map(|service| owned(service.name));
        if record.method.is_none() && api.operation != NO_METHOD {
            record.method = Some(owned(api.operation));
        }
        record.name = self.resources.into_iter().next().map(|resource| owned(resource.name));
        record.request_id = api.request.map(|request| owned(request.uid));
        record.code = api.response.map(|response| response.code);
        record.reason = self.status_detail.map(owned);
        record.policies = self.authorizations.into_iter().map(|one| one.policy.uid.into_owned()).collect();
    }
}

fn kind_name(record: &Record<'_>) -> &'static str {
    match record.kind {
        Kind::Call => "call",
        Kind::Refusal => "refusal",
        Kind::Link => "link",
        Kind::Stream => "stream",
        Kind::Identity => "identity",
        Kind::Policy => "policy",
        Kind::Detect => "detect",
        Kind::Crypto => "crypto",
        Kind::Lifecycle => "lifecycle",
    }
}
