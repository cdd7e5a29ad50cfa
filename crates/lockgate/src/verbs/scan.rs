//! `lockgate scan`: the rules on definitions alone, for files and servers, before anything is connected.

use std::io::Read as _;
use std::path::Path;

use lockgate_detect::Severity;
use lockgate_detect::scan::{DEFINITIONS_MAX, Listed, Scan, Scanned, TEXT_BYTES_MAX, read};
use serde::Serialize;

use crate::cli::{FailAt, ScanArgs, ScanOutput};
use crate::config::Target;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{fold, print, print_document, print_line, visible};

mod live;
mod sarif;

/// Runs the verb.
pub(crate) async fn run(args: &ScanArgs) -> Result<Exit, Failure> {
    let mut scan = Scan::new(Vec::new());
    for target in &args.targets {
        let (server, listed) = listed(target, args).await?;
        scan.add(target, &server, listed);
    }
    let scanned = scan.finish();
    match args.output {
        ScanOutput::Human => print(&describe(&scanned)),
        ScanOutput::Jsonl => scanned.findings.iter().for_each(print_line),
        ScanOutput::Json => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                #[serde(flatten)]
                scanned: &'a Scanned,
            }
            print_document(&Document { schema: "lockgate.scan/1", scanned: &scanned });
        }
        ScanOutput::Sarif => print_document(&sarif::log(&scanned)),
    }
    let fails = match args.fail_on {
        FailAt::Never => false,
        FailAt::Low => scanned.worst().is_some(),
        FailAt::Medium => scanned.worst() >= Some(Severity::Medium),
        FailAt::High => scanned.worst() >= Some(Severity::High),
    };
    // What was not read was not found harmless.
    Ok(if fails || scanned.unread > 0 { Exit::Negative } else { Exit::Ok })
}

/// The definitions of a target, and a name for the server that they are of.
async fn listed(target: &str, args: &ScanArgs) -> Result<(String, Vec<Listed>), Failure> {
    let is_live =
        target.starts_with("stdio:") || target.starts_with("http://") || target.starts_with("https://");
    if is_live {
        let reached = Target::parse(target).map_err(|why| {
            Diagnostic::new("LG-U001", format!("{:?} cannot be reached: {why}", visible(target)))
                .hint("write https://HOST/mcp, or \"stdio:COMMAND ARGS\"")
        })?;
        let server = args.server.clone().unwrap_or_else(|| reached.suggest_name());
        let text = live::tools(&reached, args.timeout.0).await?;
        return Ok((server, parsed(target, &text)?));
    }
    let text = match target {
        "-" => text_of(std::io::stdin().lock()),
        path => std::fs::File::open(path).and_then(text_of),
    };
    let text = text.map_err(|error| {
        Diagnostic::new("LG-U002", format!("cannot read {}", visible(target)))
            .because(&error)
            .hint("name a file with the answer to tools/list, - for standard input, https://…, or \"stdio:COMMAND\"")
    })?;
    let stem = Path::new(target).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let server = args.server.clone().or(stem).unwrap_or_else(|| "server".to_owned());
    Ok((server, parsed(target, &text)?))
}

fn text_of(source: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(TEXT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn parsed(target: &str, text: &str) -> Result<Vec<Listed>, Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(read(text).map_err(|error| {
        Diagnostic::new("LG-U002", format!("{} holds no definitions", visible(target)))
            .because(&error)
            .hint("save what a server answers to tools/list, as JSON, or one definition a line")
    })?)
}

fn describe(scanned: &Scanned) -> String {
    let mut text = String::new();
    for located in &scanned.findings {
        let finding = &located.finding;
        let place = match located.line {
            0 => visible(&located.place),
            line => format!("{}:{line}", visible(&located.place)),
        };
        text.push_str(&format!(
            "{:<6} {}  {}  tool {} of server {}\n",
            finding.severity.name(),
            finding.id,
            place,
            visible(&finding.subject),
            visible(&finding.server)
        ));
        text.push_str(&fold(&visible(&finding.reason), 7, 100));
        if !finding.evidence.is_empty() {
            text.push_str(&fold(&visible(&finding.evidence), 7, 100));
        }
        text.push('\n');
    }
    let count = scanned.findings.len() + scanned.more;
    let found = match count {
        0 => "nothing found".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    text.push_str(&format!("{} definitions read, {found}", scanned.definitions));
    if scanned.more > 0 {
        text.push_str(&format!(", of which {} are shown", scanned.findings.len()));
    }
    text.push_str(".\n");
    if scanned.unread > 0 {
        text.push_str(&format!(
            "{} definitions more were not read: {DEFINITIONS_MAX} is the limit.\n",
            scanned.unread
        ));
    }
    if let Some(first) = scanned.findings.first() {
        text.push_str(&format!("What a code means: lockgate explain {}\n", first.finding.id));
    }
    text
}
