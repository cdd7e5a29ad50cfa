//! Following a gateway: its notices are heard over the tunnel itself, and heeded before they are due.
//!
//! One task for each tunnel. On a notice, in this order and over the links of the old cryptography while they are up:
//! fetch the authority's roots if they changed, get a certificate of a permitted algorithm if ours is none, dial by
//! what was announced from now on, and, if the links may not stay, open a new one first, at a random moment of the time
//! that the gateway gives, and only then let the old ones go. A call under way ends where it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_crypto::{Notice, Suite, random};
use lockgate_identity::enrol::AgentIdentity;
use tokio::time::sleep;

use crate::issue::Issue;
use crate::kept::Following;
use crate::member::Member;
use crate::notices::{Notices, is_not_offered};
use crate::pause::Pauses;
use crate::progress::Standing;
use crate::service::NOTICES;
use crate::tunnel::{Follow, Settings, Tunnel};
use crate::{TunnelError, endings};

/// Longest sleep between two looks at the clock, so that a machine that was suspended renews soon after it wakes.
const LOOK_S_MAX: u64 = 30;

/// Pauses between attempts, in milliseconds: the first, and the longest.
const ATTEMPT_MS: (u64, u64) = (100, 5_000);

/// Pause before a gateway without notices is asked again, in seconds: it may have been upgraded.
const NOT_OFFERED_S: u64 = 300;

/// Renews a tunnel's certificate and follows its gateway, for as long as [`Follower::run`] is polled.
#[derive(Debug)]
pub struct Follower<I> {
    pub(crate) tunnel: Tunnel,
    pub(crate) member: Member<I>,
    pub(crate) settings: Settings,
    /// What is dialled by.
    pub(crate) suite: Suite,
    /// What the suite was made from; none if from the floor alone.
    pub(crate) following: Option<Following>,
    /// Names this process towards the gateway, which so knows which old links a new one replaces.
    instance: u128,
    /// The epoch for which the links were moved last, and how often.
    pub(crate) moved: (u64, u32),
    /// Whether the identity has changed since it was dialled by.
    pub(crate) stale: bool,
    /// What was complained of last, so that it is said once.
    pub(crate) complained: Option<String>,
    /// What was said to be left out.
    pub(crate) left_out: Arc<[String]>,
    endings: endings::Told,
}

/// Why the stream of notices is not listened to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// New links are open; it is to be opened on them, before the old one goes.
    Moved,
    /// It broke or ended.
    Lost,
}

impl<I: Issue> Follower<I> {
    pub(crate) fn new(
        tunnel: Tunnel,
        identity: AgentIdentity,
        issuer: I,
        settings: Settings,
        (suite, following): (Suite, Option<Following>),
    ) -> Self {
        let mut instance = [0; 16];
        random::fill(&mut instance);
        let member = Member::new(identity, issuer, settings.folder.clone());
        Self {
            tunnel,
            member,
            settings,
            suite,
            following,
            instance: u128::from_le_bytes(instance),
            moved: (0, 0),
            stale: false,
            complained: None,
            left_out: Arc::default(),
            endings: endings::Told::default(),
        }
    }

    /// The identity as it is now.
    #[must_use]
    pub fn identity(&self) -> &AgentIdentity {
        &self.member.identity
    }

    /// Renews and follows for ever; to end it, drop the future.
    pub async fn run(mut self) {
        let mut before = None;
        loop {
            let mut notices = self.listen().await;
            // On its new link the stream is open: now the old one has nothing to wait for.
            drop(before.take());
            match self.attend(&mut notices).await {
                Over::Moved => before = Some(notices),
                Over::Lost => self.tunnel.tell(|progress| progress.standing = Standing::Silent),
            }
        }
    }

    /// Opens the stream of notices, trying until it succeeds, and renews meanwhile.
    async fn listen(&mut self) -> Notices {
        let mut pauses = pauses();
        loop {
            let (pool, path) = (self.tunnel.pool().clone(), self.path());
            let error = match self.meanwhile(Notices::open(&pool, &path)).await {
                Ok(notices) => return notices,
                Err(error) => error,
            };
            let pause = if is_not_offered(&error) {
                tracing::debug!(%error, "the gateway has no notices");
                Duration::from_secs(NOT_OFFERED_S)
            } else {
                if error.is_untrusted() && self.learn_roots().await {
                    continue;
                }
                self.lost(&error);
                pauses.next()
            };
            self.meanwhile(sleep(pause)).await;
        }
    }

    /// Takes the gateway's newer roots, if they came while this end was away and one that is trusted vouches for them,
    /// and dials with them from now on. Worth a try where the gateway's certificate is not trusted, before a first
    /// exchange as well as later; the follower does the same by itself once it runs.
    ///
    /// # Errors
    /// [`TunnelError::Bundle`] if nobody vouches for them, and as a connection fails.
    pub async fn refresh_roots(&mut self) -> Result<(), TunnelError> {
        let Settings { shared, dial, .. } = &self.settings;
        let target = self.tunnel.pool().target().to_string();
        self.member.learn_bundle(&target, &self.suite, shared, dial.clone()).await?;
        self.stale = true;
        self.dial_by(&self.suite.clone())
    }

