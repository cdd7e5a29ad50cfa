//! A record as an event of the Open Cybersecurity Schema Framework (OCSF 1.8), and back.
//!
//! Each kind of record is an event of one class. What OCSF has a place for stands there; what Lockgate knows beyond it
//! (the deciding generation, the posture of the link, findings, sizes) stands in `unmapped`, under the names that
//! [`Record`] has. Calls are by far the most, so they say nothing twice; the other classes keep the whole record in
//! `unmapped` as well, where it is read back from.
//!
//! | record | class | activity |
//! |---|---|---|
//! | call, stream, refusal with a message | API Activity 6003, profile `ai_operation` | by method: create, read, update, delete, other |
//! | link, refusal before a message | Authentication 3002 | logon, logoff |
//! | identity: a token bound to a link | Authorize Session 3003 | assign privileges |
//! | identity: revoked, restored | User Access 3005 | revoke, assign privileges |
//! | identity: all else | Entity Management 3004 | create, update, enroll, other |
//! | policy, cryptography | Device Config State Change 5019 | log |
//! | detection | Detection Finding 2004 | create, close |
//! | lifecycle | Application Lifecycle 6002 | start, stop, other |

mod api;
mod class;
mod object;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::Record;
use api::Mapped;
use class::Class;

/// The version of OCSF that events are of.
pub const OCSF_VERSION: &str = "1.8.0";

/// What a line says behind number and predecessor, in the two parts between which the event's own number stands.
pub(crate) struct Body {
    /// From the first fact in `unmapped` to its end.
    pub(crate) facts: Vec<u8>,
    /// From the version in `metadata` to the end of the line.
    pub(crate) event: Vec<u8>,
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        self.facts.len() + self.event.len()
    }
}

/// What `metadata` says behind the event's own number.
#[derive(Serialize)]
struct Metadata {
    version: &'static str,
    product: Product,
    profiles: &'static [&'static str],
}

/// Who reports.
#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

const PRODUCT: Product =
    Product { name: "Lockgate", vendor_name: "Lockgate", version: env!("CARGO_PKG_VERSION") };

/// The numbers that every event has.
#[derive(Serialize)]
struct Numbers {
    category_uid: u32,
    class_uid: u32,
    activity_id: u32,
    type_uid: u32,
    severity_id: u32,
    status_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    action_id: u32,
    time: i64,
    time_dt: String,
}

/// Writes a record made at this time.
pub(crate) fn body(record: &Record<'_>, now: Timestamp) -> Body {
    let class = Class::of(record);
    let mut rest = record.clone();
    let mapped = Mapped::take(&class, record, &mut rest);
    // Both go on where number and predecessor end.
    let mut facts = to_json(&rest);
    facts.remove(0);
    facts.push(b',');
    let mut event =
        to_json(&Metadata { version: OCSF_VERSION, product: PRODUCT, profiles: class.profiles() });
    event.remove(0);
    event.push(b',');
    let numbers = Numbers {
        category_uid: class.uid() / 1000,
        class_uid: class.uid(),
        activity_id: class.activity(),
        type_uid: class.uid() * 100 + class.activity(),
        severity_id: class::severity(record),
        status_id: class::status(record.outcome).0,
        status: class::status(record.outcome).1,
        action_id: class::action(record.outcome),
        time: now.as_millisecond(),
        time_dt: format!("{now:.6}"),
    };
    event.extend_from_slice(&to_json(&numbers)[1..]);
    let mapped = to_json(&mapped);
    if mapped != b"{}" {
        *event.last_mut().expect("it ends with a brace") = b',';
        event.extend_from_slice(&mapped[1..]);
    }
    event.push(b'\n');
    Body { facts, event }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text and numbers always serialise")
}

/// An event as it is read back.
#[derive(Deserialize)]
pub(crate) struct Event {
    unmapped: Facts,
    time_dt: String,
    #[serde(flatten)]
    mapped: Mapped<'static>,
}

#[derive(Deserialize)]
struct Facts {
    seq: u64,
    prev: String,
    #[serde(flatten)]
    record: Record<'static>,
}

impl Event {
    /// Number, predecessor, time and record.
    pub(crate) fn into_parts(self) -> (u64, String, String, Record<'static>) {
        let Facts { seq, prev, mut record } = self.unmapped;
        self.mapped.give_back(&mut record);
        (seq, prev, self.time_dt, record)
    }
}
