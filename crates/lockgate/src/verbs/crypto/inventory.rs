//! `lockgate crypto inventory`: every link, key, certificate and algorithm in use.

use lockgate_admin::InventoryFormat;

use crate::cli::{Global, InventoryForm, Output};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{print_document, print_line};
use crate::state::State;

/// Runs the verb. An inventory is for programs: without a form of its own for people, it is the document itself.
pub(super) async fn run(form: InventoryForm, output: Output, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let format = match form {
        InventoryForm::Json => InventoryFormat::Json,
        InventoryForm::Cyclonedx => InventoryFormat::Cyclonedx,
    };
    let inventory =
        client::admin(&state)?.inventory(format).await.map_err(|error| client::unanswered(&error))?;
    // Read once more so that it can be indented for a person.
    let document: serde_json::Value =
        serde_json::from_str(inventory.get()).expect("the client gives whole JSON documents");
    match output {
        Output::Human | Output::Json => print_document(&document),
        Output::Jsonl => print_line(&document),
    }
    Ok(Exit::Ok)
}
