//! Bytes of a test's own making through the TLS front door, for what no client library would send.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server that neither answers nor closes within this time has hung.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A TLS connection on which HTTP/1.1 is spoken by hand.
pub struct Raw(TlsStream<TcpStream>);

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// No connection.
    pub async fn connect(address: SocketAddr, ca: &Path) -> Self {
        let mut config = forebay_http::tls::client_config(Some(ca), None).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Self(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
    }

    /// Sends bytes. A server that refuses early may have closed before it took all of them.
    pub async fn send(&mut self, bytes: &[u8]) {
        if self.0.write_all(bytes).await.is_ok() {
            let _ = self.0.flush().await;
        }
    }

    /// Sends no more. The other direction stays open.
    pub async fn half_close(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Everything until the server closes.
    ///
    /// # Panics
    /// It does not.
    pub async fn rest(mut self) -> String {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(ANSWER_LIMIT, self.0.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "neither closed nor ended: {}", String::from_utf8_lossy(&answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What came until `end` is in it, or the server closed.
    ///
    /// # Panics
    /// Nothing comes.
    pub async fn until(&mut self, end: &str) -> String {
        let mut answer = String::new();
        let mut part = [0; 4096];
        while !answer.contains(end) {
            let read = tokio::time::timeout(ANSWER_LIMIT, self.0.read(&mut part)).await;
            match read.unwrap_or_else(|_| panic!("no `{end}` after: {answer}")) {
                Ok(count) if count > 0 => answer.push_str(&String::from_utf8_lossy(&part[..count])),
                _ => break,
            }
        }
        answer
    }
}

/// The status of every answer in `text`, in order.
pub fn statuses(text: &str) -> Vec<u16> {
    // A body without a line break may stand before the next answer's first line.
    text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect()
}
