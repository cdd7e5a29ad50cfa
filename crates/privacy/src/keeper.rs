//! Erasing, holding, and telling what there is: everything that is done about a subject, recorded.
//!
//! # Erasure
//! 1. What is to be erased is noted in the store, by pseudonyms alone.
//! 2. The keys are destroyed.
//! 3. The receipt is a record on the disk.
//! 4. The pseudonyms are remembered as erased, so that keys which come back with a backup are destroyed again.
//! 5. The note goes.
//!
//! Whoever is killed in between is finished by [`Keeper::resume`]: there are never keys without a note, nor keys that are gone
//! without a receipt or a note.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_audit::{AuditError, Cursor, Entry, Kind, Outcome, Record};
use lockgate_store::Store;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::PrivacyError;
use crate::slot::Held;
use crate::subject::Subject;
use crate::vault::{self, Vault};

/// The part of the store that holds holds.
const HOLDS: &str = "privacy-holds";
/// Erasures that were begun and not ended.
const PENDING: &str = "privacy-pending";
/// Pseudonyms whose keys were destroyed by an erasure.
const ERASED: &str = "privacy-erased";

/// Holds at once: a person reads the list.
pub const HOLDS_MAX: usize = 1000;

/// Longest reason, basis or name of who asks, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;

/// Pseudonyms in one entry of a list in a record, within what a text of a record can have.
const NAMES_IN_ENTRY: usize = 60;

/// Method of the record that is a receipt.
pub const ERASE: &str = "audit/erase";

/// Where what happens is recorded.
pub trait Recorder: Send + Sync {
    /// Appends a record and waits until it is on the disk; gives its number.
    ///
    /// # Errors
    /// It cannot be recorded; then what it is about must not happen.
    fn record(&self, record: &Record<'_>) -> Result<u64, AuditError>;

    /// Number of the last record.
    fn last(&self) -> u64;
}

/// Something that may neither be erased nor expire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it is lifted by.
    pub id: String,
    /// The subject as a tag; none holds everything.
    pub subject: Option<String>,
    /// What kind of subject it is.
    pub kind: Option<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// What is noted before keys are destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    kind: String,
    pseudonyms: Vec<String>,
    scope: Vec<String>,
    keys: u64,
    basis: String,
    by: String,
    /// The last record before.
    after: u64,
}

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// The erasure, as its receipt names it; none if there was nothing to erase.
    pub id: Option<String>,
    /// Number of the receipt.
    pub receipt: Option<u64>,
    /// Keys that were destroyed.
    pub keys: u64,
    /// Months and purposes of them.
    pub scope: Vec<String>,
}

/// What there is of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Pseudonyms under which records know it, each with its month.
    pub pseudonyms: Vec<(String, String)>,
    /// Number of the record that says that this was asked.
    pub receipt: u64,
}

/// A step of an erasure; tests end there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseStep {
    /// It is noted.
    Note,
    /// Keys are destroyed.
    Destroy(vault::Step),
    /// The receipt is recorded.
    Receipt,
    /// Its pseudonyms are remembered.
    Remember,
    /// The note goes.
    Forget,
}

/// Whoever does it. One for a node, or for its state when no node runs.
pub struct Keeper {
    pub(crate) vault: Arc<Vault>,
    pub(crate) store: Store,
    pub(crate) log: PathBuf,
    /// Held by the one who changes something.
    pub(crate) turn: Mutex<()>,
}

impl Keeper {
    /// Over these keys, this store, and the log in `log`.
    #[must_use]
    pub fn new(vault: Arc<Vault>, store: Store, log: &Path) -> Self {
        Self { vault, store, log: log.to_owned(), turn: Mutex::new(()) }
    }

    /// The keys.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Finishes what was ended half way, and destroys keys again that came back with a backup. To be called before anything
    /// else. Says how many keys that destroyed.
    ///
    /// # Errors
    /// [`PrivacyError`].
    pub fn resume(&self, recorder: &dyn Recorder) -> Result<u64, PrivacyError> {
        let _turn = self.turn.lock();
        let mut destroyed = 0;
        for (id, pending) in self.store.list_json::<Pending>(PENDING, "")? {
            let is_known = |held: &Held| pending.pseudonyms.contains(&held.pseudonym());
            destroyed += self.vault.destroy(&is_known, &|_| {})?;
            if self.receipt_of(&id, pending.after, recorder.last())?.is_none() {
                self.receipt(&id, &pending, recorder)?;
            }
            self.remember(&id, &pending)?;
            self.store.delete(PENDING, &id)?;
        }
        let mut back = Vec::new();
        for held in self.vault.all()? {
            let name = held.pseudonym();
            if self.store.get(ERASED, &name)?.is_some() {
                back.push(name);
            }
        }
        if !back.is_empty() {
            let record = Record {
                method: Some("audit/erase-again".into()),
                reason: Some("keys that had been erased were back, as after a backup was put back; they are destroyed again".into()),
                count: Some(back.len() as u64),
                before: entries(&back).into(),
                ..Record::new(Kind::Lifecycle, Outcome::Ok)
            };
            recorder.record(&record)?;
            destroyed += self.vault.destroy(&|held| back.contains(&held.pseudonym()), &|_| {})?;
        }
        Ok(destroyed)
    }

