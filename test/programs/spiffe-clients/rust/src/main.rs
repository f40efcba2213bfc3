//! The crate `spiffe`: prints a line for all that it got, and another one when its certificate was renewed.
use futures_util::StreamExt;
use spiffe::WorkloadApiClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("no address")?;
    let client = WorkloadApiClient::connect_to(address).await?;
    let mut contexts = client.stream_x509_contexts().await?;
    let first = contexts.next().await.ok_or("the stream ended")??;
    let svid = first.default_svid().ok_or("no certificate")?.clone();
    let token = client.fetch_jwt_token(["db"], None).await?;
    let checked = client.validate_jwt_token("db", &token).await?;
    client.fetch_jwt_bundles().await?;
    println!("got {} {}", svid.spiffe_id(), checked.spiffe_id());
    loop {
        let next = contexts.next().await.ok_or("the stream ended")??;
        if next.default_svid().ok_or("no certificate")?.leaf() != svid.leaf() {
            println!("renewed {}", svid.spiffe_id());
            return Ok(());
        }
    }
}
