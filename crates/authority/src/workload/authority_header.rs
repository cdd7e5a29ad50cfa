//! Reads the `:authority` of gRPC's C core as its authors mean it.
//!
//! On a Unix socket that library, and with it Python's `grpcio` and most other languages', sends the percent-encoded path
//! of the socket as `:authority`. The `h2` crate resets such a stream with PROTOCOL_ERROR: a percent sign may stand in the
//! user part of an authority only (RFC 3986, section 3.2). Nobody here reads the name of a socket that was opened already,
//! so each `%` in it becomes a `-` before `h2` sees it. Lengths stay, so that both ends' tables of headers (RFC 7541,
//! section 2.3.2) agree. All other bytes pass as they are, and what is no HTTP/2 passes whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an HTTP/2 client begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's header in bytes (RFC 9113, section 4.1).
const FRAME_HEADER_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Bytes of a stream's priority in a HEADERS frame.
const PRIORITY_BYTES: usize = 5;
/// The header; the C core writes out its name.
const AUTHORITY: &[u8] = b":authority";
/// Its index in the static table (RFC 7541, appendix A).
const AUTHORITY_INDEX: u64 = 1;
/// Most bytes of an integer after its prefix: 2^35 is more than any length here.
const INTEGER_BYTES_MAX: u32 = 5;

/// Where in the stream of bytes we are.
#[derive(Debug)]
enum Frame {
    Preface(usize),
    Header([u8; FRAME_HEADER_BYTES], usize),
    /// Of a HEADERS frame that has them: the length of the padding, then the priority.
    PadLength {
        left: usize,
        priority: usize,
    },
    Priority {
        left: usize,
        skip: usize,
        pad: usize,
    },
    Block {
        left: usize,
        pad: usize,
    },
    /// Bytes that are none of our business.
    Skip(usize),
    /// No HTTP/2, or nothing that we understand: everything passes.
    Off,
}

/// Where in a block of headers we are (RFC 7541, section 6).
#[derive(Debug, Default)]
enum Field {
    #[default]
    Start,
    /// An index or a table size whose first byte was full.
    Index {
        value: u64,
        shift: u32,
        literal: bool,
    },
    NameLength(Length),
    /// How many bytes of the name are left, and how many of them have been those of `:authority`.
    Name {
        left: u64,
        same: Option<usize>,
    },
    ValueLength {
        authority: bool,
        length: Length,
    },
    Value {
        authority: bool,
        left: u64,
    },
}

/// The length of a string, byte by byte.
#[derive(Debug, Default)]
struct Length {
    value: u64,
    shift: Option<u32>,
    huffman: bool,
}

impl Length {
    /// Takes the next byte; the length, once it is whole. `Err` if it is longer than any can be.
    fn next(&mut self, byte: u8) -> Result<Option<u64>, ()> {
        match self.shift {
            None => {
                self.huffman = byte & 0x80 != 0;
                self.value = u64::from(byte & 0x7f);
                if self.value < 0x7f {
                    return Ok(Some(self.value));
                }
                self.shift = Some(0);
                Ok(None)
            }
            Some(shift) => {
                let whole = more(&mut self.value, shift, byte)?;
                self.shift = Some(shift + 7);
                Ok(whole.then_some(self.value))
            }
        }
    }
}

/// Adds a byte to an integer (RFC 7541, section 5.1). Whether it was the last.
fn more(value: &mut u64, shift: u32, byte: u8) -> Result<bool, ()> {
    if shift >= INTEGER_BYTES_MAX * 7 {
        return Err(());
    }
    *value += u64::from(byte & 0x7f) << shift;
    Ok(byte & 0x80 == 0)
}

/// Changes the bytes of one client in place, however they are cut.
#[derive(Debug)]
pub struct Mender {
    frame: Frame,
    field: Field,
}

impl Default for Mender {
    fn default() -> Self {
        Self { frame: Frame::Preface(0), field: Field::Start }
    }
}

