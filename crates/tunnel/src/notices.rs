//! The stream of notices: what the gateway says of its cryptography, one JSON line each.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use lockgate_crypto::Notice;
use lockgate_transport::http::{Body, Pool};

use crate::service::{self, ANSWER_S_MAX};
use crate::{Refusal, TunnelError};

/// Longest silence, in seconds: the gateway sends a blank line every 30.
const SILENCE_S_MAX: u64 = 95;

/// An open stream, which holds its place on one link.
#[derive(Debug)]
pub(crate) struct Notices {
    body: Body,
    lines: Lines,
}

impl Notices {
    /// Opens the stream on the newest link, or on a new one if there is none.
    pub(crate) async fn open(pool: &Pool, path: &str) -> Result<Self, TunnelError> {
        let late = || TunnelError::Late { path: service::NOTICES.to_owned(), answer_s_max: ANSWER_S_MAX };
        let begun = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), pool.request(service::get(path)));
        let response = begun.await.map_err(|_| late())??;
        let status = response.status();
        if status.is_success() {
            return Ok(Self { body: response.into_body(), lines: Lines::default() });
        }
        // The body of a refusal is short, and only its reason is of use.
        let body = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), response.into_body().collect());
        let body = body.await.map_err(|_| late())??.to_bytes();
        Err(service::refused(service::NOTICES, status, &body))
    }

    /// The next notice. Cancelling loses nothing.
    ///
    /// # Errors
    /// Why the stream is over, in words for a log.
    pub(crate) async fn next(&mut self) -> Result<Notice, String> {
        loop {
            while let Some(line) = self.lines.next()? {
                if let Some(notice) = read(&line)? {
                    return Ok(notice);
                }
            }
            let silence = Duration::from_secs(SILENCE_S_MAX);
            let frame = tokio::time::timeout(silence, self.body.frame()).await;
            let frame = frame.map_err(|_| format!("no sign of life for {SILENCE_S_MAX} s"))?;
            let frame = frame.ok_or("the gateway ended it")?.map_err(|error| error.to_string())?;
            if let Ok(data) = frame.into_data() {
                self.lines.push(&data);
            }
        }
    }
}

/// Whether the gateway has no such stream: it is of an earlier version.
pub(crate) fn is_not_offered(error: &TunnelError) -> bool {
    match error {
        TunnelError::Refused(Refusal { status, .. }) => matches!(status.as_u16(), 404 | 405 | 501),
        TunnelError::Answer { .. } => true,
        _ => false,
    }
}

/// A notice; none for a sign of life, and for a line of a version that this one does not know.
fn read(line: &[u8]) -> Result<Option<Notice>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let notice: Notice =
        serde_json::from_slice(line).map_err(|error| format!("a line is no notice: {error}"))?;
    if notice.schema != Notice::SCHEMA {
        tracing::debug!(schema = notice.schema, "a notice of another version is passed over");
        return Ok(None);
    }
    Ok(Some(notice))
}

/// Lines out of pieces.
#[derive(Debug, Default)]
struct Lines {
    buffer: BytesMut,
    /// Bytes at the front that hold no line end.
    looked: usize,
}

impl Lines {
    fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    fn next(&mut self) -> Result<Option<Bytes>, String> {
        if let Some(end) = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.looked + end + 1).freeze();
            self.looked = 0;
            // An idle stream holds no memory: most tunnels are idle most of the time.
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            return Ok(Some(line));
        }
        self.looked = self.buffer.len();
        if self.looked > Notice::BYTES_MAX {
            return Err(format!("a notice is larger than {} bytes", Notice::BYTES_MAX));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(epoch: u64) -> String {
        let notice = Notice { schema: Notice::SCHEMA.to_owned(), epoch, ..Notice::default() };
        serde_json::to_string(&notice).unwrap() + "\n"
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_make_the_same_lines(size in 1_usize..400) {
            let text = format!("\n{}\n{}", line(1), line(2));
            let mut lines = Lines::default();
            let mut epochs = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece);
                while let Some(line) = lines.next().unwrap() {
                    epochs.extend(read(&line).unwrap().map(|notice| notice.epoch));
                }
            }
            prop_assert_eq!(epochs, vec![1, 2]);
            prop_assert!(lines.buffer.is_empty());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut lines = Lines::default();
            lines.push(&bytes);
            while let Ok(Some(line)) = lines.next() {
                let _ = read(&line);
            }
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        lines.push(&vec![b' '; Notice::BYTES_MAX + 1]);
        assert!(lines.next().is_err());
    }

    #[test]
    fn other_versions_are_passed_over_and_noise_is_not_checklist_01() {
        let newer = line(1).replace("notice/1", "notice/2");
        assert_eq!(read(newer.as_bytes()), Ok(None));
        let extended = line(4).replacen('{', r#"{"unheard_of":[1],"#, 1);
        assert_eq!(read(extended.as_bytes()).unwrap().unwrap().epoch, 4);
        assert!(read(b"<html>").is_err());
    }
}
