//! The stdio side: one JSON message on each line, with a limit.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// What a line reader found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end, never empty.
    Text(Bytes),
    /// A line longer than the limit; it was skipped to its end.
    TooLong,
    /// No more lines.
    End,
}

/// Reads the next line that is not blank. A last line without its newline counts.
pub(super) async fn read(reader: &mut (impl AsyncBufRead + Unpin), bytes_max: usize) -> io::Result<Line> {
    let mut line = BytesMut::new();
    let mut too_long = false;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(finish(line, too_long).unwrap_or(Line::End));
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        too_long |= line.len() + part.len() > bytes_max;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some()
            && let Some(line) = finish(std::mem::take(&mut line), too_long)
        {
            return Ok(line);
        }
    }
}

fn finish(mut line: BytesMut, too_long: bool) -> Option<Line> {
    if too_long {
        return Some(Line::TooLong);
    }
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    (!line.trim_ascii().is_empty()).then(|| Line::Text(line.freeze()))
}

/// Writes what comes through the channel, one message on each line, until all senders are gone. Several that wait
/// are written before one flush.
pub(super) async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut messages: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        writer.write_all(&one_line(message)).await?;
        writer.write_all(b"\n").await?;
        if messages.is_empty() {
            writer.flush().await?;
        }
    }
    writer.flush().await
}

/// The message on one line. A line end can stand only between JSON tokens, where a space means the same: inside a
/// string it would not be JSON, and would not have been decoded.
fn one_line(message: Bytes) -> Bytes {
    if !message.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return message;
    }
    message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], bytes_max: usize, capacity: usize) -> Vec<Line> {
        let mut reader = tokio::io::BufReader::with_capacity(capacity, input);
        let mut lines = Vec::new();
        loop {
            match read(&mut reader, bytes_max).await.unwrap() {
                Line::End => return lines,
                line => lines.push(line),
            }
        }
    }

    #[tokio::test]
    async fn lines_of_every_shape() {
        let text = |text: &str| Line::Text(Bytes::copy_from_slice(text.as_bytes()));
        for capacity in [1, 3, 64] {
            assert_eq!(
                all(b"{}\n\r\n \n[1]\r\nend", 8, capacity).await,
                [text("{}"), text("[1]"), text("end")]
            );
            assert_eq!(
                all(b"12345678\n123456789\n1\n", 8, capacity).await,
                [text("12345678"), Line::TooLong, text("1")]
            );
            assert_eq!(all(b"123456789", 8, capacity).await, [Line::TooLong]);
            assert_eq!(all(b"", 8, capacity).await, []);
        }
    }

    #[tokio::test]
    async fn messages_stay_on_one_line() {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Bytes::from_static(b"{\n  \"a\": 1\r\n}")).await.unwrap();
        sender.send(Bytes::from_static(b"{}")).await.unwrap();
        drop(sender);
        let mut out = Vec::new();
        write(&mut out, receiver).await.unwrap();
        assert_eq!(out, b"{   \"a\": 1  }\n{}\n");
    }
}
