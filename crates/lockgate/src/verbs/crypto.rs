//! `lockgate crypto …`: what can be negotiated, what is in force, and changes of it.

use lockgate_crypto::{Algorithm, Profile, catalog, profile};
use serde::Serialize;

use crate::cli::{CryptoVerb, Global, Output};
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, fold, fold_list, print, print_document, print_line};

pub(crate) mod change;
pub(crate) mod drill;
pub(crate) mod inventory;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod show;
pub(crate) mod sign;

/// Runs the verb.
pub(crate) async fn run(verb: &CryptoVerb, global: &Global) -> Result<Exit, Failure> {
    match verb {
        CryptoVerb::Profiles(output) => profiles(output.output),
        CryptoVerb::Catalog(output) => return Ok(algorithms(output.output)),
        CryptoVerb::Show { effective, output } => return show::run(*effective, output.output, global).await,
        CryptoVerb::Plan(args) => return plan::run(args, global).await,
        CryptoVerb::Apply(args) => return change::apply(args, global).await,
        CryptoVerb::Rollback(args) => return change::rollback(args, global).await,
        CryptoVerb::Ban(args) => return change::ban(args, global).await,
        CryptoVerb::Lift(args) => return change::lift(args, global).await,
        CryptoVerb::Probe { target, sni, output } => {
            return probe::run(target, sni.as_deref(), *output).await;
        }
        CryptoVerb::Inventory { format, output } => {
            return inventory::run(*format, output.output, global).await;
        }
        CryptoVerb::Drill(args) => return drill::run(args, global).await,
        CryptoVerb::Keygen { algorithm, file, output } => {
            return sign::keygen(algorithm.as_deref(), file, output.output);
        }
        CryptoVerb::Sign { file, key, output } => return sign::sign(file, key, output.output),
    }
    Ok(Exit::Ok)
}

/// Who asks for a change, for the record: user and process. It is what this process says of itself, and only who
/// holds the admin token can say it.
pub(crate) fn whoever() -> String {
    let name = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let uid = rustix::process::geteuid().as_raw();
    let user = name("SUDO_USER").or_else(|| name("USER")).or_else(|| name("LOGNAME"));
    match user {
        Some(user) => format!("{} (uid {uid}) by command line", user.chars().take(64).collect::<String>()),
        None => format!("uid {uid} by command line"),
    }
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
    let list = |what: &str, ids: &[&str]| fold_list(what, 14, ids, 96);
    let guidance = match profile.guidance {
        [] => String::new(),
        guidance => list("follows", guidance),
    };
    format!(
        "{} (today {}{ends})\n{}{}{}{}{guidance}\n",
        profile.alias,
        profile.name,
        fold(profile.purpose, 2, 96),
        list("groups", profile.groups),
        list("signatures", profile.signatures),
        list("ciphers", profile.ciphers),
    )
}

/// A row and what came of running it just now.
#[derive(Serialize)]
struct Tested {
    #[serde(flatten)]
    algorithm: &'static Algorithm,
    /// `passed`, `failed` or `not run`.
    self_test: &'static str,
    /// The handshake's own error.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl Tested {
    fn run(algorithm: &'static Algorithm) -> Self {
        let (self_test, failure) = match lockgate_crypto::try_algorithm(algorithm) {
            Ok(Some(_)) => ("passed", None),
            Ok(None) => ("not run", None),
            Err(error) => ("failed", Some(error.to_string())),
        };
        Self { algorithm, self_test, failure }
    }
}

fn algorithms(output: Output) -> Exit {
    let rows: Vec<Tested> = catalog::all().iter().map(Tested::run).collect();
    match output {
        Output::Human => print(&catalog_table(&rows)),
        Output::Jsonl => rows.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct All<'a> {
                schema: &'static str,
                algorithms: &'a [Tested],
            }
            print_document(&All { schema: "lockgate.catalog/2", algorithms: &rows });
        }
    }
    if rows.iter().any(|row| row.failure.is_some()) { Exit::Negative } else { Exit::Ok }
}

fn catalog_table(rows: &[Tested]) -> String {
    let mut table = Table::new(&[
        "ALGORITHM",
        "KIND",
        "NATURE",
        "MADE OF",
        "CODE POINT",
        "LEVEL",
        "STATUS",
        "WARNED AFTER",
        "LAST DAY",
        "PROVIDERS",
        "SELF-TEST",
    ]);
    for Tested { algorithm: row, self_test, .. } in rows {
        let code_point = row.code_point.map_or_else(String::new, |code| format!("{code:#06x}"));
        table.row(&[
            row.id,
            &format!("{:?}", row.kind).to_lowercase(),
            &format!("{:?}", row.nature).to_lowercase(),
            &row.components.join(" + "),
            &code_point,
            &row.nist_level.to_string(),
            &format!("{:?}", row.status).to_lowercase(),
            row.warn_after.unwrap_or("-"),
            row.not_after.unwrap_or("-"),
            &row.providers.join(", "),
            self_test,
        ]);
    }
    let mut text = table.render(0);
    for row in rows {
        if let Some(failure) = &row.failure {
            text.push_str(&format!("\n{}: {failure}\n", row.algorithm.id));
        }
    }
    text
}
