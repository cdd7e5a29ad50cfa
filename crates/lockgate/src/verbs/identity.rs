//! `lockgate identity …`: who may connect.

use lockgate_admin::{
    MintedInvite, NewInvite, RestoreRequest, RevokeRequest, RotateRootRequest, RotatedRoot, Versioned,
};
use lockgate_identity::TrustBundle;
use serde::Serialize;

use crate::cli::{Global, IdentityVerb, Output, Seconds};
use crate::client;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;
use crate::trouble;

mod revocation;

/// Runs the verb.
pub(crate) async fn run(verb: &IdentityVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    match verb {
        IdentityVerb::Invite { name, lifetime, output } => {
            let request = NewInvite { name: name.clone(), lifetime_s: Some(lifetime.0) };
            let minted =
                client::admin(&state)?.invite(&request).await.map_err(|error| client::unanswered(&error))?;
            show_invite(&minted, *lifetime, output.output);
        }
        IdentityVerb::List(output) => revocation::list(&state, output.output).await?,
        IdentityVerb::Revoke { target, reason, lifetime, output } => match invite_id(target) {
            Some(id) => {
                client::admin(&state)?.revoke_invite(id).await.map_err(|error| client::unanswered(&error))?;
                revoked(id, output.output);
            }
            None => {
                let lifetime_s = lifetime.map(|lifetime| lifetime.0);
                let (target, reason, by) = (target.clone(), reason.clone(), super::crypto::whoever());
                let request = RevokeRequest { target, reason, lifetime_s, by };
                revocation::revoke(&state, &request, output.output).await?;
            }
        },
        IdentityVerb::Restore { target, output } => {
            let request = RestoreRequest { target: target.clone(), by: super::crypto::whoever() };
            revocation::restore(&state, &request, output.output).await?;
        }
        IdentityVerb::Show(output) => show(&state, output.output)?,
        IdentityVerb::Whoami { socket, output } => {
            super::whoami::whoami(&state, socket.as_deref(), output.output).await?;
        }
        IdentityVerb::Trust(output) => super::whoami::trust(&state, output.output)?,
        IdentityVerb::RotateRoot { algorithm, overlap, output } => {
            let request = RotateRootRequest {
                algorithm: algorithm.clone(),
                overlap_s: overlap.0,
                by: super::crypto::whoever(),
            };
            let admin = client::admin(&state)?;
            let rotated = admin.rotate_root(&request).await.map_err(|error| client::unanswered(&error))?;
            rotation(&rotated, output.output);
        }
    }
    Ok(Exit::Ok)
}

fn show_invite(minted: &MintedInvite, lifetime: Seconds, output: Output) {
    match output {
        Output::Human => {
            // The code alone on stdout, so that it can be piped; what to do with it on stderr.
            eprintln!(
                "For {}, once, within {lifetime}. There, run: lockgate connect --invite CODE",
                minted.invite.agent
            );
            print(&format!("{}\n", minted.code));
        }
        Output::Json | Output::Jsonl => print_line(&Versioned::of(minted)),
    }
}

fn rotation(rotated: &RotatedRoot, output: Output) {
    match output {
        Output::Human => print(&format!(
            "There is a new {} root. The old one is trusted until {}; connectors learn of both in band.\n\
             The bundle has number {} and fingerprint {}.\n",
            rotated.algorithm,
            time(rotated.old_retires_at_ms),
            rotated.bundle_sequence,
            rotated.fingerprint
        )),
        Output::Json | Output::Jsonl => print_line(&Versioned::of(rotated)),
    }
}

fn revoked(id: &str, output: Output) {
    match output {
        Output::Human => print(&format!("The invite {id} cannot be used any more.\n")),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Revoked<'a> {
                schema: &'static str,
                id: &'a str,
            }
            print_line(&Revoked { schema: "lockgate.invite-revoked/1", id });
        }
    }
}

/// The id of an invite, if a target is one: told by its prefix, or by being nothing but the hexadecimal digits of an id.
fn invite_id(target: &str) -> Option<&str> {
    let bare = target.len() == 12 && target.bytes().all(|byte| byte.is_ascii_hexdigit());
    target.strip_prefix("invite:").or_else(|| bare.then_some(target))
}

#[derive(Serialize)]
struct Shown {
    schema: &'static str,
    trust_domain: String,
    fingerprint: String,
    file: String,
    roots: Vec<Root>,
}

#[derive(Serialize)]
struct Root {
    algorithm: &'static str,
    fingerprint: String,
    not_after: String,
    /// When it leaves the bundle, while a newer one takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    retires_at: Option<String>,
}

fn show(state: &State, output: Output) -> Result<(), Diagnostic> {
    let path = lockgate_identity::Authority::bundle_path(&state.authority());
    if !path.exists() {
        return Err(Diagnostic::new(
            "LG-U002",
            format!("there is no authority in {}", state.authority().display()),
        )
        .hint("a node makes one when it first starts: lockgate up"));
    }
    let bundle =
        TrustBundle::from_pem_file(&path).map_err(|error| trouble::identity(&error, &state.authority()))?;
    let shown = Shown {
        schema: "lockgate.authority/2",
        trust_domain: bundle.trust_domain().to_owned(),
        fingerprint: bundle.fingerprint().to_owned(),
        file: path.display().to_string(),
        roots: bundle
            .roots()
            .iter()
            .map(|root| Root {
                algorithm: root.algorithm().id,
                fingerprint: root.fingerprint().to_owned(),
                not_after: moment(root.not_after()),
                retires_at: root.retire_at().map(moment),
            })
            .collect(),
    };
    match output {
        Output::Human => {
            let mut roots = Table::new(&["ROOT", "FINGERPRINT", "UNTIL", "RETIRES"]);
            for root in &shown.roots {
                let retires = root.retires_at.as_deref().unwrap_or("-");
                let fingerprint: String = root.fingerprint.chars().take(16).collect();
                roots.row(&[root.algorithm, &fingerprint, &root.not_after, retires]);
            }
            print(&format!(
                "trust domain  {}\nfingerprint   {}\nroots         {}\n\n{}",
                visible(&shown.trust_domain),
                shown.fingerprint,
                shown.file,
                roots.render(0)
            ));
        }
        Output::Json => print_document(&shown),
        Output::Jsonl => print_line(&shown),
    }
    Ok(())
}

pub(super) fn moment(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

/// A moment for people, UTC to the second.
pub(crate) fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
