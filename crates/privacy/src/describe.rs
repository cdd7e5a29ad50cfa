//! What goes into the record of a call: who it is about, what was said without saying it, and where policy opts in, what was
//! said, encrypted.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_audit::{Commitment, Content, Record};
use lockgate_crypto::digest::hex;
use lockgate_crypto::mac::MacKey;
use lockgate_crypto::seal::SealKey;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::PrivacyError;
use crate::leaves::{self, Leaf};
use crate::month::Month;
use crate::slot::{PURPOSE_BYTES_MAX, Pseudonym};
use crate::subject::{Called, Rules, is_kind};
use crate::vault::Vault;

/// Paths that one record names of the arguments, and again of the result: what people read at a glance. `$`, the whole,
/// comes on top.
pub const COMMITMENTS_MAX: usize = 24;

/// Largest result that is looked into, in bytes: beyond it is a document, and its size and one tag say as much.
const WALK_BYTES_MAX: usize = 64 << 10;

/// Largest value that is committed to, in bytes: a millisecond of a processor's time.
const COMMITTED_BYTES_MAX: usize = 1 << 20;

/// Largest content, arguments and result together, in bytes: with the rest of the record it must fit into an entry of the
/// log, which has 64 KiB, a third larger than it is.
pub const CONTENT_BYTES_MAX: usize = 36 << 10;

/// Bytes of a tag that a record keeps: nobody finds two values with one tag of 128 bits.
const TAG_BYTES: usize = 16;

/// What was said in a call.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Who called what, and with which arguments.
    pub called: Called<'a>,
    /// The result as JSON text.
    pub result: Option<&'a str>,
    /// The purpose for which policy has the content kept.
    pub purpose: Option<&'a str>,
}

/// What goes into the record.
#[derive(Debug, Default)]
pub struct Described {
    /// Pseudonyms of those whom it is about.
    pub subjects: Vec<String>,
    /// The arguments.
    pub committed: Vec<Commitment>,
    /// The result.
    pub committed_result: Vec<Commitment>,
    /// What is missing, and why.
    pub left_out: Vec<String>,
    unsealed: Option<Unsealed>,
}

/// Content that waits for its place in the log.
struct Unsealed {
    purpose: String,
    plain: Zeroizing<Vec<u8>>,
    names: Vec<Pseudonym>,
    key: MacKey,
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsealed([redacted])")
    }
}

/// Makes what goes into records.
#[derive(Clone, Debug, Default)]
pub struct Describer {
    rules: Rules,
    /// The keys. Without them records hold paths and sizes alone.
    vault: Option<Arc<Vault>>,
    /// The purpose for which content is kept where policy names none.
    purpose: Option<String>,
}

/// The keys for one record.
struct Keys {
    pseudonyms: Vec<Pseudonym>,
    commit: MacKey,
}

impl Describer {
    /// By these rules and keys. `purpose` is that of content where policy names none; none: then none is kept.
    #[must_use]
    pub fn new(rules: Rules, vault: Arc<Vault>, purpose: Option<String>) -> Self {
        Self { rules, vault: Some(vault), purpose }
    }

    /// How subjects are found.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The keys.
    #[must_use]
    pub fn vault(&self) -> Option<&Arc<Vault>> {
        self.vault.as_ref()
    }

    /// Describes a call.
    ///
    /// Where there are no keys for it (too many subjects, or a file that cannot be written) sizes alone are left, and the
    /// description says so.
    #[must_use]
    pub fn describe(&self, told: &Told<'_>) -> Described {
        let mut described = Described::default();
        let month = Month::now();
        let subjects = self.rules.find(&told.called);
        let keys = match (&self.vault, &subjects) {
            (Some(vault), Some(subjects)) => {
                let found =
                    subjects.iter().map(|one| vault.key(one, "", month)).collect::<Result<Vec<_>, _>>();
                found.map(|keys| Keys {
                    pseudonyms: keys.iter().map(|key| key.pseudonym).collect(),
                    commit: joined(keys.into_iter().map(|key| key.key).collect()),
                })
            }
            (None, _) => Err(PrivacyError::MasterKey("there are no keys".to_owned())),
            (_, None) => Err(PrivacyError::Full { what: "subjects", max: crate::SUBJECTS_MAX }),
        };
        if let (Err(error), Some(_)) = (&keys, &self.vault) {
            described.left_out.push(match &subjects {
                None => "tags: it is about more subjects than are told apart, or one is named by something too long".to_owned(),
                Some(_) => "tags: the keys of its subjects are not at hand".to_owned(),
            });
            if subjects.is_some() {
                tracing::error!(%error, "a record is kept without tags and content");
            }
        }
        let keys = keys.ok();
        described.subjects = keys.iter().flat_map(|keys| &keys.pseudonyms).map(|name| hex(name)).collect();
        let commit = keys.as_ref().map(|keys| &keys.commit);
        described.committed = committed("arguments", told.called.arguments, commit, &mut described.left_out);
        described.committed_result = committed("result", told.result, commit, &mut described.left_out);
        let purpose = told.purpose.or(self.purpose.as_deref());
        if let (Some(purpose), Some(vault), Some(keys)) = (purpose, &self.vault, &keys) {
            let joint = subjects.iter().flatten().map(|one| Ok(vault.key(one, purpose, month)?.key));
            match joint.collect::<Result<Vec<_>, PrivacyError>>() {
                Ok(all) => described.keep(told, purpose, (keys.pseudonyms.clone(), joined(all))),
                Err(error) => {
                    tracing::error!(%error, "a record is kept without content");
                    described.left_out.push("content: the keys of its subjects are not at hand".to_owned());
                }
            }
        }
        described
    }
}

