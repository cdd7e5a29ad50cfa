//! A tunnel follows its gateway: moves first, loses no call, and never goes below its floor.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod gateway;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gateway::{Gateway, within};
use http_body_util::BodyExt as _;
use lockgate_crypto::profile;
use lockgate_identity::enrol::AgentIdentity;
use lockgate_transport::http::PoolError;
use lockgate_tunnel::{Follow, Progress, Repeat, Settings, Shared, Standing, Tunnel, service};
use tokio::task::JoinHandle;

/// A tunnel with its follower running; both end with it.
struct Following {
    tunnel: Tunnel,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    async fn of(gateway: &Gateway, identity: AgentIdentity, settings: Settings) -> Self {
        let issuer = lockgate_tunnel::Gateway;
        let (tunnel, follower) = Tunnel::new(&gateway.url(), identity, issuer, settings).await.unwrap();
        Self { tunnel, task: tokio::spawn(follower.run()) }
    }

    /// Follows a gateway whose epoch 1 is heeded by now.
    async fn settled(gateway: &Gateway) -> Self {
        let following = Self::of(gateway, gateway.agent("pq-hybrid", 0), settings()).await;
        following.until(|progress| progress.has_reached(1)).await;
        following
    }

    async fn until(&self, fits: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = self.tunnel.progress();
        within(progress.wait_for(fits)).await.unwrap().clone()
    }

    async fn text(&self, path: &str) -> String {
        within(self.try_text(path, Repeat::Never)).await.unwrap()
    }

