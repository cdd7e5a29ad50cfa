//! The governor of a node that is put together as usual, and serves nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use lockgate_admin::{
    ApplyRequest, BanRequest, DrillRequest, LiftRequest, Node as _, PlanRequest, RollbackRequest,
    RotateRootRequest, Scope,
};
use lockgate_crypto::{PrivateKey, document};
use serde_json::Value;
use tempfile::TempDir;

use super::super::control::Control;
use super::super::{Launch, parts, reload};
use crate::cli::Output;
use crate::config::{Flags, load};
use crate::diagnostic::Failure;
use crate::state::State;

/// A place with a configuration, a state directory, and keys for documents.
struct Place {
    folder: TempDir,
    key: PrivateKey,
}

/// One listener has a single group: what takes that away leaves it with nothing.
const CONFIG: &str = r#"
[node]
listen = "127.0.0.1:0"
foreign = "off"

[[listener]]
name = "narrow"
address = "127.0.0.1:0"
profile = "cnsa2"

[[server]]
name = "web"
to = "http://127.0.0.1:1/mcp"
"#;

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            key: PrivateKey::generate_algorithm("ML-DSA-65").unwrap(),
        };
        place.configure(CONFIG);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.path("lockgate.toml"), text).unwrap();
    }

    /// The configuration with a document, signed by `key`.
    fn sign(&self, epoch: u64, body: &str, key: &PrivateKey) {
        let text = format!("schema = \"lockgate.crypto/1\"\nepoch = {epoch}\nissued = 2026-11-22\n{body}");
        std::fs::write(self.path("crypto.toml"), &text).unwrap();
        std::fs::write(self.path("crypto.toml.sig"), document::sign(text.as_bytes(), key).unwrap()).unwrap();
        let trusted = document::public_key_pem(&self.key.spki_der()).unwrap();
        std::fs::write(self.path("crypto.key.pub"), trusted).unwrap();
        let crypto = "[crypto]\ndocument = \"crypto.toml\"\ntrust = [\"crypto.key.pub\"]\n";
        self.configure(&format!("{crypto}{CONFIG}"));
    }

    async fn start(&self) -> Result<Arc<Control>, Failure> {
        let flags = Flags { config: Some(self.path("lockgate.toml")), ..Flags::default() };
        let (settings, ..) = load(&flags, Vec::new())?;
        let launch = Launch { flags, output: Output::Json };
        let state = State::locate(Some(&self.path("state")))?;
        state.create()?;
        Ok(parts::put_together(&launch, settings, state).await?.control)
    }

    async fn started(&self) -> Arc<Control> {
        self.start().await.unwrap_or_else(|failure| panic!("{}", failure.human()))
    }
}

fn apply(profile: &str) -> ApplyRequest {
    ApplyRequest {
        profile: profile.to_owned(),
        scope: Scope::default(),
        drain_s: Some(1),
        cut_off: false,
        for_s: None,
        reason: String::new(),
        by: "ann".to_owned(),
    }
}

fn ban(target: &str) -> BanRequest {
    BanRequest {
        target: target.to_owned(),
        reason: "a test".to_owned(),
        now: false,
        keep_hybrids: false,
        drain_s: None,
        by: "ann".to_owned(),
    }
}

fn back() -> RollbackRequest {
    RollbackRequest { drain_s: None, by: "ann".to_owned() }
}

/// The profile of a listener, by its alias.
fn profile(control: &Control, listener: &str) -> String {
    let show = control.crypto();
    let place = show.places.iter().find(|place| place.name == listener).unwrap();
    place.profile.split('@').next().unwrap().to_owned()
}

fn groups(control: &Control, listener: &str) -> Vec<String> {
    let show = control.crypto();
    show.places.into_iter().find(|place| place.name == listener).unwrap().groups
}

