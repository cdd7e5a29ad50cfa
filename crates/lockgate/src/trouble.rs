//! Errors of the crates below, said for people: which code, why, what next.

use std::path::Path;

use lockgate_identity::IdentityError;
use lockgate_transport::http::PoolError;
use lockgate_transport::{DialError, TlsError};
use lockgate_tunnel::TunnelError;

use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;

/// A gateway that could not be dialled.
pub(crate) fn dial(error: &DialError, endpoint: &Endpoint) -> Diagnostic {
    let origin = endpoint.origin();
    match error {
        DialError::Refused { .. } => Diagnostic::new("LG-K001", format!("{origin} and this end share no permitted algorithm"))
            .because(error)
            .hint("compare profiles: lockgate crypto profiles; choose one with --profile NAME"),
        DialError::Certificate { source, .. } => {
            let problem = Diagnostic::new("LG-I001", format!("the certificate of {origin} is not trusted"));
            match lockgate_identity::explain(source) {
                Some(said) => problem.cause(said),
                None => problem.because(error),
            }
            .hint("if the gateway has a new authority, enrol again: lockgate connect --invite CODE")
        }
        DialError::Tls { source, .. } => match lockgate_identity::explain(source) {
            Some(said) => Diagnostic::new("LG-I005", format!("{origin} does not accept this connector's certificate"))
                .cause(said)
                .hint("enrol again: lockgate identity invite on the gateway's machine, lockgate connect --invite CODE here"),
            None => Diagnostic::new("LG-N004", format!("{origin} does not answer as a gateway does")).because(error),
        },
        DialError::ConnectTimeout { .. } | DialError::HandshakeTimeout { .. } => {
            Diagnostic::new("LG-N003", format!("{origin} does not answer in time"))
                .because(error)
                .hint("on its machine: lockgate status")
        }
        _ => Diagnostic::new("LG-N002", format!("cannot reach {origin}"))
            .because(error)
            .hint("is it running? On its machine: lockgate status"),
    }
}

/// An exchange with a gateway that failed.
pub(crate) fn exchange(error: &PoolError, endpoint: &Endpoint) -> Diagnostic {
    match error {
        PoolError::Dial(error) => dial(error, endpoint),
        PoolError::Exhausted { .. } => {
            Diagnostic::new("LG-N003", format!("all connections to {endpoint} are busy")).because(error)
        }
        _ => {
            Diagnostic::new("LG-M002", format!("the tunnel to {} was lost", endpoint.origin())).because(error)
        }
    }
}

/// A tunnel that could not be opened.
pub(crate) fn tunnel(error: &TunnelError, endpoint: &Endpoint) -> Diagnostic {
    match error {
        TunnelError::Exchange(error) => exchange(error, endpoint),
        TunnelError::Tls(error) => tls(error),
        TunnelError::Crypto(error) => Diagnostic::new("LG-K002", "the profile cannot be used")
            .because(&**error)
            .hint("choose another: lockgate crypto profiles"),
        TunnelError::Kept { .. } => {
            Diagnostic::new("LG-S003", "the connector's folder cannot be used").because(error)
        }
        _ => Diagnostic::new("LG-N004", format!("{} does not answer as a gateway does", endpoint.origin()))
            .because(error),
    }
}

/// A profile or leaf that cannot be used for TLS.
pub(crate) fn tls(error: &TlsError) -> Diagnostic {
    Diagnostic::new("LG-K002", "the profile cannot be used with this certificate")
        .because(error)
        .hint("choose another profile: lockgate crypto profiles")
}

/// Keys or certificates that cannot be used.
pub(crate) fn identity(error: &IdentityError, folder: &Path) -> Diagnostic {
    let what = format!("cannot use the keys and certificates in {}", folder.display());
    match error {
        IdentityError::Permissions { .. } => Diagnostic::new("LG-S002", what)
            .because(error)
            .hint(format!("if nobody else could have read it: chmod -R go= {}", folder.display())),
        _ => Diagnostic::new("LG-I006", what).because(error).hint("see what is wrong: lockgate doctor"),
    }
}

/// A profile by name, with the list of names if there is none.
pub(crate) fn profile(name: &str) -> Result<&'static lockgate_crypto::Profile, Diagnostic> {
    lockgate_crypto::profile::find(name).map_err(|error| {
        Diagnostic::new("LG-C012", format!("no profile is called \"{name}\""))
            .because(&error)
            .hint("list them: lockgate crypto profiles")
    })
}

/// A profile that is compiled and has tested itself.
pub(crate) fn compile(
    profile: &'static lockgate_crypto::Profile,
    epoch: u64,
) -> Result<lockgate_crypto::Suite, Diagnostic> {
    profile.compile(epoch).map_err(|error| {
        Diagnostic::new("LG-K002", format!("profile {} cannot be used", profile.name))
            .because(&error)
            .hint("choose another: lockgate crypto profiles")
    })
}

/// A secret that cannot be sealed or opened.
pub(crate) fn secret(what: String, cause: &str) -> Diagnostic {
    Diagnostic::new("LG-S006", what)
        .cause(cause)
        .hint("see what is sealed, and what opens: lockgate secret list")
}
