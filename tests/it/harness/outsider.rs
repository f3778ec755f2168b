//! A web server of a stranger, over TLS or not, that answers as a test says.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::Authority;

/// A call that came.
#[derive(Clone, Debug)]
pub struct Called {
    /// The first line without the version, such as `POST /hook`.
    pub line: String,
    /// Headers as they came, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Called {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let begin = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&begin))
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What is answered.
pub enum Reply {
    /// A status without a body.
    Status(u16),
    /// A redirection to there.
    Redirect(String),
    /// 200 and this, with its length before it.
    Content(Vec<u8>),
    /// 200 and this, whose length shows at its end.
    Unannounced(Vec<u8>),
    /// 200, and then this, byte for byte, with so long between two.
    Drips(Vec<u8>, Duration),
    /// Nothing, for as long as the caller waits.
    Silence,
}

type Script = dyn Fn(&Called) -> Reply + Send + Sync;

/// The server. It ends with this value.
pub struct Outsider {
    address: SocketAddr,
    authority: Option<Authority>,
    calls: Arc<Mutex<Vec<Called>>>,
    serving: JoinHandle<()>,
}

impl Outsider {
    /// A server over TLS.
    pub async fn secure(script: impl Fn(&Called) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Some(Authority::new()), Arc::new(script)).await
    }

    /// A server without TLS.
    pub async fn plain(script: impl Fn(&Called) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(script)).await
    }

    async fn start(authority: Option<Authority>, script: Arc<Script>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let tls = authority.as_ref().map(acceptor);
        let heard = calls.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, script, heard) = (tls.clone(), script.clone(), heard.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &*script, &heard).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &*script, &heard).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, authority, calls, serving }
    }

    /// A URL of it, by its address.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The same by a name.
    pub fn named_url(&self, path: &str) -> String {
        self.url(path).replace("127.0.0.1", "localhost")
    }

    /// The file of who vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.authority.as_ref().expect("it has TLS").authority()
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Called> {
        self.calls.lock().clone()
    }

    /// The bodies of all calls so far.
    pub fn told(&self) -> Vec<serde_json::Value> {
        self.calls().iter().map(Called::json).collect()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(authority.certificate()).expect("it is a certificate");
    let key = PrivateKeyDer::from_pem_file(authority.key()).expect("it is a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("there are versions").with_no_client_auth();
    let config = builder.with_single_cert(vec![certificate], key).expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

/// One call a connection. Whoever hangs up is no matter of ours.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &Script, heard: &Mutex<Vec<Called>>) {
    let Some(called) = read(&mut stream).await else { return };
    let reply = script(&called);
    heard.lock().push(called);
    let head =
        |status: u16, more: &str| format!("HTTP/1.1 {status} Answer\r\nconnection: close\r\n{more}\r\n");
    let (head, body, pause) = match reply {
        Reply::Status(status) => (head(status, "content-length: 0\r\n"), Vec::new(), None),
        Reply::Redirect(to) => {
            (head(302, &format!("location: {to}\r\ncontent-length: 0\r\n")), Vec::new(), None)
        }
        Reply::Content(body) => (head(200, &format!("content-length: {}\r\n", body.len())), body, None),
        Reply::Unannounced(body) => (head(200, ""), body, None),
        Reply::Drips(body, pause) => {
            (head(200, &format!("content-length: {}\r\n", body.len())), body, Some(pause))
        }
        Reply::Silence => return std::future::pending().await,
    };
    let answered = async {
        stream.write_all(head.as_bytes()).await?;
        match pause {
            None => stream.write_all(&body).await?,
            Some(pause) => {
                for byte in body {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        stream.shutdown().await
    };
    let _: std::io::Result<()> = answered.await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Called> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let line = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
    let mut called = Called { line, head: head.to_lowercase(), body: bytes.split_off(end) };
    let length: usize = called.header("content-length").map_or(Ok(0), str::parse).ok()?;
    while called.body.len() < length {
        if stream.read_buf(&mut called.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(called)
}
