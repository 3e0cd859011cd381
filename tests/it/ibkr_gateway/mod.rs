//! A gateway of Interactive Brokers for tests: it speaks the wire format over TCP, in front of the matching engine.
//!
//! What it holds goes on while programs come and go, as the real one's does over a restart of theirs. What a wire and a
//! gateway can do wrong it does when told to.

mod book;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex as StdMutex};

use daybook::adapters::brokers::paper::PaperBroker;
use daybook::ports::{Broker, Clock};
use daybook_core::order::OrderTicket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::task::JoinHandle;

use self::book::{ACCOUNT, Book, contract, error};
use self::wire::{Fields, Message, framed, payload};

/// What a gateway can do wrong.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// The version of its interface; 0: a recent one.
    pub version: i32,
    /// The accounts of the login; empty: [`ACCOUNT`].
    pub accounts: String,
    /// It hangs up in the handshake.
    pub refuses: bool,
    /// How far its clock is ahead, in milliseconds.
    pub ahead_ms: i64,
    /// The number of this many orders is taken, and then it hangs up without a word.
    pub hangs_up_after_orders: Option<usize>,
    /// It takes orders and says nothing of them.
    pub is_silent: bool,
    /// It breaks off in the midst of each listing's last frame.
    pub truncates: bool,
    /// It knows nothing any more of orders that are over.
    pub forgets: bool,
    /// The currency of the account.
    pub currency: String,
}

/// What all connections are told at once.
#[derive(Debug, Clone)]
enum Push {
    Frame(Vec<u8>),
    News,
    HangUp,
}

struct Shared {
    book: Mutex<Book>,
    clock: Arc<dyn Clock>,
    behaviour: StdMutex<Behaviour>,
    /// Client ids of the connections that stand.
    clients: StdMutex<Vec<i32>>,
    push: broadcast::Sender<Push>,
}

/// A gateway on a port of its own.
pub struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.listening.abort();
        drop(self.shared.push.send(Push::HangUp));
    }
}

impl Gateway {
    /// Opens one in front of an engine.
    pub async fn open(engine: PaperBroker, clock: Arc<dyn Clock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            book: Mutex::new(Book::new(engine)),
            clock,
            behaviour: StdMutex::default(),
            clients: StdMutex::default(),
            push: broadcast::channel(64).0,
        });
        let serving = shared.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(tokio::spawn(serve(serving.clone(), stream)));
            }
        });
        Self { address, shared, listening }
    }

    /// Its port on this machine.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it behaves like this.
    pub fn behaves(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// The account's owner sends an order by hand.
    pub async fn by_hand(&self, ticket: &OrderTicket) {
        self.shared.book.lock().await.by_hand(ticket).await;
    }

    /// Calls the status of every order that it has by a word of its own.
    pub async fn calls_orders(&self, word: &'static str) {
        self.shared.book.lock().await.calls_orders(word);
    }

    /// Orders that programs have sent, one by one.
    pub async fn received(&self) -> usize {
        self.shared.book.lock().await.received
    }

    /// Whether it tells commissions.
    pub async fn tells_commissions(&self, tells: bool) {
        self.shared.book.lock().await.tells_commissions = tells;
    }

    /// Tells all programs something of itself.
    pub fn says(&self, code: i64, message: &str) {
        drop(self.shared.push.send(Push::Frame(error(-1, code, message))));
    }

    /// Tells all programs what is new of their orders.
    pub fn tells_news(&self) {
        drop(self.shared.push.send(Push::News));
    }

    /// Restarts, as it does every night: every connection ends.
    pub fn restarts(&self) {
        drop(self.shared.push.send(Push::HangUp));
    }
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap().clone()
    }
}

/// One connection, from its handshake to its end.
async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut push = shared.push.subscribe();
    stream.set_nodelay(true).unwrap();
    let Some(client_id) = shake_hands(&shared, &mut stream).await else { return };
    let (mut reader, mut writer) = stream.into_split();
    let (sender, mut requests) = mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        while let Ok(Some(request)) = payload(&mut reader).await {
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    loop {
        let frames = tokio::select! {
            request = requests.recv() => match request {
                Some(request) => answer(&shared, client_id, &request).await,
                None => None,
            },
            pushed = push.recv() => match pushed {
                Ok(Push::Frame(frame)) => Some(vec![frame]),
                Ok(Push::News) => Some(shared.book.lock().await.news(client_id).await),
                Ok(Push::HangUp) | Err(_) => None,
            },
        };
        let Some(frames) = frames else { break };
        let is_cut = frames.last().is_some_and(Vec::is_empty);
        if writer.write_all(&frames.concat()).await.is_err() || is_cut {
            break;
        }
    }
    reading.abort();
    shared.clients.lock().unwrap().retain(|client| *client != client_id);
}

