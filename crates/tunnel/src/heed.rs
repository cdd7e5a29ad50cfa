//! Heeding one notice: roots, certificate, dialler, links, in this order.

use std::time::{Duration, Instant};

use lockgate_crypto::{CryptoError, Notice, Suite};
use lockgate_identity::verifier::Expect;
use lockgate_transport::Trust;
use tokio::time::{self, sleep};

use crate::TunnelError;
use crate::follower::{Follower, pauses};
use crate::issue::Issue;
use crate::kept::Following;
use crate::progress::Standing;
use crate::tunnel::Follow;

/// Longest time over which a gateway can spread the moves, in seconds.
const MOVE_WITHIN_S_MAX: u64 = 600;

/// How long a notice is tried to be heeded after its own time, in seconds.
const HEED_S_MAX: u64 = 60;

/// How often the links are replaced for one epoch. More means that whatever we dial may not stay either.
const MOVES_PER_EPOCH_MAX: u32 = 3;

impl<I: Issue> Follower<I> {
    /// Follows a notice as far as possible.
    pub(crate) async fn heed(&mut self, notice: &Notice) -> bool {
        let suite = match self.wanted(notice).await {
            Ok(suite) => suite,
            Err(error) => {
                self.refuse(notice, &error);
                return false;
            }
        };
        let mut spread =
            Duration::from_millis(notice.move_within_ms).min(Duration::from_secs(MOVE_WITHIN_S_MAX));
        let deadline = time::Instant::now() + spread + Duration::from_secs(HEED_S_MAX);
        let mut pauses = pauses();
        loop {
            match self.follow(&suite, notice, spread).await {
                Ok(moved) => {
                    self.reached(notice, moved);
                    return moved;
                }
                Err(error) if error.is_temporary() && time::Instant::now() < deadline => {
                    tracing::debug!(%error, epoch = notice.epoch, "not followed yet");
                }
                Err(error) => {
                    self.fail(notice, &error.to_string());
                    return false;
                }
            }
            // Its random moment is over.
            spread = Duration::ZERO;
            sleep(pauses.next()).await;
        }
    }

    /// The suite to dial by after a notice.
    async fn wanted(&mut self, notice: &Notice) -> Result<Suite, TunnelError> {
        if self.settings.follow == Follow::Never {
            return Ok(self.suite.clone());
        }
        let shared = &self.settings.shared;
        let compiled = shared.announced(&notice.announced, notice.epoch, self.settings.floor).await?;
        if compiled.left_out != self.left_out {
            let left_out = compiled.left_out.join(", ");
            tracing::info!(
                left_out,
                "the gateway also admits what is below this end's floor; that is not used"
            );
            self.left_out = compiled.left_out;
        }
        Ok(compiled.suite)
    }

    fn refuse(&mut self, notice: &Notice, error: &TunnelError) {
        let TunnelError::Crypto(crypto) = error else { return self.fail(notice, &error.to_string()) };
        if !matches!(**crypto, CryptoError::BelowFloor { .. }) {
            return self.fail(notice, &error.to_string());
        }
        let text = error.to_string();
        if self.complain(&text) {
            tracing::error!(
                epoch = notice.epoch,
                "the gateway's cryptography is not followed: {text}; this end stays as it is until the gateway closes \
                 the links; if this is wanted, connect with a weaker --profile"
            );
        }
        self.tunnel.tell(|progress| progress.standing = Standing::BelowFloor(text));
    }

    fn fail(&mut self, notice: &Notice, text: &str) {
        if self.complain(text) {
            tracing::error!(epoch = notice.epoch, "the gateway's cryptography could not be followed: {text}");
        }
        self.tunnel.tell(|progress| progress.standing = Standing::Behind(text.to_owned()));
    }

    /// One attempt. Answers whether the links were replaced.
    async fn follow(
        &mut self,
        suite: &Suite,
        notice: &Notice,
        spread: Duration,
    ) -> Result<bool, TunnelError> {
        let lacks =
            notice.bundle_sequence > self.member.identity.bundle_sequence() || !self.member.fits(suite);
        if !notice.stays || lacks {
            self.tunnel.tell(|progress| progress.standing = Standing::Moving);
        }
        let mut renewed = false;
        if lacks {
            // What costs the gateway a signature is spread too, and the new link follows at once: so its work is even
            // over the whole time.
            self.tunnel.moment(spread).await;
            renewed = self.prepare(suite, notice).await?;
        }
        self.adopt(suite, notice)?;
        if notice.stays && !renewed {
            return Ok(false);
        }
        if self.moved.0 == notice.epoch && self.moved.1 >= MOVES_PER_EPOCH_MAX {
            return Err(TunnelError::InVain { epoch: notice.epoch, moves: self.moved.1 });
        }
        if !lacks {
            self.tunnel.moment(spread).await;
        }
        self.tunnel.pool().replace().await?;
        let moves = if self.moved.0 == notice.epoch { self.moved.1 + 1 } else { 1 };
        self.moved = (notice.epoch, moves);
        Ok(true)
    }

    /// Gets roots and a certificate for what is to come, over the links that are up.
    async fn prepare(&mut self, suite: &Suite, notice: &Notice) -> Result<bool, TunnelError> {
        let pool = self.tunnel.pool().clone();
        let (suites, shared) = ([&self.suite, suite], &self.settings.shared);
        let bundle = self.member.newer_bundle(&pool, notice.bundle_sequence, suites, shared).await?;
        self.stale = true;
        let renewed = self.member.settle(&pool, suite, bundle).await?;
        if renewed {
            self.tunnel.tell(|progress| progress.certificates += 1);
        }
        Ok(renewed)
    }

    /// Dials by `suite` and the identity of today from now on, and remembers it.
    fn adopt(&mut self, suite: &Suite, notice: &Notice) -> Result<(), TunnelError> {
        let authority = &self.member.identity.bundle;
        let following = Following::new(notice.epoch, authority, notice.announced.clone());
        if self.following.as_ref() == Some(&following) && !self.stale {
            return Ok(());
        }
        self.dial_by(suite)?;
        if self.settings.follow == Follow::Never {
            return Ok(());
        }
        if let Some(folder) = &self.settings.folder
            && let Err(error) = following.save(folder)
        {
            // It is followed all the same; only a restart would not know.
            tracing::warn!(%error, "what is followed cannot be kept");
        }
        self.following = Some(following);
        Ok(())
    }

    pub(crate) fn dial_by(&mut self, suite: &Suite) -> Result<(), TunnelError> {
        let identity = &self.member.identity;
        let trust = Trust::own(&identity.bundle, Expect::Node);
        self.tunnel.dialer().swap(suite.clone(), Some(&identity.leaf), trust)?;
        self.suite = suite.clone();
        self.stale = false;
        Ok(())
    }

    fn reached(&mut self, notice: &Notice, moved: bool) {
        self.complained = None;
        if moved {
            tracing::info!(epoch = notice.epoch, profile = self.suite.profile().name, "moved to new links");
        }
        self.tunnel.tell(|progress| {
            progress.epoch = notice.epoch;
            progress.standing = Standing::Settled;
            if moved {
                progress.moves += 1;
                progress.moved_at = Some(Instant::now());
            }
        });
    }
}