    async fn learn_roots(&mut self) -> bool {
        match self.refresh_roots().await {
            Ok(()) => {
                tracing::info!("the authority has new roots; one that is trusted vouches for them");
                true
            }
            Err(error) => {
                tracing::debug!(%error, "no new roots");
                false
            }
        }
    }

    /// Says why the gateway cannot be heard; loudly, once, where waiting will not help.
    fn lost(&mut self, error: &TunnelError) {
        let text = if error.is_crypto_refusal() {
            format!("the gateway and this end have no cryptography in common any more: {error}")
        } else if error.is_untrusted() {
            error.to_string()
        } else {
            return tracing::debug!(%error, "no notices yet");
        };
        if self.complain(&text) {
            tracing::error!(
                "{text}; if the gateway changed while this end was away, `lockgate crypto show` there names its \
                 profile: connect with --follow never --profile NAME, or enrol again with an invite"
            );
        }
        self.tunnel.tell(|progress| progress.standing = Standing::Behind(text));
    }

    /// Remembers a complaint; answers whether it is a new one.
    pub(crate) fn complain(&mut self, text: &str) -> bool {
        let new = self.complained.as_deref() != Some(text);
        self.complained = Some(text.to_owned());
        new
    }

    /// Where the stream is: with what the gateway may show of us in its status, and the profile below which we do not
    /// follow, by which it foresees whom a change would cut off. Who does not follow names none.
    fn path(&self) -> String {
        let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '_' | '-');
        let (version, instance) = (env!("CARGO_PKG_VERSION"), self.instance);
        let us = format!("version={version}&instance={instance:032x}");
        if self.settings.follow == Follow::Never {
            return format!("{NOTICES}?{us}");
        }
        let floor: String = self.settings.floor.name.chars().filter(fits).take(64).collect();
        format!("{NOTICES}?profile={floor}&{us}")
    }

    /// Waits for `other`, and renews the certificate whenever it is due.
    async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                _ = self.look() => {}
            }
        }
    }

    /// Listens, and does what is told. A newer notice takes the place of one that is still being heeded.
    async fn attend(&mut self, notices: &mut Notices) -> Over {
        let mut todo: Option<Notice> = None;
        let mut epoch = 0;
        loop {
            tokio::select! {
                biased;
                said = notices.next() => match said {
                    Ok(notice) if notice.epoch < epoch => {
                        tracing::warn!(told = notice.epoch, before = epoch, "a notice of an earlier epoch is passed over");
                    }
                    Ok(notice) => {
                        epoch = notice.epoch;
                        self.hear(&notice);
                        todo = Some(notice);
                    }
                    Err(why) => {
                        tracing::debug!(why, "the stream of notices is over");
                        return Over::Lost;
                    }
                },
                moved = self.work(todo.as_ref()) => {
                    todo = None;
                    if moved {
                        return Over::Moved;
                    }
                }
            }
        }
    }

    /// Takes in what needs no action: dates.
    fn hear(&mut self, notice: &Notice) {
        self.endings.say(&notice.endings);
        self.tunnel.tell(|progress| progress.endings.clone_from(&notice.endings));
    }

    /// What there is to do. Answers whether the links were replaced.
    async fn work(&mut self, todo: Option<&Notice>) -> bool {
        match todo {
            Some(notice) => self.heed(notice).await,
            None => self.look().await,
        }
    }

    /// Sleeps until the next look at the clock, and renews the certificate at two thirds of its life. Answers whether
    /// the links were replaced.
    async fn look(&mut self) -> bool {
        let wait = self.member.renew_in();
        if !wait.is_zero() {
            sleep(wait.min(Duration::from_secs(LOOK_S_MAX))).await;
            return false;
        }
        let mut pauses = pauses();
        while let Err(error) = self.renew().await {
            tracing::warn!(%error, "certificate not renewed yet");
            sleep(pauses.next()).await;
        }
        tracing::info!(agent = %self.member.identity.id, "certificate renewed");
        true
    }

    async fn renew(&mut self) -> Result<(), TunnelError> {
        let (pool, suite) = (self.tunnel.pool().clone(), self.suite.clone());
        let bundle = self.member.identity.bundle.clone();
        self.stale = true;
        self.member.certify(&pool, &suite, bundle).await?;
        self.dial_by(&suite)?;
        if let Err(error) = pool.replace().await {
            // The next request opens a link, and says what is wrong if it cannot.
            tracing::debug!(%error, "no new link beside the old one");
            pool.retire();
        }
        self.tunnel.tell(|progress| {
            progress.certificates += 1;
            progress.moves += 1;
            progress.moved_at = Some(Instant::now());
        });
        Ok(())
    }
}

pub(crate) fn pauses() -> Pauses {
    let (first, max) = ATTEMPT_MS;
    Pauses::new(Duration::from_millis(first), Duration::from_millis(max))
}
