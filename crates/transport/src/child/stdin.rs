//! The way into a child: whole lines, or none.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

use super::clock::Activity;

/// Bytes kept of an emptied buffer; more is let go.
const KEEP_BYTES_MAX: usize = 64 * 1024;

/// Writes lines to a child.
#[derive(Debug)]
pub struct Stdin {
    pipe: Arc<Pipe>,
    /// What a cancelled call left behind. The next call writes it first, so that no line is cut.
    pending: BytesMut,
    activity: Arc<Activity>,
}

/// The pipe itself, which the keeper may close under the writer.
#[derive(Debug)]
pub(super) struct Pipe {
    open: Mutex<Option<ChildStdin>>,
    closed: CancellationToken,
}

impl Pipe {
    pub(super) fn new(stdin: ChildStdin) -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(Some(stdin)), closed: CancellationToken::new() })
    }

    /// Closes the pipe: the child reads end-of-file after what was written.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.open.lock().take();
    }
}

impl Stdin {
    pub(super) fn new(pipe: Arc<Pipe>, activity: Arc<Activity>) -> Self {
        Self { pipe, pending: BytesMut::new(), activity }
    }

    /// Writes `text` as one line. Line breaks inside it become spaces: between the tokens of a JSON text both
    /// are white space, and inside a JSON string neither may stand raw, so that the text keeps its meaning.
    ///
    /// Resolves when the pipe has taken all of it. If the future is dropped earlier, the line still goes out
    /// whole, before the next one.
    ///
    /// # Errors
    /// `BrokenPipe` if the child has closed its end, or is being stopped.
    pub async fn send(&mut self, text: &[u8]) -> io::Result<()> {
        self.flush().await?;
        self.pending.reserve(text.len() + 1);
        let start = self.pending.len();
        self.pending.extend_from_slice(text);
        let mut from = start;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', &self.pending[from..]) {
            from += at;
            self.pending[from] = b' ';
        }
        self.pending.extend_from_slice(b"\n");
        self.activity.touch();
        self.flush().await
    }

    /// Closes the pipe: the child reads end-of-file. For most servers that is the request to exit.
    pub fn close(self) {
        self.pipe.close();
    }

    async fn flush(&mut self) -> io::Result<()> {
        let pipe = Arc::clone(&self.pipe);
        tokio::select! {
            biased;
            () = pipe.closed.cancelled() => Err(io::ErrorKind::BrokenPipe.into()),
            outcome = self.write_pending() => outcome,
        }
    }

    async fn write_pending(&mut self) -> io::Result<()> {
        let Self { pipe, pending, .. } = self;
        poll_fn(|cx| {
            while !pending.is_empty() {
                let mut open = pipe.open.lock();
                let Some(stdin) = open.as_mut() else {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe)));
                };
                match ready!(Pin::new(stdin).poll_write(cx, pending))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => pending.advance(written),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        if self.pending.capacity() > KEEP_BYTES_MAX {
            self.pending = BytesMut::new();
        }
        Ok(())
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        self.pipe.close();
    }
}
