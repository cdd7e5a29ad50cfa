//! The targets on what decides what a record holds of a call.

use lockgate_privacy::{Called, Place, Rule, Rules, SUBJECTS_MAX, Subject, leaves, redacted, shown};

/// A reason, then arguments.
pub const TEXT_SEEDS: &[&[u8]] = &[
    b"id is \"P-4711\", and n is 42\0{\"id\":\"P-4711\",\"n\":42,\"a\":{\"b\":[true,null,\"x\\u0020y\"]}}",
    b"`ann@example.org` is missing\0{\"ann@example.org\":[[[[[[[[[[1]]]]]]]]]],\"ann@example.org\":2}",
    b"\0[\"P-4711\"]",
];

/// URIs and subjects.
pub const SUBJECT_SEEDS: &[&[u8]] =
    &[b"patient:4711", b"ehr://patient/4711/labs?from=1#x", b"spiffe://d/agent/a", b"ehr://patient/"];

/// Leaves are bounded, and no text is in a reason any more that is a value by itself and long enough to be one.
pub fn text(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else { return };
    let (reason, arguments) = data.split_once('\0').unwrap_or((data, ""));
    let (found, _) = leaves(arguments, 24);
    assert!(found.len() <= 24 && found.iter().all(|leaf| leaf.path.len() <= 128));
    let without = redacted(reason, Some(arguments));
    let (all, is_cut) = leaves(arguments, 256);
    for leaf in all.iter().filter(|leaf| !is_cut && leaf.is_text) {
        let quoted = format!("{:?}", leaf.value);
        assert!(!without.contains(&quoted), "{quoted} in {without}");
    }
    let place = Place::Argument(vec!["id".to_owned()]);
    let rules = Rules::new(vec![Rule { server: None, tool: None, place, kind: "patient".to_owned() }]);
    let called = Called { agent: reason, server: "s", name: "t", arguments: Some(arguments) };
    assert!(rules.find(&called).is_none_or(|found| (1..=SUBJECTS_MAX).contains(&found.len())));
}

/// What is read as a subject is bounded; a URI is shown without whom it names.
pub fn subject(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else { return };
    if let Ok(subject) = Subject::parse(data) {
        assert!(data.ends_with(subject.value()) && subject.kind().len() <= 32);
        assert_eq!(format!("{subject:?}"), format!("Subject({}:[redacted])", subject.kind()));
    }
    assert!(shown(data) == data || shown(data) == "*");
    let place = Place::Uri("ehr://patient/".to_owned());
    let rules = Rules::new(vec![Rule { server: None, tool: None, place, kind: "patient".to_owned() }]);
    let shown = rules.shown("ehr", data);
    if let Some(rest) = data.strip_prefix("ehr://patient/").filter(|rest| !rest.is_empty()) {
        let named = rest.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(named.is_empty() || shown.starts_with("ehr://patient/{patient}"), "{shown}");
    }
}