/// The last record of what was changed.
fn last_record(control: &Control) -> Value {
    let lines = control.audit_tail(50).unwrap();
    let mut records = lines.iter().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.find(|record| record["kind"] == "crypto").unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// checklist 3 and 16: another profile without a restart, recorded with who, what, before and after.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_put_in_force_and_taken_back_and_both_are_recorded() {
    let place = Place::new();
    let control = place.started().await;
    let start = control.crypto().epoch;
    let change = control.apply(&apply("bsi-hybrid")).unwrap();
    assert_eq!(
        (change.epoch, change.epoch_before, profile(&control, "tunnel").as_str()),
        (start + 1, start, "bsi-hybrid")
    );
    assert_eq!((control.node().epoch(), profile(&control, "narrow").as_str()), (start + 1, "cnsa2"));
    let record = last_record(&control);
    assert_eq!((&record["method"], &record["agent"]), (&"crypto/apply".into(), &"ann".into()));
    assert!(record["before"][0].as_str().unwrap().starts_with("listener tunnel: pq-hybrid@"), "{record}");
    assert!(record["after"][0].as_str().unwrap().starts_with("listener tunnel: bsi-hybrid@"), "{record}");

    control.rollback(&back()).unwrap();
    assert_eq!((control.node().epoch(), profile(&control, "tunnel").as_str()), (start + 2, "pq-hybrid"));
    assert_eq!(last_record(&control)["method"], "crypto/rollback");
    assert_eq!(control.rollback(&back()).unwrap_err().code, "LG-K004");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changes_nothing() {
    let place = Place::new();
    let control = place.started().await;
    let start = control.crypto();
    let scope = |listener: &str| Scope { listeners: vec![listener.to_owned()], ..Scope::default() };
    for (request, code) in [
        (apply("pq-hybird"), "LG-C012"),
        (ApplyRequest { scope: scope("tunel"), ..apply("cnsa2") }, "LG-U002"),
        (ApplyRequest { drain_s: Some(1_000_000), ..apply("cnsa2") }, "LG-U001"),
        (ApplyRequest { for_s: Some(0), ..apply("cnsa2") }, "LG-U001"),
        (ApplyRequest { reason: "x".repeat(501), ..apply("cnsa2") }, "LG-U001"),
    ] {
        assert_eq!(control.apply(&request).unwrap_err().code, code, "{request:?}");
    }
    // What is left of the narrow listener is nothing.
    let refused = control.ban(&ban("MLKEM1024")).unwrap_err();
    assert_eq!(refused.code, "LG-K005", "{refused}");
    assert!(refused.message.contains("narrow"), "{refused}");
    assert_eq!(control.ban(&ban("rot13")).unwrap_err().code, "LG-U002");
    let lift = LiftRequest { target: "X25519".to_owned(), by: "ann".to_owned() };
    assert_eq!(control.lift(&lift).unwrap_err().code, "LG-K006");
    let rotate = RotateRootRequest { algorithm: "RSA".to_owned(), overlap_s: 1, by: "ann".to_owned() };
    assert_eq!(control.rotate_root(&rotate).unwrap_err().code, "LG-U002");
    assert_eq!(control.crypto(), start);
}

/// checklist 11: bans, choices and the epoch hold over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_back_what_was_decided() {
    let place = Place::new();
    let control = place.started().await;
    control.apply(&apply("bsi-hybrid")).unwrap();
    let banned = control.ban(&ban("SecP256r1MLKEM768")).unwrap();
    assert_eq!(banned.ban.unwrap().covers, ["SecP256r1MLKEM768"]);
    let epoch = control.node().epoch();
    stop(control);

    let control = place.started().await;
    assert!(control.node().epoch() > epoch);
    assert_eq!(profile(&control, "tunnel"), "bsi-hybrid");
    assert!(!groups(&control, "tunnel").contains(&"SecP256r1MLKEM768".to_owned()));
    assert_eq!(control.crypto().bans[0].by, "ann");
    let lift = LiftRequest { target: "SecP256r1MLKEM768".to_owned(), by: "ann".to_owned() };
    control.lift(&lift).unwrap();
    assert!(groups(&control, "tunnel").contains(&"SecP256r1MLKEM768".to_owned()));
    control.rollback(&back()).unwrap();
    assert_eq!(profile(&control, "tunnel"), "pq-hybrid");
}

