//! The targets on `lockgate-authority`: forms of the token endpoint, selectors of the configuration, and the HTTP/2 of
//! clients whose authority is mended.

use lockgate_authority::oauth::Form;
use lockgate_authority::workload::Mender;
use lockgate_authority::{Pattern, Selector};

/// Requests for tokens.
pub const FORM_SEEDS: &[&[u8]] = &[
    b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c&resource=https%3A%2F%2Fgw%2Fmcp",
    b"grant_type=client_credentials&scope=a+b&empty=",
];

/// Patterns.
pub const SELECTOR_SEEDS: &[&[u8]] =
    &[b"unix:uid:1000", b"oidc:repository:acme/*", b"spiffe:id:spiffe://a/b", b"unix:sha256:00"];

/// A preface, and a block of headers as gRPC's C core sends it.
pub const HTTP2_SEEDS: &[&[u8]] = &[
    b"\x03PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0c\x01\x04\0\0\0\x01\x83\x86\x41\x09tmp%2Fa.s\0\0\x03\x00\0\0\0\0\x01a%b",
    b"\x01PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0a\x01\x2c\0\0\0\x01\x01\0\0\0\0\0\x41\x01%\0",
];

/// A field that is read has no control characters, and a body is read in one way only.
pub fn form(data: &[u8]) {
    if let Ok(form) = Form::parse(data) {
        for name in ["grant_type", "assertion", "resource", "scope"] {
            let value = form.get(name).unwrap_or_default();
            assert!(!value.chars().any(char::is_control), "{value:?}");
        }
    }
}

/// A pattern keeps its text, and one without a `*` holds for exactly the selector of its text.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(pattern) = Pattern::parse(text) else { return };
    assert_eq!(pattern.as_str(), text);
    let Some((at, _)) = text.match_indices(':').nth(1) else {
        unreachable!("a pattern has a kind and a name")
    };
    if let Some(selector) = Selector::new(&text[..at], &text[at + 1..]) {
        assert_eq!(selector.as_str(), text);
        assert!(pattern.holds_for(&selector));
    } else {
        assert!(text.ends_with("/*"), "{text}");
    }
}

/// Whatever comes, and however it is cut: the length stays, and nothing changes but percent signs.
pub fn http2(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let mended = |cut: usize| {
        let mut bytes = bytes.to_vec();
        let mut mender = Mender::default();
        bytes.chunks_mut(cut.max(1)).for_each(|chunk| mender.mend(chunk));
        bytes
    };
    let whole = mended(bytes.len());
    assert_eq!(whole, mended(usize::from(cut)));
    assert!(
        bytes.iter().zip(&whole).all(|(before, after)| before == after || (*before, *after) == (b'%', b'-'))
    );
}
