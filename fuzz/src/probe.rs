//! The target on `lockgate-transport`: a server's answer to a probe.

use lockgate_transport::probe::wire::{ANSWER_BYTES_MAX, Malformed, Parser, ServerAnswer};

/// How to cut it in the first byte, then records: a ServerHello, a HelloRetryRequest, alerts, and what is no TLS.
pub const ANSWER_SEEDS: &[&[u8]] = &[
    b"\x07\x16\x03\x03\x00\x3c\x02\x00\x00\x38\x03\x03\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09DOWNGRD\x01\x00\x13\x02\x00\x00\x10\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x06\x11\xec\x00\x02\x07\x07",
    b"\x01\x16\x03\x03\x00\x38\x02\x00\x00\x34\x03\x03\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c\x00\x13\x01\x00\x00\x0c\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x02\x11\xec",
    b"\x02\x15\x03\x03\x00\x02\x01\x70\x15\x03\x03\x00\x02\x02\x28",
    b"\x03HTTP/1.1 400 Bad Request\r\n\r\n",
];

/// Any bytes are an answer or not, the same however they are cut, and within the limit; an answer needs no more than
/// its own bytes.
pub fn answer(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = read(std::iter::once(bytes));
    assert_eq!(whole, read(bytes.chunks(usize::from(*cut).max(1))));
    if bytes.len() >= ANSWER_BYTES_MAX {
        assert!(whole != Ok(None), "nothing is read for ever");
    }
    if let Ok(Some(ServerAnswer::Alert(alert))) = &whole {
        assert!(!alert.name().is_empty());
    }
    if let Ok(Some(answer)) = whole {
        let longer = [bytes, b"GET / HTTP/1.1"].concat();
        assert_eq!(
            read(std::iter::once(&*longer)),
            Ok(Some(answer)),
            "what follows an answer changes nothing"
        );
    }
}

/// What a foreign protocol said depends on how much of it had come, so that is left out.
fn read<'c>(pieces: impl Iterator<Item = &'c [u8]>) -> Result<Option<ServerAnswer>, Malformed> {
    let mut parser = Parser::new();
    for piece in pieces {
        match parser.feed(piece) {
            Ok(None) => {}
            Err(Malformed::NotTls { .. }) => return Err(Malformed::NotTls { said: String::new() }),
            end => return end,
        }
    }
    Ok(None)
}