/// The store and the log are free again when nothing holds on to the node.
fn stop(control: Arc<Control>) {
    let node = Arc::downgrade(control.node());
    drop(control);
    // Tasks of the node hold it for moments.
    while node.upgrade().is_some() {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_the_configuration_wins_when_it_changes() {
    let place = Place::new();
    let control = place.started().await;
    control.apply(&apply("bsi-hybrid")).unwrap();
    let reloaded = reload::apply(&control).unwrap();
    assert_eq!((profile(&control, "tunnel").as_str(), reloaded.changed.len()), ("bsi-hybrid", 0));
    place.configure(&CONFIG.replace("foreign = \"off\"", "foreign = \"off\"\nprofile = \"cnsa2\""));
    let reloaded = reload::apply(&control).unwrap();
    assert_eq!((profile(&control, "tunnel").as_str(), reloaded.epoch), ("cnsa2", control.node().epoch()));
    assert!(reloaded.changed[0].starts_with("listener tunnel: cnsa2@"), "{reloaded:?}");
    assert!(reloaded.restart_needed.is_empty(), "{reloaded:?}");
    assert_eq!(last_record(&control)["agent"], "configuration");
    assert_eq!(control.rollback(&back()).unwrap_err().code, "LG-K004");
}

/// checklist 14: exceptions for peers must end, and do.
#[tokio::test(flavor = "multi_thread")]
async fn exceptions_for_peers_end() {
    let place = Place::new();
    let control = place.started().await;
    let scope = Scope { peers: vec!["spiffe://lockgate.internal/agent/old".to_owned()], ..Scope::default() };
    let request = ApplyRequest { scope, ..apply("pq-transition") };
    for (request, said) in [
        (ApplyRequest { reason: "old".to_owned(), ..request.clone() }, "must end"),
        (ApplyRequest { for_s: Some(60), ..request.clone() }, "has a reason"),
        (
            ApplyRequest {
                scope: Scope { peers: vec!["*".to_owned()], ..Scope::default() },
                ..request.clone()
            },
            "no peers",
        ),
    ] {
        let refused = control.apply(&request).unwrap_err();
        assert!(refused.message.contains(said), "{refused}");
    }
    let request = ApplyRequest { for_s: Some(60), reason: "old".to_owned(), ..request };
    let change = control.apply(&request).unwrap();
    assert!(change.until_ms.is_some());
    let rule = |peer: &str| {
        let in_force = control.node().in_force();
        in_force.rule("tunnel", peer, control.moment_ms()).unwrap().profile().alias
    };
    assert_eq!(rule("spiffe://lockgate.internal/agent/old"), "pq-transition");
    assert_eq!(rule("spiffe://lockgate.internal/agent/new"), "pq-hybrid");
    assert_eq!(
        control
            .node()
            .in_force()
            .rule("narrow", "spiffe://lockgate.internal/agent/old", 0)
            .unwrap()
            .profile()
            .alias,
        "cnsa2"
    );

    let today = super::clock::today();
    control.tick(today);
    assert_eq!(control.node().epoch(), change.epoch);
    control.clock().advance(Duration::from_secs(61));
    control.tick(today);
    assert_eq!(control.node().epoch(), change.epoch + 1);
    assert_eq!(rule("spiffe://lockgate.internal/agent/old"), "pq-hybrid");
    assert_eq!(last_record(&control)["agent"], "calendar");
}

/// checklist 7 and 16: a signed document brings a date forward; it is announced, and on the day after it the algorithm
/// is gone by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_passes_ends_an_algorithm() {
    let place = Place::new();
    let sunset =
        "[[sunset]]\nalgorithm = \"SecP256r1MLKEM768\"\nwarn_after = 2099-01-01\nnot_after = 2099-06-30\n";
    place.sign(1, sunset, &place.key);
    let control = place.started().await;
    let start = control.node().epoch();
    let held = |control: &Control| groups(control, "tunnel").contains(&"SecP256r1MLKEM768".to_owned());
    for (now, epoch, warned) in [("2098-12-31", 0, 0), ("2099-01-02", 0, 1), ("2099-06-30", 0, 1)] {
        control.tick(day(now));
        assert_eq!((control.node().epoch(), held(&control)), (start + epoch, true), "{now}");
        let endings = control.status().endings;
        let ours = endings.iter().filter(|ending| ending.algorithm == "SecP256r1MLKEM768").count();
        assert_eq!(ours, warned, "{now}: {endings:?}");
    }
    control.tick(day("2099-07-01"));
    assert!(!held(&control) && control.node().epoch() > start);
    let record = last_record(&control);
    assert_eq!((&record["method"], &record["agent"]), (&"crypto/end".into(), &"calendar".into()));
    let left_out = &control.crypto().places[0].left_out;
    assert!(left_out.iter().any(|out| out.why.contains("2099-06-30")), "{left_out:?}");
    let epoch = control.node().epoch();
    control.tick(day("2099-07-01"));
    assert_eq!(control.node().epoch(), epoch, "the same day ends it once");
    assert!(control.ready().is_ok());
}

/// A profile whose own last day passes is replaced by the stronger one that it names, and said so; nobody is let in by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_ends_gives_way_to_a_stronger_one() {
    let place = Place::new();
    place.configure(&CONFIG.replace("profile = \"cnsa2\"", "profile = \"pq-transition\""));
    let control = place.started().await;
    let old = "spiffe://lockgate.internal/agent/old";
    let scope = Scope { peers: vec![old.to_owned()], ..Scope::default() };
    let exception =
        ApplyRequest { scope, for_s: Some(3600), reason: "old".to_owned(), ..apply("pq-transition") };
    control.apply(&exception).unwrap();
    let rule = || {
        let in_force = control.node().in_force();
        in_force.rule("tunnel", old, control.moment_ms()).unwrap().profile().alias
    };
    control.tick(day("2030-12-31"));
    assert_eq!((profile(&control, "narrow").as_str(), rule()), ("pq-transition", "pq-transition"));
    control.tick(day("2031-01-01"));
    assert_eq!(profile(&control, "narrow"), "pq-kex");
    // An exception for it does not hold up the end, and is over with it.
    assert_ne!(rule(), "pq-transition");
    let record = last_record(&control);
    assert!(record["reason"].as_str().unwrap().contains("has ended"), "{record}");
    let epoch = control.node().epoch();
    control.tick(day("2031-01-01"));
    control.tick(day("2031-01-02"));
    assert_eq!(control.node().epoch(), epoch);
    // Other changes go on, and whoever asks for it gets an error instead of the other.
    control.apply(&apply("bsi-hybrid")).unwrap();
    assert_eq!(
        (profile(&control, "narrow").as_str(), profile(&control, "tunnel").as_str()),
        ("pq-kex", "bsi-hybrid")
    );
    assert_eq!(control.apply(&apply("pq-transition")).unwrap_err().code, "LG-K002");
}

