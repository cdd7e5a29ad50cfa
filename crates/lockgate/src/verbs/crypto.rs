//! `lockgate crypto …`: what can be negotiated.

use lockgate_crypto::{Algorithm, Profile, catalog, profile};
use serde::Serialize;

use crate::cli::{CryptoVerb, Output};
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, fold, print, print_document, print_line};

/// Runs the verb.
pub(crate) fn run(verb: &CryptoVerb) -> Result<Exit, Failure> {
    match verb {
        CryptoVerb::Profiles(output) => profiles(output.output),
        CryptoVerb::Catalog(output) => algorithms(output.output),
    }
    Ok(Exit::Ok)
}

fn profiles(output: Output) {
    match output {
        Output::Human => profile::all().iter().for_each(|profile| print(&describe(profile))),
        Output::Jsonl => profile::all().iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                profiles: &'static [Profile],
            }
            print_document(&All { schema: "lockgate.profiles/1", profiles: profile::all() });
        }
    }
}

fn describe(profile: &Profile) -> String {
    let ends = profile.not_after.map_or_else(String::new, |date| format!(", until {date}"));
    format!(
        "{} (today {}{ends})\n{}  groups      {}\n  signatures  {}\n  ciphers     {}\n\n",
        profile.alias,
        profile.name,
        fold(profile.purpose, 2, 96),
        profile.groups.join(", "),
        profile.signatures.join(", "),
        profile.ciphers.join(", "),
    )
}

fn algorithms(output: Output) {
    match output {
        Output::Human => {
            let mut table =
                Table::new(&["ALGORITHM", "KIND", "NATURE", "MADE OF", "CODE POINT", "LEVEL", "STATUS"]);
            for row in catalog::all() {
                let code_point = row.code_point.map_or_else(String::new, |code| format!("{code:#06x}"));
                table.row(&[
                    row.id,
                    &format!("{:?}", row.kind).to_lowercase(),
                    &format!("{:?}", row.nature).to_lowercase(),
                    &row.components.join(" + "),
                    &code_point,
                    &row.nist_level.to_string(),
                    &format!("{:?}", row.status).to_lowercase(),
                ]);
            }
            print(&table.render(0));
        }
        Output::Jsonl => catalog::all().iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                algorithms: &'static [Algorithm],
            }
            print_document(&All { schema: "lockgate.catalog/1", algorithms: catalog::all() });
        }
    }
}
