//! Streams come back byte for byte, however they were cut.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use lockgate_mcp::sse::{EVENT_BYTES_MAX, Event, Splitter, SseError, encode, with_data};
use proptest::prelude::*;

fn split<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<Event>, Vec<u8>) {
    let mut splitter = Splitter::new(EVENT_BYTES_MAX);
    let mut events = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        while let Some(event) = splitter.next().unwrap() {
            events.push(event);
        }
    }
    (events, splitter.remainder().to_vec())
}

fn one(stream: &str) -> Event {
    let (events, rest) = split([stream.as_bytes()]);
    assert_eq!((events.len(), rest.len()), (1, 0), "{stream:?} gave {events:?}");
    events.into_iter().next().unwrap()
}

#[test]
fn fields() {
    let event = one("event: message\nid: 7\nretry: 1500\ndata: {\"a\":1}\nvendor: kept\n\n");
    assert_eq!(event.event.as_deref(), Some("message"));
    assert_eq!(event.id.as_deref(), Some("7"));
    assert_eq!(event.retry, Some(1500));
    assert_eq!(event.data.as_deref(), Some(&b"{\"a\":1}"[..]));
    assert!(!event.is_comment);

    let data = |stream: &str| one(stream).data.map(|data| String::from_utf8(data.to_vec()).unwrap());
    assert_eq!(data("data:x\n\n").as_deref(), Some("x"));
    assert_eq!(data("data:  x \n\n").as_deref(), Some(" x "));
    assert_eq!(data("data\n\n").as_deref(), Some(""));
    assert_eq!(data("id: 1\ndata: \n\n").as_deref(), Some(""));
    assert_eq!(data("data: a\ndata\ndata: b\n\n").as_deref(), Some("a\n\nb"));
    assert_eq!(data("data: a\n: comment\r\ndata: b\r\r").as_deref(), Some("a\nb"));
    assert_eq!(data("\u{feff}data: a\n\n").as_deref(), Some("a"));
    assert_eq!(data("id: 1\n\n"), None);
    assert_eq!(one("id: a\0b\ndata: x\n\n").id, None);
    assert_eq!(one("id\ndata: x\n\n").id.as_deref(), Some(""));
    assert_eq!(one("retry: 1x\ndata: x\n\n").retry, None);
    assert_eq!(one("retry: \ndata: x\n\n").retry, None);
}

#[test]
fn comments_do_not_wait() {
    for keep_alive in [":\r\n", ": ping\n", ":\n\n", "\n", "\r\n\r\n", ": a\n: b\n\n"] {
        let (events, rest) = split([keep_alive.as_bytes()]);
        assert_eq!((events.len(), rest.len()), (1, 0), "{keep_alive:?}");
        assert!(events[0].is_comment && events[0].data.is_none());
        assert_eq!(events[0].raw, keep_alive.as_bytes());
    }
    let (events, rest) = split([&b": a\ndata: x\n\n: b\n\ndata: half"[..]]);
    let shown: Vec<_> = events.iter().map(|event| (event.is_comment, event.raw.as_ref())).collect();
    assert_eq!(shown, [(true, &b": a\n"[..]), (false, b"data: x\n\n"), (true, b": b\n\n")]);
    assert_eq!(rest, b"data: half");
}

#[test]
fn an_event_does_not_wait_for_the_byte_behind_it() {
    for end in ["\n\n", "\r\r", "\r\n\r\n", "\r\n\n", "\r\n\r"] {
        let stream = format!("data: x{end}");
        assert_eq!(one(&stream).raw, stream.as_bytes());
    }
    // The second half of the last line end comes late.
    let (events, rest) = split([&b"data: x\r"[..], b"\n\r", b"\ndata: y\n\n"]);
    let raws: Vec<_> = events.iter().map(|event| event.raw.as_ref()).collect();
    assert_eq!(raws, [&b"data: x\r\n\r"[..], b"\n", b"data: y\n\n"]);
    assert!(rest.is_empty());
}