/// Whoever breaks an algorithm must not lift its ban by a document that it signs with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_signed_by_what_is_banned_is_not_followed() {
    let place = Place::new();
    place.sign(7, "", &place.key);
    let control = place.started().await;
    control.ban(&BanRequest { keep_hybrids: true, ..ban("ML-DSA-65") }).unwrap();
    let epoch = control.node().epoch();
    reload::apply(&control).unwrap();
    assert_eq!(control.node().epoch(), epoch, "the document of before stays");
    place.sign(8, "", &place.key);
    let reloaded = reload::apply(&control).unwrap_err();
    stop(control);
    for failure in [reloaded, place.start().await.err().unwrap()] {
        assert_eq!(failure.0[0].code, "LG-C013", "{}", failure.human());
        assert!(failure.human().contains("its signature counts no more"), "{}", failure.human());
    }
}

/// checklist 16: signed, versioned, never rolled back; the old epoch stays on every error.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_counts_only_if_it_is_signed_and_newer() {
    let place = Place::new();
    let ours = "[[profile]]\nname = \"ours@20261122\"\ngroups = [\"X25519MLKEM768\"]\n\
                signatures = [\"MLDSA65-Ed25519-SHA512\"]\nciphers = [\"TLS_AES_256_GCM_SHA384\"]\n";
    place.sign(7, ours, &place.key);
    let control = place.started().await;
    assert_eq!(control.crypto().document.unwrap().epoch, 7);
    control.apply(&apply("ours")).unwrap();
    assert_eq!(profile(&control, "tunnel"), "ours");
    let epoch = control.node().epoch();
    let refuses = |said: &str| {
        let failure = reload::apply(&control).unwrap_err();
        assert_eq!(failure.0[0].code, "LG-C013", "{}", failure.human());
        assert!(failure.human().contains(said), "{}", failure.human());
        assert_eq!((control.node().epoch(), profile(&control, "tunnel").as_str()), (epoch, "ours"));
    };
    place.sign(6, ours, &place.key);
    refuses("epoch 7 was in force already");
    place.sign(7, &format!("{ours}# another\n"), &place.key);
    refuses("its epoch is still 7");
    place.sign(8, ours, &PrivateKey::generate_algorithm("ML-DSA-65").unwrap());
    refuses("is not trusted");
    place.sign(8, ours, &place.key);
    std::fs::write(place.path("crypto.toml"), "schema = \"lockgate.crypto/1\"\nepoch = 9\n").unwrap();
    refuses("does not match the document");
    place.sign(8, &ours.replace("X25519MLKEM768", "X25519MLKEM769"), &place.key);
    let failure = reload::apply(&control).unwrap_err();
    assert!(failure.0[0].place.as_ref().unwrap().contains("crypto.toml:6:"), "{}", failure.human());

    let banned = format!("{ours}[[ban]]\nalgorithm = \"SecP256r1MLKEM768\"\nreason = \"ours\"\n");
    place.sign(8, &banned, &place.key);
    let reloaded = reload::apply(&control).unwrap();
    assert!(reloaded.changed.iter().any(|line| line.contains("document of epoch 8")), "{reloaded:?}");
    let lift = LiftRequest { target: "SecP256r1MLKEM768".to_owned(), by: "ann".to_owned() };
    assert!(control.lift(&lift).unwrap_err().message.contains("signed document"));
    // Without the document the profile that it defined would be gone: what is in force stays.
    place.configure(CONFIG);
    let failure = reload::apply(&control).unwrap_err();
    assert_eq!(failure.0[0].code, "LG-K007", "{}", failure.human());
    assert_eq!(profile(&control, "tunnel"), "ours");
    stop(control);
    assert_eq!(place.start().await.err().unwrap().0[0].code, "LG-K007");
    place.sign(7, ours, &place.key);
    assert_eq!(
        place.start().await.err().unwrap().0[0].code,
        "LG-C013",
        "rolled back while the node was down"
    );
}

