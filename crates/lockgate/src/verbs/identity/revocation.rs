//! Who was seen, who is invited, and who is locked out.

use lockgate_admin::{
    Identities, MadeRevocation, RestoreRequest, Restored, RevocationView, RevokeRequest, Versioned,
};

use super::{now_ms, time};
use crate::cli::Output;
use crate::client;
use crate::diagnostic::Failure;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;

/// Letters of a key's fingerprint in a list: revoking takes all of them, which `--output json` gives.
const KEY_SHOWN: usize = 64;

pub(super) async fn list(state: &State, output: Output) -> Result<(), Failure> {
    let all = client::admin(state)?.identities().await.map_err(|error| client::unanswered(&error))?;
    match output {
        Output::Human => print(&described(&all)),
        Output::Json => print_document(&Versioned::of(&all)),
        Output::Jsonl => {
            all.agents.iter().for_each(print_line);
            all.invites.iter().for_each(print_line);
            all.revocations.iter().for_each(print_line);
        }
    }
    Ok(())
}

pub(super) async fn revoke(state: &State, request: &RevokeRequest, output: Output) -> Result<(), Failure> {
    let made = client::admin(state)?.revoke(request).await.map_err(|error| client::unanswered(&error))?;
    match output {
        Output::Human => print(&said(&made)),
        Output::Json | Output::Jsonl => print_line(&Versioned::of(&made)),
    }
    Ok(())
}

pub(super) async fn restore(state: &State, request: &RestoreRequest, output: Output) -> Result<(), Failure> {
    let restored =
        client::admin(state)?.restore(request).await.map_err(|error| client::unanswered(&error))?;
    match output {
        Output::Human => print(&lifted(&restored)),
        Output::Json | Output::Jsonl => print_line(&Versioned::of(&restored)),
    }
    Ok(())
}

fn said(made: &MadeRevocation) -> String {
    let target = visible(&made.revocation.target);
    let until = made
        .revocation
        .until_ms
        .map_or_else(|| "until it is restored".to_owned(), |ms| format!("until {}", time(ms)));
    let again = if made.is_new { "" } else { ", as it was before" };
    format!(
        "{target} is revoked {until}{again}; links cut: {}.\nLift it with: lockgate identity restore {target}\n",
        made.links_cut
    )
}

fn lifted(restored: &Restored) -> String {
    let all: Vec<String> = restored.lifted.iter().map(|revocation| visible(&revocation.target)).collect();
    format!("Restored: {}.\n", all.join(", "))
}

fn described(all: &Identities) -> String {
    let mut text = String::new();
    let mut agents = Table::new(&["AGENT", "LINKS", "LAST SEEN", "CERTIFICATE UNTIL", "REVOKED BY", "KEY"]);
    for agent in &all.agents {
        let until = agent.expires_at_ms.map_or_else(|| "-".to_owned(), time);
        let key: String = agent.key.as_deref().unwrap_or("-").chars().take(KEY_SHOWN).collect();
        let revoked = agent.revoked_by.as_deref().unwrap_or("-");
        agents.row(&[
            &agent.agent,
            &agent.links.to_string(),
            &time(agent.last_seen_ms),
            &until,
            revoked,
            &key,
        ]);
    }
    let mut invites = Table::new(&["INVITE", "NAME", "AGENT", "STATE"]);
    for invite in &all.invites {
        let state = match invite.used_at_ms {
            Some(used) => format!("used {}", time(used)),
            None if invite.expires_at_ms <= now_ms() => format!("expired {}", time(invite.expires_at_ms)),
            None => format!("open until {}", time(invite.expires_at_ms)),
        };
        invites.row(&[&invite.id, &invite.name, &invite.agent, &state]);
    }
    let mut revocations = Table::new(&["REVOKED", "SINCE", "UNTIL", "BY", "REASON"]);
    for RevocationView { target, by, reason, since_ms, until_ms, .. } in &all.revocations {
        let until = until_ms.map_or_else(|| "restored".to_owned(), time);
        revocations.row(&[target, &time(*since_ms), &until, by, reason]);
    }
    let tables = [
        (agents, "No agent was seen since the node started.\n"),
        (invites, "No invites. Make one: lockgate identity invite --name NAME\n"),
        (revocations, "Nobody is revoked.\n"),
    ];
    for (table, none) in tables {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&if table.is_empty() { none.to_owned() } else { table.render(0) });
    }
    text
}
