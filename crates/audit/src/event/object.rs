//! The objects of OCSF that events are made of, as far as they are used.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::record::Text;

/// A user, by its identity and what proved it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credential_uid: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<Named<'a>>,
}

/// Who did it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Uid<'a>>,
}

/// Anything with a name.
#[derive(Serialize, Deserialize)]
pub(super) struct Named<'a> {
    pub(super) name: Text<'a>,
}

/// Anything with an identifier.
#[derive(Serialize, Deserialize)]
pub(super) struct Uid<'a> {
    pub(super) uid: Text<'a>,
}

/// An operation that was asked for.
#[derive(Serialize, Deserialize)]
pub(super) struct Api<'a> {
    pub(super) operation: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Named<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Uid<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Response>,
}

/// How it was answered.
#[derive(Serialize, Deserialize)]
pub(super) struct Response {
    pub(super) code: i64,
}

/// Where a message came from.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<Text<'a>>,
}

impl<'a> Endpoint<'a> {
    /// The endpoint with this address; without one, this machine.
    pub(super) fn of(peer: Option<&'a str>) -> Self {
        let Some(peer) = peer else {
            return Self { hostname: Some("localhost".into()), ..Self::default() };
        };
        match peer.parse::<std::net::SocketAddr>() {
            Ok(address) if address.to_string() == peer => Self {
                ip: Some(address.ip().to_string().into()),
                port: Some(address.port()),
                ..Self::default()
            },
            _ => Self { name: Some(peer.into()), ..Self::default() },
        }
    }

    /// The address as a record has it.
    pub(super) fn peer(self) -> Option<Text<'static>> {
        if let (Some(ip), Some(port)) = (&self.ip, self.port) {
            let ip: std::net::IpAddr = ip.parse().ok()?;
            return Some(std::net::SocketAddr::new(ip, port).to_string().into());
        }
        self.name.map(|name| name.into_owned().into())
    }
}

/// What an operation is about.
#[derive(Serialize, Deserialize)]
pub(super) struct Resource<'a> {
    pub(super) name: Text<'a>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Text<'a>>,
}

/// A policy that decided.
#[derive(Serialize, Deserialize)]
pub(super) struct Authorization<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<Text<'a>>,
    pub(super) policy: Uid<'a>,
}

/// The message of an agent (profile `ai_operation`).
#[derive(Serialize, Deserialize)]
pub(super) struct MessageContext<'a> {
    /// 4 is an agent.
    pub(super) ai_role_id: u32,
    pub(super) application: Named<'a>,
}

/// What is found.
#[derive(Serialize, Deserialize)]
pub(super) struct FindingInfo<'a> {
    pub(super) uid: Text<'a>,
    pub(super) title: Text<'a>,
}

/// A machine that is changed.
#[derive(Serialize, Deserialize)]
pub(super) struct Device<'a> {
    pub(super) name: Text<'a>,
    /// 1 is a server.
    pub(super) type_id: u32,
}

/// A thing that is managed.
#[derive(Serialize, Deserialize)]
pub(super) struct Entity<'a> {
    pub(super) name: Text<'a>,
    #[serde(rename = "type")]
    pub(super) kind: Text<'a>,
}

/// Makes an owned text of one that was read.
pub(super) fn owned(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}
