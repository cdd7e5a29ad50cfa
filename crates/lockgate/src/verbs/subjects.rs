//! `lockgate audit subject|hold|retention`: asked of the running node, or done on its state when none runs.

use lockgate_admin::{
    EraseRequest, ErasedView, ExportRequest, HoldRequest, HoldView, Holds, KnownView, LiftHoldRequest,
    RetentionView, Versioned,
};
use lockgate_privacy::PrivacyError;

use super::crypto::whoever;
use super::identity::time;
use crate::cli::{Global, HoldVerb, OfConfig, Output, RetentionArgs, SubjectVerb};
use crate::client;
use crate::config::{self, Flags, Settings};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::node::{Desk, Offline};
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;
use crate::verbs::config::variables;

mod export;

/// Where questions go.
pub(super) struct Place {
    pub(super) state: State,
    pub(super) settings: Settings,
    pub(super) output: Output,
}

impl Place {
    fn of(of: &OfConfig, global: &Global) -> Result<Self, Failure> {
        let state = State::locate(global.state.as_deref())?;
        let flags = Flags { config: of.config.clone(), ..Flags::default() };
        let (settings, ..) = config::load(&flags, variables())?;
        Ok(Self { state, settings, output: of.output.output })
    }

    /// Whether a node runs, and is to be asked.
    fn runs(&self) -> bool {
        self.state.is_locked()
    }

    async fn offline<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Desk<'_>) -> Result<T, PrivacyError> + Send + 'static,
    ) -> Result<T, Failure> {
        Ok(Offline::open(&self.settings, &self.state).await?.ask(ask).await?)
    }

    /// Under which names records know a subject.
    pub(super) async fn known(&self, subject: &str) -> Result<KnownView, Failure> {
        let request = ExportRequest { subject: subject.to_owned(), by: whoever() };
        match self.runs() {
            true => asked(client::admin(&self.state)?.export_subject(&request).await),
            false => self.offline(move |desk| desk.export(&request)).await,
        }
    }
}

fn asked<T>(answer: Result<T, lockgate_admin::ClientError>) -> Result<T, Failure> {
    answer.map_err(|error| client::unanswered(&error).into())
}

/// `lockgate audit subject …`.
pub(crate) async fn subject(verb: &SubjectVerb, global: &Global) -> Result<Exit, Failure> {
    let place = Place::of(verb.of(), global)?;
    match verb {
        SubjectVerb::Export { subject, out, .. } => export::run(&place, subject, out).await,
        SubjectVerb::Erase { subject, basis, .. } => {
            let request = EraseRequest { subject: subject.clone(), basis: basis.clone(), by: whoever() };
            let erased = match place.runs() {
                true => asked(client::admin(&place.state)?.erase_subject(&request).await)?,
                false => place.offline(move |desk| desk.erase(&request)).await?,
            };
            match place.output {
                Output::Human => print(&erased_text(&erased)),
                Output::Json | Output::Jsonl => print_document(&Versioned::of(&erased)),
            }
            Ok(Exit::Ok)
        }
    }
}

