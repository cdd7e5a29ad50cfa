use proptest::prelude::*;

use super::*;

const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

/// A ServerHello in one record.
fn hello(random: [u8; 32], cipher: u16, extensions: Option<&[(u16, Vec<u8>)]>) -> Vec<u8> {
    let mut body = TLS12.to_be_bytes().to_vec();
    body.extend(random);
    body.extend([4, 1, 2, 3, 4]);
    body.extend(cipher.to_be_bytes());
    body.push(0);
    if let Some(extensions) = extensions {
        let mut list = Vec::new();
        for (kind, content) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            list.extend(content);
        }
        body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        body.extend(list);
    }
    let mut message = vec![SERVER_HELLO];
    message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend(body);
    record(RECORD_HANDSHAKE, &message)
}

fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
    record.extend(fragment);
    record
}

fn version(version: u16) -> (u16, Vec<u8>) {
    (EXTENSION_SUPPORTED_VERSIONS, version.to_be_bytes().to_vec())
}

fn share(group: u16, bytes: usize) -> (u16, Vec<u8>) {
    let mut content = group.to_be_bytes().to_vec();
    content.extend(u16::try_from(bytes).unwrap().to_be_bytes());
    content.extend(vec![7; bytes]);
    (EXTENSION_KEY_SHARE, content)
}

fn read(bytes: &[u8]) -> Result<Option<ServerAnswer>, Malformed> {
    Parser::new().feed(bytes)
}

#[test]
fn a_hello_of_tls_1_3_names_version_cipher_and_group() {
    let bytes = hello([9; 32], 0x1302, Some(&[version(TLS13), share(0x11ec, 1120)]));
    let hello = ServerHello { version: TLS13, cipher: 0x1302, group: Some(0x11ec), sentinel: None };
    assert_eq!(read(&bytes), Ok(Some(ServerAnswer::Hello(hello))));
}

#[test]
fn a_retry_names_the_group_that_the_server_wants() {
    let key_share = (EXTENSION_KEY_SHARE, vec![0x11, 0xec]);
    let cookie = (44, vec![0, 2, 1, 1]);
    let bytes = hello(RETRY_RANDOM, 0x1301, Some(&[cookie, version(TLS13), key_share]));
    let retry = Retry { version: TLS13, cipher: 0x1301, group: Some(0x11ec) };
    assert_eq!(read(&bytes), Ok(Some(ServerAnswer::Retry(retry))));
}

#[test]
fn the_random_of_an_older_hello_may_tell_of_a_downgrade() {
    for (end, expected) in [
        (*b"DOWNGRD\x01", Some(Sentinel::Tls12)),
        (*b"DOWNGRD\x00", Some(Sentinel::Tls11)),
        (*b"DOWNGRD\x02", None),
    ] {
        let mut random = [1; 32];
        random[24..].copy_from_slice(&end);
        let expected = Some(ServerAnswer::Hello(ServerHello {
            version: TLS12,
            cipher: 0xc02f,
            group: None,
            sentinel: expected,
        }));
        assert_eq!(read(&hello(random, 0xc02f, None)), Ok(expected.clone()));
        assert_eq!(read(&hello(random, 0xc02f, Some(&[(0xff01, vec![0])]))), Ok(expected));
    }
}

#[test]
fn alerts_have_their_names_and_warnings_are_passed_over() {
    let fatal = record(RECORD_ALERT, &[2, 40]);
    let alert = Alert { level: 2, description: 40 };
    assert_eq!(read(&fatal), Ok(Some(ServerAnswer::Alert(alert))));
    assert_eq!(alert.name(), "handshake_failure");
    // unrecognized_name as a warning, after which servers of TLS 1.2 go on (RFC 6066 section 3).
    let warned = [record(RECORD_ALERT, &[1, 112]), fatal].concat();
    assert_eq!(read(&warned), Ok(Some(ServerAnswer::Alert(alert))));
    for (description, name) in [
        (112, "unrecognized_name"),
        (48, "unknown_ca"),
        (70, "protocol_version"),
        (116, "certificate_required"),
        (115, "unknown_psk_identity"),
        (200, "alert 200"),
    ] {
        assert_eq!(Alert { level: 2, description }.name(), name);
    }
}

