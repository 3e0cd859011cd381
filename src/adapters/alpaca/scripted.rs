//! A server for tests: it gives the answers of a script, one after another, and keeps what it was asked.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// What one request is answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes.
    Bytes(String),
    /// The beginning of an answer, and then the end of the connection.
    Cut,
}

impl Answer {
    /// An answer with headers and a body.
    pub fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        Self::Bytes(format!(
            "HTTP/1.1 {status} -\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &str) -> Self {
        Self::new(status, &[("content-type", "application/json")], body)
    }
}

/// A server on a port of its own.
pub struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Starts a server that gives these answers; past their end nobody is let in.
    pub async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                kept.lock().await.push(read_request(&mut stream).await);
                let bytes = match &answer {
                    Answer::Bytes(bytes) => bytes.as_bytes(),
                    Answer::Cut => b"HTTP/1.1 200 -\r\ncontent-length: 100\r\n\r\n{\"id\":",
                };
                stream.write_all(bytes).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, requests }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked, head and body.
    pub async fn requests(&self) -> Vec<String> {
        self.requests.lock().await.clone()
    }

    /// The first words of what it was asked: method and path.
    pub async fn asked(&self) -> Vec<String> {
        let requests = self.requests().await;
        requests.iter().map(|request| request.split(" HTTP").next().unwrap().to_owned()).collect()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let wanted = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok())
            .unwrap_or(0);
        if body.len() >= wanted || length == 0 {
            return text;
        }
    }
}
