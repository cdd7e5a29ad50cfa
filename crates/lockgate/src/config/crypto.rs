//! `[crypto]` and `[[exception]]`: how what is in force may change, and who is spared for a while.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use lockgate_crypto::document::{self, Document, Signer};
use lockgate_crypto::{Conditions, Profile, Profiles};
use lockgate_detect::links::{Continuity, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::{Resolver, Settings};
use crate::diagnostic::Diagnostic;

/// How the algorithms in force may change while the node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Crypto {
    /// Seconds that links get to move when algorithms change; what is left then is cut. Each change can say otherwise.
    #[schemars(range(min = 0, max = 3600))]
    pub(crate) drain_s: u64,
    /// TOML file with further profiles, sunsets and bans (schema lockgate.crypto/1), signed by one of `trust`; its signature is in the same place under the same name with .sig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) document: Option<PathBuf>,
    /// PEM files with the public keys that may sign `document`, as `lockgate crypto keygen` makes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trust: Vec<PathBuf>,
    /// What happens to a peer that comes back with weaker cryptography than it showed before.
    pub(crate) continuity: Holding,
    /// For how long a peer is held to what it showed, in seconds.
    #[schemars(range(min = 60))]
    pub(crate) continuity_s: u64,
}

impl Default for Crypto {
    fn default() -> Self {
        Self {
            drain_s: 30,
            document: None,
            trust: Vec::new(),
            continuity: Holding::Flag,
            continuity_s: Continuity::default().lifetime_s,
        }
    }
}

/// What happens to a peer that comes back with weaker cryptography.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Holding {
    /// Nothing.
    Off,
    /// It is recorded and counted.
    Flag,
    /// Its link is refused.
    Refuse,
}

/// Somebody who is held to another profile for a while. It names one of `peer`, `listener` and `upstream`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    /// SPIFFE id of a peer, or the beginning of such ids with a * at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    /// Name of a listener: tunnel, foreign, or the name of a [[listener]].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listener: Option<String>,
    /// Name of a [[server]] that is reached by https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
    /// The profile that holds instead; see `lockgate crypto profiles`.
    pub(crate) profile: String,
    /// The last day in text like "2026-12-31" (UTC), or a moment like "2026-12-31T12:00:00Z". Exceptions always end.
    pub(crate) until: String,
    /// Why, for whoever reads it later.
    pub(crate) reason: String,
}

/// `[crypto]` and `[[exception]]` with their types.
#[derive(Debug, Clone)]
pub(crate) struct CryptoPlan {
    pub(crate) drain: Duration,
    pub(crate) continuity: Continuity,
    /// The signed document, its signature checked.
    pub(crate) document: Option<SignedDocument>,
    /// The files of the document, to be watched.
    pub(crate) files: Vec<PathBuf>,
    /// The shipped profiles and those of the document.
    pub(crate) profiles: Profiles,
    pub(crate) exceptions: Vec<ExceptionPlan>,
}

/// A document that one of the trusted keys signed.
#[derive(Debug, Clone)]
pub(crate) struct SignedDocument {
    pub(crate) path: PathBuf,
    pub(crate) document: Document,
    pub(crate) signer: Signer,
}

/// An exception; it may have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExceptionPlan {
    pub(crate) target: ExceptionTarget,
    pub(crate) profile: &'static Profile,
    pub(crate) until_ms: u64,
    pub(crate) reason: String,
}

/// Whom an exception is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExceptionTarget {
    Peer(String),
    Listener(String),
    Upstream(String),
}

