//! Just enough HTTP/1.1 to read a request without changing a byte of it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest request head; far above what a gateway may send, so that it is never the cause.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Longest request body, four times the largest that the gateway lets through.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Size of one read from the socket.
const READ_BYTES: usize = 64 * 1024;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// `POST`, `GET`, `DELETE`, …
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names and values in the order and case in which they arrived.
    pub(super) headers: Vec<(String, String)>,
    /// The body without its transfer encoding.
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The first header of that name, in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The number given for `name` in the query.
    pub(super) fn query_number(&self, name: &str) -> Option<u64> {
        let query = self.target.split_once('?')?.1;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(held, _)| *held == name)?.1.parse().ok()
    }
}

/// The reading half of a connection, with what was read ahead.
pub(super) struct Reader<R> {
    source: R,
    ahead: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads requests from `source`.
    pub(super) fn new(source: R) -> Self {
        Self { source, ahead: Vec::new() }
    }

    /// The next request, or `None` when the client closed the connection between two of them.
    ///
    /// # Errors
    /// When the connection breaks, or what arrives is not HTTP/1.1.
    pub(super) async fn request(&mut self) -> io::Result<Option<Request>> {
        let end = loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                break end;
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(malformed("the request head is too long"));
            }
            if self.more().await? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(malformed("cut off")) };
            }
        };
        let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
        let head = String::from_utf8(head).map_err(|_| malformed("the head is not UTF-8"))?;
        let mut request = parse_head(&head)?;
        let chunked = request
            .header("transfer-encoding")
            .is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
        request.body = if chunked {
            self.chunks().await?
        } else {
            let length = request.header("content-length").map_or(Ok(0), str::parse);
            self.exactly(length.map_err(|_| malformed("content-length is no number"))?).await?
        };
        Ok(Some(request))
    }

    /// Completes when the client has closed or reset the connection. Bytes that arrive meanwhile
    /// are kept for the next request.
    pub(super) async fn closed(&mut self) {
        while self.ahead.len() < BODY_BYTES_MAX && self.more().await.is_ok_and(|read| read > 0) {}
    }

    /// Reads more, ahead of what was asked for. Cancel-safe: `closed` is dropped in the middle of it.
    async fn more(&mut self) -> io::Result<usize> {
        let mut chunk = vec![0; READ_BYTES];
        let read = self.source.read(&mut chunk).await?;
        self.ahead.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > BODY_BYTES_MAX {
            return Err(malformed("the body is too long"));
        }
        while self.ahead.len() < length {
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = find(&self.ahead, b"\r\n") {
                break end;
            }
            if self.ahead.len() > HEAD_BYTES_MAX || self.more().await? == 0 {
                return Err(malformed("a chunk size is missing"));
            }
        };
        let line = self.ahead.drain(..end + 2).take(end).collect();
        String::from_utf8(line).map_err(|_| malformed("a chunk size is not UTF-8"))
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line().await?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed("bad chunk size"))?;
            body.extend(self.exactly(size).await?);
            if body.len() > BODY_BYTES_MAX {
                return Err(malformed("the body is too long"));
            }
            let trailer = self.line().await?;
            if size == 0 && trailer.is_empty() {
                return Ok(body);
            }
        }
    }
}

fn parse_head(head: &str) -> io::Result<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (first.next(), first.next(), first.next(), first.next())
    else {
        return Err(malformed("the request line is not HTTP/1.1"));
    };
    let headers = lines.filter(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header has no colon"))?;
        Ok((name.to_owned(), value.trim().to_owned()))
    });
    Ok(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.collect::<io::Result<_>>()?,
        body: Vec::new(),
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn malformed(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8]) -> io::Result<Vec<Request>> {
        let mut reader = Reader::new(bytes);
        let mut requests = Vec::new();
        while let Some(request) = reader.request().await? {
            requests.push(request);
        }
        Ok(requests)
    }

    #[tokio::test]
    async fn requests_are_read_one_after_the_other() {
        let bytes = b"POST /mcp?requests=2 HTTP/1.1\r\nX-Odd-CASE:  v \r\ncontent-length: 2\r\n\r\n{}\
            POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let requests = read_all(bytes).await.expect("two requests");
        assert_eq!(requests[0].headers[0], ("X-Odd-CASE".to_owned(), "v".to_owned()));
        assert_eq!((requests[0].path(), requests[0].query_number("requests")), ("/mcp", Some(2)));
        assert_eq!(requests[0].body, b"{}");
        assert_eq!(requests[1].body, b"abcde");
        assert_eq!(requests.len(), 2);
    }

    #[tokio::test]
    async fn what_is_not_a_request_is_an_error() {
        for bytes in [
            &b"hello\r\n\r\n"[..],
            b"POST / HTTP/1.0\r\n\r\n",
            b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: two\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nshort",
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"POST / HTTP/1.1\r\n",
        ] {
            read_all(bytes).await.expect_err("malformed");
        }
    }
}
