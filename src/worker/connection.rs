//! The way to a broker: one lazy HTTP/2 channel, and the key on every call.

use std::time::Duration;

use anyhow::Context;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::rpc::pb::{generate_client::GenerateClient, worker_client::WorkerClient};

/// A channel whose calls carry a key.
pub type KeyedChannel = InterceptedService<Channel, ApiKey>;

/// Puts the key into the metadata of each call.
#[derive(Clone)]
pub struct ApiKey(MetadataValue<Ascii>);

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("apikey", self.0.clone());
        Ok(request)
    }
}

/// The way to a broker. Cheap to clone; it connects at the first call, and again after a cut.
#[derive(Clone)]
pub struct Connection {
    server: String,
    channel: KeyedChannel,
}

/// Results and requests may hold images as base64.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

impl Connection {
    /// The way to the broker at a URL, with a key.
    ///
    /// # Errors
    /// A URL or key that cannot be one. Whether anybody answers there is not known yet.
    pub fn new(server: &str, api_key: &str) -> anyhow::Result<Self> {
        let server = server.trim_end_matches('/');
        let server = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let mut endpoint = Endpoint::from_shared(server.clone())
            .with_context(|| format!("{server} is no URL; expected something like http://127.0.0.1:7001"))?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(4))
            .keep_alive_while_idle(true);
        if server.starts_with("https://") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
        }
        let mut key: MetadataValue<Ascii> = api_key.parse().context("an API key is plain ASCII")?;
        key.set_sensitive(true);
        Ok(Self { server, channel: InterceptedService::new(endpoint.connect_lazy(), ApiKey(key)) })
    }

    /// The broker's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Calls for workers.
    pub fn worker(&self) -> WorkerClient<KeyedChannel> {
        WorkerClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Calls for people who want something generated.
    pub fn generate(&self) -> GenerateClient<KeyedChannel> {
        GenerateClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}
