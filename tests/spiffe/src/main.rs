//! Fetches SVIDs at a Workload API with the `spiffe` crate, and prints as one JSON object what that read.
//!
//! Usage: spiffe-workload SOCKET AUDIENCE

use spiffe::WorkloadApiClient;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(socket), Some(audience)) = (arguments.next(), arguments.next()) else {
        return Err("usage: spiffe-workload SOCKET AUDIENCE".into());
    };
    let client = WorkloadApiClient::connect_to(format!("unix:{socket}")).await?;
    let svid = client.fetch_x509_svid().await?;
    let domain = svid.spiffe_id().trust_domain();
    let bundles = client.fetch_x509_bundles().await?;
    let roots = bundles.get(domain).map_or(0, |bundle| bundle.authorities().len());
    let token = client.fetch_jwt_svid([&audience], None).await?;
    let checked = client.validate_jwt_token(&audience, token.token()).await?;
    let keys = client.fetch_jwt_bundles().await?;
    println!(
        "{{\"id\":\"{}\",\"roots\":{roots},\"jwt\":\"{}\",\"validated\":\"{}\",\"keys\":{}}}",
        svid.spiffe_id(),
        token.spiffe_id(),
        checked.spiffe_id(),
        keys.get(domain).is_some()
    );
    Ok(())
}
