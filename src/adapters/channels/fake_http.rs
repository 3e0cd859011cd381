//! A web server on loopback that answers as it is told, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::ports::ChannelError;

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It answers: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It answers a byte at a time, each as a packet of its own.
    Slow(u16, &'static str),
    /// It says nothing and stays.
    Hang,
    /// It promises more than it says, and hangs up.
    CloseMidway,
}

impl Reply {
    pub fn of(status: u16, body: &str) -> Self {
        Self::Answer(status, vec![], body.to_owned())
    }

    pub fn with_header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.to_owned()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let (status, headers, body) = match self {
            Self::Answer(status, headers, body) => (*status, headers.clone(), body.clone()),
            Self::Slow(status, body) => (*status, vec![], (*body).to_owned()),
            Self::Hang => return vec![],
            Self::CloseMidway => return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec(),
        };
        let mut text = format!("HTTP/1.1 {status} said\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        format!("{text}\r\n{body}").into_bytes()
    }
}

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A running server; it ends with its test's runtime.
pub struct FakeHttp {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    serving: JoinHandle<()>,
}

impl FakeHttp {
    /// A server that gives these replies in turn, and hangs up on whoever comes after.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = requests.clone();
        let serving = tokio::spawn(async move {
            let mut replies = VecDeque::from(replies);
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                heard.lock().unwrap().push(request);
                match replies.pop_front() {
                    None => {}
                    Some(Reply::Hang) => silent.push(stream),
                    Some(reply @ Reply::Slow(..)) => {
                        stream.set_nodelay(true).unwrap();
                        for byte in reply.bytes() {
                            stream.write_all(&[byte]).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                    }
                    Some(reply) => stream.write_all(&reply.bytes()).await.unwrap(),
                }
            }
        });
        Self { port, requests, serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// From now on the connection is refused.
    pub async fn stop(self) {
        self.serving.abort();
        drop(self.serving.await);
    }
}

async fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..length]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut request = Request { path, headers, body: bytes[end + 4..].to_vec() };
        let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        while request.body.len() < length {
            let more = stream.read(&mut buffer).await.unwrap();
            request.body.extend_from_slice(&buffer[..more]);
        }
        return request;
    }
}

/// Whether a failure needs a person.
pub fn is_permanent(outcome: &Result<String, ChannelError>) -> bool {
    match outcome {
        Ok(receipt) => panic!("delivered: {receipt}"),
        Err(ChannelError::Permanent { .. }) => true,
        Err(ChannelError::Transient { .. }) => false,
    }
}

/// The service's own wish, in milliseconds.
pub fn wait_of(outcome: &Result<String, ChannelError>) -> Option<u128> {
    match outcome {
        Err(ChannelError::Transient { after, .. }) => after.map(|after| after.as_millis()),
        other => panic!("{other:?}"),
    }
}
