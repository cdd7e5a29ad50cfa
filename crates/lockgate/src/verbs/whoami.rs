//! `lockgate identity whoami` and `lockgate identity trust`: who this machine's programs are, and whom it believes.

use std::path::{Path, PathBuf};

use lockgate_authority::AuthorityError;
use lockgate_authority::workload::{self, WhoAmI};
use lockgate_identity::enrol::AgentIdentity;
use lockgate_identity::{Authority, TrustBundle};
use serde::{Deserialize, Serialize};

use super::identity::moment;
use crate::cli::Output;
use crate::diagnostic::Diagnostic;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;
use crate::trouble;

/// Letters of a fingerprint in a table.
const FINGERPRINT_LETTERS: usize = 16;

#[derive(Serialize)]
struct Whoami {
    schema: &'static str,
    /// The certificates that connectors of this user hold.
    certificates: Vec<Held>,
    /// The socket at which this process was looked at, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    /// What is proven of this process there.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<WhoAmI>,
}

#[derive(Serialize)]
struct Held {
    /// `local` or the gateway's host and port.
    gateway: String,
    id: String,
    /// How the peer is convinced.
    proof: &'static str,
    algorithm: &'static str,
    not_after: String,
    ended: bool,
}

/// Shows who this user's connectors are, and what is proven of a process that is started as this one was.
pub(super) async fn whoami(state: &State, socket: Option<&Path>, output: Output) -> Result<(), Diagnostic> {
    let running = state.note()?.filter(|_| state.is_locked());
    let socket = socket.map(Path::to_owned).or_else(|| running.and_then(|note| note.workload));
    let process = match &socket {
        Some(socket) => Some(workload::whoami(socket).await.map_err(|error| unanswered(socket, &error))?),
        None => None,
    };
    let whoami = Whoami { schema: "lockgate.whoami/1", certificates: held(state)?, socket, process };
    match output {
        Output::Human => print(&for_people(&whoami)),
        Output::Json => print_document(&whoami),
        Output::Jsonl => print_line(&whoami),
    }
    Ok(())
}

fn unanswered(socket: &Path, error: &AuthorityError) -> Diagnostic {
    Diagnostic::new("LG-I505", format!("the workload socket {} does not answer", socket.display()))
        .because(error)
        .hint("is the node running? lockgate status")
}

fn held(state: &State) -> Result<Vec<Held>, Diagnostic> {
    let now = std::time::SystemTime::now();
    let mut held = Vec::new();
    for (gateway, folder) in connectors(state) {
        let identity = AgentIdentity::load(&folder).map_err(|error| trouble::identity(&error, &folder))?;
        held.extend(identity.map(|identity| Held {
            gateway,
            id: identity.id.to_string(),
            proof: "certificate",
            algorithm: identity.leaf.algorithm.id,
            not_after: moment(identity.leaf.not_after()),
            ended: identity.leaf.not_after() <= now,
        }));
    }
    Ok(held)
}

/// The folders of connectors, by the name of their gateway.
fn connectors(state: &State) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(state.connectors()).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let mut folders: Vec<_> = named.collect();
    folders.sort();
    folders
}

fn for_people(whoami: &Whoami) -> String {
    let mut text = String::new();
    if whoami.certificates.is_empty() {
        text.push_str("No connector of this user holds a certificate.\n");
    } else {
        let mut table = Table::new(&["GATEWAY", "AGENT", "KEY", "UNTIL"]);
        for held in &whoami.certificates {
            let until =
                if held.ended { format!("{} (ended)", held.not_after) } else { held.not_after.clone() };
            table.row(&[&visible(&held.gateway), &visible(&held.id), held.algorithm, &until]);
        }
        text.push_str(&table.render(0));
    }
    match (&whoami.process, &whoami.socket) {
        (Some(process), Some(socket)) => text.push_str(&process_for_people(process, socket)),
        _ => text.push_str(
            "\nThis node looks at no processes: add [[attest]] kind = \"process\" to its configuration.\n",
        ),
    }
    text
}

fn process_for_people(process: &WhoAmI, socket: &Path) -> String {
    let mut text = format!("\nProven of {} at {}:\n", visible(&process.subject), socket.display());
    for selector in &process.selectors {
        text.push_str(&format!("  {}\n", visible(selector)));
    }
    for note in &process.notes {
        text.push_str(&format!("  note: {}\n", visible(note)));
    }
    if process.registrations.is_empty() {
        text.push_str("\nNo [[register]] covers that; add one whose selectors are among these.\n");
        return text;
    }
    let mut table = Table::new(&["WOULD BE", "ROLES", "LIFE", "SVID"]);
    for would in &process.registrations {
        let id = if would.revoked { format!("{} (revoked)", would.id) } else { would.id.clone() };
        let life = crate::cli::Seconds(would.life_s).to_string();
        table.row(&[&visible(&id), &visible(&would.roles.join(", ")), &life, &would.svid]);
    }
    text.push('\n');
    text.push_str(&table.render(0));
    text
}

