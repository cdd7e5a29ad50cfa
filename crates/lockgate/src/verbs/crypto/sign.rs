//! `lockgate crypto keygen` and `sign`: for the machine where the key of crypto documents is kept.

use std::path::{Path, PathBuf};

use lockgate_crypto::{PrivateKey, catalog, document, profile};
use lockgate_identity::key_file;
use serde::Serialize;

use crate::cli::Output;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document, print_line};

/// What was made.
#[derive(Serialize)]
struct Made {
    schema: &'static str,
    algorithm: String,
    fingerprint: String,
    files: Vec<PathBuf>,
}

/// `lockgate crypto keygen`: a private key for its owner alone, and the public one beside it.
pub(super) fn keygen(algorithm: Option<&str>, file: &Path, output: Output) -> Result<Exit, Failure> {
    let algorithm = match algorithm {
        Some(id) => catalog::find(id).ok_or_else(|| unknown(id))?,
        // What our own nodes sign with first: a hybrid, which holds while either half holds.
        None => catalog::find(profile::default().signatures[0]).expect("profiles list rows of the catalog"),
    };
    let key = PrivateKey::generate(algorithm).map_err(|error| {
        Diagnostic::new("LG-U001", "no key of this algorithm can be made")
            .because(&error)
            .hint("list them: lockgate crypto catalog")
    })?;
    let public = file.with_added_extension("pub");
    let pem = document::public_key_pem(&key.spki_der()).expect("our own keys are whole");
    let unwritten = |path: &Path, error: &dyn std::error::Error| {
        Diagnostic::new("LG-U003", format!("cannot write {}", path.display()))
            .cause(error.to_string())
            .hint("choose a name that is not taken, in a folder that exists")
    };
    if public.exists() {
        return Err(unwritten(&public, &std::io::Error::from(std::io::ErrorKind::AlreadyExists)).into());
    }
    key_file::write_new(file, &key).map_err(|error| unwritten(file, &error))?;
    std::fs::write(&public, pem).map_err(|error| unwritten(&public, &error))?;
    report(
        &Made {
            schema: "lockgate.crypto-key/1",
            algorithm: algorithm.id.to_owned(),
            fingerprint: document::fingerprint(&key.spki_der()),
            files: vec![file.to_owned(), public.clone()],
        },
        output,
        &format!(
            "Keep {} off the nodes. Give them {}: [crypto] trust = [\"{}\"]\n",
            file.display(),
            public.display(),
            public.display()
        ),
    );
    Ok(Exit::Ok)
}

/// `lockgate crypto sign`: checks a document as strictly as a node does, then signs it.
pub(super) fn sign(file: &Path, key: &Path, output: Output) -> Result<Exit, Failure> {
    let unread = |path: &Path, error: &dyn std::error::Error| {
        Diagnostic::new("LG-U003", format!("cannot read {}", path.display())).cause(error.to_string())
    };
    let bytes = std::fs::read(file).map_err(|error| unread(file, &error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| unread(file, &error))?;
    document::Document::parse(text).map_err(|problems| problems_of(file, &problems))?;
    let key = key_file::read(key).map_err(|error| unread(key, &error))?;
    let signature = document::sign(&bytes, &key)
        .map_err(|error| Diagnostic::new("LG-U001", "this key cannot sign the document").because(&error))?;
    let path = file.with_added_extension("sig");
    std::fs::write(&path, signature).map_err(|error| {
        Diagnostic::new("LG-U003", format!("cannot write {}", path.display())).because(&error)
    })?;
    report(
        &Made {
            schema: "lockgate.crypto-signature/1",
            algorithm: key.algorithm().id.to_owned(),
            fingerprint: document::fingerprint(&key.spki_der()),
            files: vec![path.clone()],
        },
        output,
        &format!("Put {} and {} beside each other on the node.\n", file.display(), path.display()),
    );
    Ok(Exit::Ok)
}

/// Every problem of a document, each with its place.
fn problems_of(file: &Path, problems: &document::DocumentErrors) -> Failure {
    let problems = problems.0.iter().map(|problem| {
        let mut diagnostic = Diagnostic::new("LG-C013", problem.message.clone());
        diagnostic.place = Some(format!("{}:{}:{}", file.display(), problem.line, problem.column));
        diagnostic
    });
    Failure(problems.collect())
}

fn unknown(id: &str) -> Diagnostic {
    Diagnostic::new("LG-U002", format!("no algorithm is called {id}"))
        .hint("list them: lockgate crypto catalog")
}

fn report(made: &Made, output: Output, next: &str) {
    match output {
        Output::Human => {
            let files: Vec<_> = made.files.iter().map(|file| file.display().to_string()).collect();
            print(&format!(
                "{} key {}\nwritten: {}\n{next}",
                made.algorithm,
                made.fingerprint,
                files.join(", ")
            ));
        }
        Output::Json => print_document(made),
        Output::Jsonl => print_line(made),
    }
}