    /// What there is of a subject; that it was asked is recorded.
    ///
    /// # Errors
    /// [`PrivacyError`].
    pub fn know(&self, subject: &Subject, by: &str, recorder: &dyn Recorder) -> Result<Known, PrivacyError> {
        let by = text("by", by)?;
        let _turn = self.turn.lock();
        let mut pseudonyms: Vec<(String, String)> =
            self.vault.of(subject)?.iter().map(|held| (held.month.to_string(), held.pseudonym())).collect();
        pseudonyms.sort();
        pseudonyms.dedup();
        let names: Vec<String> = pseudonyms.iter().map(|(_, name)| name.clone()).collect();
        let record = Record {
            method: Some("audit/export".into()),
            agent: Some(by.into()),
            reason: Some(format!("what is recorded of one {} is exported", subject.kind()).into()),
            count: Some(names.len() as u64),
            before: entries(&names).into(),
            ..Record::new(Kind::Lifecycle, Outcome::Ok)
        };
        let receipt = recorder.record(&record)?;
        Ok(Known { pseudonyms: pseudonyms.into_iter().map(|(month, name)| (name, month)).collect(), receipt })
    }

    /// Erases a subject: destroys all its keys, for good. Erasing it again finds nothing, and says so.
    ///
    /// # Errors
    /// [`PrivacyError::Held`]; and where something fails, after which [`Keeper::resume`] finishes what was begun.
    pub fn erase(
        &self,
        subject: &Subject,
        (basis, by): (&str, &str),
        recorder: &dyn Recorder,
        on_step: &dyn Fn(EraseStep),
    ) -> Result<Erased, PrivacyError> {
        let (basis, by) = (text("the basis", basis)?, text("by", by)?);
        let _turn = self.turn.lock();
        let tag = self.vault.tag(subject);
        if let Some(hold) = self.holds()?.into_iter().find(|hold| hold.covers(&tag)) {
            let record = Record {
                method: Some(ERASE.into()),
                name: Some(hold.id.clone().into()),
                agent: Some(by.into()),
                reason: Some("refused: a hold keeps it".into()),
                ..Record::new(Kind::Lifecycle, Outcome::Refused)
            };
            recorder.record(&record)?;
            return Err(PrivacyError::Held { id: hold.id, reason: hold.reason });
        }
        let held = self.vault.of(subject)?;
        if held.is_empty() {
            return Ok(Erased::default());
        }
        let mut pseudonyms: Vec<String> = held.iter().map(Held::pseudonym).collect();
        pseudonyms.sort();
        pseudonyms.dedup();
        let (kind, keys) = (subject.kind().to_owned(), held.len() as u64);
        let (basis, by) = (basis.to_owned(), by.to_owned());
        let pending =
            Pending { kind, pseudonyms, scope: scope(&held), keys, basis, by, after: recorder.last() };
        let id = lockgate_crypto::random::token_base64url(9);
        on_step(EraseStep::Note);
        self.store.put_json(PENDING, &id, &pending)?;
        let is_known = |held: &Held| pending.pseudonyms.contains(&held.pseudonym());
        self.vault.destroy(&is_known, &|step| on_step(EraseStep::Destroy(step)))?;
        on_step(EraseStep::Receipt);
        let receipt = self.receipt(&id, &pending, recorder)?;
        on_step(EraseStep::Remember);
        self.remember(&id, &pending)?;
        on_step(EraseStep::Forget);
        self.store.delete(PENDING, &id)?;
        Ok(Erased { id: Some(id), receipt: Some(receipt), keys, scope: pending.scope })
    }

    /// Has a subject kept, or everything where there is none, until it is lifted.
    ///
    /// # Errors
    /// [`PrivacyError`].
    pub fn hold(
        &self,
        subject: Option<&Subject>,
        (reason, by): (&str, &str),
        recorder: &dyn Recorder,
    ) -> Result<Hold, PrivacyError> {
        let (reason, by) = (text("the reason", reason)?, text("by", by)?);
        let _turn = self.turn.lock();
        if self.holds()?.len() >= HOLDS_MAX {
            return Err(PrivacyError::Full { what: "holds", max: HOLDS_MAX });
        }
        let hold = Hold {
            id: lockgate_crypto::random::token_base64url(6),
            subject: subject.map(|subject| self.vault.tag(subject)),
            kind: subject.map(|subject| subject.kind().to_owned()),
            reason: reason.to_owned(),
            by: by.to_owned(),
            since_ms: jiff::Timestamp::now().as_millisecond(),
        };
        // In force first: what is held too much can be lifted.
        self.store.put_json(HOLDS, &hold.id, &hold)?;
        if let Err(error) = recorder.record(&hold.record("audit/hold", by, reason)) {
            self.store.delete(HOLDS, &hold.id)?;
            return Err(error.into());
        }
        Ok(hold)
    }