/// Somebody whose tokens a node takes, as its note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Issuer {
    /// Exactly what `iss` says.
    pub(crate) issuer: String,
    /// Which attestor.
    pub(crate) kind: String,
    /// Where its keys come from, or who is asked.
    pub(crate) from: String,
    /// Which of its access tokens are taken: bound or unbound; none if its tokens are evidence only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<String>,
}

#[derive(Serialize)]
struct Trust {
    schema: &'static str,
    roots: Vec<TrustedRoot>,
    /// Whose tokens the running node takes; none if no node runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuers: Option<Vec<Issuer>>,
}

#[derive(Serialize)]
struct TrustedRoot {
    trust_domain: String,
    algorithm: &'static str,
    fingerprint: String,
    not_after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retires_at: Option<String>,
    /// Where it came from.
    from: String,
}

/// Shows whom this machine believes: roots and foreign issuers, and where each came from.
pub(super) fn trust(state: &State, output: Output) -> Result<(), Diagnostic> {
    let mut roots = Vec::new();
    let own = Authority::bundle_path(&state.authority());
    if own.exists() {
        let bundle = TrustBundle::from_pem_file(&own)
            .map_err(|error| trouble::identity(&error, &state.authority()))?;
        roots.extend(roots_of(&bundle, "this machine's own authority"));
    }
    for (gateway, folder) in connectors(state) {
        let identity = AgentIdentity::load(&folder).map_err(|error| trouble::identity(&error, &folder))?;
        if let Some(identity) = identity.filter(|_| gateway != "local") {
            roots.extend(roots_of(
                &identity.bundle,
                &format!("pinned by an invite of {gateway}, updated in band"),
            ));
        }
    }
    let issuers = state.note()?.filter(|_| state.is_locked()).map(|note| note.issuers);
    let trust = Trust { schema: "lockgate.trust/1", roots, issuers };
    match output {
        Output::Human => print(&trust_for_people(&trust)),
        Output::Json => print_document(&trust),
        Output::Jsonl => print_line(&trust),
    }
    Ok(())
}

fn roots_of(bundle: &TrustBundle, from: &str) -> Vec<TrustedRoot> {
    let described = bundle.roots().iter().map(|root| TrustedRoot {
        trust_domain: bundle.trust_domain().to_owned(),
        algorithm: root.algorithm().id,
        fingerprint: root.fingerprint().to_owned(),
        not_after: moment(root.not_after()),
        retires_at: root.retire_at().map(moment),
        from: from.to_owned(),
    });
    described.collect()
}

fn trust_for_people(trust: &Trust) -> String {
    let mut text = String::new();
    if trust.roots.is_empty() {
        text.push_str("No roots are trusted here yet: a node makes its own when it first starts.\n");
    } else {
        let mut table = Table::new(&["TRUST DOMAIN", "ROOT", "FINGERPRINT", "UNTIL", "FROM"]);
        for root in &trust.roots {
            let fingerprint: String = root.fingerprint.chars().take(FINGERPRINT_LETTERS).collect();
            let until = root.retires_at.as_ref().unwrap_or(&root.not_after);
            table.row(&[
                &visible(&root.trust_domain),
                root.algorithm,
                &fingerprint,
                until,
                &visible(&root.from),
            ]);
        }
        text.push_str(&table.render(0));
    }
    match trust.issuers.as_deref() {
        None => text.push_str("\nNo node runs here, so no tokens of others are taken.\n"),
        Some([]) => text.push_str("\nThe running node takes no tokens of others.\n"),
        Some(issuers) => {
            let mut table = Table::new(&["ISSUER", "AS", "ACCESS TOKENS", "FROM"]);
            for issuer in issuers {
                let access = match issuer.access.as_deref() {
                    None => "none",
                    Some("unbound") => "UNBOUND ones, too",
                    Some(_) => "bound ones",
                };
                table.row(&[&visible(&issuer.issuer), &issuer.kind, access, &visible(&issuer.from)]);
            }
            text.push('\n');
            text.push_str(&table.render(0));
        }
    }
    text
}
