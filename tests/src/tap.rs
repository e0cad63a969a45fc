//! A wire between two nodes that is listened to, that can be cut, and on which requests can be changed.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Forwards connections and keeps every byte.
pub struct Tap {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    cut: CancellationToken,
}

impl Tap {
    /// Listens on a wire to `target`.
    ///
    /// # Panics
    /// No port is free.
    pub async fn to(target: SocketAddr) -> Self {
        Self::changing(target, "", "").await
    }

    /// As `to`, but whoever sits on the wire writes `new` over every `old` in what goes to `target`. They are of one length,
    /// so that the frames around them stay true.
    ///
    /// # Panics
    /// No port is free.
    pub async fn changing(target: SocketAddr, old: &'static str, new: &'static str) -> Self {
        assert_eq!(old.len(), new.len());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let tap =
            Self { address: listener.local_addr().unwrap(), heard: Arc::default(), cut: CancellationToken::new() };
        let (heard, cut) = (Arc::clone(&tap.heard), tap.cut.clone());
        tokio::spawn(async move {
            let forwarding = async {
                while let Ok((near, _)) = listener.accept().await {
                    let (heard, cut) = (Arc::clone(&heard), cut.clone());
                    tokio::spawn(cut.run_until_cancelled_owned(forward(near, target, heard, (old, new))));
                }
            };
            cut.run_until_cancelled(forwarding).await;
        });
        tap
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether these bytes went over the wire, either way.
    pub fn heard(&self, bytes: &[u8]) -> bool {
        self.heard.lock().windows(bytes.len()).any(|window| window == bytes)
    }

    /// How often these bytes went over the wire.
    pub fn count(&self, bytes: &[u8]) -> usize {
        self.heard.lock().windows(bytes.len()).filter(|window| *window == bytes).count()
    }

    /// Everything that went over the wire, as text where it is text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock()).into_owned()
    }

    /// Cuts the wire: open connections break, new ones are refused.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

/// What is written over, and what over it.
type Change = (&'static str, &'static str);

async fn forward(near: TcpStream, target: SocketAddr, heard: Arc<Mutex<Vec<u8>>>, change: Change) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(copy(near_read, far_write, &heard, change), copy(far_read, near_write, &heard, ("", "")));
}

/// Each part is kept before it is passed on, so whoever saw an answer finds it here.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: &Mutex<Vec<u8>>, (old, new): Change) {
    let mut part = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut part).await {
        heard.lock().extend_from_slice(&part[..count]);
        if !old.is_empty() {
            for at in 0..(count + 1).saturating_sub(old.len()) {
                if part[at..].starts_with(old.as_bytes()) {
                    part[at..at + new.len()].copy_from_slice(new.as_bytes());
                }
            }
        }
        if to.write_all(&part[..count]).await.is_err() {
            break;
        }
    }
}
