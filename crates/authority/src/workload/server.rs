//! The Unix socket: bound where the configuration says, bounded in connections, and who opens one is asked of the kernel.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::net::{UnixListener, UnixStream};
use tonic::body::Body;

use super::authority_header::Readable;
use super::{Workload, enrol, service};
use crate::AuthorityError;
use crate::attest::Peer;

/// Anybody on this machine may open the socket: who gets what is decided by attestation, not by the file's mode. Who
/// wants less puts it into a folder that only some may enter.
pub const SOCKET_MODE: u32 = 0o666;
/// Open connections.
const LINKS_MAX: usize = 512;
/// Open connections of one user, so that no other can take all.
const LINKS_PER_USER_MAX: usize = 64;
/// Requests at once on a connection; a client has a stream or two.
const STREAMS_MAX: u32 = 16;
/// Longest wait for the headers of an HTTP/1.1 request.
const HEADERS_S_MAX: u64 = 10;
/// Pause between two signs of life on an idle connection.
const KEEP_ALIVE_S: u64 = 60;
/// Pause after the system could not accept: out of descriptors, most likely.
const PAUSE_MS: u64 = 200;

/// A socket that is bound; it is removed when this is dropped.
#[derive(Debug)]
pub struct Listening {
    listener: UnixListener,
    path: PathBuf,
}

/// Binds the socket. One that a process which ended left behind is replaced; one that answers is not.
///
/// # Errors
/// [`AuthorityError::Io`].
pub fn listen(path: &Path) -> Result<Listening, AuthorityError> {
    let failed = |action| move |source| AuthorityError::Io { action, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there");
            return Err(failed("listen on")(source));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                let source = io::Error::new(io::ErrorKind::AddrInUse, "another process answers there");
                return Err(failed("listen on")(source));
            }
            Err(_) => fs::remove_file(path).map_err(failed("replace"))?,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at")(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
    let listening = Listening { listener, path: path.to_owned() };
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed("open to all"))?;
    Ok(listening)
}

impl Drop for Listening {
    fn drop(&mut self) {
        // What is there now may be another's; a name is all we have, and ours was the last to be bound.
        let _ = fs::remove_file(&self.path);
    }
}

/// Connections of each user.
type Users = Arc<Mutex<HashMap<u32, usize>>>;

impl Listening {
    /// Serves until `end` is there.
    pub async fn serve(self, workload: Arc<Workload>, end: impl Future<Output = ()>) {
        let users = Users::default();
        let mut end = std::pin::pin!(end);
        let mut links = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut end => return,
            };
            while links.try_join_next().is_some() {}
            match accepted {
                Ok((socket, _)) if links.len() < LINKS_MAX => {
                    links.spawn(link(socket, Arc::clone(&workload), Arc::clone(&users)));
                }
                Ok(_) => {
                    tracing::warn!(target: "lockgate", limit = LINKS_MAX, "a connection to the workload socket is turned away")
                }
                Err(error) => {
                    tracing::warn!(target: "lockgate", %error, "the workload socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
                }
            }
        }
    }
}

/// A place among a user's connections, given back when it is dropped.
struct Place(Users, u32);

impl Place {
    fn take(users: &Users, uid: u32) -> Option<Self> {
        let mut counts = users.lock();
        let count = counts.entry(uid).or_default();
        if *count >= LINKS_PER_USER_MAX {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(users), uid))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

async fn link(socket: UnixStream, workload: Arc<Workload>, users: Users) {
    let peer = match Peer::of(&socket) {
        Ok(peer) => Arc::new(peer),
        Err(error) => {
            tracing::warn!(target: "lockgate", code = error.code(), "{error}");
            return;
        }
    };
    let Some(_place) = Place::take(&users, peer.uid()) else {
        tracing::warn!(target: "lockgate", uid = peer.uid(), limit = LINKS_PER_USER_MAX, "one user has too many connections to the workload socket");
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADERS_S_MAX))
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(KEEP_ALIVE_S))
        .max_concurrent_streams(STREAMS_MAX);
    let served = builder.serve_connection(
        TokioIo::new(Readable::new(socket)),
        service_fn(|request| {
            let (workload, peer) = (Arc::clone(&workload), Arc::clone(&peer));
            async move { Ok::<_, std::convert::Infallible>(answer(&workload, &peer, request).await) }
        }),
    );
    if let Err(error) = served.await {
        tracing::debug!(target: "lockgate", %error, "a connection to the workload socket broke");
    }
}

async fn answer(workload: &Arc<Workload>, peer: &Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
    if request.uri().path().starts_with(service::PREFIX) {
        service::serve(workload, peer, request).await
    } else {
        enrol::serve(workload, peer, request).await
    }
}
