//! The listener: connections, plain or TLS, bounded in number, and the HTTP server over them.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::opening::Door;
use crate::config::Config;

/// A half-open peer is found within these two together.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(4));
/// How long an address that is in use is waited for.
const BIND_PATIENCE: Duration = Duration::from_secs(1);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a peer may take to say which protocol it speaks.
const GREETING: Duration = Duration::from_secs(20);
/// Bytes after which it has: HTTP/2 begins with a preface of so many.
const PREFACE: usize = 24;
/// Streams that a client may cancel before they are accepted; held pops are cancelled in bursts.
const PENDING_RESETS: usize = 500;
/// Connections accepted and not yet taken over by the server.
const BACKLOG: usize = 64;

/// The address of the other end of a connection; in the extensions of each of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Binds the address.
pub async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.server.listen;
    // A broker that was just killed may hold its address for a moment longer.
    let deadline = tokio::time::Instant::now() + BIND_PATIENCE;
    let bound = loop {
        match TcpListener::bind(address).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => break outcome,
        }
    };
    bound.with_context(|| {
        format!("cannot listen on {address}; is another program there? choose another with --listen")
    })
}

/// Accepts connections for as long as the stream is read.
pub fn accept(
    listener: TcpListener,
    config: &Config,
) -> anyhow::Result<ReceiverStream<io::Result<Connection>>> {
    let tls = acceptor(config)?;
    let room = Arc::new(Semaphore::new(config.limits.max_connections));
    let (ready, incoming) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        loop {
            // At the limit the kernel's own queue holds newcomers back.
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls.clone() else {
                let connection = Connection::new(Io::Plain(stream), peer, permit, GREETING);
                if ready.send(Ok(connection)).await.is_err() {
                    return;
                }
                continue;
            };
            let ready = ready.clone();
            tokio::spawn(async move {
                // A peer that does not get through its handshake is gone without a trace.
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                    let io = Io::Tls(Box::new(stream));
                    let _ = ready.send(Ok(Connection::new(io, peer, permit, GREETING))).await;
                }
            });
        }
    });
    Ok(ReceiverStream::new(incoming))
}

fn acceptor(config: &Config) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&config.server.tls_cert, &config.server.tls_key) else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(|certs| certs.collect::<Result<Vec<_>, _>>())
        .with_context(|| format!("the certificate {} cannot be read", cert.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate in PEM form", cert.display());
    let key_der = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("the private key {} cannot be read", key.display()))?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .context("the certificate and the private key do not fit together")?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

/// Serves until the token fires and every connection has ended.
pub fn serve(
    door: Door,
    incoming: ReceiverStream<io::Result<Connection>>,
    config: &Config,
    stopping: CancellationToken,
) -> impl Future<Output = Result<(), tonic::transport::Error>> + Send + use<> {
    let server = tonic::transport::Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .max_concurrent_streams(Some(config.limits.max_streams_per_connection));
    async move {
        let signal = async move { stopping.cancelled().await };
        server.serve_with_incoming_shutdown(door, incoming, signal).await
    }
}

/// A connection, counted for as long as it lives.
pub struct Connection {
    io: Io,
    peer: Peer,
    /// Set until the peer has said which protocol it speaks, or was answered. From then on the HTTP
    /// server finds those that say nothing: by the time-out for headers, or by pings.
    greeting: Option<Greeting>,
    _permit: OwnedSemaphorePermit,
}

struct Greeting {
    /// Bytes to come.
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(io: Io, peer: SocketAddr, permit: OwnedSemaphorePermit, patience: Duration) -> Self {
        let greeting = Greeting { missing: PREFACE, deadline: Box::pin(sleep(patience)) };
        Self { io, peer: Peer(peer), greeting: Some(greeting), _permit: permit }
    }
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
        };
        let Some(greeting) = &mut self.greeting else { return read };
        greeting.missing = greeting.missing.saturating_sub(buf.filled().len() - before);
        if greeting.missing == 0 {
            self.greeting = None;
        } else if read.is_pending() && greeting.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.greeting = None;
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.greeting = None;
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_say_what_it_speaks_loses_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let room = Arc::new(Semaphore::new(1));
        for (greeting, is_kept) in [("", false), ("PRI * HT", false), ("GET /livez HTTP/1.1\r\nhost", true)] {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            peer.write_all(greeting.as_bytes()).await.unwrap();
            let (stream, address) = listener.accept().await.unwrap();
            let permit = room.clone().acquire_owned().await.unwrap();
            let patience = Duration::from_millis(50);
            let mut connection = Connection::new(Io::Plain(stream), address, permit, patience);
            let read = async {
                while connection.read(&mut [0; 64]).await? > 0 {}
                io::Result::Ok(())
            };
            match timeout(4 * patience, read).await {
                Ok(ended) => assert!(!is_kept && ended.is_err(), "{greeting:?}"),
                Err(_) => assert!(is_kept, "{greeting:?}"),
            }
        }
    }
}
