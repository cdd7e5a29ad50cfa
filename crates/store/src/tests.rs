//! What the store promises.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[test]
fn values_outlive_the_process_in_a_private_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    {
        let store = Store::open(&path).unwrap();
        store.put("pins", "files/read", b"one").unwrap();
        store.put("pins", "files/read", b"two").unwrap();
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.get("pins", "files/read").unwrap().unwrap(), b"two");
    assert_eq!(store.get("invites", "files/read").unwrap(), None);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_second_opener_is_told_who_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let first = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("--state"));
    drop(first);
    Store::open(&path).unwrap();
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");

    fs::write(&path, [7u8; 4096]).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");

    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");

    let error = Store::open(&directory.path().join("none/state.redb")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
}

#[test]
fn swapping_needs_what_is_there() {
    let store = Store::in_memory().unwrap();
    let swap = |expected: Option<&[u8]>, new: Option<&[u8]>| {
        store.compare_and_swap("s", "k", expected, new).unwrap()
    };
    assert!(!swap(Some(b"a"), Some(b"b")), "there is nothing to replace");
    assert!(swap(None, Some(b"a")));
    assert!(!swap(None, Some(b"b")), "somebody was first");
    assert!(swap(Some(b"a"), Some(b"b")));
    assert!(!swap(Some(b"a"), None));
    assert_eq!(store.get("s", "k").unwrap().unwrap(), b"b");
    assert!(swap(Some(b"b"), None));
    assert_eq!(store.get("s", "k").unwrap(), None);
}

#[test]
fn of_many_who_swap_at_once_one_wins() {
    let store = Store::in_memory().unwrap();
    store.put("invites", "x", b"open").unwrap();
    let winners: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let swap = || store.compare_and_swap("invites", "x", Some(b"open"), Some(b"used"));
                scope.spawn(swap)
            })
            .collect();
        let won = threads.into_iter().map(|t| t.join().unwrap().unwrap());
        won.filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
}

#[test]
fn watchers_hear_of_their_space_only() {
    let store = Store::in_memory().unwrap();
    let mut watcher = store.watch("a");
    assert!(!watcher.has_changed().unwrap());

    store.put("b", "k", b"v").unwrap();
    assert!(!store.delete("a", "none").unwrap());
    assert!(!store.compare_and_swap("a", "k", Some(b"x"), None).unwrap());
    assert!(!watcher.has_changed().unwrap(), "nothing changed in `a`");

    store.put("a", "k", b"v").unwrap();
    assert!(watcher.has_changed().unwrap());
    assert_eq!(*watcher.borrow_and_update(), 1);
    assert!(store.delete("a", "k").unwrap());
    assert!(watcher.has_changed().unwrap());
    assert!(!store.watch("a").has_changed().unwrap(), "new watchers start now");
}

#[test]
fn limits_hold_at_their_edges() {
    let store = Store::in_memory().unwrap();
    let value = vec![0; VALUE_BYTES_MAX + 1];
    let key = "k".repeat(KEY_BYTES_MAX + 1);
    let space = "s".repeat(SPACE_BYTES_MAX + 1);
    let at = (&space[1..], &key[1..], &value[1..]);
    store.put(at.0, at.1, at.2).unwrap();
    for (space, key, value, what) in [
        (space.as_str(), at.1, at.2, "space"),
        (at.0, key.as_str(), at.2, "key"),
        (at.0, at.1, value.as_slice(), "value"),
    ] {
        let put = store.put(space, key, value).unwrap_err();
        let swap = store.compare_and_swap(space, key, None, Some(value)).unwrap_err();
        for error in [put, swap] {
            assert!(matches!(error, StoreError::TooLarge { what: w, .. } if w == what));
        }
    }
}

#[test]
fn json_round_trips_and_names_what_does_not_fit() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Thing {
        name: String,
        used: bool,
    }
    let thing = |used| Thing { name: "ann".to_owned(), used };
    let store = Store::in_memory().unwrap();
    store.put_json("t", "1", &thing(false)).unwrap();
    let read: Thing = store.get_json("t", "1").unwrap().unwrap();
    assert!(store.compare_and_swap_json("t", "1", Some(&read), Some(&thing(true))).unwrap());
    assert!(!store.compare_and_swap_json("t", "1", Some(&read), Some(&thing(true))).unwrap());
    let all: Vec<(String, Thing)> = store.list_json("t", "").unwrap();
    assert_eq!(all, [("1".to_owned(), thing(true))]);

    store.put("t", "2", b"{}").unwrap();
    let error = store.list_json::<Thing>("t", "").unwrap_err().to_string();
    assert!(error.contains("t/2"), "{error}");
}

proptest! {
    /// The store against a map: the same operations, the same answers.
    #[test]
    fn it_is_an_ordered_map(steps in prop::collection::vec(
        ("[ab]", "[a-c/é]{0,3}", prop::option::of(prop::collection::vec(any::<u8>(), 0..4))), 1..24),
        prefix in "[a-c/é]{0,2}")
    {
        let store = Store::in_memory().unwrap();
        let mut map = BTreeMap::new();
        for (space, key, value) in steps {
            match value {
                Some(value) => {
                    store.put(&space, &key, &value).unwrap();
                    map.insert((space, key), value);
                }
                None => {
                    let there = map.remove(&(space.clone(), key.clone())).is_some();
                    prop_assert_eq!(store.delete(&space, &key).unwrap(), there);
                }
            }
        }
        for space in ["a", "b"] {
            let expected: Vec<_> = map
                .iter()
                .filter(|((s, k), _)| s == space && k.starts_with(&prefix))
                .map(|((_, k), v)| (k.clone(), v.clone()))
                .collect();
            prop_assert_eq!(store.list(space, &prefix).unwrap(), expected);
        }
    }
}