#[test]
fn what_is_no_tls_is_shown_and_defused() {
    let error = read(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_err();
    assert_eq!(error.to_string(), "this is not TLS: it answers \"HTTP/1.1 400 Bad Request\"");
    assert_eq!(read(b"\x1b[2J").unwrap_err(), Malformed::NotTls { said: "\"\\x1b[2J\"".to_owned() });
    // A record of type 22, but of no version of TLS.
    assert!(matches!(read(&[22, 9, 9]), Err(Malformed::NotTls { .. })));
}

#[test]
fn malformed_messages_are_refused() {
    let twice = hello([9; 32], 0x1302, Some(&[version(TLS13), version(TLS13)]));
    let long_share =
        hello([9; 32], 0x1302, Some(&[version(TLS13), (EXTENSION_KEY_SHARE, vec![0, 29, 0, 9, 1])]));
    let mut after_end = hello([9; 32], 0x1302, Some(&[]));
    after_end.push(0);
    after_end[4] += 1;
    after_end[8] += 1;
    for bytes in [
        twice,
        long_share,
        after_end,
        record(RECORD_HANDSHAKE, &[SERVER_HELLO, 0, 0, 0]),
        record(RECORD_HANDSHAKE, &[11, 0, 0, 0]),
        record(RECORD_ALERT, &[2]),
        record(RECORD_ALERT, &[]),
        vec![22, 3, 3, 0xff, 0xff],
    ] {
        assert!(read(&bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_server_that_never_answers_is_not_heard_for_ever() {
    let noise = record(RECORD_CHANGE_CIPHER_SPEC, &[1]).repeat(ANSWER_BYTES_MAX);
    assert_eq!(read(&noise), Err(Malformed::TooLong));
    let long = record(RECORD_HANDSHAKE, &[&[SERVER_HELLO, 0xff, 0xff, 0xff], &[0; 8000][..]].concat());
    assert_eq!(read(&long.repeat(4)), Err(Malformed::TooLong));
}

proptest! {
    /// However an answer is cut into pieces, it is the same answer; and nothing makes the parser panic.
    #[test]
    fn pieces_read_like_the_whole(
        noise in prop::collection::vec(any::<u8>(), 0..64),
        cut in 1_usize..80,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        retry in any::<bool>(),
    ) {
        let random = if retry { RETRY_RANDOM } else { [9; 32] };
        let key_share = if retry { (EXTENSION_KEY_SHARE, vec![0x11, 0xec]) } else { share(0x11ec, 40) };
        let mut bytes = hello(random, 0x1302, Some(&[(7, noise), version(TLS13), key_share]));
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert_eq!(whole(&bytes), pieces(&bytes, cut));
    }

    #[test]
    fn any_bytes_are_an_answer_or_none(bytes in prop::collection::vec(any::<u8>(), 0..512), cut in 1_usize..80) {
        prop_assert_eq!(whole(&bytes), pieces(&bytes, cut));
    }
}

fn whole(bytes: &[u8]) -> Result<Option<ServerAnswer>, Malformed> {
    said_apart(read(bytes))
}

fn pieces(bytes: &[u8], cut: usize) -> Result<Option<ServerAnswer>, Malformed> {
    let mut parser = Parser::new();
    for piece in bytes.chunks(cut) {
        match parser.feed(piece) {
            Ok(None) => {}
            end => return said_apart(end),
        }
    }
    Ok(None)
}

/// How much of a foreign protocol is shown depends on how much of it had come.
fn said_apart(read: Result<Option<ServerAnswer>, Malformed>) -> Result<Option<ServerAnswer>, Malformed> {
    read.map_err(|error| match error {
        Malformed::NotTls { .. } => Malformed::NotTls { said: String::new() },
        other => other,
    })
}
