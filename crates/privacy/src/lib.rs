//! What records hold of people: pseudonyms, keyed commitments, and content under keys that can be destroyed.
//!
//! A log that cannot be changed and a duty to erase go together like this: the log holds nothing that says anything without a
//! key, each key is for one subject in one month, and what is erased is the key. The log stays as it is, and verifies.
//!
//! | what | under which key | gone when |
//! |---|---|---|
//! | who a record is about | a random pseudonym for each subject and month; only the file of keys ties it to the subject | the key is destroyed |
//! | paths of arguments and results, sizes | none: they are names of fields and numbers | the month is dropped |
//! | values | a tag under the subjects' keys of that month | one of the keys is destroyed |
//! | content, where policy opts in | encrypted under the keys of subjects, purpose and month together | one of them is destroyed |
//!
//! [`Rules`] find the subjects of a call, [`Vault`] holds their keys, [`Describer`] makes what goes into a record, and
//! [`Keeper`] tells, erases, holds and retains.

// In a test, a panic with the value in it is the report.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod describe;
mod error;
mod keeper;
mod leaves;
mod master;
mod month;
mod redact;
mod retention;
mod slot;
mod subject;
mod vault;

pub use describe::{COMMITMENTS_MAX, CONTENT_BYTES_MAX, Described, Describer, Open, Told, is_purpose};
pub use error::PrivacyError;
pub use keeper::{ERASE, EraseStep, Erased, HOLDS_MAX, Hold, Keeper, Known, Recorder, TEXT_BYTES_MAX};
pub use leaves::{Leaf, leaves, shown};
pub use master::{InMemory, MasterKey};
pub use month::Month;
pub use redact::redacted;
pub use retention::{Due, Part, Retention};
pub use slot::{Held, PURPOSE_BYTES_MAX};
pub use subject::{CALLER, Called, Place, Rule, Rules, SUBJECT_BYTES_MAX, SUBJECTS_MAX, Subject, is_kind};
pub use vault::{KEYS_MAX, STEPS, Step, Vault};
