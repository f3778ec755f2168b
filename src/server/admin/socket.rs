//! The socket in the data directory: made where nobody else may enter, found by the operator's commands.

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::Context;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::{Channel, Endpoint};

use crate::{host::Host, rpc::admin::admin_client::AdminClient};

/// Name of the socket in the data directory.
const SOCKET: &str = "admin.sock";
/// Where it is made before anyone can see it; no longer than [`SOCKET`].
const NURSERY: &str = ".admin";
/// Longest path that a socket address holds everywhere.
const LONGEST_PATH: usize = 100;

/// Makes the socket of a broker in its data directory.
///
/// # Errors
/// It cannot be made.
pub(super) fn listen(host: &Host, data: &Path) -> anyhow::Result<(UnixListener, SocketFile)> {
    let path = data.join(SOCKET);
    let listener =
        listen_in(data).with_context(|| format!("the admin socket {} cannot be made", path.display()))?;
    Ok((listener, SocketFile { path, _host: host.clone() }))
}

/// The socket's name in the data directory, taken away when the service ends, also when it is aborted.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Keeps the data directory ours until the name is gone: the next holder's socket has the same.
    _host: Host,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the socket in a directory that nobody else may enter, and shows it only when it is closed
/// to others, so that there is no moment at which a stranger could connect.
fn listen_in(data: &Path) -> io::Result<UnixListener> {
    let nursery = data.join(NURSERY);
    match std::fs::remove_dir_all(&nursery) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::DirBuilder::new().mode(0o700).create(&nursery)?;
    let short = ShortPath::of(&nursery)?;
    let listener = UnixListener::bind(short.join("s"))?;
    let made = nursery.join("s");
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, data.join(SOCKET))?;
    std::fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// A directory under a name that leaves room for a socket's.
struct ShortPath {
    path: PathBuf,
    /// The name goes through this descriptor, if the directory's own is too long.
    _open: Option<File>,
}

impl ShortPath {
    fn of(directory: &Path) -> io::Result<Self> {
        if directory.as_os_str().len() + 1 + SOCKET.len() <= LONGEST_PATH {
            return Ok(Self { path: directory.to_owned(), _open: None });
        }
        if !cfg!(target_os = "linux") {
            let longest = LONGEST_PATH - SOCKET.len() - 1;
            let problem =
                format!("the path is too long for a socket; use a data directory of up to {longest} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let open = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        Ok(Self { path, _open: Some(open) })
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Connects to the broker that holds a data directory; `None` if none does.
///
/// # Errors
/// There is one, and it cannot be spoken to.
pub async fn connect(data: &Path) -> anyhow::Result<Option<AdminClient<Channel>>> {
    let dial = async { UnixStream::connect(ShortPath::of(data)?.join(SOCKET)).await };
    let stream = match dial.await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            anyhow::bail!(
                "the broker of {} belongs to another system user; run this command as that user",
                data.display()
            )
        }
        Err(error) => {
            return Err(error).with_context(|| format!("the broker of {} cannot be reached", data.display()));
        }
    };
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted));
        async move { stream }
    });
    // The authority is asked for, and not used: the connection is there already.
    let channel = Endpoint::from_static("http://admin").connect_with_connector(connector).await?;
    Ok(Some(AdminClient::new(channel)))
}