/// checklist 9: the authority makes a root when an algorithm is first needed, and certificates follow.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_follow_the_profile() {
    let place = Place::new();
    let control = place.started().await;
    let roots = |control: &Control| {
        let bundle = control.registrar().bundle();
        bundle.roots().iter().map(|root| root.algorithm().id.to_owned()).collect::<Vec<_>>()
    };
    assert!(!roots(&control).contains(&"ML-DSA-44".to_owned()));
    let scope = Scope::default();
    let request = PlanRequest { profile: "low-latency".to_owned(), scope };
    let plan = control.plan(&request).unwrap();
    let planned: Vec<(&str, &str)> =
        plan.certificates.iter().map(|made| (made.role.as_str(), made.to.as_str())).collect();
    let made = plan.certificates.first().unwrap().to.clone();
    assert!(
        planned.contains(&("root", made.as_str())) && planned.contains(&("node", made.as_str())),
        "{planned:?}"
    );
    assert!(!roots(&control).contains(&made), "a plan makes nothing");
    assert_eq!(plan.places[0].to, plan.profile);
    assert!(plan.costs[0].after.bytes_up < plan.costs[0].before.bytes_up, "{:?}", plan.costs);

    let sequence = control.registrar().bundle().sequence();
    control.apply(&apply("low-latency")).unwrap();
    assert!(roots(&control).contains(&made));
    assert!(control.registrar().bundle().sequence() > sequence);
    assert_eq!(control.node().in_force().bundle_sequence, control.registrar().bundle().sequence());

    let rotate = RotateRootRequest { algorithm: made.clone(), overlap_s: 600, by: "ann".to_owned() };
    let rotated = control.rotate_root(&rotate).unwrap();
    assert_eq!(roots(&control).iter().filter(|id| **id == made).count(), 2);
    assert_eq!(rotated.epoch, control.node().epoch());
}

/// checklist 11: rehearsed, and a live drill ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_changes_nothing_unless_it_is_live_and_then_ends() {
    let place = Place::new();
    let control = place.started().await;
    let before = control.crypto();
    let drill =
        |live| DrillRequest { drill: "classical-broken".to_owned(), live, for_s: None, by: "ann".to_owned() };
    let report = control.drill(&drill(false)).unwrap();
    assert!(report.steps.len() >= 3 && report.steps.iter().all(|step| step.ok) && report.change.is_none());
    assert_eq!(control.crypto(), before);
    let report = control.drill(&drill(true)).unwrap();
    assert!(report.change.unwrap().until_ms.is_some());
    assert_eq!(profile(&control, "tunnel"), "classical-broken");
    control.clock().advance(Duration::from_secs(61));
    control.tick(super::clock::today());
    assert_eq!(
        (profile(&control, "tunnel").as_str(), profile(&control, "narrow").as_str()),
        ("pq-hybrid", "cnsa2")
    );
    assert_eq!(control.rollback(&back()).unwrap_err().code, "LG-K004");
    let unknown = DrillRequest { drill: "moon-broken".to_owned(), ..drill(false) };
    assert_eq!(control.drill(&unknown).unwrap_err().code, "LG-U002");
}

/// checklist 8 and 18: what is in use, as a document that others read.
#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_names_what_is_in_use() {
    let place = Place::new();
    let control = place.started().await;
    let text = control.inventory(lockgate_admin::InventoryFormat::Json).unwrap();
    let inventory: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(inventory["schema"], "lockgate.crypto-inventory/1");
    assert_eq!(inventory["epoch"], control.node().epoch());
    let certificates = inventory["certificates"].as_array().unwrap();
    assert!(
        certificates.iter().any(|one| one["role"] == "root")
            && certificates.iter().any(|one| one["role"] == "leaf")
    );
    let text = control.inventory(lockgate_admin::InventoryFormat::Cyclonedx).unwrap();
    let bom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.7".into()));
    assert!(!text.contains("PRIVATE KEY"));
}
