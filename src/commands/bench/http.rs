//! As much of HTTP/1.1 as a load generator needs: one keep-alive connection, replies with a
//! Content-Length. A full client would cost more CPU than the servers that are measured.

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Largest reply, in bytes.
const LARGEST: usize = 1 << 20;

/// A keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    address: String,
    key: String,
    buffer: Vec<u8>,
}

/// A reply.
#[derive(Debug, PartialEq)]
pub struct Reply<'a> {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects; calls carry this API key.
    pub async fn open(address: &str, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.into(), key: key.into(), buffer: Vec::new() })
    }

    /// POSTs a JSON body.
    pub async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<Reply<'_>> {
        let Self { address, key, .. } = self;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\napikey: {key}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.call(&request).await.with_context(|| format!("POST {path}"))
    }

    /// GETs a path.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Reply<'_>> {
        let Self { address, key, .. } = self;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\napikey: {key}\r\nAccept: application/json\r\n\r\n"
        );
        self.call(&request).await.with_context(|| format!("GET {path}"))
    }

    async fn call(&mut self, request: &str) -> anyhow::Result<Reply<'_>> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let (status, body, end) = loop {
            if let Some((status, head, length)) = parse_head(&self.buffer)?
                && self.buffer.len() >= head + length
            {
                break (status, head, head + length);
            }
            ensure!(self.buffer.len() < LARGEST, "the reply is too long");
            let count = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(count > 0, "the server closed the connection");
        };
        Ok(Reply { status, body: &self.buffer[body..end] })
    }
}

impl Reply<'_> {
    /// Reads the body of a success.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> anyhow::Result<T> {
        if !(200..300).contains(&self.status) {
            bail!("status {}: {}", self.status, String::from_utf8_lossy(self.body));
        }
        serde_json::from_slice(self.body).context("the reply is not what was expected")
    }
}

/// Status, length of the head, and length of the body; `None`: the head is not complete.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some((status, end + 4, length))),
        (None, _) => bail!("not HTTP: {first}"),
        (_, None) => bail!("the reply has no Content-Length: {head}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_read_once_it_is_complete() {
        let reply = b"HTTP/1.1 202 Accepted\r\ncontent-LENGTH: 2\r\nx: y\r\n\r\n{}";
        assert_eq!(parse_head(reply).unwrap(), Some((202, reply.len() - 2, 2)));
        assert_eq!(parse_head(&reply[..40]).unwrap(), None);
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"garbage\r\n\r\n").is_err());
    }
}
