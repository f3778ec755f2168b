//! The ways to watch a request, each for as long as its connection holds.

use std::sync::LazyLock;

use futures_util::StreamExt;
use gridbroker::rpc::pb::{WatchRequest, WatchResponse, generate_client::GenerateClient};
use prost::Message;
use reqwest::{Client, Response};
use tonic::transport::Endpoint;

use crate::harness::{Reader, Told};

/// What a reader was told, over all its connections.
#[derive(Default)]
pub struct Journal {
    pub reader: Reader,
    pub told: Vec<Told>,
}

impl Journal {
    fn hears(&mut self, told: Told) -> Result<(), String> {
        let before = self.reader.cursor;
        self.reader.hears(told.clone())?;
        // What is not of the log is no part of what is compared.
        if self.reader.cursor != before {
            self.told.push(told);
        }
        Ok(())
    }
}

/// A way to watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Grpc,
    GrpcWeb,
    Sse,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Grpc, Self::GrpcWeb, Self::Sse];

    /// Reads on from where the reader is, until the end or a cut.
    ///
    /// # Errors
    /// What it is told does not follow from what it was told before, or is no part of the API.
    pub async fn reads(self, url: &str, id: &str, journal: &mut Journal) -> Result<(), String> {
        let request = WatchRequest { id: id.into(), after: journal.reader.after() };
        match self {
            Self::Grpc => over_grpc(url, request, journal).await,
            Self::GrpcWeb => over_grpc_web(url, &request, journal).await,
            Self::Sse => over_sse(url, &request, journal).await,
        }
    }
}

async fn over_grpc(url: &str, request: WatchRequest, journal: &mut Journal) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
    let Ok(channel) = endpoint.connect().await else { return Ok(()) };
    let Ok(stream) = GenerateClient::new(channel).watch(request).await else { return Ok(()) };
    let mut stream = stream.into_inner();
    while let Ok(Some(response)) = stream.message().await {
        journal.hears(response.into())?;
    }
    Ok(())
}

/// A client whose connections are used once.
static CLIENT: LazyLock<Client> =
    LazyLock::new(|| Client::builder().pool_max_idle_per_host(0).build().expect("a client can be made"));

fn is_ok(response: &Response) -> Result<(), String> {
    match response.status().as_u16() {
        200 => Ok(()),
        other => Err(format!("answered {other}")),
    }
}

async fn over_grpc_web(url: &str, request: &WatchRequest, journal: &mut Journal) -> Result<(), String> {
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len()).expect("it is short");
    let body = [&[0][..], &length.to_be_bytes(), &message].concat();
    let call = CLIENT.post(format!("{url}/grid.v2.Generate/Watch")).body(body);
    let call = call.header("content-type", "application/grpc-web+proto").header("x-grpc-web", "1");
    let Ok(response) = call.send().await else { return Ok(()) };
    is_ok(&response)?;
    let (mut stream, mut bytes) = (response.bytes_stream(), Vec::new());
    while let Some(Ok(more)) = stream.next().await {
        bytes.extend_from_slice(&more);
        while let [kind, a, b, c, d, rest @ ..] = &bytes[..] {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some(message) = rest.get(..length) else { break };
            // The other kind has trailers.
            if *kind == 0 {
                let response = WatchResponse::decode(message).map_err(|error| error.to_string())?;
                journal.hears(response.into())?;
            }
            bytes.drain(..5 + length);
        }
    }
    Ok(())
}

async fn over_sse(url: &str, request: &WatchRequest, journal: &mut Journal) -> Result<(), String> {
    let call = CLIENT.get(format!("{url}/api/v2/generate/{}/stream", request.id));
    let Ok(response) = call.header("last-event-id", &request.after).send().await else { return Ok(()) };
    is_ok(&response)?;
    let (mut stream, mut text) = (response.bytes_stream(), Vec::new());
    while let Some(Ok(more)) = stream.next().await {
        text.extend_from_slice(&more);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block =
                String::from_utf8(text.drain(..end + 2).collect()).map_err(|error| error.to_string())?;
            if let Some(told) = Told::of_sse(&block) {
                journal.hears(told)?;
            }
        }
    }
    Ok(())
}
