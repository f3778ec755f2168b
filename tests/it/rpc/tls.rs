//! TLS: all faces on one port, by ALPN.

use std::sync::Arc;

use gridbroker::rpc::pb;
use rustls::{RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::harness::{ALICE, Broker};

struct Secured {
    broker: Broker,
    certificate: rcgen::CertifiedKey,
    /// Its files are read once, when the broker starts.
    _files: tempfile::TempDir,
}

async fn secured() -> Secured {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("it can be made");
    let files = tempfile::tempdir().expect("a temporary directory can be made");
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert, certificate.cert.pem()).expect("it can be written");
    std::fs::write(&key, certificate.key_pair.serialize_pem()).expect("it can be written");
    let broker = Broker::with(|config| {
        config.server.tls_cert = Some(cert);
        config.server.tls_key = Some(key);
    })
    .await;
    Secured { broker, certificate, _files: files }
}

impl Secured {
    fn authority(&self) -> &str {
        self.broker.url().strip_prefix("https://").expect("its URL says so")
    }

    async fn connect(&self, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.cert.der().clone()).expect("it is a certificate");
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(self.authority()).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
    }

    async fn get(&self, protocols: &[&[u8]]) -> String {
        let mut stream = self.connect(protocols).await.expect("it is secure");
        let request = "GET /api/v2/status/heartbeat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it is whole");
        String::from_utf8(answer).expect("it is text")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_grpc_share_a_port_by_alpn() {
    let secured = secured().await;
    for protocols in [&[][..], &[&b"http/1.1"[..]]] {
        let answer = secured.get(protocols).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"message\":\"OK\""),
            "{answer}"
        );
    }
    let both = secured.connect(&[b"h2", b"http/1.1"]).await.expect("it is secure");
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "h2 goes first");
    drop(both);
    assert!(secured.connect(&[b"spdy/3"]).await.is_err(), "there is nothing else");

    let ca = Certificate::from_pem(secured.certificate.cert.pem());
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    let endpoint = Endpoint::from_shared(secured.broker.url().to_owned()).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.connect().await.expect("gRPC over TLS");
    let mut client = pb::generate_client::GenerateClient::new(channel);
    let message = pb::SubmitTextRequest { prompt: Some("in private".into()), ..Default::default() };
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("apikey", ALICE.parse().unwrap());
    let id = client.submit_text(request).await.expect("it is accepted").into_inner().id;
    assert!(id.is_some());
    secured.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_do_not_speak_tls_disturb_nobody() {
    let secured = secured().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(secured.authority()).await.expect("it is open"));
    }
    let mut plain = TcpStream::connect(secured.authority()).await.expect("it is open");
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is sent");
    let mut answer = Vec::new();
    // An alert, or nothing; never an answer in the clear.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert!(secured.get(&[b"http/1.1"]).await.starts_with("HTTP/1.1 200 OK\r\n"));
    drop(silent);
    secured.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_served_over_h2_in_the_clear_too() {
    let broker = Broker::start().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client can be made");
    let answer =
        client.get(format!("{}/api/v2/status/heartbeat", broker.url())).send().await.expect("it answers");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert!(answer.text().await.expect("it is whole").contains("\"OK\""));
    broker.stop().await;
}
