//! The fixture that the official MCP conformance suite passes against, by itself and through
//! Lockgate. `conformance-server [--listen 127.0.0.1:PORT | --stdio]`.

use std::process::ExitCode;

use lockgate_testkit::{
    conformance,
    ready::{Mode, announce},
};

#[tokio::main]
async fn main() -> ExitCode {
    let mode = match Mode::parse(std::env::args().skip(1)) {
        Ok(mode) => mode,
        Err(reason) => {
            eprintln!("conformance-server: {reason}");
            return ExitCode::from(2);
        }
    };
    match run(mode).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mode: Mode) -> std::io::Result<()> {
    match mode {
        Mode::Stdio => conformance::serve_stdio().await,
        Mode::Listen(address) => {
            let (bound, server) = conformance::listen(address).await?;
            announce(bound)?;
            server.await
        }
    }
}