impl Resolver<'_> {
    /// Reads the document first: its profiles can be named everywhere else.
    pub(super) fn profiles(&mut self, config: &Crypto) -> (Profiles, Option<SignedDocument>) {
        let Some(path) = &config.document else {
            if !config.trust.is_empty() {
                self.problem(
                    "LG-C007",
                    "crypto.trust",
                    "keys are trusted, but there is no document that they could have signed".to_owned(),
                    "add document = \"FILE\" to [crypto], or remove trust",
                );
            }
            return (Profiles::shipped(), None);
        };
        let path = self.base.join(path);
        let signed = self.document(&path, &config.trust).and_then(|signed| {
            let profiles = signed.document.profiles().map_err(|error| {
                let what = format!("the profiles of {} cannot be used", path.display());
                vec![self.placed("crypto.document", Diagnostic::new("LG-C013", what).because(&error))]
            })?;
            Ok((profiles, Some(signed)))
        });
        signed.unwrap_or_else(|problems| {
            self.problems.extend(problems);
            (Profiles::shipped(), None)
        })
    }

    fn document(&self, path: &Path, trust: &[PathBuf]) -> Result<SignedDocument, Vec<Diagnostic>> {
        let unusable = |what: String, error: &dyn std::error::Error| {
            vec![self.placed("crypto.document", Diagnostic::new("LG-C013", what).because(error))]
        };
        let read = |path: &Path| {
            read_bounded(path).map_err(|error| unusable(format!("cannot read {}", path.display()), &error))
        };
        if trust.is_empty() {
            let problem = Diagnostic::new("LG-C013", "a crypto document needs a key that signed it")
                .hint("name the public key: trust = [\"crypto.key.pub\"] in [crypto]");
            return Err(vec![self.placed("crypto.document", problem)]);
        }
        let mut keys = Vec::new();
        for (n, file) in trust.iter().enumerate() {
            let file = self.base.join(file);
            let text = read(&file)?;
            keys.push(document::public_key_from_pem(&text).map_err(|error| {
                let what = format!("cannot use the public key {}", file.display());
                let problem = Diagnostic::new("LG-C009", what).because(&error);
                vec![self.placed(&format!("crypto.trust.{n}"), problem)]
            })?);
        }
        let text = read(path)?;
        let signature = read(&signature_path(path))?;
        let not_signed = |error: &dyn std::error::Error| {
            unusable(format!("{} is not signed as it must be", path.display()), error)
        };
        let signer =
            document::verify(text.as_bytes(), &signature, &keys).map_err(|error| not_signed(&error))?;
        if let Some(why) = Conditions::today(0).refusal_of(signer.algorithm) {
            let problem = Diagnostic::new("LG-C013", "the signature of the crypto document counts no more")
                .cause(why)
                .hint("sign it with a key of another algorithm: lockgate crypto keygen --help");
            return Err(vec![self.placed("crypto.document", problem)]);
        }
        let document = Document::parse(&text).map_err(|errors| in_document(path, &errors.0))?;
        Ok(SignedDocument { path: path.to_owned(), document, signer })
    }

    pub(super) fn crypto(
        &mut self,
        config: &Config,
        document: Option<SignedDocument>,
        exceptions: Vec<ExceptionPlan>,
    ) -> CryptoPlan {
        let Crypto { drain_s, continuity, continuity_s, .. } = config.crypto;
        let mode = match continuity {
            Holding::Off => Mode::Off,
            Holding::Flag => Mode::Flag,
            Holding::Refuse => Mode::Refuse,
        };
        let mut files: Vec<PathBuf> = config.crypto.trust.iter().map(|file| self.base.join(file)).collect();
        if let Some(document) = &config.crypto.document {
            let path = self.base.join(document);
            files.extend([signature_path(&path), path]);
        }
        CryptoPlan {
            drain: Duration::from_secs(drain_s),
            continuity: Continuity { mode, lifetime_s: continuity_s },
            document,
            files,
            profiles: self.profiles.clone(),
            exceptions,
        }
    }

    pub(super) fn exceptions(&mut self, config: &Config) -> Vec<ExceptionPlan> {
        let plans = config.exception.iter().enumerate();
        plans.filter_map(|(n, exception)| self.exception(n, exception)).collect()
    }

    fn exception(&mut self, n: usize, exception: &Exception) -> Option<ExceptionPlan> {
        let path = format!("exception.{n}");
        let target = match (&exception.peer, &exception.listener, &exception.upstream) {
            (Some(peer), None, None) => Some(ExceptionTarget::Peer(peer.clone())),
            (None, Some(listener), None) => Some(ExceptionTarget::Listener(listener.clone())),
            (None, None, Some(upstream)) => Some(ExceptionTarget::Upstream(upstream.clone())),
            _ => {
                self.problem(
                    "LG-C014",
                    &path,
                    "an exception is for one peer, one listener or one upstream".to_owned(),
                    "name exactly one of them: peer, listener or upstream",
                );
                None
            }
        };
        if let Some(ExceptionTarget::Peer(peer)) = &target
            && let Err(what) = check_peer(peer)
        {
            let hint =
                "write a SPIFFE id like spiffe://lockgate.internal/agent/old, or its beginning and a *";
            self.problem("LG-C014", &format!("{path}.peer"), what, hint);
        }
        let until_ms = until_ms(&exception.until);
        if until_ms.is_none() {
            self.problem(
                "LG-C007",
                &format!("{path}.until"),
                format!("\"{}\" is no day and no moment", exception.until),
                "write it like 2026-12-31 or 2026-12-31T12:00:00Z",
            );
        }
        if exception.reason.trim().is_empty() {
            let hint = "say why, for whoever reads it later";
            self.problem("LG-C014", &format!("{path}.reason"), "an exception has a reason".to_owned(), hint);
        }
        let profile = self.profile(&format!("{path}.profile"), &exception.profile);
        Some(ExceptionPlan {
            target: target?,
            profile: profile?,
            until_ms: until_ms?,
            reason: exception.reason.clone(),
        })
    }

    /// Exceptions name places that exist, each once.
    pub(super) fn exceptions_fit(&mut self, settings: &Settings) {
        let exceptions = &settings.crypto.exceptions;
        for (n, exception) in exceptions.iter().enumerate() {
            let (key, problem) = match &exception.target {
                ExceptionTarget::Listener(name) if settings.listeners().all(|plan| plan.name != *name) => {
                    let known: Vec<&str> = settings.listeners().map(|plan| plan.name.as_str()).collect();
                    ("listener", format!("no listener is called \"{name}\"; there are {}", known.join(", ")))
                }
                ExceptionTarget::Upstream(name) if !settings.is_https(name) => {
                    ("upstream", format!("no server that is reached by https is called \"{name}\""))
                }
                target if exceptions[..n].iter().any(|other| other.target == *target) => {
                    ("profile", "there is another exception for the same one".to_owned())
                }
                _ => continue,
            };
            self.problem("LG-C014", &format!("exception.{n}.{key}"), problem, "correct or remove it");
        }
    }
}

