//! Which class of event a record is, and the numbers that follow from it.

use crate::record::{Kind, Outcome, Record};

/// Class and activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Api(u32),
    Authentication(u32),
    AuthorizeSession,
    UserAccess(u32),
    Entity(u32),
    ConfigChange,
    Finding(u32),
    Lifecycle(u32),
}

const OTHER: u32 = 99;

impl Class {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let method = record.method.as_deref().unwrap_or_default();
        let before_a_message = matches!(record.stage.as_deref(), Some("accept" | "secure" | "verify"));
        match record.kind {
            Kind::Refusal if method.is_empty() && before_a_message => Self::Authentication(1),
            Kind::Call | Kind::Stream | Kind::Refusal => Self::Api(activity_of(method)),
            Kind::Link if record.outcome == Outcome::Ok => Self::Authentication(1),
            Kind::Link => Self::Authentication(2),
            Kind::Identity => identity(method),
            Kind::Policy | Kind::Crypto => Self::ConfigChange,
            Kind::Detect if method.ends_with("/approve") => Self::Finding(3),
            Kind::Detect => Self::Finding(1),
            Kind::Lifecycle => Self::Lifecycle(match record.reason.as_deref() {
                Some("node started") => 3,
                Some("node stopped") => 4,
                _ => OTHER,
            }),
        }
    }

    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Api(_) => 6003,
            Self::Authentication(_) => 3002,
            Self::AuthorizeSession => 3003,
            Self::UserAccess(_) => 3005,
            Self::Entity(_) => 3004,
            Self::ConfigChange => 5019,
            Self::Finding(_) => 2004,
            Self::Lifecycle(_) => 6002,
        }
    }

    pub(super) fn activity(self) -> u32 {
        match self {
            Self::Api(activity)
            | Self::Authentication(activity)
            | Self::UserAccess(activity)
            | Self::Entity(activity)
            | Self::Finding(activity)
            | Self::Lifecycle(activity) => activity,
            Self::AuthorizeSession | Self::ConfigChange => 1,
        }
    }

    /// Profiles whose attributes the events of the class use.
    pub(super) fn profiles(self) -> &'static [&'static str] {
        match self {
            Self::Api(_) => &["ai_operation", "datetime", "security_control"],
            Self::Finding(_) | Self::ConfigChange | Self::Lifecycle(_) => {
                &["datetime", "host", "security_control"]
            }
            _ => &["datetime", "security_control"],
        }
    }
}

fn identity(method: &str) -> Class {
    match method {
        "identity/bind" => Class::AuthorizeSession,
        "identity/revoke" => Class::UserAccess(2),
        "identity/restore" => Class::UserAccess(1),
        "identity/invite" => Class::Entity(1),
        "identity/renew" => Class::Entity(3),
        method if method.starts_with("identity/enrol") => Class::Entity(6),
        _ => Class::Entity(OTHER),
    }
}

/// 1 create, 2 read, 3 update, 4 delete, 99 other: what a tool does is its own affair.
fn activity_of(method: &str) -> u32 {
    match method {
        "initialize" | "resources/subscribe" | "subscriptions/listen" => 1,
        "logging/setLevel" => 3,
        "resources/unsubscribe" | "notifications/cancelled" | "tasks/cancel" => 4,
        "ping" | "resources/read" | "prompts/get" | "completion/complete" | "server/discover" => 2,
        method if method.ends_with("/list") || method.ends_with("/get") => 2,
        _ => OTHER,
    }
}

/// 1 informational, 3 medium, 4 high, 5 critical.
pub(super) fn severity(record: &Record<'_>) -> u32 {
    match (record.consequence.as_deref(), record.kind, record.outcome) {
        (Some("kill"), _, _) => 5,
        (_, Kind::Detect, Outcome::Refused) => 4,
        (_, _, Outcome::Ok | Outcome::Cancelled) => 1,
        (_, _, Outcome::Refused | Outcome::Failed) => 3,
    }
}

/// 1 success, 2 failure; what is neither says what it is.
pub(super) fn status(outcome: Outcome) -> (u32, Option<&'static str>) {
    match outcome {
        Outcome::Ok => (1, None),
        Outcome::Refused | Outcome::Failed => (2, None),
        Outcome::Cancelled => (OTHER, Some("Cancelled")),
    }
}

/// 1 allowed, 2 denied.
pub(super) fn action(outcome: Outcome) -> u32 {
    if outcome == Outcome::Refused { 2 } else { 1 }
}