#[test]
fn event_size_has_an_edge() {
    let event = b"data: 0123456789\n\n";
    for (max, passes) in [(event.len(), true), (event.len() - 1, false)] {
        let mut splitter = Splitter::new(max);
        splitter.push(event);
        assert_eq!(splitter.next().is_ok(), passes);
    }
    // Without an end in sight, and for good.
    let mut splitter = Splitter::new(8);
    splitter.push(b"data: 012");
    let too_large = Err(SseError::TooLarge { event_bytes_max: 8 });
    assert_eq!(splitter.next(), too_large);
    splitter.push(b"\n\ndata: 1\n\n");
    assert_eq!(splitter.next(), too_large);
}

#[test]
fn sixteen_mebibytes_pass() {
    let payload = vec![b'x'; 16 << 20];
    let stream = encode(&payload);
    let (events, rest) = split(stream.chunks(1 << 16));
    assert_eq!((events.len(), rest.len()), (1, 0));
    assert_eq!(events[0].data.as_deref(), Some(&payload[..]));
    assert_eq!(events[0].raw, stream);
}

#[test]
fn other_data_in_the_same_frame() {
    for (before, data, after) in [
        ("id: 7\r\ndata: a\r\ndata: b\r\nretry: 5\r\n\r\n", "c", "id: 7\r\ndata: c\nretry: 5\r\n\r\n"),
        ("event: message\ndata: a\n\n", "b\nc", "event: message\ndata: b\ndata: c\n\n"),
        ("id: 7\n\n", "x", "id: 7\ndata: x\n\n"),
        ("data\r\r", "x", "data: x\n\r"),
        (": c\n\n", "x", ": c\n\n"),
        ("datum: 1\ndata: a\n\n", "x", "datum: 1\ndata: x\n\n"),
    ] {
        assert_eq!(with_data(&one(before), data.as_bytes()), after.as_bytes(), "{before:?}");
    }
}

/// Data, id, type and retry of an event.
type Fields<'e> = (Option<&'e [u8]>, Option<&'e str>, Option<&'e str>, Option<u64>);

fn parsed(events: &[Event]) -> Vec<Fields<'_>> {
    let real = events.iter().filter(|event| !event.is_comment);
    real.map(|event| (event.data.as_deref(), event.id.as_deref(), event.event.as_deref(), event.retry))
        .collect()
}

proptest! {
    /// However a stream is cut, inside a character or between CR and LF, the events are the same
    /// and their raw bytes are the stream.
    #[test]
    fn cuts_do_not_matter(
        lines in prop::collection::vec("(data: ?|id: |retry: |event: |: ?|vendor|)[a-z0-9é😀 \u{0}]{0,6}(\n|\r|\r\n){0,3}", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        marked in any::<bool>(),
    ) {
        let stream = (if marked { "\u{feff}" } else { "" }).to_owned() + &lines.concat();
        let stream = stream.as_bytes();
        let (whole, whole_rest) = split([stream]);
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        for at in [at, (0..=stream.len()).collect()] {
            let (events, rest) = split(at.windows(2).map(|cut| &stream[cut[0]..cut[1]]));
            prop_assert_eq!(parsed(&events), parsed(&whole));
            let mut together: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
            together.extend(&rest);
            prop_assert_eq!(&together[..], stream);
            prop_assert_eq!(&rest, &whole_rest);
        }
    }

    #[test]
    fn noise_never_panics(bytes in any::<Vec<u8>>()) {
        let (events, rest) = split(bytes.chunks(3));
        let together: usize = events.iter().map(|event| event.raw.len()).sum();
        prop_assert_eq!(together + rest.len(), bytes.len());
        for event in &events {
            let _ = with_data(event, b"x");
        }
    }

    /// New data is read back in place of the old, with everything else as it was.
    #[test]
    fn data_is_replaced(
        stream in "((data: ?|id: |retry: |event: )[a-z0-9é]{0,6}(\n|\r\n)){1,5}\n",
        data in "[ -~é\n]{0,20}",
    ) {
        let event = one(&stream);
        let replaced = with_data(&event, data.as_bytes());
        let again = one(std::str::from_utf8(&replaced).unwrap());
        prop_assert_eq!(again.data.as_deref(), Some(data.as_bytes()));
        prop_assert_eq!((again.id, again.event, again.retry), (event.id, event.event, event.retry));
        let encoded = encode(data.as_bytes());
        let again = one(std::str::from_utf8(&encoded).unwrap());
        prop_assert_eq!(again.data.as_deref(), Some(data.as_bytes()));
    }
}
