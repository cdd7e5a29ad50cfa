//! What a server answers to a ClientHello, read without trusting it.
//!
//! The parser takes bytes as they come and holds no socket. It understands as much of TLS as is sent in the clear:
//! the record layer (RFC 9846 section 5.1), ServerHello and HelloRetryRequest (4.1.3, 4.1.4; RFC 5246 section
//! 7.4.1.3 for older versions) and alerts (section 6).

use rustls::AlertDescription;

/// Largest answer that is read, in bytes. A ServerHello with the largest share has less than 2 kB; what comes after
/// it, up to a whole flight of a TLS 1.2 server, is never looked at.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Longest fragment of a record, in bytes: 2^14 and what an old cipher may add (RFC 5246 section 6.2.3).
const FRAGMENT_BYTES_MAX: usize = (1 << 14) + 2048;

const RECORD_CHANGE_CIPHER_SPEC: u8 = 20;
const RECORD_ALERT: u8 = 21;
const RECORD_HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;

const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const EXTENSION_KEY_SHARE: u16 = 51;

/// `ServerHello.random` of a HelloRetryRequest: SHA-256 of those words (RFC 9846 section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// End of the random of a server that knows TLS 1.3 and was asked for TLS 1.2 (RFC 9846 section 4.1.3).
const SENTINEL_TLS12: [u8; 8] = *b"DOWNGRD\x01";
/// The same when it was asked for TLS 1.1 or older.
const SENTINEL_TLS11: [u8; 8] = *b"DOWNGRD\x00";

/// The first thing that a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAnswer {
    /// It goes on with the handshake.
    Hello(ServerHello),
    /// It asks for another hello, usually with a share of another group.
    Retry(Retry),
    /// It refuses.
    Alert(Alert),
}

/// What a ServerHello says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHello {
    /// Version chosen: that of the supported_versions extension, else that of the message itself.
    pub version: u16,
    /// Cipher suite chosen.
    pub cipher: u16,
    /// Group of the server's share. TLS 1.2 names it in a later message.
    pub group: Option<u16>,
    /// Whether the random says that the server could have done better.
    pub sentinel: Option<Sentinel>,
}

/// What a HelloRetryRequest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Version chosen.
    pub version: u16,
    /// Cipher suite chosen.
    pub cipher: u16,
    /// Group of which a share is asked; `None` if the server asks for its cookie alone.
    pub group: Option<u16>,
}

/// The downgrade sentinel in a server's random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentinel {
    /// The server knows TLS 1.3 and agreed to TLS 1.2.
    Tls12,
    /// The server knows TLS 1.2 or better and agreed to TLS 1.1 or older.
    Tls11,
}

/// An alert in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// 1 warning, 2 fatal.
    pub level: u8,
    /// Number of the alert (RFC 9846 section 6).
    pub description: u8,
}

impl Alert {
    /// A warning, after which an older server goes on.
    fn is_warning(self) -> bool {
        self.level == 1
    }

    /// The name as the standard writes it, `handshake_failure`; `alert 200` if it has none.
    #[must_use]
    pub fn name(self) -> String {
        name_of_alert(AlertDescription::from(self.description))
    }
}

/// The name of an alert as the standard writes it.
pub(super) fn name_of_alert(alert: AlertDescription) -> String {
    let written = match alert {
        AlertDescription::Unknown(number) => return format!("alert {number}"),
        AlertDescription::UnknownCA => "UnknownCa".to_owned(),
        AlertDescription::UnknownPSKIdentity => "UnknownPskIdentity".to_owned(),
        AlertDescription::UnrecognisedName => "UnrecognizedName".to_owned(),
        known => format!("{known:?}"),
    };
    let mut name = String::new();
    for letter in written.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Why bytes are no answer of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first bytes are no TLS record.
    #[error("this is not TLS: it answers {said}")]
    NotTls {
        /// How the answer begins, made safe to print.
        said: String,
    },
    /// A message has another form than the standard says.
    #[error("the server's {what} is malformed")]
    Message {
        /// Which message or part.
        what: &'static str,
    },
    /// Something else than the answer to a hello.
    #[error("the server sent {what} where the answer to a hello belongs")]
    Unexpected {
        /// What it was.
        what: String,
    },
    /// More than [`ANSWER_BYTES_MAX`] without an answer.
    #[error("the server sent {ANSWER_BYTES_MAX} bytes without answering")]
    TooLong,
}

/// Reads one answer out of bytes that arrive in pieces.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes that are no whole record yet.
    records: Vec<u8>,
    /// Bytes of handshake messages that are not whole yet: a message may span records.
    messages: Vec<u8>,
    taken: usize,
}

