//! The way to a running region: its admin listener, as AWS's tools reach it.

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde_json::Value as Json;

use super::calls::{Answer, Door};
use crate::admin::client::Client;
use crate::net::aws::Signer;
use crate::net::clock::Clock;

/// A region's control plane over HTTP, each request signed where there is a key pair.
#[derive(Debug)]
pub struct AdminListener {
    client: Client,
    signer: Option<Signer>,
    clock: Clock,
}

impl AdminListener {
    pub fn new(client: Client, signer: Option<Signer>, clock: Clock) -> Self {
        Self { client, signer, clock }
    }
}

#[async_trait]
impl Door for AdminListener {
    async fn call(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, String> {
        let signer = self.signer.as_ref().map(|signer| (signer, self.clock.now()));
        let answered = self.client.control(method, target, body, signer).await;
        let answered = answered.map_err(|error| error.to_string())?;
        let status = answered.status().as_u16();
        // A success without a body, or what is not the control plane's.
        let body = serde_json::from_slice(answered.body()).unwrap_or(Json::Null);
        Ok(Answer { status, body })
    }
}