    async fn try_text(&self, path: &str, repeat: Repeat) -> Result<String, PoolError> {
        let response = self.tunnel.send(service::get(path), repeat).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    /// Waits until the tunnel holds `links` links.
    async fn holds(&self, links: usize) {
        within(async {
            while self.tunnel.pool().links().len() != links {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn settings() -> Settings {
    Settings::new(profile::find("pq-hybrid").unwrap())
}

fn kept_in(folder: &Path) -> Settings {
    Settings { folder: Some(folder.to_owned()), ..settings() }
}

/// The certificate is of an algorithm that the new profile does not know (checklist 09), so that the old link is the
/// way to another one, and no call fails meanwhile (checklist 03).
#[tokio::test]
async fn a_notice_moves_first_and_calls_end_where_they_are_checklist_03_09() {
    let gateway = Gateway::start("pq-hybrid").await;
    let following = Following::settled(&gateway).await;
    let slow = {
        let tunnel = following.tunnel.clone();
        tokio::spawn(async move { tunnel.send(service::get("/slow"), Repeat::Never).await })
    };
    within(gateway.begun.notified()).await;

    gateway.publish("cnsa2", 2, 0);
    let progress = following.until(|progress| progress.has_reached(2)).await;
    assert_eq!((progress.moves, progress.certificates), (1, 1));
    assert!(progress.moved_at.is_some());
    assert_eq!(following.text("/group").await, "MLKEM1024");
    assert_eq!(following.tunnel.pool().links().iter().filter(|link| link.retired).count(), 1);

    gateway.release.notify_one();
    let answer = within(slow).await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&answer[..], b"X25519MLKEM768", "it ended on the link on which it began");
    following.holds(1).await;
}

#[tokio::test]
async fn a_link_that_may_stay_stays() {
    let gateway = Gateway::start("pq-hybrid").await;
    let following = Following::settled(&gateway).await;
    gateway.publish("pq-hybrid", 2, 0);
    let progress = following.until(|progress| progress.has_reached(2)).await;
    assert_eq!(progress.moves, 0);
    assert_eq!(gateway.streams.load(Ordering::SeqCst), 1);
    // New links are made under the epoch that was announced.
    following.tunnel.pool().retire();
    following.text("/group").await;
    assert_eq!(following.tunnel.posture().unwrap().epoch, 2);
}

#[tokio::test]
async fn what_is_below_the_floor_is_not_followed() {
    let gateway = Gateway::start("pq-hybrid").await;
    let following = Following::settled(&gateway).await;
    gateway.publish("lattice-broken", 2, 0);
    let progress = following.until(|progress| matches!(progress.standing, Standing::BelowFloor(_))).await;
    assert_eq!((progress.epoch, progress.moves), (1, 0));
    // It stays as it is; the gateway cuts it, and nothing weaker is dialled.
    assert_eq!(following.text("/group").await, "X25519MLKEM768");
    gateway.cut_unfit();
    following.until(|progress| matches!(progress.standing, Standing::Behind(_))).await;
    let refused = within(following.try_text("/group", Repeat::Safe)).await.unwrap_err();
    assert!(matches!(&refused, PoolError::Dial(error) if error.is_crypto_refusal()), "{refused}");
    // What is taken back is followed again.
    gateway.publish("pq-hybrid", 3, 0);
    following.until(|progress| progress.has_reached(3)).await;
}

#[tokio::test]
async fn a_gateway_that_admits_weaker_peers_too_is_followed_without_them() {
    let gateway = Gateway::start("pq-hybrid").await;
    let following = Following::settled(&gateway).await;
    gateway.publish("pq-transition", 2, 0);
    let progress = following.until(|progress| progress.has_reached(2)).await;
    assert_eq!((progress.moves, progress.standing), (0, Standing::Settled));
    following.tunnel.pool().retire();
    following.text("/group").await;
    assert!(following.tunnel.posture().unwrap().quantum_safe());
}

#[tokio::test]
async fn who_does_not_follow_dials_by_its_own_profile_alone() {
    let gateway = Gateway::start("pq-hybrid").await;
    let never = Settings { follow: Follow::Never, ..settings() };
    let following = Following::of(&gateway, gateway.agent("pq-hybrid", 0), never).await;
    following.until(|progress| progress.has_reached(1)).await;
    gateway.publish("bsi-hybrid", 2, 0);
    following.until(|progress| progress.epoch == 2 || matches!(progress.standing, Standing::Behind(_))).await;
    following.tunnel.pool().retire();
    following.text("/group").await;
    let posture = following.tunnel.posture().unwrap();
    assert!(posture.profile.starts_with("pq-hybrid"), "{}", posture.profile);
}

/// What is followed outlives the process, and the authority's new root with it.
#[tokio::test]
async fn a_restart_dials_by_what_was_announced_last() {
    let gateway = Gateway::start("pq-hybrid").await;
    let folder = tempfile::tempdir().unwrap();
    let agent = gateway.agent("pq-hybrid", 0);
    let following = Following::of(&gateway, agent, kept_in(folder.path())).await;
    following.until(|progress| progress.has_reached(1)).await;
    gateway.publish("cnsa2", 2, 0);
    following.until(|progress| progress.has_reached(2)).await;
    drop(following);

    let kept = AgentIdentity::load(folder.path()).unwrap().unwrap();
    assert_eq!(kept.bundle.fingerprint(), gateway.authority.bundle().fingerprint());
    let again = Following::of(&gateway, kept.clone(), kept_in(folder.path())).await;
    assert_eq!(again.text("/group").await, "MLKEM1024");
    drop(again);

    // Once forgotten, or told not to follow, it is the floor that counts, and its certificate does not fit that.
    lockgate_tunnel::forget(folder.path()).unwrap();
    let issuer = lockgate_tunnel::Gateway;
    let refused = Tunnel::new(&gateway.url(), kept, issuer, kept_in(folder.path())).await;
    assert!(matches!(refused, Err(lockgate_tunnel::TunnelError::Tls(_))), "{refused:?}");
}

/// Both roots are trusted for a while, and then the new one alone (checklist 09).
#[tokio::test]
async fn roots_rotate_under_a_tunnel_checklist_09() {
    let gateway = Gateway::start("pq-hybrid").await;
    let folder = tempfile::tempdir().unwrap();
    let agent = gateway.agent("pq-hybrid", 0);
    let algorithm = agent.leaf.algorithm;
    let following = Following::of(&gateway, agent, kept_in(folder.path())).await;
    following.until(|progress| progress.has_reached(1)).await;

    let now = std::time::SystemTime::now();
    let overlap = std::time::Duration::from_secs(7 * 24 * 3600);
    gateway.authority.rotate(algorithm, now, overlap).unwrap();
    gateway.publish("pq-hybrid", 2, 0);
    let progress = following.until(|progress| progress.has_reached(2)).await;
    assert_eq!((progress.moves, progress.certificates), (0, 0), "its certificate is good under both");
    let kept = AgentIdentity::load(folder.path()).unwrap().unwrap();
    assert_eq!(kept.bundle, gateway.authority.bundle());
    assert_eq!(kept.bundle.roots().len(), gateway.authority.bundle().roots().len());

    // The old one is gone: the tunnel gets a certificate of the new root before it dials again.
    assert!(gateway.authority.prune(now + overlap * 2).unwrap());
    gateway.publish("pq-hybrid", 3, 0);
    let progress = following.until(|progress| progress.has_reached(3)).await;
    assert_eq!((progress.moves, progress.certificates), (1, 1));
    assert_eq!(following.text("/group").await, "X25519MLKEM768");
}

#[tokio::test]
async fn roots_that_nobody_vouches_for_are_not_taken() {
    let gateway = Gateway::start("pq-hybrid").await;
    let following = Following::settled(&gateway).await;
    let impostor = Gateway::start("pq-hybrid").await;
    impostor.publish("cnsa2", 2, 0);
    *gateway.forged.lock() = Some(impostor.authority.signed_bundle().unwrap());
    gateway.publish("cnsa2", 2, 0);
    let progress = following.until(|progress| matches!(progress.standing, Standing::Behind(_))).await;
    assert_eq!((progress.epoch, progress.certificates), (1, 0));
}

/// `ban --now`: the link is cut under the call. Safe ones are sent again, others are not.
#[tokio::test]
async fn a_call_whose_link_is_cut_is_repeated_only_where_that_is_safe() {
    let gateway = Gateway::start("pq-hybrid").await;
    let following = Following::settled(&gateway).await;
    gateway.cut.store(true, Ordering::SeqCst);
    assert_eq!(within(following.try_text("/count", Repeat::Safe)).await.unwrap(), "counted");
    assert_eq!(gateway.counted.load(Ordering::SeqCst), 2);
    gateway.cut.store(true, Ordering::SeqCst);
    let error = within(following.try_text("/count", Repeat::Never)).await.unwrap_err();
    assert!(!error.is_unsent(), "{error}");
    assert_eq!(gateway.counted.load(Ordering::SeqCst), 3);
    // Neither stops it from following.
    gateway.publish("pq-hybrid", 2, 0);
    following.until(|progress| progress.has_reached(2)).await;
}

/// While the link is down, the authority gets a root that this end has never heard of, and the gateway a certificate
/// of it. The roots are public and vouch for each other, so they are read from whoever is there, and judged.
#[tokio::test]
async fn roots_that_came_while_the_tunnel_was_down_are_learnt_checklist_09() {
    let gateway = Gateway::start("pq-hybrid").await;
    let agent = gateway.agent("pq-hybrid", 0);
    gateway.publish("bsi-hybrid", 2, 0);
    assert!(!agent.bundle.includes(&gateway.authority.bundle()));
    let following = Following::of(&gateway, agent.clone(), settings()).await;
    let progress = following.until(|progress| progress.has_reached(2)).await;
    assert_eq!(progress.certificates, 0, "its certificate is permitted still");
    following.text("/group").await;

    // An impostor's roots are vouched for by nobody.
    let impostor = Gateway::start("bsi-hybrid").await;
    let following = Following::of(&impostor, agent, settings()).await;
    following.until(|progress| matches!(progress.standing, Standing::Behind(_))).await;
    assert_eq!(impostor.streams.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_a_busy_gateway_is_asked_again() {
    let gateway = Gateway::start("pq-hybrid").await;
    gateway.busy.store(2, Ordering::SeqCst);
    let old = gateway.agent("pq-hybrid", 45 * 60);
    let following = Following::of(&gateway, old, settings()).await;
    let progress = following.until(|progress| progress.certificates == 1 && progress.has_reached(1)).await;
    assert!(progress.moves <= 1, "{progress:?}");
    assert_eq!(gateway.busy.load(Ordering::SeqCst), 0);
    assert_eq!(following.text("/group").await, "X25519MLKEM768");
}

#[tokio::test]
async fn a_gateway_without_notices_is_used_all_the_same() {
    let gateway = Gateway::start("pq-hybrid").await;
    gateway.silent.store(true, Ordering::SeqCst);
    let following = Following::of(&gateway, gateway.agent("pq-hybrid", 0), settings()).await;
    assert_eq!(following.text("/group").await, "X25519MLKEM768");
    assert_eq!(following.tunnel.progress().borrow().standing, Standing::Silent);
}

/// Under calls without a pause, over a longer time to move in; all share what they compile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tunnels_move_and_no_call_fails_checklist_03() {
    const TUNNELS: usize = 40;
    let gateway = Gateway::start("pq-hybrid").await;
    let (agent, shared) = (gateway.agent("pq-hybrid", 0), Shared::default());
    let mut all = Vec::new();
    for _ in 0..TUNNELS {
        let settings = Settings { shared: shared.clone(), ..settings() };
        all.push(Arc::new(Following::of(&gateway, agent.clone(), settings).await));
    }
    for following in &all {
        following.until(|progress| progress.has_reached(1)).await;
    }
    let calls: Vec<_> = all
        .iter()
        .map(|following| {
            let following = Arc::clone(following);
            tokio::spawn(async move {
                let mut made = 0;
                // Until the change has come, and some after it.
                let mut after = 0;
                while after < 5 {
                    following.try_text("/group", Repeat::Never).await.unwrap();
                    made += 1;
                    after += usize::from(following.tunnel.progress().borrow().has_reached(2));
                }
                made
            })
        })
        .collect();
    gateway.publish("cnsa2", 2, 300);
    for following in &all {
        let progress = following.until(|progress| progress.has_reached(2)).await;
        assert_eq!((progress.moves, progress.certificates), (1, 1));
    }
    for call in calls {
        assert!(within(call).await.unwrap() >= 5);
    }
    for following in &all {
        assert_eq!(following.text("/group").await, "MLKEM1024");
    }
}