    /// All holds, the oldest first.
    ///
    /// # Errors
    /// [`PrivacyError::Store`].
    pub fn holds(&self) -> Result<Vec<Hold>, PrivacyError> {
        let mut holds: Vec<Hold> =
            self.store.list_json(HOLDS, "")?.into_iter().map(|(_, hold)| hold).collect();
        holds.sort_by_key(|hold| hold.since_ms);
        Ok(holds)
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// [`PrivacyError::NoHold`], and what else [`PrivacyError`] says.
    pub fn lift(
        &self,
        id: &str,
        (reason, by): (&str, &str),
        recorder: &dyn Recorder,
    ) -> Result<Hold, PrivacyError> {
        let (reason, by) = (text("the reason", reason)?, text("by", by)?);
        let _turn = self.turn.lock();
        let hold = self.holds()?.into_iter().find(|hold| hold.id == id);
        let hold = hold.ok_or_else(|| PrivacyError::NoHold { id: id.to_owned() })?;
        recorder.record(&hold.record("audit/hold-lift", by, reason))?;
        self.store.delete(HOLDS, id)?;
        Ok(hold)
    }

    fn receipt(&self, id: &str, pending: &Pending, recorder: &dyn Recorder) -> Result<u64, PrivacyError> {
        let record = Record {
            method: Some(ERASE.into()),
            name: Some(id.into()),
            agent: Some(pending.by.as_str().into()),
            reason: Some(format!("one {} was erased: {}", pending.kind, pending.basis).into()),
            count: Some(pending.keys),
            before: entries(&pending.pseudonyms).into(),
            after: pending.scope.clone().into(),
            ..Record::new(Kind::Lifecycle, Outcome::Ok)
        };
        Ok(recorder.record(&record)?)
    }

    /// The receipt of an erasure, among the records after this one.
    fn receipt_of(&self, id: &str, after: u64, last: u64) -> Result<Option<u64>, PrivacyError> {
        let mut cursor = Cursor::before(&self.log, after + 1);
        while let Some(line) = cursor.line(last)? {
            let entry = std::str::from_utf8(line).ok().and_then(|line| Entry::parse(line).ok());
            let is_receipt = |entry: &Entry| {
                entry.record.method.as_deref() == Some(ERASE) && entry.record.name.as_deref() == Some(id)
            };
            if let Some(entry) = entry.filter(is_receipt) {
                return Ok(Some(entry.seq));
            }
        }
        Ok(None)
    }

    fn remember(&self, id: &str, pending: &Pending) -> Result<(), PrivacyError> {
        for name in &pending.pseudonyms {
            self.store.put(ERASED, name, id.as_bytes())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("vault", &self.vault).finish_non_exhaustive()
    }
}

impl Hold {
    /// Whether it keeps this subject.
    pub(crate) fn covers(&self, tag: &str) -> bool {
        self.subject.as_deref().is_none_or(|own| own == tag)
    }

    fn record<'a>(&'a self, method: &'static str, by: &'a str, reason: &'a str) -> Record<'a> {
        let what = self.kind.as_deref().map_or_else(|| "everything".to_owned(), |kind| format!("one {kind}"));
        Record {
            method: Some(method.into()),
            name: Some(self.id.as_str().into()),
            agent: Some(by.into()),
            reason: Some(format!("{what}: {reason}").into()),
            ..Record::new(Kind::Lifecycle, Outcome::Ok)
        }
    }
}

/// Months and purposes of keys, a line each.
fn scope(held: &[Held]) -> Vec<String> {
    let mut scope: Vec<String> = Vec::new();
    let mut purposes: Vec<&str> = held.iter().map(|held| held.purpose.as_str()).collect();
    purposes.sort_unstable();
    purposes.dedup();
    for purpose in purposes {
        let mut months: Vec<_> =
            held.iter().filter(|held| held.purpose == purpose).map(|held| held.month).collect();
        months.sort();
        let name = if purpose.is_empty() { "pseudonyms and tags" } else { purpose };
        let (Some(first), Some(last)) = (months.first(), months.last()) else { continue };
        scope.push(format!("{name}: {} keys, {first} to {last}", months.len()));
    }
    scope
}

/// Names, many in an entry: a record has room for few entries.
fn entries(names: &[String]) -> Vec<String> {
    names.chunks(NAMES_IN_ENTRY).map(|names| names.join(" ")).collect()
}

/// A text that is recorded: something, and not too long.
pub(crate) fn text<'a>(what: &'static str, text: &'a str) -> Result<&'a str, PrivacyError> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > TEXT_BYTES_MAX {
        return Err(PrivacyError::NoText { what, why: format!("it must have 1 to {TEXT_BYTES_MAX} bytes") });
    }
    Ok(trimmed)
}
