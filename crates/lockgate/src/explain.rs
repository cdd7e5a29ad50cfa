//! `lockgate explain`: every code and every stage, offline.

use serde::Serialize;

use lockgate_proxy::Stage;

use crate::cli::{ExplainArgs, Output};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, fold, print, print_document, print_line};
use crate::registry::{self, Entry};

const WIDTH: usize = 96;

/// What a stage takes, gives and refuses, for people.
fn about(stage: Stage) -> [&'static str; 4] {
    match stage {
        Stage::Accept => [
            "Takes a connection off the listening socket, if the limits on links allow one more.",
            "a socket",
            "an accepted socket",
            "The connection is closed and counted.",
        ],
        Stage::Secure => [
            "Makes the TLS 1.3 handshake under the listener's profile: the client's offer is read first, and a post-quantum key exchange is used whenever both ends can. What was negotiated becomes the link's posture: group, cipher, both signatures, resumed or full, bytes and time.",
            "an accepted socket",
            "a link with its evidence and posture",
            "A TLS alert; the record names what was offered and what is required (LG-K001).",
        ],
        Stage::Verify => [
            "Turns evidence into a principal: a certificate of the authority names a workload, a loopback socket of the same user names the local user, and anything else is anonymous.",
            "the link's evidence",
            "a principal",
            "HTTP 401, or the link is closed.",
        ],
        Stage::Decode => [
            "Reads one JSON-RPC message without changing a byte. Members given twice or in another letter case, batches, bad UTF-8, excess depth and size, and headers that disagree with the body are refused, because two readers may read them in two ways.",
            "bytes",
            "a message",
            "A JSON-RPC error: -32700, -32600, or -32020 where header and body disagree (LG-M001).",
        ],
        Stage::Bind => [
            "Ties the principal to this call, and a session id to the principal and the server that it was made for: used by anyone else or anywhere else it is unknown.",
            "a principal and the call's session or token",
            "a caller",
            "HTTP 401 with a challenge, or 404 for a session that is not the caller's.",
        ],
        Stage::Permit => [
            "Asks the policies. Everything is denied that no policy permits, and an error during evaluation denies too. Lists show only what may be used.",
            "caller, message and posture",
            "a permit",
            "A JSON-RPC error with the policy's id and a hint (LG-P010).",
        ],
        Stage::Screen => [
            "Looks for signs of attack by fixed rules: invisible characters in definitions and results, and tool definitions that changed since they were first seen.",
            "a permit",
            "a screened message with its findings",
            "A JSON-RPC error with the finding's id; a changed tool waits for lockgate threats approve.",
        ],
        Stage::Forward => [
            "Sends the message to the server as it came, and takes the answer through decode, permit and screen as well. A server that fails often is left alone for a while, and the others are not affected.",
            "a screened message",
            "a reply",
            "A JSON-RPC error that says whether and when to try again.",
        ],
        Stage::Record => [
            "Appends one record to the signed, tamper-evident audit log before the answer leaves; refusals at any stage are recorded too.",
            "everything that is known about the call",
            "a receipt",
            "The call is refused: what cannot be recorded does not happen (LG-A002).",
        ],
    }
}

/// Runs the verb.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    match &args.topic {
        None => overview(args.output.output),
        Some(topic) => {
            let wanted = topic.to_lowercase();
            if let Some(stage) = Stage::ALL.into_iter().find(|stage| stage.name() == wanted) {
                show_stage(stage, args.output.output);
            } else if let Some(entry) = registry::find(topic) {
                show_entry(entry, args.output.output);
            } else {
                return Err(Diagnostic::new("LG-U002", format!("nothing is called {topic}"))
                    .hint("list what can be explained: lockgate explain")
                    .into());
            }
        }
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct StageJson {
    schema: &'static str,
    number: usize,
    stage: &'static str,
    meaning: &'static str,
    takes: &'static str,
    gives: &'static str,
    on_refusal: &'static str,
}

#[derive(Serialize)]
struct EntryJson {
    schema: &'static str,
    code: &'static str,
    title: &'static str,
    meaning: &'static str,
    next: &'static [&'static str],
    exit: u8,
}

fn stage_json(stage: Stage) -> StageJson {
    let [meaning, takes, gives, on_refusal] = about(stage);
    let number = Stage::ALL.iter().position(|s| *s == stage).map_or(0, |n| n + 1);
    StageJson { schema: "lockgate.stage/1", number, stage: stage.name(), meaning, takes, gives, on_refusal }
}

fn entry_json(entry: &Entry) -> EntryJson {
    let Entry { code, title, meaning, next, exit } = *entry;
    EntryJson { schema: "lockgate.code/1", code, title, meaning, next, exit: exit as u8 }
}

fn overview(output: Output) {
    match output {
        Output::Human => {
            let mut stages = Table::new(&["", "STAGE", "TAKES", "GIVES"]);
            for stage in Stage::ALL {
                let json = stage_json(stage);
                stages.row(&[&json.number.to_string(), json.stage, json.takes, json.gives]);
            }
            let mut codes = Table::new(&["CODE", "MEANING"]);
            for entry in registry::all() {
                codes.row(&[entry.code, entry.title]);
            }
            print(&format!(
                "A link passes stages 1 to 3 once, a call 4 to 9 each time.\n\n{}\n{}\nMore: lockgate explain STAGE, lockgate explain CODE\n",
                stages.render(0),
                codes.render(0),
            ));
        }
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                stages: Vec<StageJson>,
                codes: Vec<EntryJson>,
            }
            print_document(&All {
                schema: "lockgate.explain/1",
                stages: Stage::ALL.into_iter().map(stage_json).collect(),
                codes: registry::all().iter().map(entry_json).collect(),
            });
        }
        Output::Jsonl => {
            Stage::ALL.into_iter().for_each(|stage| print_line(&stage_json(stage)));
            registry::all().iter().for_each(|entry| print_line(&entry_json(entry)));
        }
    }
}

fn show_stage(stage: Stage, output: Output) {
    let json = stage_json(stage);
    match output {
        Output::Human => print(&format!(
            "stage {} of 9: {}\n\n{}\n  takes    {}\n  gives    {}\n  refuses  {}\n",
            json.number,
            json.stage,
            fold(json.meaning, 0, WIDTH),
            json.takes,
            json.gives,
            json.on_refusal,
        )),
        Output::Json => print_document(&json),
        Output::Jsonl => print_line(&json),
    }
}

fn show_entry(entry: &Entry, output: Output) {
    match output {
        Output::Human => {
            let mut text = format!(
                "{}: {}\n\n{}\nWhat to do:\n",
                entry.code,
                entry.title,
                fold(entry.meaning, 0, WIDTH)
            );
            for step in entry.next {
                let folded = fold(step, 4, WIDTH);
                text.push_str(&format!("  - {}", folded.trim_start()));
            }
            text.push_str(&format!("\nExit code: {}\n", entry.exit as u8));
            print(&text);
        }
        Output::Json => print_document(&entry_json(entry)),
        Output::Jsonl => print_line(&entry_json(entry)),
    }
}
