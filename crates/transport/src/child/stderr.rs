//! What a child says aside: logged, and its end kept for error messages.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::AsyncRead;

use super::lines::{LineError, Lines};

/// A line of standard error longer than this is dropped from the log. Servers print stack traces, line by
/// line; longer lines are dumps.
const STDERR_LINE_BYTES_MAX: usize = 4 * 1024;

/// The last lines of a child's standard error, bounded in bytes.
#[derive(Debug)]
pub(super) struct Tail {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, kept: Mutex::default() })
    }

    pub(super) fn text(&self) -> String {
        let kept = self.kept.lock();
        kept.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn push(&self, line: String) {
        let mut kept = self.kept.lock();
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.lines.pop_front() else {
                break;
            };
            kept.bytes -= oldest.len();
        }
    }
}

/// Reads `source` to its end. `server` is the configured name of the child in the log.
pub(super) async fn drain(source: impl AsyncRead + Unpin, tail: Arc<Tail>, server: String) {
    let mut lines = Lines::new(source, STDERR_LINE_BYTES_MAX);
    loop {
        let line = match lines.next_line().await {
            Ok(Some(line)) => String::from_utf8_lossy(&line).into_owned(),
            Err(LineError::TooLong { .. }) => "[line too long, not shown]".to_owned(),
            Ok(None) | Err(LineError::Io(_)) => return,
        };
        // Debug, not info: the child decides how much it writes, and must not fill the operator's log.
        tracing::debug!(target: "lockgate::child", %server, %line, "stderr");
        tail.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tail_keeps_the_last_lines_within_its_bytes() {
        let tail = Tail::new(10);
        let long = "x".repeat(STDERR_LINE_BYTES_MAX + 1);
        let text = format!("one\n{long}\nfour\nfive\nsix\n");
        drain(text.as_bytes(), Arc::clone(&tail), "test".into()).await;
        assert_eq!(tail.text(), "five\nsix");
        assert!(tail.kept.lock().bytes <= 10);
    }
}
