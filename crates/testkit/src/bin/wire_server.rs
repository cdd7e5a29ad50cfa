//! The fixture that misbehaves on demand. `wire-server [--listen 127.0.0.1:PORT | --stdio]`.

use std::process::ExitCode;

use lockgate_testkit::{
    ready::{Mode, announce},
    wire,
};

#[tokio::main]
async fn main() -> ExitCode {
    let mode = match Mode::parse(std::env::args().skip(1)) {
        Ok(mode) => mode,
        Err(reason) => {
            eprintln!("wire-server: {reason}");
            return ExitCode::from(2);
        }
    };
    match run(mode).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wire-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mode: Mode) -> std::io::Result<()> {
    match mode {
        Mode::Stdio => wire::serve_stdio().await,
        Mode::Listen(address) => {
            let (bound, server) = wire::listen(address).await?;
            announce(bound)?;
            server.await
        }
    }
}