impl Mender {
    /// The next bytes of the client.
    pub fn mend(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if matches!(self.frame, Frame::Off) {
                return;
            }
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: &mut u8) {
        self.frame = match std::mem::replace(&mut self.frame, Frame::Off) {
            Frame::Preface(at) if *byte != PREFACE[at] => Frame::Off,
            Frame::Preface(at) if at + 1 == PREFACE.len() => Frame::Header([0; FRAME_HEADER_BYTES], 0),
            Frame::Preface(at) => Frame::Preface(at + 1),
            Frame::Header(mut header, at) => {
                header[at] = *byte;
                if at + 1 < FRAME_HEADER_BYTES {
                    Frame::Header(header, at + 1)
                } else {
                    self.payload(&header)
                }
            }
            Frame::PadLength { left, priority } => {
                let pad = usize::from(*byte);
                match (left - 1).checked_sub(pad + priority) {
                    Some(_) if priority > 0 => Frame::Priority { left: left - 1, skip: priority, pad },
                    Some(0) => skip(pad),
                    Some(block) => Frame::Block { left: block, pad },
                    None => Frame::Off,
                }
            }
            Frame::Priority { left, skip: 1, pad } => match (left - 1).checked_sub(pad) {
                Some(0) => skip(pad),
                Some(block) => Frame::Block { left: block, pad },
                None => Frame::Off,
            },
            Frame::Priority { left, skip, pad } => Frame::Priority { left: left - 1, skip: skip - 1, pad },
            Frame::Block { left, pad } => match self.field(byte) {
                Err(()) => Frame::Off,
                Ok(()) if left == 1 => skip(pad),
                Ok(()) => Frame::Block { left: left - 1, pad },
            },
            Frame::Skip(left) => skip(left - 1),
            Frame::Off => Frame::Off,
        };
    }

    fn payload(&mut self, header: &[u8; FRAME_HEADER_BYTES]) -> Frame {
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let (kind, flags) = (header[3], header[4]);
        let priority = if kind == HEADERS && flags & PRIORITY != 0 { PRIORITY_BYTES } else { 0 };
        match kind {
            HEADERS => {
                self.field = Field::Start;
                match (flags & PADDED != 0, length) {
                    (_, 0) => skip(0),
                    (true, left) => Frame::PadLength { left, priority },
                    (false, left) if priority > left => Frame::Off,
                    (false, left) if priority > 0 => Frame::Priority { left, skip: priority, pad: 0 },
                    (false, left) => Frame::Block { left, pad: 0 },
                }
            }
            CONTINUATION if length > 0 => Frame::Block { left: length, pad: 0 },
            _ => skip(length),
        }
    }

    /// One byte of a block of headers.
    fn field(&mut self, byte: &mut u8) -> Result<(), ()> {
        self.field = match std::mem::take(&mut self.field) {
            Field::Start => {
                let (mask, literal) = match *byte {
                    b if b & 0x80 != 0 => (0x7f, false),
                    b if b & 0x40 != 0 => (0x3f, true),
                    b if b & 0x20 != 0 => (0x1f, false),
                    _ => (0x0f, true),
                };
                match u64::from(*byte & mask) {
                    full if full == u64::from(mask) => Field::Index { value: full, shift: 0, literal },
                    index => after_index(index, literal),
                }
            }
            Field::Index { mut value, shift, literal } => match more(&mut value, shift, *byte)? {
                true => after_index(value, literal),
                false => Field::Index { value, shift: shift + 7, literal },
            },
            Field::NameLength(mut length) => match length.next(*byte)? {
                Some(0) => Field::ValueLength { authority: false, length: Length::default() },
                Some(left) => Field::Name { left, same: (!length.huffman).then_some(0) },
                None => Field::NameLength(length),
            },
            Field::Name { left, same } => {
                let same = same.filter(|at| AUTHORITY.get(*at) == Some(byte)).map(|at| at + 1);
                match left {
                    1 => Field::ValueLength {
                        authority: same == Some(AUTHORITY.len()),
                        length: Length::default(),
                    },
                    left => Field::Name { left: left - 1, same },
                }
            }
            Field::ValueLength { authority, mut length } => match length.next(*byte)? {
                Some(0) => Field::Start,
                // The C core writes it plain; in Huffman's code a byte could not be changed alone.
                Some(left) => Field::Value { authority: authority && !length.huffman, left },
                None => Field::ValueLength { authority, length },
            },
            Field::Value { authority, left } => {
                if authority && *byte == b'%' {
                    *byte = b'-';
                }
                if left == 1 { Field::Start } else { Field::Value { authority, left: left - 1 } }
            }
        };
        Ok(())
    }
}