fn erased_text(erased: &ErasedView) -> String {
    let (Some(id), Some(receipt)) = (&erased.id, erased.receipt) else {
        return "There is nothing of this subject that could be erased: no key is its own.\n".to_owned();
    };
    let mut text =
        format!("Erased: {} keys are destroyed. The receipt is record {receipt} ({id}).\n", erased.keys);
    for line in &erased.scope {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(
        "Backups of the state directory, and what was exported, are not reached: docs/privacy.md\n",
    );
    text
}

/// `lockgate audit hold …`.
pub(crate) async fn hold(verb: &HoldVerb, global: &Global) -> Result<Exit, Failure> {
    let place = Place::of(verb.of(), global)?;
    match verb {
        HoldVerb::Add { subject, reason, .. } => {
            let request = HoldRequest { subject: subject.clone(), reason: reason.clone(), by: whoever() };
            let hold = match place.runs() {
                true => asked(client::admin(&place.state)?.hold(&request).await)?,
                false => place.offline(move |desk| desk.hold(&request)).await?,
            };
            told(&place, &hold, &format!("{} holds {} from now on.\n", hold.id, what(&hold)));
        }
        HoldVerb::List(_) => {
            let holds = match place.runs() {
                true => asked(client::admin(&place.state)?.holds().await)?,
                false => place.offline(|desk| desk.holds()).await?,
            };
            list(&place, &holds);
        }
        HoldVerb::Lift { id, reason, .. } => {
            let (id, request) = (id.clone(), LiftHoldRequest { reason: reason.clone(), by: whoever() });
            let hold = match place.runs() {
                true => asked(client::admin(&place.state)?.lift_hold(&id, &request).await)?,
                false => place.offline(move |desk| desk.lift(&id, &request)).await?,
            };
            told(
                &place,
                &hold,
                &format!("{} is lifted: {} is not held by it any more.\n", hold.id, what(&hold)),
            );
        }
    }
    Ok(Exit::Ok)
}

fn what(hold: &HoldView) -> String {
    hold.kind.as_ref().map_or_else(|| "everything".to_owned(), |kind| format!("one {}", visible(kind)))
}

fn told(place: &Place, hold: &HoldView, text: &str) {
    match place.output {
        Output::Human => print(text),
        Output::Json | Output::Jsonl => print_document(&Versioned::of(hold)),
    }
}

fn list(place: &Place, holds: &Holds) {
    match place.output {
        Output::Human if holds.holds.is_empty() => print("Nothing is held.\n"),
        Output::Human => {
            let mut table = Table::new(&["ID", "HOLDS", "SINCE", "BY", "REASON"]);
            for hold in &holds.holds {
                let since = time(u64::try_from(hold.since_ms).unwrap_or_default());
                table.row(&[&hold.id, &what(hold), &since, &visible(&hold.by), &visible(&hold.reason)]);
            }
            print(&table.render(0));
        }
        Output::Jsonl => holds.holds.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(holds)),
    }
}

/// `lockgate audit retention`.
pub(crate) async fn retention(args: &RetentionArgs, global: &Global) -> Result<Exit, Failure> {
    let place = Place::of(&args.of, global)?;
    let view = match (place.runs(), args.apply) {
        (true, false) => asked(client::admin(&place.state)?.retention().await)?,
        (true, true) => asked(client::admin(&place.state)?.retain().await)?,
        (false, false) => place.offline(|desk| desk.retention()).await?,
        (false, true) => place.offline(|desk| desk.retain()).await?,
    };
    match place.output {
        Output::Human if view.parts.is_empty() && args.apply => print("Nothing is due.\n"),
        Output::Human if view.parts.is_empty() => print("There is nothing yet that could go.\n"),
        Output::Human => print(&parts(&view)),
        Output::Jsonl => view.parts.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(&view)),
    }
    Ok(Exit::Ok)
}

fn parts(view: &RetentionView) -> String {
    let mut table = Table::new(&["MONTH", "WHAT", "COUNT", "GOES", "STANDING"]);
    for part in &view.parts {
        let standing = match (part.held, part.is_due) {
            (0, true) => "due".to_owned(),
            (0, false) => "kept".to_owned(),
            (held, _) => format!("{held} held"),
        };
        let name = match part.part.as_str() {
            "content" => "keys of content",
            "tags" => "keys of pseudonyms and tags",
            other => other,
        };
        let goes = part.goes.clone().unwrap_or_else(|| "never: no time is set".to_owned());
        table.row(&[&part.month, name, &part.count.to_string(), &goes, &standing]);
    }
    table.render(2)
}

/// An error of a file that is written.
fn unwritable(path: &std::path::Path, error: &dyn std::error::Error) -> Diagnostic {
    Diagnostic::new("LG-A021", format!("{} cannot be written", path.display()))
        .because(error)
        .hint("name another folder: --out DIR")
}
