//! Newline framing of a child's output, with a limit on the line.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked of the pipe at once. A pipe holds 64 KiB; most messages fit in 8.
const READ_BYTES: usize = 8 * 1024;
/// A buffer that grew for a large line is let go when it is empty and larger than this.
const KEEP_BYTES_MAX: usize = 64 * 1024;

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is longer than allowed. Its rest is skipped: the next call reads the next line.
    #[error(
        "the server wrote a line of more than {line_bytes_max} bytes (line_bytes_max); raise the limit if the server may answer that much at once"
    )]
    TooLong {
        /// The limit that was passed.
        line_bytes_max: usize,
    },
    /// The pipe failed.
    #[error("reading from the server failed: {0}")]
    Io(#[from] io::Error),
}

/// Reads lines from a pipe. Memory is bounded by the longest allowed line.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: BytesMut,
    /// Bytes at the front of `buffer` known to hold no newline.
    scanned: usize,
    /// The line at the front was too long; skip to its end.
    skipping: bool,
    line_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(source: R, line_bytes_max: usize) -> Self {
        Self { source, buffer: BytesMut::new(), scanned: 0, skipping: false, line_bytes_max }
    }

    /// The next line that is not blank, without its line end (LF or CRLF). `None` at the end of the output; a
    /// last line without a line end counts. Cancel-safe.
    ///
    /// # Errors
    /// [`LineError`]; after `TooLong` the reader goes on with the next line.
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, LineError> {
        loop {
            if let Some(line) = self.take_line()? {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.buffer.reserve(READ_BYTES);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return self.take_rest();
            }
        }
    }

    fn take_line(&mut self) -> Result<Option<Bytes>, LineError> {
        loop {
            let Some(end) = self.find_newline() else {
                return self.hold().map(|()| None);
            };
            let too_long = end > self.line_bytes_max;
            if std::mem::take(&mut self.skipping) {
                self.buffer.advance(end + 1);
            } else if too_long {
                self.buffer.advance(end + 1);
                return Err(self.too_long());
            } else {
                let mut line = self.buffer.split_to(end + 1).freeze();
                line.truncate(end);
                if line.ends_with(b"\r") {
                    line.truncate(end - 1);
                }
                self.shrink();
                return Ok(Some(line));
            }
        }
    }

    fn find_newline(&mut self) -> Option<usize> {
        let found = memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at);
        self.scanned = if found.is_some() { 0 } else { self.buffer.len() };
        found
    }

    /// Keeps an unfinished line, unless it is already too long.
    fn hold(&mut self) -> Result<(), LineError> {
        let overflow = self.buffer.len() > self.line_bytes_max;
        if self.skipping || overflow {
            self.buffer.clear();
            self.scanned = 0;
            self.shrink();
        }
        if overflow && !std::mem::replace(&mut self.skipping, true) {
            return Err(self.too_long());
        }
        Ok(())
    }

    fn take_rest(&mut self) -> Result<Option<Bytes>, LineError> {
        self.scanned = 0;
        let rest = self.buffer.split().freeze();
        let rest = rest.slice_ref(rest.trim_ascii());
        Ok((!rest.is_empty() && !self.skipping).then_some(rest))
    }

    fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
    }

    fn too_long(&self) -> LineError {
        LineError::TooLong { line_bytes_max: self.line_bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proptest::prelude::*;
    use tokio::io::ReadBuf;

    use super::*;

    /// Yields prepared chunks, one a read.
    struct Chunks(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for Chunks {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut chunk) = self.0.pop_front() {
                let now = chunk.len().min(buffer.remaining());
                buffer.put_slice(&chunk[..now]);
                if now < chunk.len() {
                    self.0.push_front(chunk.split_off(now));
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    fn read_all(chunks: &[&[u8]], line_bytes_max: usize) -> Vec<Result<String, String>> {
        let source =
            Chunks(chunks.iter().filter(|chunk| !chunk.is_empty()).map(|chunk| chunk.to_vec()).collect());
        let mut lines = Lines::new(source, line_bytes_max);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut out = Vec::new();
            loop {
                match lines.next_line().await {
                    Ok(Some(line)) => out.push(Ok(String::from_utf8_lossy(&line).into_owned())),
                    Ok(None) => return out,
                    Err(error) => out.push(Err(error.to_string())),
                }
                assert!(lines.buffer.len() <= line_bytes_max + READ_BYTES.max(64));
            }
        })
    }

    fn ok(lines: &[&str]) -> Vec<Result<String, String>> {
        lines.iter().map(|line| Ok((*line).to_owned())).collect()
    }

    #[test]
    fn lines_are_cut_at_their_ends() {
        let cases: [(&[&[u8]], &[&str]); 7] = [
            (&[b"a\nb\n"], &["a", "b"]),
            (&[b"a\r\nb\r\n"], &["a", "b"]),
            (&[b"a", b"b", b"\n", b"c\nd"], &["ab", "c", "d"]),
            (&[b"\n\r\n\na\n\n"], &["a"]),
            (&[b"a\r", b"\nb"], &["a", "b"]),
            (&[], &[]),
            (&[b"12345678\n"], &["12345678"]),
        ];
        for (chunks, expected) in cases {
            assert_eq!(read_all(chunks, 8), ok(expected), "{chunks:?}");
        }
    }

    #[test]
    fn a_long_line_is_one_error_and_the_next_line_is_read() {
        let long = LineError::TooLong { line_bytes_max: 4 }.to_string();
        let cases: [&[&[u8]]; 4] = [
            &[b"123456789\nok\n"],
            &[b"123", b"456", b"789", b"\nok\n"],
            &[b"12345", b"\nok\n"],
            &[b"12345\n", b"ok"],
        ];
        for chunks in cases {
            let expected = vec![Err(long.clone()), Ok("ok".to_owned())];
            assert_eq!(read_all(chunks, 4), expected, "{chunks:?}");
        }
        // The end of the output ends a skipped line too.
        assert_eq!(read_all(&[b"12345", b"678"], 4), vec![Err(long)]);
    }

    proptest! {
        #[test]
        fn chunking_does_not_change_lines(
            text in proptest::collection::vec("[ab]{0,6}", 0..12),
            cuts in proptest::collection::vec(1usize..9, 0..40),
        ) {
            let bytes = text.join("\n").into_bytes();
            let mut chunks = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                chunks.push(now);
                rest = later;
            }
            chunks.push(rest);
            prop_assert_eq!(read_all(&chunks, 4), read_all(&[&bytes], 4));
        }
    }
}