fn after_index(index: u64, literal: bool) -> Field {
    match (literal, index) {
        (false, _) => Field::Start,
        (true, 0) => Field::NameLength(Length::default()),
        (true, index) => {
            Field::ValueLength { authority: index == AUTHORITY_INDEX, length: Length::default() }
        }
    }
}

fn skip(left: usize) -> Frame {
    if left == 0 { Frame::Header([0; FRAME_HEADER_BYTES], 0) } else { Frame::Skip(left) }
}

/// A connection whose client's `:authority` is readable.
#[derive(Debug)]
pub(super) struct Readable<S> {
    inner: S,
    mender: Mender,
}

impl<S> Readable<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, mender: Mender::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Readable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.mender.mend(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Readable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn block(authority: &str) -> Vec<u8> {
        let length = u8::try_from(authority.len()).unwrap();
        // :method POST, :scheme http, :path literal, :authority literal, a literal with a literal name.
        let mut block = vec![0x83, 0x86, 0x44, 3, b'/', b'%', b'x', 0x41, length];
        block.extend(authority.as_bytes());
        block.extend([0x40, 1, b'%', 2, b'%', b'%', 0x3f, 0xe1, 0x1f, 0xbe]);
        // As the C core writes it, and a name that only begins like it.
        block.extend(b"@\x0a:authority");
        block.push(length);
        block.extend(authority.as_bytes());
        block.extend(b"@\x0b:authority2\x01%@\x09:authorit\x01%");
        block
    }

    fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE.to_vec(), frames.concat()].concat()
    }

    fn mended(bytes: &[u8], cut: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let mut mender = Mender::default();
        bytes.chunks_mut(cut).for_each(|chunk| mender.mend(chunk));
        bytes
    }

    #[test]
    fn only_the_authority_changes_however_the_bytes_are_cut() {
        let (bad, good) = (block("tmp%2Fworkload.sock"), block("tmp-2Fworkload.sock"));
        let padded = |block: &[u8]| [&[3, 0, 0, 0, 0, 7][..], block, &[b'%'; 3]].concat();
        let make = |block: &[u8]| {
            stream(&[
                frame(4, 0, b"%%%%%%"),
                frame(HEADERS, 0x4, block),
                frame(0, 0, b"%41%"),
                frame(HEADERS, PADDED | PRIORITY | 0x4, &padded(block)),
                frame(HEADERS, 0, &block[..12]),
                frame(CONTINUATION, 0x4, &block[12..]),
                frame(6, 0, b"%%%%%%%%"),
            ])
        };
        for cut in 1..40 {
            assert_eq!(mended(&make(&bad), cut), make(&good), "{cut}");
        }
        let long = "%".repeat(300);
        let with = |value: &str| {
            let head = [0x41, 0x7f, 0xad, 0x01];
            stream(&[frame(HEADERS, 0x4, &[&head[..], value.as_bytes()].concat())])
        };
        assert_eq!(mended(&with(&long), 7), with(&"-".repeat(300)));
    }

    #[test]
    fn what_is_not_meant_passes() {
        for bytes in [
            b"GET /%41 HTTP/1.1\r\nhost: a%b\r\n\r\n".to_vec(),
            b"PRI * HTTP/1.1\r\n%".to_vec(),
            stream(&[frame(HEADERS, PADDED, &[200, 0x41, 1, b'%'])]),
            stream(&[frame(HEADERS, PRIORITY, &[0x41, 1, b'%'])]),
            stream(&[frame(HEADERS, 0x4, &[0x41, 0x81, b'%'])]),
            stream(&[frame(HEADERS, 0x4, &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'%'])]),
        ] {
            assert_eq!(mended(&bytes, 3), bytes);
        }
    }

    proptest! {
        #[test]
        fn lengths_and_all_but_percent_signs_stay(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            kind in prop::sample::select(vec![0u8, 1, 1, 1, 9, 4]),
            flags in any::<u8>(),
            cut in 1usize..50,
        ) {
            let bytes = stream(&[frame(kind, flags, &bytes), frame(1, 4, &block("a%b"))]);
            let after = mended(&bytes, cut);
            prop_assert_eq!(bytes.len(), after.len());
            for (before, after) in bytes.iter().zip(&after) {
                prop_assert!(before == after || (*before == b'%' && *after == b'-'));
            }
            prop_assert_eq!(mended(&bytes, 1), after);
        }
    }
}
