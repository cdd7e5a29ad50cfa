//! A file of JSON lines, opened for each batch, so that it can be renamed away at any time.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::Line;
use crate::error::ExportError;

pub(super) async fn append(path: PathBuf, lines: &[Line]) -> Result<(), ExportError> {
    let mut text = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
    for line in lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    let written = tokio::task::spawn_blocking(move || {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    });
    written.await.map_err(|error| ExportError::Unreachable(error.to_string()))?.map_err(ExportError::File)
}