/// Whether a text can stand for peers in an exception.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub(crate) fn check_peer(peer: &str) -> Result<(), String> {
    let exact = peer.strip_suffix('*').unwrap_or(peer);
    let whole = peer.ends_with('*') || peer.parse::<lockgate_identity::SpiffeId>().is_ok();
    // A beginning must at least name the trust domain: an exception for everybody is another profile.
    let named = exact.strip_prefix("spiffe://").is_some_and(|rest| rest.contains('/'));
    if whole && named && !exact.contains('*') {
        return Ok(());
    }
    Err(format!("\"{peer}\" stands for no peers"))
}

/// A text of at most the size that a document may have.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let bytes_max = u64::try_from(document::DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() > document::DOCUMENT_BYTES_MAX {
        let what = format!("it is larger than {bytes_max} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// Each problem of a document, where it stands there.
fn in_document(path: &Path, problems: &[document::Problem]) -> Vec<Diagnostic> {
    let said = |problem: &document::Problem| {
        let place = format!("{}:{}:{}", path.display(), problem.line, problem.column);
        Diagnostic::new("LG-C013", problem.message.clone()).at(place)
    };
    problems.iter().map(said).collect()
}

/// The end of a day, or a moment, in milliseconds since the Unix epoch.
fn until_ms(text: &str) -> Option<u64> {
    let moment = match text.parse::<Timestamp>() {
        Ok(moment) => moment,
        Err(_) => {
            let day: Date = text.parse().ok().filter(|_| text.len() == "2026-12-31".len())?;
            day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
    };
    u64::try_from(moment.as_millisecond()).ok()
}

/// Where the signature of a document is.
fn signature_path(document: &Path) -> PathBuf {
    let mut name = document.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_end() {
        for (text, ms) in [
            ("2026-12-31", Some(1_798_761_600_000)),
            ("2026-12-31T12:00:00Z", Some(1_798_718_400_000)),
            ("2026-12-31T12:00:00+01:00", Some(1_798_714_800_000)),
            ("2026-12-31T12:00:00", None),
            ("2026-02-30", None),
            ("never", None),
            ("", None),
        ] {
            assert_eq!(until_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn exceptions_are_for_somebody() {
        for peer in ["spiffe://a.example/agent/x", "spiffe://a.example/agent/*", "spiffe://a.example/*"] {
            assert_eq!(check_peer(peer), Ok(()), "{peer}");
        }
        for peer in ["", "*", "spiffe://*", "spiffe://a.example*", "x", "spiffe://a.example/*/x", "agent/x"] {
            assert!(check_peer(peer).is_err(), "{peer}");
        }
    }
}
