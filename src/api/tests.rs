use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// A server of one path that answers once it is let, and how it is asked.
struct Served {
    address: SocketAddr,
    let_go: Arc<Notify>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _routes: watch::Sender<Router>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, let_go, stop) =
            (listener.local_addr().unwrap(), Arc::new(Notify::new()), CancellationToken::new());
        let waits = let_go.clone();
        let slow = get(async move || {
            waits.notified().await;
            "late"
        });
        let router = Router::new().route("/now", post(async |body: Bytes| body)).route("/slow", slow);
        let routes = watch::Sender::new(router.layer(DefaultBodyLimit::max(BODY_MAX)));
        let serving = tokio::spawn(serve(listener, routes.subscribe(), stop.clone()));
        Self { address, let_go, stop, serving, _routes: routes }
    }

    async fn ask(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The status of what comes back, and all of it; nothing if it hangs up.
    async fn answer(&self, request: &str) -> (String, String) {
        read(self.ask(request).await).await
    }
}

async fn read(mut stream: TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    // Who is cut off in the middle has what came before.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    (text.split(' ').nth(1).unwrap_or_default().to_owned(), text)
}

fn posted(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_said_so() {
    let served = Served::start().await;
    let largest = "x".repeat(BODY_MAX);
    for (request, status) in [
        (posted("/now", "hello"), "200"),
        (posted("/now", &largest), "200"),
        (posted("/now", &format!("{largest}x")), "413"),
        (posted("/", ""), "404"),
        (posted("/now/", ""), "404"),
        ("GET /now HTTP/1.1\r\nHost: here\r\n\r\n".to_owned(), "405"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX)), "431"),
    ] {
        let (found, all) = served.answer(&request).await;
        assert_eq!(found, status, "{}: {all}", &request[..request.len().min(60)]);
    }
    assert!(served.answer(&posted("/now", "hello")).await.1.ends_with("hello"));
}

/// The clock stands still but for what everybody waits for: it jumps to the end of a caller's patience.
#[tokio::test(start_paused = true)]
async fn who_takes_too_long_is_cut_off_and_keeps_nobody_away_for_good() {
    let served = Served::start().await;
    let mut silent = Vec::new();
    for place in 0..CONNECTIONS_MAX {
        let half = match place % 3 {
            0 => "",
            1 => "POST /now HTTP/1.1\r\nHost: he",
            _ => "POST /now HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf",
        };
        silent.push(served.ask(half).await);
    }
    let (status, _) = served.answer(&posted("/now", "hello")).await;
    assert_eq!(status, "200", "once the others are cut off");
    for stream in silent {
        assert_ne!(read(stream).await.0, "200");
    }
}

#[tokio::test]
async fn who_is_there_at_the_end_is_answered_and_nobody_comes_after() {
    let served = Served::start().await;
    let stream = served.ask("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n").await;
    // Another answer shows that the first has been taken, too.
    assert_eq!(served.answer(&posted("/now", "")).await.0, "200");
    served.stop.cancel();
    served.let_go.notify_one();
    assert!(read(stream).await.1.ends_with("late"));
    served.serving.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
