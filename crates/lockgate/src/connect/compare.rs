//! The gateway's audit log, as this end saw it: compared on each new link, so that a gateway that shows two histories, or
//! less than before, is found by those who use it. Calls go on whatever is found.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use lockgate_audit::witness::{Compared, SHOWN_BYTES_MAX, Seen, Shown};
use lockgate_tunnel::Repeat;

use super::tunnel::Tunnel;

/// Where a gateway shows its checkpoints.
const PATH: &str = "/.well-known/lockgate/checkpoint";

/// Longest pause between two looks, in seconds: links live long.
const LOOK_S: u64 = 300;

/// Longest wait for an answer, in seconds.
const ANSWER_S_MAX: u64 = 20;

/// Compares now and on every new link, for as long as it is polled.
pub(super) async fn keep(tunnel: Tunnel) {
    let folder = tunnel.folder().join("seen");
    let mut progress = tunnel.progress();
    let mut said: Option<String> = None;
    loop {
        match once(&tunnel, &folder).await {
            Ok(Some(Compared::Differs(how))) => {
                tracing::error!(
                    code = "LG-A006",
                    kept = %folder.join("forks").display(),
                    "the gateway's audit log is not the one that this end saw before: {how}; both signed checkpoints are kept"
                );
            }
            Ok(compared) => tracing::debug!(?compared, "the gateway's audit log was compared"),
            Err(why) if said.as_ref() != Some(&why) => {
                tracing::debug!(why, "the gateway's audit log could not be compared");
                said = Some(why);
            }
            Err(_) => {}
        }
        let moves = progress.borrow_and_update().moves;
        let moved = progress.wait_for(|progress| progress.moves != moves);
        // A tunnel that is gone ends this task with it.
        if tokio::time::timeout(Duration::from_secs(LOOK_S), moved).await.is_ok_and(|moved| moved.is_err()) {
            return;
        }
    }
}

/// One exchange; none with a gateway that has nothing to show.
async fn once(tunnel: &Tunnel, folder: &Path) -> Result<Option<Compared>, String> {
    let seen = Seen::at(folder);
    let shown = seen.newest().map_err(|error| error.to_string())?.map(|signed| signed.write());
    let mut request = Request::new(Full::new(Bytes::from(shown.unwrap_or_default())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = PATH.parse().expect("our own paths are URIs");
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let answer = async {
        let response = tunnel.send(request, Repeat::Safe).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), SHOWN_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    let answer: Result<Result<_, String>, _> =
        tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), answer).await;
    let (status, body) = answer.map_err(|_| "it does not answer".to_owned())??;
    match status {
        StatusCode::OK => {}
        // It has no checkpoint yet, or is of an earlier version.
        StatusCode::NOT_FOUND => return Ok(None),
        status => return Err(format!("it answers {status}")),
    }
    let shown: Shown = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let compared = tokio::task::spawn_blocking(move || seen.compare(&shown)).await;
    let compared = compared.map_err(|error| error.to_string())?;
    compared.map(Some).map_err(|error| error.to_string())
}