impl Parser {
    /// A parser that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. `None`: more are needed. After an answer or an error the parser is of no further use.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<ServerAnswer>, Malformed> {
        // What is beyond the limit is not kept, so that a limit in one piece is the same as in many.
        let left = ANSWER_BYTES_MAX - self.taken;
        let kept = &bytes[..bytes.len().min(left)];
        self.taken += kept.len();
        self.records.extend_from_slice(kept);
        while let Some((kind, fragment)) = self.next_record()? {
            if let Some(answer) = self.take_fragment(kind, &fragment)? {
                return Ok(Some(answer));
            }
        }
        if self.taken == ANSWER_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        Ok(None)
    }

    fn next_record(&mut self) -> Result<Option<(u8, Vec<u8>)>, Malformed> {
        let start = &self.records[..self.records.len().min(2)];
        let plausible = match start {
            [] => return Ok(None),
            [kind] => (RECORD_CHANGE_CIPHER_SPEC..=RECORD_HANDSHAKE).contains(kind),
            [kind, major, ..] => (RECORD_CHANGE_CIPHER_SPEC..=RECORD_HANDSHAKE).contains(kind) && *major == 3,
        };
        if !plausible {
            let said = self.records[..self.records.len().min(SAID_BYTES_MAX)].escape_ascii().to_string();
            return Err(Malformed::NotTls { said: format!("\"{said}\"") });
        }
        let Some(header) = self.records.first_chunk::<5>() else { return Ok(None) };
        let (kind, length) = (header[0], usize::from(u16::from_be_bytes([header[3], header[4]])));
        if length > FRAGMENT_BYTES_MAX || length == 0 {
            return Err(Malformed::Message { what: "record" });
        }
        if self.records.len() < 5 + length {
            return Ok(None);
        }
        let fragment = self.records[5..5 + length].to_vec();
        self.records.drain(..5 + length);
        Ok(Some((kind, fragment)))
    }

    fn take_fragment(&mut self, kind: u8, fragment: &[u8]) -> Result<Option<ServerAnswer>, Malformed> {
        match kind {
            RECORD_ALERT => {
                let [level, description] = *fragment else {
                    return Err(Malformed::Message { what: "alert" });
                };
                let alert = Alert { level, description };
                Ok((!alert.is_warning()).then_some(ServerAnswer::Alert(alert)))
            }
            RECORD_HANDSHAKE => {
                self.messages.extend_from_slice(fragment);
                let Some(header) = self.messages.first_chunk::<4>() else { return Ok(None) };
                let [kind, high, middle, low] = *header;
                if kind != SERVER_HELLO {
                    return Err(Malformed::Unexpected { what: format!("handshake message {kind}") });
                }
                let length = usize::try_from(u32::from_be_bytes([0, high, middle, low]))
                    .map_err(|_| Malformed::TooLong)?;
                match self.messages.get(4..4 + length) {
                    Some(body) => server_hello(body).map(Some),
                    None => Ok(None),
                }
            }
            // A ChangeCipherSpec before any hello means nothing (RFC 9846 section 5).
            _ => Ok(None),
        }
    }
}

/// As much of an answer that is no TLS as is shown, in bytes.
const SAID_BYTES_MAX: usize = 24;

/// Takes a message apart, front to back.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(Malformed::Message { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A list that says its length in two bytes.
    fn list(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Message { what: self.what }) }
    }
}

fn server_hello(body: &[u8]) -> Result<ServerAnswer, Malformed> {
    const WHAT: &str = "ServerHello";
    let mut reader = Reader { rest: body, what: WHAT };
    let legacy_version = reader.number()?;
    let random = reader.take(32)?;
    let session_bytes = reader.take(1)?[0];
    if session_bytes > 32 {
        return Err(Malformed::Message { what: WHAT });
    }
    reader.take(session_bytes.into())?;
    let cipher = reader.number()?;
    let _compression = reader.take(1)?;
    let retry = random == RETRY_RANDOM;
    // Before TLS 1.3 the message may end here.
    let extensions = if reader.rest.is_empty() { &[] } else { reader.list()? };
    reader.end()?;
    let (version, group) = read_extensions(extensions, retry)?;
    let version = version.unwrap_or(legacy_version);
    if retry {
        return Ok(ServerAnswer::Retry(Retry { version, cipher, group }));
    }
    let sentinel = match &random[24..] {
        end if end == SENTINEL_TLS12 => Some(Sentinel::Tls12),
        end if end == SENTINEL_TLS11 => Some(Sentinel::Tls11),
        _ => None,
    };
    Ok(ServerAnswer::Hello(ServerHello { version, cipher, group, sentinel }))
}

/// The version and the group that extensions name.
fn read_extensions(list: &[u8], retry: bool) -> Result<(Option<u16>, Option<u16>), Malformed> {
    let mut reader = Reader { rest: list, what: "ServerHello extensions" };
    let (mut version, mut group) = (None, None);
    let mut seen: Vec<u16> = Vec::new();
    while !reader.rest.is_empty() {
        let kind = reader.number()?;
        let mut body = Reader { rest: reader.list()?, what: reader.what };
        if seen.contains(&kind) {
            return Err(Malformed::Message { what: reader.what });
        }
        seen.push(kind);
        match kind {
            EXTENSION_SUPPORTED_VERSIONS => version = Some(body.number()?),
            EXTENSION_KEY_SHARE => {
                group = Some(body.number()?);
                if !retry {
                    body.list()?;
                }
            }
            _ => continue,
        }
        body.end()?;
    }
    Ok((version, group))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
