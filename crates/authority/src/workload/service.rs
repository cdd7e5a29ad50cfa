//! The methods of the Workload API over gRPC.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::messages::{
    JwtBundlesRequest, JwtBundlesResponse, JwtSvid, JwtSvidRequest, JwtSvidResponse, Struct,
    ValidateJwtSvidRequest, ValidateJwtSvidResponse, X509BundlesRequest, X509BundlesResponse,
    X509SvidRequest, X509SvidResponse,
};
use super::stream::{self, Answers};
use super::{AUDIENCE_BYTES_MAX, AUDIENCES_MAX, JwtSvids, Workload, blocking, note};
use crate::AuthorityError;
use crate::attest::Peer;

/// What every path of the API starts with.
pub(super) const PREFIX: &str = "/SpiffeWorkloadAPI/";

/// Largest request, in bytes: a token of 32 kB and its audience.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// The header without which nothing is answered, so that no browser and no server that is tricked into a request gets
/// an SVID (SPIFFE Workload Endpoint, section 4).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// Serves one request.
pub(super) async fn serve(
    workload: &Arc<Workload>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let given: Vec<_> = request.headers().get_all(SECURITY_HEADER).iter().collect();
    if !matches!(given.as_slice(), [value] if value.as_bytes() == b"true") {
        return Status::invalid_argument("security header missing: workload.spiffe.io: true").into_http();
    }
    let method = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let (workload, peer) = (Arc::clone(workload), Arc::clone(peer));
    match method.as_str() {
        "FetchX509SVID" => grpc().server_streaming(Streaming(workload, peer, stream::svids), request).await,
        "FetchX509Bundles" => {
            grpc().server_streaming(Streaming(workload, peer, stream::x509_bundles), request).await
        }
        "FetchJWTBundles" => {
            grpc().server_streaming(Streaming(workload, peer, stream::jwt_bundles), request).await
        }
        "FetchJWTSVID" => grpc().unary(FetchJwt(workload, peer), request).await,
        "ValidateJWTSVID" => grpc().unary(ValidateJwt(workload, peer), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    }
}

fn grpc<A, Q>() -> Grpc<ProstCodec<A, Q>>
where
    A: prost::Message + Send + 'static,
    Q: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(REQUEST_BYTES_MAX)
}

/// The status of an error, with the words that a peer may hear.
pub(super) fn status(error: &AuthorityError) -> Status {
    let code = match error {
        AuthorityError::Refused { .. }
        | AuthorityError::Unregistered { .. }
        | AuthorityError::Revoked { .. }
        | AuthorityError::Algorithm { .. } => Code::PermissionDenied,
        AuthorityError::Malformed(_) => Code::InvalidArgument,
        AuthorityError::Kernel => Code::Unimplemented,
        _ => Code::Unavailable,
    };
    Status::new(code, error.for_peer())
}

