//! The connector's end of a tunnel, as a library, so that one process can hold ten thousand of them.
//!
//! A [`Tunnel`] is a pool of links to one gateway and sends requests through them. Its [`Follower`] keeps it alive: it
//! renews the certificate at two thirds of its life, and it follows the gateway's cryptography. The gateway tells of
//! each change in band, on a stream that the follower holds open, so that a peer moves before it must: it fetches new
//! roots and a certificate of a new algorithm over the link that is still up, dials by what was announced, opens a new
//! link first, and only then lets the old one go.
//!
//! What it follows is held against a *floor*, a profile of its own: what is weaker than the weakest part of the floor is
//! never dialled, whatever a gateway announces. Where nothing else is left it stays as it is and lets the gateway cut
//! it.
//!
//! ```no_run
//! # async fn example(identity: lockgate_identity::enrol::AgentIdentity) -> Result<(), Box<dyn std::error::Error>> {
//! use lockgate_tunnel::{Gateway, Repeat, Settings, Tunnel, service};
//!
//! let settings = Settings::new(lockgate_crypto::profile::default());
//! let url = "https://gateway.example:8443/mcp".parse()?;
//! let (tunnel, follower) = Tunnel::new(&url, identity, Gateway, settings).await?;
//! let following = tokio::spawn(follower.run());
//! let response = tunnel.send(service::get(service::POSTURE), Repeat::Safe).await?;
//! let mut progress = tunnel.progress();
//! progress.wait_for(|progress| progress.has_reached(7)).await?;
//! following.abort();
//! # drop(response);
//! # Ok(())
//! # }
//! ```
//!
//! Many tunnels in one process share what is the same for all of them: give their [`Settings`] clones of one
//! [`Shared`].

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "in a test, a panic with the value in it is the report")
)]

pub mod service;

mod endings;
mod error;
mod floor;
mod follower;
mod heed;
mod issue;
mod kept;
mod member;
mod notices;
mod pause;
mod progress;
mod shared;
mod tunnel;

pub use error::{Refusal, TunnelError};
pub use follower::Follower;
pub use issue::{Gateway, Issue};
pub use kept::{FOLLOWING_FILE, forget, remember};
pub use member::algorithm_for;
pub use progress::{Progress, Standing};
pub use shared::Shared;
pub use tunnel::{Follow, RECONNECT_S_MAX, Repeat, Settings, Tunnel};
