//! `[witness]` and `[[audit.witness]]`: whose logs this node cosigns, and who cosigns its own.

use std::path::{Path, PathBuf};

use http::Uri;
use lockgate_crypto::Profile;
use lockgate_crypto::note::NoteKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::Resolver;

/// Most witnesses of one log: their lines must fit into a checkpoint.
const WITNESSES_MAX: usize = 16;

/// Most keys of logs that one node witnesses.
const LOGS_MAX: usize = 256;

/// Longest file of keys that is read, in bytes.
const KEYS_BYTES_MAX: u64 = 1 << 20;

/// Logs of other nodes that this node witnesses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Witness {
    /// Public keys of these logs, as `lockgate audit key` prints them there, or files with one a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) logs: Vec<String>,
}

/// A node, or another witness that speaks C2SP tlog-witness, that is asked to cosign this node's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditWitness {
    /// Where it is asked: https://HOST:PORT for a node; for others the submission prefix with its path.
    pub(crate) url: String,
    /// Its public keys, as `lockgate audit key` prints them there, or files with one a line.
    pub(crate) keys: Vec<String>,
    /// PEM file with the roots of the other node's authority (STATE/authority/authority.pem there). Without it the system's roots and the host's name count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection may use.
    #[serde(default = "own_profile")]
    pub(crate) profile: String,
}

fn own_profile() -> String {
    "pq-hybrid".to_owned()
}

/// A witness that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WitnessPlan {
    /// The name of its keys.
    pub(crate) name: String,
    /// Where a checkpoint is sent.
    pub(crate) url: Uri,
    pub(crate) keys: Vec<NoteKey>,
    pub(crate) roots: Option<PathBuf>,
    /// None where there is no TLS.
    pub(crate) profile: Option<&'static Profile>,
}

impl WitnessPlan {
    /// The name of its connections among the upstreams: no server can have it.
    pub(crate) fn place(&self) -> String {
        format!("witness:{}", self.name)
    }
}

/// Where our own nodes take checkpoints.
const OWN_PATH: &str = "/.well-known/lockgate/witness";

impl Resolver<'_> {
    /// Keys of the logs that are witnessed here.
    pub(super) fn witnessed(&mut self, config: &Config) -> Option<Vec<NoteKey>> {
        if config.witness.logs.len() > LOGS_MAX {
            let what = format!("there are {} keys of logs", config.witness.logs.len());
            self.problem("LG-C005", "witness.logs", what, &format!("at most {LOGS_MAX} are possible"));
        }
        self.note_keys("witness.logs", &config.witness.logs)
    }

    /// Who cosigns the log of this node.
    pub(super) fn witnesses(&mut self, config: &Config) -> Option<Vec<WitnessPlan>> {
        let (given, quorum) = (&config.audit.witness, config.audit.quorum);
        if given.len() > WITNESSES_MAX {
            let what = format!("there are {} witnesses", given.len());
            self.problem("LG-C005", "audit.witness", what, &format!("at most {WITNESSES_MAX} are possible"));
        }
        if !given.is_empty() && (quorum == 0 || quorum > given.len()) {
            let what = format!("a quorum of {quorum} cannot be had of {} witnesses", given.len());
            self.problem("LG-C007", "audit.quorum", what, "write a number from 1 to that of the witnesses");
        }
        let plans = given.iter().enumerate().map(|(n, one)| self.witness(&format!("audit.witness.{n}"), one));
        let plans: Vec<WitnessPlan> = plans.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
        for (n, plan) in plans.iter().enumerate() {
            if plans[..n].iter().any(|other| other.name == plan.name) {
                let what = format!("two witnesses are called {}", plan.name);
                self.problem("LG-C008", &format!("audit.witness.{n}"), what, "name each of them once");
            }
        }
        Some(plans)
    }

    fn witness(&mut self, path: &str, given: &AuditWitness) -> Option<WitnessPlan> {
        let keys = self.note_keys(&format!("{path}.keys"), &given.keys)?;
        let name = keys.first().map(|key| key.name().to_owned());
        let Some(name) = name.filter(|name| keys.iter().all(|key| key.name() == name)) else {
            let what = "a witness has keys, and all of one name".to_owned();
            self.problem("LG-C007", &format!("{path}.keys"), what, "print them there: lockgate audit key");
            return None;
        };
        let Some(url) = add_checkpoint(&given.url) else {
            let what = format!("the witness {name} cannot be asked at {}", given.url);
            let hint = "write https://HOST:PORT; without TLS on loopback addresses only";
            self.problem("LG-C007", &format!("{path}.url"), what, hint);
            return None;
        };
        let profile = match url.scheme_str() {
            Some("https") => Some(self.profile(&format!("{path}.profile"), &given.profile)?),
            _ => None,
        };
        let roots = given.roots.as_ref().map(|roots| self.base.join(roots));
        Some(WitnessPlan { name, url, keys, roots, profile })
    }

    fn note_keys(&mut self, path: &str, given: &[String]) -> Option<Vec<NoteKey>> {
        let mut keys = Vec::new();
        let mut is_good = true;
        for (n, text) in given.iter().enumerate() {
            match read_keys(text, &self.base) {
                Ok(read) => keys.extend(read),
                Err(why) => {
                    let shown: String = text.chars().take(60).collect();
                    let what = format!("\"{shown}\" is neither a verifier key nor a file with some: {why}");
                    let hint = "the other node prints them: lockgate audit key";
                    self.problem("LG-C007", &format!("{path}.{n}"), what, hint);
                    is_good = false;
                }
            }
        }
        is_good.then_some(keys)
    }
}

/// A verifier key, or the file that has one a line.
pub(crate) fn read_keys(text: &str, base: &Path) -> Result<Vec<NoteKey>, String> {
    let path = base.join(text);
    if text.len() > 4096 || !path.is_file() {
        return NoteKey::parse(text).map(|key| vec![key]).map_err(|error| error.to_string());
    }
    let length = path.metadata().map_err(|error| error.to_string())?.len();
    if length > KEYS_BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<NoteKey> =
        lines.map(NoteKey::parse).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if keys.is_empty() { Err("it is empty".to_owned()) } else { Ok(keys) }
}

/// Where a checkpoint is sent to.
fn add_checkpoint(text: &str) -> Option<Uri> {
    let base: Uri = text.trim_end_matches('/').parse().ok()?;
    let authority = base.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().trim_matches(['[', ']']);
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match base.scheme_str()? {
        "https" => {}
        "http" if is_loopback => {}
        _ => return None,
    }
    let prefix = match base.path().trim_end_matches('/') {
        "" => OWN_PATH,
        prefix => prefix,
    };
    let scheme = base.scheme_str()?;
    base.query().is_none().then(|| format!("{scheme}://{authority}{prefix}/add-checkpoint").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_asked_at_their_own_path_and_others_where_they_say() {
        for (text, url) in [
            (
                "https://b.example:8443",
                Some("https://b.example:8443/.well-known/lockgate/witness/add-checkpoint"),
            ),
            (
                "https://b.example:8443/",
                Some("https://b.example:8443/.well-known/lockgate/witness/add-checkpoint"),
            ),
            ("https://witness.example/one/", Some("https://witness.example/one/add-checkpoint")),
            ("http://127.0.0.1:80/w", Some("http://127.0.0.1:80/w/add-checkpoint")),
            ("http://b.example/w", None),
            ("https://me@b.example/", None),
            ("ftp://b.example/", None),
            ("b.example", None),
        ] {
            assert_eq!(add_checkpoint(text).map(|url| url.to_string()).as_deref(), url, "{text}");
        }
    }
}
