//! The same tools over standard input and output, for a gateway that starts its server itself.
//!
//! Three tools more exist here, because a child process can misbehave in more ways: `stderr` writes
//! more to standard error than a pipe holds, `stay` keeps the process alive after its standard
//! input was closed, and `who` says which process this is, so that a test can see it end.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};

use super::{
    call::Call,
    script::{Framing, Step, error, result, text_result},
    server::Server,
};

/// Bytes that `stderr` writes: more than a pipe holds, so that a parent who does not read blocks it.
const STDERR_BYTES: usize = 1 << 20;

/// Serves one client on standard input and output until it closes standard input.
///
/// # Errors
/// When a pipe breaks.
pub async fn serve_stdio() -> io::Result<()> {
    let server = Server::new();
    let mut lines = BufReader::new(stdin()).lines();
    let mut out = stdout();
    let mut stay = false;
    while let Some(line) = lines.next_line().await? {
        let Ok(call) = serde_json::from_str::<Call<'_>>(&line) else {
            let refused = error("null", -32700, "this is not a JSON-RPC message");
            out.write_all(format!("{refused}\n").as_bytes()).await?;
            out.flush().await?;
            continue;
        };
        let Some(id) = call.id.filter(|_| call.method.is_some()) else {
            continue;
        };
        let steps = match call.tool() {
            Some("stay") => {
                stay = true;
                vec![line_of(&result(id.get(), &text_result("This process stays.")))]
            }
            Some("who") => {
                let pid = std::process::id().to_string();
                vec![line_of(&result(id.get(), &text_result(&pid)))]
            }
            Some("stderr") => {
                tokio::io::stderr().write_all("e".repeat(STDERR_BYTES).as_bytes()).await?;
                vec![line_of(&result(id.get(), &text_result("Written.")))]
            }
            _ => match server.reply(&call, Framing::Lines, &line) {
                Ok(steps) => steps,
                Err((code, reason)) => vec![line_of(&error(id.get(), code, &reason))],
            },
        };
        for step in steps {
            match step {
                Step::Begin(_) => {}
                Step::Send(bytes) => out.write_all(&bytes).await?,
                Step::Repeat(bytes, times) => {
                    for _ in 0..times {
                        out.write_all(&bytes).await?;
                    }
                }
                Step::Pause(pause) => tokio::time::sleep(pause).await,
                Step::Meet(key, count) => server.meet(&key, count).await,
                Step::Hang => std::future::pending().await,
                Step::Close => return Ok(()),
            }
            out.flush().await?;
        }
    }
    if stay { std::future::pending().await } else { Ok(()) }
}

fn line_of(message: &str) -> Step {
    Step::Send(format!("{message}\n").into_bytes())
}
