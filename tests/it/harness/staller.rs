//! A proxy that falls silent: connections stay open, and nothing comes through any more, as when a cable is
//! pulled.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// Stands before a broker. Its connections end with it.
pub struct Staller {
    address: SocketAddr,
    is_silent: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Staller {
    /// Before the broker at a URL.
    pub async fn before(url: &str) -> Self {
        let target: SocketAddr =
            url.trim_start_matches("http://").trim_end_matches('/').parse().expect("a URL of an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let is_silent = watch::Sender::new(false);
        let silence = is_silent.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.expect("it listens");
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                connections.spawn(carries(near_in, far_out, silence.clone()));
                connections.spawn(carries(far_in, near_out, silence.clone()));
            }
        });
        Self { address, is_silent, _tasks: tasks }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nothing comes through; what is sent is swallowed, as nobody says that it did not arrive.
    pub fn falls_silent(&self) {
        self.is_silent.send_replace(true);
    }
}

/// Carries bytes one way, until it is silent; then it swallows them, and keeps both ends open.
async fn carries(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silence: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match from.read(&mut buffer).await {
            // Not even an end is told.
            Ok(0) | Err(_) if *silence.borrow() => return std::future::pending().await,
            Ok(0) | Err(_) => return,
            Ok(_) if *silence.borrow() => {}
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