/// The signer of JWT-SVIDs.
pub(super) fn jwt_of(workload: &Workload) -> Result<&Arc<dyn JwtSvids>, AuthorityError> {
    workload.jwt.as_ref().ok_or_else(|| AuthorityError::Malformed("this node signs no JWT-SVIDs".to_owned()))
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

/// A method that answers with a stream.
struct Streaming<T>(Arc<Workload>, Arc<Peer>, fn(&Arc<Workload>, &Arc<Peer>) -> Answers<T>);

macro_rules! streaming {
    ($request:ty, $response:ty) => {
        impl ServerStreamingService<$request> for Streaming<$response> {
            type Response = $response;
            type ResponseStream = Answers<$response>;
            type Future = Answer<Self::ResponseStream>;

            fn call(&mut self, _: tonic::Request<$request>) -> Self::Future {
                let answers = (self.2)(&self.0, &self.1);
                async move { Ok(tonic::Response::new(answers)) }.boxed()
            }
        }
    };
}

streaming!(X509SvidRequest, X509SvidResponse);
streaming!(X509BundlesRequest, X509BundlesResponse);
streaming!(JwtBundlesRequest, JwtBundlesResponse);

struct FetchJwt(Arc<Workload>, Arc<Peer>);

impl UnaryService<JwtSvidRequest> for FetchJwt {
    type Response = JwtSvidResponse;
    type Future = Answer<JwtSvidResponse>;

    fn call(&mut self, request: tonic::Request<JwtSvidRequest>) -> Self::Future {
        let (workload, peer) = (Arc::clone(&self.0), Arc::clone(&self.1));
        async move {
            let fetched = fetch_jwt(&workload, &peer, request.into_inner()).await;
            fetched.map(tonic::Response::new).map_err(|error| status(&error))
        }
        .boxed()
    }
}

async fn fetch_jwt(
    workload: &Arc<Workload>,
    peer: &Arc<Peer>,
    request: JwtSvidRequest,
) -> Result<JwtSvidResponse, AuthorityError> {
    const METHOD: &str = "identity/jwt-svid";
    check_audiences(&request.audience)?;
    let jwt = Arc::clone(jwt_of(workload)?);
    let mut entitled = workload.entitled(peer, METHOD).await?;
    let attested = entitled.attested.clone();
    if !request.spiffe_id.is_empty() {
        entitled.registrations.retain(|registration| registration.id.as_str() == request.spiffe_id);
    }
    if entitled.registrations.is_empty() {
        let error = AuthorityError::unregistered(attested.by, &attested.selectors);
        return Err(workload.refuse(METHOD, Some(&attested), peer, error).await);
    }
    let known = workload.known().clone();
    let signed = blocking(workload.issuance(), move |issuance| {
        let mut svids = Vec::new();
        for registration in &entitled.registrations {
            let svid = jwt.issue(&registration.id, &request.audience, registration)?;
            note(issuance, &known, &entitled.attested, registration, METHOD)?;
            let spiffe_id = registration.id.to_string();
            svids.push(JwtSvid { spiffe_id, svid, hint: String::new() });
        }
        Ok(JwtSvidResponse { svids })
    });
    match signed.await {
        Ok(signed) => Ok(signed),
        Err(error) => Err(workload.refuse(METHOD, Some(&attested), peer, error).await),
    }
}

fn check_audiences(audiences: &[String]) -> Result<(), AuthorityError> {
    let good = |audience: &String| {
        !audience.is_empty()
            && audience.len() <= AUDIENCE_BYTES_MAX
            && !audience.chars().any(char::is_control)
    };
    if audiences.is_empty() || audiences.len() > AUDIENCES_MAX || !audiences.iter().all(good) {
        return Err(AuthorityError::Malformed(format!(
            "a JWT-SVID needs 1 to {AUDIENCES_MAX} audiences of up to {AUDIENCE_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

struct ValidateJwt(Arc<Workload>, Arc<Peer>);

impl UnaryService<ValidateJwtSvidRequest> for ValidateJwt {
    type Response = ValidateJwtSvidResponse;
    type Future = Answer<ValidateJwtSvidResponse>;

    fn call(&mut self, request: tonic::Request<ValidateJwtSvidRequest>) -> Self::Future {
        let (workload, peer) = (Arc::clone(&self.0), Arc::clone(&self.1));
        async move {
            let request = request.into_inner();
            let checked = async {
                check_audiences(std::slice::from_ref(&request.audience))?;
                workload.entitled(&peer, "identity/validate").await?;
                jwt_of(&workload)?.validate(&request.svid, &request.audience)
            };
            match checked.await {
                Ok((id, claims)) => Ok(tonic::Response::new(ValidateJwtSvidResponse {
                    spiffe_id: id.to_string(),
                    claims: Some(Struct::from(&claims)),
                })),
                // A token that does not hold is the argument's fault, not the caller's.
                Err(error @ AuthorityError::Refused { .. }) => {
                    Err(Status::invalid_argument(error.for_peer()))
                }
                Err(error) => Err(status(&error)),
            }
        }
        .boxed()
    }
}
