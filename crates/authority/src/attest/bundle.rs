//! The JWT bundle of another SPIFFE trust domain, from the Workload API of its agent on this machine.

use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use serde_json::Value;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::AuthorityError;
use crate::workload::messages::{JwtBundlesRequest, JwtBundlesResponse};

/// Longest wait for the bundle, in seconds.
const ANSWER_S_MAX: u64 = 5;
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The bundle as a JWK Set that our reader takes.
pub(super) async fn fetch(socket: &Path, trust_domain: &str) -> Result<String, AuthorityError> {
    let unreachable =
        |cause: String| AuthorityError::Unreachable { what: socket.display().to_string(), cause };
    let asked = async {
        let endpoint = Endpoint::try_from(format!("unix:{}", socket.display()));
        let endpoint = endpoint.map_err(|error| unreachable(error.to_string()))?;
        let channel = endpoint.connect().await.map_err(|error| unreachable(error.to_string()))?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        grpc.ready().await.map_err(|error| unreachable(error.to_string()))?;
        let mut request = tonic::Request::new(JwtBundlesRequest {});
        request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
        let path = PathAndQuery::from_static("/SpiffeWorkloadAPI/FetchJWTBundles");
        let codec = ProstCodec::<JwtBundlesRequest, JwtBundlesResponse>::default();
        let answered = grpc.server_streaming(request, path, codec).await;
        let mut stream = answered.map_err(|status| unreachable(status.message().to_owned()))?.into_inner();
        let answer = stream.message().await.map_err(|status| unreachable(status.message().to_owned()))?;
        let bundles = answer.ok_or_else(|| unreachable("it sent no bundle".to_owned()))?.bundles;
        let bundle = bundles.get(&format!("spiffe://{trust_domain}"));
        let bundle = bundle.ok_or_else(|| unreachable(format!("it has no bundle of {trust_domain}")))?;
        of_svids(bundle).ok_or_else(|| unreachable("its bundle is no JWK Set".to_owned()))
    };
    let answer = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asked).await;
    answer.unwrap_or_else(|_| Err(unreachable(format!("no answer within {ANSWER_S_MAX} s"))))
}

/// Keys for JWT-SVIDs say `use: jwt-svid` (SPIFFE Trust Domain and Bundle, section 4.2.2) where others say `sig`; those
/// for X.509-SVIDs are left out.
fn of_svids(bundle: &[u8]) -> Option<String> {
    let mut set: Value = serde_json::from_slice(bundle).ok()?;
    let keys = set.get_mut("keys")?.as_array_mut()?;
    keys.retain(|key| key["use"] != "x509-svid");
    for key in keys {
        if key["use"] == "jwt-svid" {
            key["use"] = "sig".into();
        }
    }
    Some(set.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_of_a_bundle_are_told_apart() {
        let bundle = r#"{"keys":[{"use":"x509-svid","kty":"EC"},{"use":"jwt-svid","kid":"a"},{"kid":"b"}]}"#;
        let set: Value = serde_json::from_str(&of_svids(bundle.as_bytes()).unwrap()).unwrap();
        assert_eq!(set["keys"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&set["keys"][0]["use"], &set["keys"][1]["kid"]),
            (&Value::from("sig"), &Value::from("b"))
        );
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert_eq!(of_svids(bad.as_bytes()), None, "{bad}");
        }
    }
}
