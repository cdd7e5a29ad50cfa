//! Providers over HTTP, most of them bad.

use std::time::{Duration, Instant};

use lockgate_facts::{ABSENT_MS, Absence, Outcome};

use crate::rig::{Says, ask, good, now_ms, record, rooms, server, status, why};

#[tokio::test]
async fn a_good_answer_is_told_and_kept() {
    let server = server(Says::Bytes(good(&record(3).to_string())), |_| ()).await;
    let now = now_ms();
    let first = ask(&server.facts, "p-1", now).await;
    assert_eq!((rooms(&first), &first.used[0].outcome), (Some(3), &Outcome::Fetched));
    assert_eq!(first.used[0].key.as_deref(), Some("p-1"));
    assert!(server.seen.lock().starts_with("GET /appointments?patient=p-1 HTTP/1.1\r\n"));
    server.say(Says::Bytes(good(&record(4).to_string())));
    let second = ask(&server.facts, "p-1", now).await;
    assert_eq!((rooms(&second), &second.used[0].outcome), (Some(3), &Outcome::Kept));
    assert_eq!(server.asked(), 1);
    // After half its life it is renewed behind the back of the call, and told until then.
    let later = ask(&server.facts, "p-1", now + 59_000).await;
    assert_eq!(rooms(&later), Some(3));
    // What is too old is not told, whatever the provider said last.
    assert_eq!(rooms(&ask(&server.facts, "p-1", now + 61_000).await), Some(4));
}

type Expected = fn(&Absence) -> bool;