impl Described {
    /// Encrypts the content, where there is any, for the record that follows the event `after` on its link.
    #[must_use]
    pub fn seal(&self, after: &str) -> Option<Content> {
        let Unsealed { purpose, plain, names, key } = self.unsealed.as_ref()?;
        let sealed = SealKey::from_bytes(key.reveal()).seal(plain, &bound_to(purpose, names, after));
        Some(Content { purpose: purpose.clone(), sealed: STANDARD.encode(sealed) })
    }

    fn keep(&mut self, told: &Told<'_>, purpose: &str, (names, key): (Vec<Pseudonym>, MacKey)) {
        let (mut arguments, mut result) = (told.called.arguments, told.result);
        let size = |part: Option<&str>| part.map_or(0, str::len);
        if size(arguments) + size(result) > CONTENT_BYTES_MAX && result.take().is_some() {
            self.left_out.push(format!(
                "content: the result, {} bytes, is too large with its arguments",
                size(told.result)
            ));
        }
        if size(arguments) > CONTENT_BYTES_MAX && arguments.take().is_some() {
            let bytes = size(told.called.arguments);
            self.left_out.push(format!("content: the arguments, {bytes} bytes, are too large"));
        }
        if arguments.is_none() && result.is_none() {
            return;
        }
        let raw = |text: Option<&str>| text.map(|text| RawValue::from_string(text.to_owned())).transpose();
        let (Ok(arguments), Ok(result)) = (raw(arguments), raw(result)) else {
            self.left_out.push("content: it is no JSON".to_owned());
            return;
        };
        let plain = serde_json::to_vec(&Open { arguments, result }).expect("JSON serialises");
        let (purpose, plain) = (purpose.to_owned(), Zeroizing::new(plain));
        self.unsealed = Some(Unsealed { purpose, plain, names, key });
    }
}

/// The content of a record, in the open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Open {
    /// The arguments as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Box<RawValue>>,
    /// The result as it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
}

impl Open {
    /// Opens the content of a record; none if it has none, its keys are gone, or it is not what was sealed for this record.
    ///
    /// # Errors
    /// [`PrivacyError::Io`] when the keys cannot be read.
    pub fn of(record: &Record<'_>, vault: &Vault) -> Result<Option<Self>, PrivacyError> {
        let Some(content) = &record.content else { return Ok(None) };
        let Some(names) = record.subjects.iter().map(|name| pseudonym(name)).collect::<Option<Vec<_>>>()
        else {
            return Ok(None);
        };
        if names.is_empty() || !is_purpose(&content.purpose) {
            return Ok(None);
        }
        let Some(keys) = vault.keys_of(&names, &content.purpose)? else { return Ok(None) };
        let Ok(sealed) = STANDARD.decode(&content.sealed) else { return Ok(None) };
        let after = record.prev_event.as_deref().unwrap_or_default();
        let key = SealKey::from_bytes(joined(keys).reveal());
        let Ok(plain) = key.open(&sealed, &bound_to(&content.purpose, &names, after)) else {
            return Ok(None);
        };
        let plain = Zeroizing::new(plain);
        Ok(serde_json::from_slice(&plain).ok())
    }
}

/// Whether this word can name a purpose.
#[must_use]
pub fn is_purpose(word: &str) -> bool {
    is_kind(word) && word.len() <= PURPOSE_BYTES_MAX
}

fn pseudonym(text: &str) -> Option<Pseudonym> {
    let bytes = text.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut name = [0; 16];
    if bytes.len() != 2 * name.len() {
        return None;
    }
    for (byte, pair) in name.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(name)
}

/// A key that takes all of these.
fn joined(keys: Vec<MacKey>) -> MacKey {
    let joint = keys.into_iter().reduce(|joint, key| joint.join(&key));
    joint.expect("a record is about somebody: the caller, if nobody else")
}

/// What a ciphertext belongs to: the format, the purpose, the subjects, and the event that its record follows on its link, of
/// which there is one only. Whoever puts it into another record opens nothing.
fn bound_to(purpose: &str, names: &[Pseudonym], after: &str) -> Vec<u8> {
    let mut bound = b"lockgate.content/1".to_vec();
    for part in [purpose.as_bytes(), names.as_flattened(), after.as_bytes()] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

fn committed(
    what: &str,
    raw: Option<&str>,
    key: Option<&MacKey>,
    left_out: &mut Vec<String>,
) -> Vec<Commitment> {
    let Some(raw) = raw else { return Vec::new() };
    let tag = |path: &str, kind: &str, value: &str| {
        let key = key.filter(|_| value.len() <= COMMITTED_BYTES_MAX)?;
        // Bound to its place, so that equal values in two places do not show.
        let parts = [b"lockgate.commit/1".as_slice(), what.as_bytes(), path.as_bytes(), kind.as_bytes()];
        let tag = key.tag(&[&parts[..], &[value.as_bytes()]].concat());
        Some(hex(&tag[..TAG_BYTES]))
    };
    let whole = Commitment { path: "$".to_owned(), bytes: raw.len() as u64, tag: tag("$", "v", raw) };
    if raw.len() > WALK_BYTES_MAX {
        left_out.push(format!("{what}: paths; it is larger than is looked into"));
        return vec![whole];
    }
    let (found, is_cut) = leaves::leaves(raw, COMMITMENTS_MAX);
    if is_cut {
        left_out.push(format!("{what}: paths after the first {COMMITMENTS_MAX}"));
    }
    let one = |Leaf { path, value, is_text }: Leaf<'_>| {
        let tag = tag(&path, if is_text { "s" } else { "v" }, &value);
        Commitment { bytes: value.len() as u64, tag, path }
    };
    let parts = found.into_iter().filter(|leaf| !leaf.path.is_empty()).map(one);
    std::iter::once(whole).chain(parts).collect()
}
