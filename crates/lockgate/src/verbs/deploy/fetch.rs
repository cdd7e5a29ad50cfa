//! Gets the description: from a file, or once over the network, where only public addresses are met and those that were named.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use lockgate_identity::verifier::ForeignRoots;
use lockgate_openapi::Limits;
use lockgate_transport::http::{Limits as PoolLimits, Pool, Target};
use lockgate_transport::reach::{Network, Reach};
use lockgate_transport::{Dialer, Trust, dialer};

use crate::cli::DeployArgs;
use crate::config::named_by;
use crate::connect;
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// Time for the whole of it, in seconds.
const FETCH_S_MAX: u64 = 60;

/// The description's bytes.
///
/// # Errors
/// LG-C030 for a file that cannot be read, LG-N020 for a URL that does not give one.
pub(super) async fn document(args: &DeployArgs, networks: &[Network]) -> Result<Vec<u8>, Diagnostic> {
    if args.document.starts_with("http://") || args.document.starts_with("https://") {
        let fetched = tokio::time::timeout(Duration::from_secs(FETCH_S_MAX), fetch(args, networks)).await;
        return fetched
            .unwrap_or_else(|_| Err(unfetched(args, &format!("it took longer than {FETCH_S_MAX} s"))));
    }
    let unread = |error: &std::io::Error| {
        Diagnostic::new("LG-C030", format!("cannot read {}", args.document)).because(error)
    };
    let size = std::fs::metadata(&args.document).map_err(|error| unread(&error))?.len();
    let max = Limits::default().document_bytes_max;
    if size > max as u64 {
        return Err(Diagnostic::new(
            "LG-C030",
            format!("{} has {size} bytes, and at most {max} are read", args.document),
        ));
    }
    std::fs::read(&args.document).map_err(|error| unread(&error))
}

async fn fetch(args: &DeployArgs, networks: &[Network]) -> Result<Vec<u8>, Diagnostic> {
    let uri: Uri = args.document.parse().map_err(|_| unfetched(args, "it is no URL"))?;
    let mut named = networks.to_vec();
    named.extend(named_by(&uri));
    let dialer = match uri.scheme_str() {
        Some("https") => {
            let roots = match &args.roots {
                Some(path) => ForeignRoots::from_pem_file(path),
                None => ForeignRoots::system(),
            };
            let roots =
                roots.map_err(|error| Diagnostic::new("LG-C009", "no roots for the URL").because(&error))?;
            let suite = connect::tunnel::suite(&args.profile)?;
            Dialer::new(suite, None, Trust::foreign(&roots), dialer::Limits::default())
                .map_err(|error| trouble::tls(&error))?
        }
        _ => Dialer::plain(dialer::Limits::default()),
    };
    let dialer = dialer.within(Reach::public_and(named));
    let target = Target::new(&uri, Arc::new(dialer)).map_err(|error| unfetched(args, &error.to_string()))?;
    let pool = Pool::new(target, PoolLimits::default());
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = uri;
    let accept = header::HeaderValue::from_static("application/json, application/yaml, */*;q=0.5");
    request.headers_mut().insert(header::ACCEPT, accept);
    let response = pool.request(request).await.map_err(|error| {
        Diagnostic::new("LG-N020", format!("cannot fetch {}", args.document)).because(&error).hint(
            "fetch and look at it yourself, then name the file; or name its network: --network 10.0.0.0/8",
        )
    })?;
    if !response.status().is_success() {
        let status = response.status();
        let redirected = if status.is_redirection() { ", and redirects are not followed" } else { "" };
        return Err(unfetched(args, &format!("it answered {status}{redirected}")));
    }
    let max = Limits::default().document_bytes_max;
    let body = Limited::new(response.into_body(), max).collect().await;
    let body = body.map_err(|error| unfetched(args, &format!("{error} (at most {max} bytes are read)")))?;
    Ok(body.to_bytes().to_vec())
}

fn unfetched(args: &DeployArgs, why: &str) -> Diagnostic {
    Diagnostic::new("LG-N020", format!("cannot fetch {}", args.document))
        .cause(why)
        .hint("fetch and look at it yourself, then name the file")
}
