//! The nine stages, under the names that code, spans, audit records, the dashboard and `lockgate explain` share.

use serde::{Deserialize, Serialize};

/// One step of the way of a link (stages 1 to 3) or of a call (stages 4 to 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A socket becomes a link in the making, within the limits of the listener.
    Accept,
    /// TLS 1.3 is negotiated under the listener's profile; what came of it is the link's `Posture`.
    Secure,
    /// The peer's evidence (certificate, socket owner) becomes a `Principal`.
    Verify,
    /// Bytes become one `Message`; headers that mirror the body must agree with it.
    Decode,
    /// The principal, or a token it presents, becomes the `Caller` of this call.
    Bind,
    /// Policy turns caller, message and posture into a `Permit`, or a denial.
    Permit,
    /// Detection turns the permit into `Screened`, or holds the call.
    Screen,
    /// The screened message goes to the upstream; the result is decoded, permitted and screened too.
    Forward,
    /// What happened is appended to the audit log before the answer leaves.
    Record,
}

impl Stage {
    /// All stages in the order in which a call meets them.
    pub const ALL: [Stage; 9] = [
        Stage::Accept,
        Stage::Secure,
        Stage::Verify,
        Stage::Decode,
        Stage::Bind,
        Stage::Permit,
        Stage::Screen,
        Stage::Forward,
        Stage::Record,
    ];

    /// Its number, from 1.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The stage's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Accept => "accept",
            Stage::Secure => "secure",
            Stage::Verify => "verify",
            Stage::Decode => "decode",
            Stage::Bind => "bind",
            Stage::Permit => "permit",
            Stage::Screen => "screen",
            Stage::Forward => "forward",
            Stage::Record => "record",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
