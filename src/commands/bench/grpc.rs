//! What the gRPC loads share: connections, and calls that carry the account's key.

use anyhow::Context;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::process::Target;
use crate::rpc::pb::{generate_client::GenerateClient, worker_client::WorkerClient};

/// A connection to a server, with the key for its calls.
#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    key: MetadataValue<Ascii>,
}

impl Caller {
    /// Connects.
    pub async fn connect(target: &Target) -> anyhow::Result<Self> {
        let channel =
            Endpoint::from_shared(format!("http://{}", target.address))?.tcp_nodelay(true).connect().await;
        let channel = channel.with_context(|| format!("cannot connect to {}", target.address))?;
        Ok(Self { channel, key: target.key.parse()? })
    }

    /// A stub for people's calls.
    pub fn generate(&self) -> GenerateClient<Channel> {
        GenerateClient::new(self.channel.clone())
    }

    /// A stub for workers' calls.
    pub fn worker(&self) -> WorkerClient<Channel> {
        WorkerClient::new(self.channel.clone())
    }

    /// A call with the key.
    pub fn call<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("apikey", self.key.clone());
        request
    }
}
