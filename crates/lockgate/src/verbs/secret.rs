//! `lockgate secret …`: the sealed store of the credentials that a node presents to servers.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use lockgate_identity::{IdentityError, SECRET_BYTES_MAX, SealedStore};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Global, Output, SecretVerb};
use crate::config::{self, Flags};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::node::credentials;
use crate::output::{print, print_document, print_line};
use crate::state::State;
use crate::trouble;
use crate::verbs::config::variables;

/// Runs the verb. A running node notices what changed.
pub(crate) fn run(verb: &SecretVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let flags = Flags { config: verb.config().map(Path::to_owned), ..Flags::default() };
    let (settings, ..) = config::load(&flags, variables())?;
    let store = credentials::store(&settings, &state);
    match verb {
        SecretVerb::Put { name, file, output, .. } => {
            state.create()?;
            let secret = read(file.as_ref())?;
            store.put(name, &secret).map_err(|error| refused(&error))?;
            match output.output {
                Output::Human => {
                    print(&format!("{name} is sealed; a running node presents it from now on.\n"))
                }
                Output::Json | Output::Jsonl => {
                    print_line(&Named { schema: "lockgate.secret/1", name, key: store.key_path() });
                }
            }
        }
        SecretVerb::List { output, .. } => list(&store, output.output)?,
        SecretVerb::Remove { name, output, .. } => {
            if !store.remove(name).map_err(|error| refused(&error))? {
                return Err(Diagnostic::new("LG-U002", format!("there is no secret called \"{name}\""))
                    .hint("list them: lockgate secret list")
                    .into());
            }
            match output.output {
                Output::Human => {
                    print(&format!("{name} is gone; its server gets nothing until another is sealed.\n"))
                }
                Output::Json | Output::Jsonl => {
                    print_line(&Named { schema: "lockgate.secret/1", name, key: store.key_path() });
                }
            }
        }
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Named<'a> {
    schema: &'static str,
    name: &'a str,
    key: &'a Path,
}

fn list(store: &SealedStore, output: Output) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct All<'a> {
        schema: &'static str,
        key: &'a Path,
        secrets: Vec<One>,
    }
    #[derive(Serialize)]
    struct One {
        name: String,
        /// Whether the key is there and opens it.
        opens: bool,
    }
    let names = store.names().map_err(|error| refused(&error))?;
    let secrets: Vec<One> =
        names.into_iter().map(|name| One { opens: store.get(&name).is_ok(), name }).collect();
    match output {
        Output::Human if secrets.is_empty() => print("Nothing is sealed.\n"),
        Output::Human => {
            for One { name, opens } in &secrets {
                print(&format!("{name}{}\n", if *opens { "" } else { "  (does not open with this key)" }));
            }
        }
        Output::Jsonl => secrets.iter().for_each(print_line),
        Output::Json => {
            print_document(&All { schema: "lockgate.secrets/1", key: store.key_path(), secrets });
        }
    }
    Ok(())
}

/// The secret, from a file or from stdin: never from an argument, which everybody on the machine can read.
fn read(file: Option<&PathBuf>) -> Result<Zeroizing<Vec<u8>>, Diagnostic> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    let limit = SECRET_BYTES_MAX as u64 + 1;
    let read = match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut secret)),
        None => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                eprintln!("Type the secret, then Ctrl-D on a line of its own (it shows on the screen):");
            }
            stdin.lock().take(limit).read_to_end(&mut secret)
        }
    };
    read.map_err(|error| Diagnostic::new("LG-U001", "the secret cannot be read").because(&error))?;
    Ok(secret)
}

fn refused(error: &IdentityError) -> Diagnostic {
    trouble::secret("the sealed store refuses".to_owned(), &error.to_string())
}
