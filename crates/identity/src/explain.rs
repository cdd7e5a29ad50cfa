//! TLS errors about certificates, said for people: what happened and what to do next.

use rustls::{AlertDescription, CertificateError, Error};

/// The sentence that belongs to a TLS error about a certificate, whether we refused the other
/// side's or it refused ours with an alert. `None` if the error is about something else.
pub fn explain(error: &Error) -> Option<String> {
    match error {
        Error::InvalidCertificate(cause) => Some(refused_by_us(cause)),
        Error::AlertReceived(alert) => refused_by_peer(*alert).map(str::to_owned),
        Error::NoCertificatesPresented => Some(
            "the other side presented no certificate; enrol it with `lockgate identity invite`".to_owned(),
        ),
        _ => None,
    }
}

fn refused_by_us(cause: &CertificateError) -> String {
    use CertificateError as Cause;
    let said = match cause {
        Cause::Expired | Cause::ExpiredContext { .. } => {
            "the other side's certificate has expired; it must renew it, or enrol again with a \
             new invite (`lockgate identity invite`)"
        }
        Cause::NotValidYet | Cause::NotValidYetContext { .. } => {
            "the other side's certificate is not valid yet; compare the clocks of both machines"
        }
        Cause::UnknownIssuer => {
            "the other side's certificate is not from the authority that we trust; enrol with an \
             invite of that gateway, or give its authority.pem"
        }
        Cause::BadSignature => {
            "a signature of the other side does not verify; its certificate was altered, or it \
             does not have the private key"
        }
        Cause::UnsupportedSignatureAlgorithmContext { .. }
        | Cause::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the other side's certificate is signed with an algorithm that the crypto profile does \
             not permit; give it a certificate of a permitted algorithm, or choose another \
             profile for this link"
        }
        Cause::InvalidPurpose | Cause::InvalidPurposeContext { .. } => {
            "the other side's certificate may not be used for this; an agent's certificate cannot \
             serve, only a node's can"
        }
        Cause::NotValidForName | Cause::NotValidForNameContext { .. } => {
            return format!("{cause}; dial a name that is in it");
        }
        Cause::Other(ours) => return ours.0.to_string(),
        _ => return format!("the other side's certificate was refused: {cause}"),
    };
    said.to_owned()
}

fn refused_by_peer(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    Some(match alert {
        Alert::CertificateExpired => {
            "the other side says that our certificate has expired or is not valid yet; enrol again \
             with a new invite, and compare the clocks of both machines"
        }
        Alert::UnknownCA => {
            "the other side does not know the authority that issued our certificate; enrol with an \
             invite of that gateway"
        }
        Alert::UnsupportedCertificate => {
            "the other side says that our certificate may not be used for this; agents need one \
             from `lockgate identity invite`"
        }
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::AccessDenied => {
            "the other side refused our certificate; its log says why"
        }
        Alert::CertificateRequired => {
            "the other side requires a certificate; enrol with an invite (`lockgate connect \
             --invite CODE`)"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_certificates_have_a_next_step_and_others_are_left_alone() {
        for (error, step) in [
            (CertificateError::Expired.into(), "invite"),
            (CertificateError::NotValidYet.into(), "clocks"),
            (CertificateError::UnknownIssuer.into(), "authority.pem"),
            (CertificateError::InvalidPurpose.into(), "node"),
            (CertificateError::Revoked.into(), "refused"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "enrol"),
            (Error::AlertReceived(AlertDescription::CertificateExpired), "clocks"),
            (Error::NoCertificatesPresented, "enrol"),
        ] {
            let said = explain(&error).unwrap_or_default();
            assert!(said.contains(step), "{error:?}: {said}");
        }
        for error in [Error::AlertReceived(AlertDescription::InternalError), Error::DecryptError] {
            assert_eq!(explain(&error), None);
        }
    }
}
