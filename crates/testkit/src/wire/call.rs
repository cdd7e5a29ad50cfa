//! What a client calls, with everything that is echoed kept as it came.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A JSON-RPC message from a client, with everything that is echoed kept as it came.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    /// `None` for a notification.
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    /// `None` for a client's response.
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(borrow, default)]
    pub(super) params: Option<Params<'a>>,
}

/// `params`, as far as a fixture needs them.
#[derive(Deserialize)]
pub(super) struct Params<'a> {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Arguments,
    #[serde(borrow, rename = "_meta", default)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(rename = "protocolVersion", default)]
    pub(super) protocol_version: Option<String>,
}

/// `params._meta`.
#[derive(Deserialize)]
pub(super) struct Meta<'a> {
    #[serde(borrow, rename = "progressToken", default)]
    pub(super) progress_token: Option<&'a RawValue>,
}

/// The arguments of every tool; each uses a few of them.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Arguments {
    /// `exact`: the result, byte for byte. `raw`: the body. `events`: the stream. `$ID` stands for
    /// the request's id in the last two.
    pub(super) text: Option<String>,
    /// `raw`: the status code.
    pub(super) status: Option<u16>,
    /// `raw`: further headers.
    pub(super) headers: Vec<(String, String)>,
    /// `large`, `flood`: how much.
    pub(super) bytes: usize,
    /// `large`: as one event instead of a JSON body.
    pub(super) sse: bool,
    /// `slow`, `progress`: how many pieces.
    pub(super) pieces: u32,
    /// `slow`, `progress`: pause before each piece.
    pub(super) interval_ms: u64,
    /// `hang`, `die`: how far to get first: `nothing`, `headers`, `event` or `body`.
    pub(super) after: String,
    /// `lie`: bytes that the stated length is too long, or too short when negative.
    pub(super) extra: i64,
    /// `meet`: clients that give the same key wait for each other.
    pub(super) key: String,
    /// `meet`: how many clients meet.
    pub(super) count: usize,
    /// `meet`, `progress`: says in the result which client this was.
    pub(super) label: String,
}

impl Call<'_> {
    /// The tool that is called.
    pub(super) fn tool(&self) -> Option<&str> {
        let params = self.params.as_ref().filter(|_| self.method.as_deref() == Some("tools/call"));
        params?.name.as_deref()
    }

    /// `params.protocolVersion` of an `initialize`.
    pub(super) fn protocol_version(&self) -> Option<&str> {
        self.params.as_ref()?.protocol_version.as_deref()
    }
}
