use super::*;

fn question(digest: &str, agent: &str) -> Question {
    Question {
        digest: digest.to_owned(),
        agent: agent.to_owned(),
        server: "bank".to_owned(),
        method: "tools/call".to_owned(),
        name: Some("pay".to_owned()),
        arguments: Some(r#"{"amount":9}"#.to_owned()),
        beside: Vec::new(),
        policies: vec!["large".to_owned()],
        reason: "it needs an approval".to_owned(),
    }
}

fn empty() -> Approvals {
    Approvals::load(Store::in_memory().unwrap(), 0).unwrap()
}

#[test]
fn an_approval_is_good_once_within_its_time_and_for_its_digest() {
    let approvals = empty();
    let held = approvals.park(question("d", "a"), 1).unwrap();
    assert!(approvals.approval("d", 2).is_none() && !approvals.take("d", 2).unwrap());
    approvals.approve(&held.id, "ann", Some(10), 1_000).unwrap();
    assert!(approvals.approval("other", 1_001).is_none());
    let approval = approvals.approval("d", 10_999).unwrap();
    assert_eq!((approval.by.as_str(), approval.policies), ("ann", vec!["large".to_owned()]));
    assert!(approvals.approval("d", 11_000).is_none() && !approvals.take("d", 11_000).unwrap());
    assert!(approvals.take("d", 10_999).unwrap());
    assert!(!approvals.take("d", 10_999).unwrap(), "of two calls one gets it");
}

#[test]
fn asking_again_changes_nothing_and_a_decision_is_final() {
    let approvals = empty();
    let held = approvals.park(question("d", "a"), 1).unwrap();
    assert_eq!(approvals.park(question("d", "a"), 500).unwrap(), held, "nor does it wait for longer");
    let rejected = approvals.reject(&held.id, "ann", "no", 2).unwrap();
    assert_eq!(approvals.park(question("d", "a"), 3).unwrap(), rejected);
    let again = approvals.approve(&held.id, "bob", None, 4).unwrap_err();
    assert!(matches!(&again, ApprovalError::Decided { was: "rejected", by, .. } if by == "ann"), "{again}");
    assert!(approvals.approval("d", 5).is_none());
    let anew = approvals.park(question("d", "a"), 2 + REJECTION_MS).unwrap();
    assert_eq!(anew.standing, Standing::Pending);
}

#[test]
fn what_was_approved_for_other_policies_waits_anew() {
    let approvals = empty();
    let held = approvals.park(question("d", "a"), 1).unwrap();
    approvals.approve(&held.id, "ann", None, 2).unwrap();
    let other = Question { policies: vec!["other".to_owned()], ..question("d", "a") };
    assert_eq!(approvals.park(other, 3).unwrap().standing, Standing::Pending);
    assert!(!approvals.take("d", 4).unwrap());
    approvals.approve(&held.id, "ann", None, 5).unwrap();
    let other = Question { policies: vec!["other".to_owned()], ..question("d", "a") };
    let approved = approvals.park(other.clone(), 6).unwrap();
    assert_eq!(
        approved.standing.name(),
        "approved",
        "a call that came just before its approval spoils nothing"
    );
    assert_eq!(approvals.park_anew(other, 7).unwrap().standing, Standing::Pending);
}

#[test]
fn a_restart_loses_none_and_gives_none_twice() {
    let store = Store::in_memory().unwrap();
    let approvals = Approvals::load(store.clone(), 0).unwrap();
    let first = approvals.park(question("d", "a"), 1).unwrap();
    let second = approvals.park(question("e", "a"), 2).unwrap();
    approvals.approve(&first.id, "ann", None, 3).unwrap();
    let again = Approvals::load(store.clone(), 4).unwrap();
    assert_eq!(again.list(4), approvals.list(4));
    assert!(again.take("d", 5).unwrap());
    let third = Approvals::load(store.clone(), 6).unwrap();
    assert!(third.approval("d", 6).is_none());
    assert_eq!(third.get(&second.id, 6).unwrap(), second);
    assert!(Approvals::load(store, second.until_ms).unwrap().list(0).is_empty());
}

#[test]
fn room_is_bounded_for_each_and_for_all() {
    let approvals = empty();
    for n in 0..HELD_PER_AGENT_MAX {
        approvals.park(question(&n.to_string(), "loud"), 1).unwrap();
    }
    let refused = approvals.park(question("x", "loud"), 1).unwrap_err();
    assert!(refused.to_string().contains("of this agent"), "{refused}");
    approvals.park(question("x", "quiet"), 1).unwrap();
    approvals.park(question("0", "loud"), 2).unwrap();
    approvals.park(question("y", "loud"), 1 + WAIT_MS).unwrap();
    assert_eq!(approvals.list(1 + WAIT_MS).len(), 1, "what waited too long is forgotten");
    let large = Question { arguments: Some("x".repeat(ARGUMENTS_BYTES_MAX + 1)), ..question("z", "a") };
    let beside = Question { beside: vec!["x".repeat(ARGUMENTS_BYTES_MAX)], ..question("z", "a") };
    assert!(matches!(approvals.park(beside, 0), Err(ApprovalError::TooLarge)));
    assert!(matches!(approvals.park(large, 1), Err(ApprovalError::TooLarge)));
    let held = approvals.park(question("b", "a"), 1).unwrap();
    for lifetime in [0, APPROVAL_S_MAX + 1, u64::MAX] {
        assert!(approvals.approve(&held.id, "ann", Some(lifetime), 1).is_err());
    }
    assert!(approvals.reject(&held.id, "ann", &"x".repeat(513), 1).is_err());
}

#[test]
fn arguments_are_not_printed() {
    assert!(!format!("{:?}", question("d", "a")).contains("amount"));
}