/// The program's client id; `None` if it was turned away.
async fn shake_hands(shared: &Shared, stream: &mut TcpStream) -> Option<i32> {
    let behaviour = shared.behaviour();
    let mut hello = [0; 4];
    stream.read_exact(&mut hello).await.ok()?;
    assert_eq!(&hello, b"API\0");
    assert!(payload(stream).await.ok()??.starts_with(b"v"));
    if behaviour.refuses {
        return None;
    }
    let version = if behaviour.version == 0 { 226 } else { behaviour.version };
    let welcome = format!("{version}\0{}\0", "20261116 10:00:00 US/Eastern");
    stream.write_all(&framed(welcome.as_bytes())).await.ok()?;
    let (number, start) = Fields::request(&payload(stream).await.ok()??);
    assert_eq!(number, 71);
    let client_id = start.number(1);
    let is_taken = {
        let mut clients = shared.clients.lock().unwrap();
        let is_taken = clients.contains(&client_id);
        if !is_taken {
            clients.push(client_id);
        }
        is_taken
    };
    if is_taken {
        let words = "Unable to connect as the client id is already in use. Retry with a unique client id.";
        stream.write_all(&error(-1, 326, words)).await.ok()?;
        return None;
    }
    let accounts = if behaviour.accounts.is_empty() { ACCOUNT.to_owned() } else { behaviour.accounts };
    let next = shared.book.lock().await.next_valid_id(client_id);
    let frames = [
        Message::default().text(1, accounts).frame(15),
        error(-1, 2104, "Market data farm connection is OK:usfarm"),
        Message::default().int(1, next.into()).frame(9),
    ];
    stream.write_all(&frames.concat()).await.ok()?;
    Some(client_id)
}

/// The requests that are answered by a list: of executions, of working orders, of what is held, of orders that are over.
const LISTINGS: [i32; 4] = [7, 16, 61, 99];

/// The frames that answer a request; `None` hangs up, and so does an empty frame after those before it.
async fn answer(shared: &Shared, client_id: i32, request: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (number, fields) = Fields::request(request);
    let request_id = fields.int(1).unwrap_or(-1);
    let mut book = shared.book.lock().await;
    let behaviour = shared.behaviour();
    let end = |number: i32| Message::default().int(1, request_id).frame(number);
    let mut frames = match number {
        3 => {
            let frames = book.place(client_id, &fields).await;
            if behaviour.hangs_up_after_orders == Some(book.received) {
                return None;
            }
            if behaviour.is_silent { Vec::new() } else { frames }
        }
        4 => book.cancel(client_id, fields.number(1)).await,
        5 => with(book.parked(client_id), Message::default().frame(53)),
        7 => with(book.executions(request_id).await, end(55)),
        8 => vec![Message::default().int(1, book.next_valid_id(client_id).into()).frame(9)],
        9 => contracts(request_id, &fields.message(2).text(2)),
        16 => with(book.listing(false).await, Message::default().frame(53)),
        61 => with(positions(&book).await, Message::default().frame(62)),
        62 => with(figures(&book, request_id, &behaviour.currency).await, end(64)),
        99 if behaviour.forgets => vec![Message::default().frame(102)],
        99 => with(book.listing(true).await, Message::default().frame(102)),
        105 => vec![Message::default().int(1, shared.clock.wall().0 + behaviour.ahead_ms).frame(109)],
        // Cancels of subscriptions.
        63 | 64 | 106 => Vec::new(),
        other => panic!("request {other} is not spoken here"),
    };
    if behaviour.truncates && LISTINGS.contains(&number) {
        if let Some(last) = frames.last_mut() {
            last.truncate(last.len() - 3);
        }
        frames.push(Vec::new());
    }
    Some(frames)
}

fn with(mut frames: Vec<Vec<u8>>, end: Vec<u8>) -> Vec<Vec<u8>> {
    frames.push(end);
    frames
}

/// The contracts of a symbol: one, but for two symbols that tests look for.
fn contracts(request_id: i64, symbol: &str) -> Vec<Vec<u8>> {
    let details = Message::default().text(2, "0.01");
    let row = Message::default().int(1, request_id).message(2, &contract(symbol)).message(3, &details).frame(10);
    let end = Message::default().int(1, request_id).frame(52);
    match symbol {
        "NONE" => vec![error(request_id, 200, "No security definition has been found for the request")],
        "TWICE" => vec![row.clone(), row, end],
        _ => vec![row, end],
    }
}

async fn positions(book: &Book) -> Vec<Vec<u8>> {
    let held = book.engine.positions().await.unwrap();
    let row = |symbol: String, quantity: String, cost: f64| {
        Message::default().text(1, ACCOUNT).message(2, &contract(&symbol)).text(3, quantity).double(4, cost).frame(61)
    };
    held.iter()
        .map(|held| row(held.symbol.as_str().replace('.', " "), held.quantity.to_string(), held.average_price.to_f64()))
        .collect()
}

async fn figures(book: &Book, request_id: i64, currency: &str) -> Vec<Vec<u8>> {
    let account = book.engine.account().await.unwrap();
    let currency = if currency.is_empty() { "USD" } else { currency };
    let rows = [
        ("NetLiquidation", account.equity),
        ("TotalCashValue", account.cash),
        ("BuyingPower", account.buying_power),
        ("PreviousEquityWithLoanValue", account.last_equity),
    ];
    let row = |(tag, value): (&str, daybook_core::money::Money)| {
        Message::default().int(1, request_id).text(2, ACCOUNT).text(3, tag).text(4, value).text(5, currency).frame(63)
    };
    rows.into_iter().map(row).collect()
}