#[tokio::test]
async fn bad_answers_are_no_facts() {
    let json = "Content-Type: application/json\r\n";
    let with = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
    let length = |n: usize, body: &str| with(&format!("200 OK\r\n{json}Content-Length: {n}"), body);
    let cases: Vec<(&str, Says, Expected)> = vec![
        ("error", Says::Bytes(status("500 Oops", json)), |a| matches!(a, Absence::Refused(_))),
        ("redirect", Says::Bytes(status("302 Found", "Location: http://127.0.0.1:1/\r\n")), |a| {
            a.to_string().contains("not followed")
        }),
        ("login", Says::Bytes(status("401 No", json)), |a| matches!(a, Absence::Refused(_))),
        ("partial", Says::Bytes(with("206 Partial\r\nContent-Length: 2", "{}")), |a| {
            matches!(a, Absence::Refused(_))
        }),
        ("none", Says::Bytes(status("404 None", "")), |a| *a == Absence::NoRecord),
        ("empty", Says::Bytes(status("204 Nothing", "")), |a| *a == Absence::NoRecord),
        ("null", Says::Bytes(good("null")), |a| *a == Absence::NoRecord),
        ("html", Says::Bytes(with("200 OK\r\nContent-Type: text/html\r\nContent-Length: 2", "{}")), |a| {
            matches!(a, Absence::Malformed(_))
        }),
        (
            "gzip",
            Says::Bytes(with(&format!("200 OK\r\n{json}Content-Encoding: gzip\r\nContent-Length: 2"), "{}")),
            |a| matches!(a, Absence::Malformed(_)),
        ),
        ("too short", Says::Bytes(length(500, r#"{"patient":"p-1","rooms":1}"#)), |a| {
            matches!(a, Absence::Unreachable(_))
        }),
        ("cut by its length", Says::Bytes(length(10, r#"{"patient":"p-1","rooms":1}"#)), |a| {
            matches!(a, Absence::Malformed(_))
        }),
        ("announced too large", Says::Bytes(length(1 << 30, "{")), |a| matches!(a, Absence::TooLarge { .. })),
        (
            "endless",
            Says::Endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"),
            |a| matches!(a, Absence::TooLarge { .. }),
        ),
        ("no JSON", Says::Bytes(good("{")), |a| matches!(a, Absence::Malformed(_))),
        ("a list", Says::Bytes(good("[]")), |a| matches!(a, Absence::Malformed(_))),
        ("twice", Says::Bytes(good(r#"{"patient":"p-1","rooms":0,"rooms":1}"#)), |a| {
            matches!(a, Absence::Malformed(_))
        }),
        ("wrong type", Says::Bytes(good(r#"{"patient":"p-1","rooms":"1"}"#)), |a| {
            matches!(a, Absence::Shape { .. })
        }),
        ("missing", Says::Bytes(good(r#"{"patient":"p-1"}"#)), |a| matches!(a, Absence::Shape { .. })),
        ("of another", Says::Bytes(good(r#"{"patient":"p-2","rooms":1}"#)), |a| {
            matches!(a, Absence::Other(_))
        }),
        (
            "of the future",
            Says::Bytes(good(r#"{"patient":"p-1","rooms":1,"as_of":"2999-01-01T00:00:00Z"}"#)),
            |a| matches!(a, Absence::Future { .. }),
        ),
        (
            "of the past",
            Says::Bytes(good(r#"{"patient":"p-1","rooms":1,"as_of":"2020-01-01T00:00:00Z"}"#)),
            |a| matches!(a, Absence::Stale { .. }),
        ),
        (
            "old in a cache",
            Says::Bytes(with(
                &format!("200 OK\r\n{json}Age: 999\r\nContent-Length: 27"),
                r#"{"patient":"p-1","rooms":1}"#,
            )),
            |a| matches!(a, Absence::Stale { .. }),
        ),
        ("no HTTP", Says::Bytes(b"SSH-2.0-x\r\n".to_vec()), |a| matches!(a, Absence::Unreachable(_))),
        ("nothing", Says::Bytes(Vec::new()), |a| matches!(a, Absence::Unreachable(_))),
    ];
    for (what, says, expected) in cases {
        let server = server(says, |spec| spec.deadline_ms = 5_000).await;
        let gathered = ask(&server.facts, "p-1", now_ms()).await;
        assert_eq!(rooms(&gathered), None, "{what}");
        let why = why(&gathered);
        assert!(expected(&why), "{what}: {why:?}");
        assert!(!why.to_string().contains('\r') && why.to_string().len() < 400, "{why}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_is_not_asked_for() {
    let server = server(Says::Bytes(good(&record(3).to_string())), |_| ()).await;
    for key in ["", "a\nb", &"x".repeat(600)] {
        assert!(matches!(why(&ask(&server.facts, key, now_ms()).await), Absence::BadKey { .. }));
    }
    assert_eq!(server.asked(), 0);
}

/// A provider that hangs, or drips, costs a call its deadline, and after a few calls nothing.
#[tokio::test]
async fn a_provider_that_hangs_costs_little_and_then_nothing() {
    for says in [Says::Nothing, Says::Drip(good(&record(1).to_string()))] {
        let server = server(says, |spec| spec.deadline_ms = 50).await;
        let begun = Instant::now();
        assert_eq!(why(&ask(&server.facts, "p-1", now_ms()).await), Absence::Timeout(50));
        assert!(begun.elapsed() >= Duration::from_millis(50));
        // The same question is open still; nobody waits for it again.
        assert_eq!(why(&ask(&server.facts, "p-1", now_ms()).await), Absence::Timeout(50));
        assert_eq!(server.asked(), 1);
        for patient in ["p-2", "p-3"] {
            ask(&server.facts, patient, now_ms()).await;
        }
        for n in 0..100 {
            let gathered = ask(&server.facts, &format!("q-{n}"), now_ms()).await;
            assert_eq!(why(&gathered), Absence::Resting(3));
        }
        assert_eq!(server.asked(), 3);
        let state = &server.facts.states()[0];
        assert!(state.resting && state.failures == 3, "{state:?}");
    }
}

#[tokio::test]
async fn a_late_answer_serves_the_next_call() {
    let says = Says::After(Duration::from_millis(300), record(2).to_string());
    let server = server(says, |spec| spec.deadline_ms = 50).await;
    assert_eq!(why(&ask(&server.facts, "p-1", now_ms()).await), Absence::Timeout(50));
    let until = Instant::now() + Duration::from_secs(10);
    while rooms(&ask(&server.facts, "p-1", now_ms()).await) != Some(2) {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn many_calls_are_one_question() {
    let says = Says::After(Duration::from_millis(100), record(2).to_string());
    let server = server(says, |spec| spec.deadline_ms = 5_000).await;
    let now = now_ms();
    let asks = (0..50).map(|_| ask(&server.facts, "p-1", now));
    let mut all = Vec::new();
    let asks: Vec<_> = asks.map(Box::pin).collect();
    for found in join(asks).await {
        all.push(rooms(&found));
    }
    assert_eq!(all, vec![Some(2); 50]);
    assert_eq!(server.asked(), 1);
}

async fn join<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, place) in futures.iter_mut().zip(&mut done) {
            if place.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *place = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// That there is nothing is known for a moment only: an appointment may be made now.
#[tokio::test]
async fn absence_is_kept_shortly() {
    let server = server(Says::Bytes(status("404 None", "")), |spec| spec.deadline_ms = 5_000).await;
    assert_eq!(why(&ask(&server.facts, "p-1", now_ms()).await), Absence::NoRecord);
    server.say(Says::Bytes(good(&record(7).to_string())));
    assert_eq!(why(&ask(&server.facts, "p-1", now_ms()).await), Absence::NoRecord);
    assert_eq!(server.asked(), 1);
    tokio::time::sleep(Duration::from_millis(ABSENT_MS + 20)).await;
    assert_eq!(rooms(&ask(&server.facts, "p-1", now_ms()).await), Some(7));
}

/// A provider that fails takes nothing back that is young enough; one that says that there is none does.
#[tokio::test]
async fn failure_keeps_and_an_answer_takes_back() {
    let server = server(Says::Bytes(good(&record(1).to_string())), |spec| {
        spec.max_age_ms = 600;
        spec.deadline_ms = 5_000;
    })
    .await;
    let now = now_ms();
    assert_eq!(rooms(&ask(&server.facts, "p-1", now).await), Some(1));
    server.say(Says::Bytes(status("503 Later", "")));
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_eq!(rooms(&ask(&server.facts, "p-1", now + 320).await), Some(1));
    tokio::time::sleep(Duration::from_millis(320)).await;
    // Whatever the caller's clock says: the other one counts, too.
    assert!(matches!(why(&ask(&server.facts, "p-1", now).await), Absence::Refused(_)));
}

#[tokio::test]
async fn nobody_listens() {
    let server = server(Says::Nothing, |spec| {
        let url = lockgate_facts::Template::parse("http://127.0.0.1:1/{key}").unwrap();
        let lockgate_facts::From::Http { pool, .. } = &spec.from else { panic!() };
        let target =
            lockgate_transport::http::Target::new(url.origin(), pool.target().dialer().clone()).unwrap();
        let pool = lockgate_transport::http::Pool::new(target, Default::default());
        spec.from = lockgate_facts::From::Http { url, pool };
    })
    .await;
    assert!(matches!(why(&ask(&server.facts, "p-1", now_ms()).await), Absence::Unreachable(_)));
}
