//! A line that is counted: HTTP requests on their way to a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What ends the first line of a request, and stands nowhere else in one of ours.
const MARK: &[u8] = b" HTTP/1.1\r\n";

/// A port that leads to another one.
pub struct Counted {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Counted {
    /// Leads to `server` from now on.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(lead(near, server, counter.clone()));
            }
        });
        Self { address, requests }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Leads one connection until one of its ends is closed.
async fn lead(near: TcpStream, server: SocketAddr, counter: Arc<AtomicUsize>) {
    let far = TcpStream::connect(server).await.unwrap();
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_far, &mut to_near).await });
    // The end of what was read stays, in case a mark is cut in two.
    let mut seen: Vec<u8> = Vec::new();
    let mut bytes = vec![0; 16_384];
    while let Ok(length @ 1..) = from_near.read(&mut bytes).await {
        seen.extend_from_slice(&bytes[..length]);
        let marks = seen.windows(MARK.len()).filter(|window| *window == MARK).count();
        counter.fetch_add(marks, Ordering::SeqCst);
        seen.drain(..seen.len().saturating_sub(MARK.len() - 1));
        if to_far.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
    back.abort();
}
