//! A mail server on loopback that says what it is told to say, and remembers what it heard.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Security;

/// What the server does once it has heard the whole letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterData {
    /// It takes it.
    Accept,
    /// It hangs up without a word; nobody knows whether it took it.
    HangUp,
    /// It says nothing and stays.
    Silence,
}

/// What the server says.
#[derive(Debug, Clone)]
pub struct Script {
    /// How the connection is protected.
    pub security: Security,
    /// Whether its certificate is of yesterday.
    pub is_expired: bool,
    /// Whether it offers STARTTLS where it should.
    pub offers_starttls: bool,
    /// Who may sign in, with which password; with a name the server insists on it.
    pub account: Option<(&'static str, &'static str)>,
    /// What it says to `AUTH` whatever comes, with the command in the place of `{}`.
    pub on_auth: Option<&'static str>,
    /// Replies to `RCPT TO` for some addresses, instead of 250.
    pub receivers: Vec<(&'static str, &'static str)>,
    /// What it does with a letter.
    pub after_data: AfterData,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            security: Security::None,
            is_expired: false,
            offers_starttls: true,
            account: None,
            on_auth: None,
            receivers: vec![],
            after_data: AfterData::Accept,
        }
    }
}

#[derive(Debug, Default)]
struct Heard {
    /// Each command, with whether it came through TLS.
    commands: Vec<(bool, String)>,
    letters: Vec<String>,
}

/// A running server; it ends with its test's runtime.
pub struct FakeSmtp {
    pub port: u16,
    /// The authority that signed its certificate, as a PEM file.
    pub root_ca: PathBuf,
    heard: Arc<Mutex<Heard>>,
    _folder: tempfile::TempDir,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Connection = BufReader<Box<dyn Stream>>;

impl FakeSmtp {
    pub async fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root_ca = folder.path().join("ca.pem");
        let (pem, acceptor) = certificates(script.is_expired);
        std::fs::write(&root_ca, pem).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, acceptor, ears) = (script.clone(), acceptor.clone(), Arc::clone(&ears));
                // A client that hangs up is part of the tests.
                tokio::spawn(async move { drop(serve(Box::new(stream), &script, &acceptor, &ears).await) });
            }
        });
        Self { port, root_ca, heard, _folder: folder }
    }

    /// Everything that was said in the clear.
    pub fn said_in_the_clear(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.commands.iter().filter(|(tls, _)| !tls).map(|(_, command)| command.clone()).collect()
    }

    pub fn commands(&self) -> Vec<String> {
        self.heard.lock().unwrap().commands.iter().map(|(_, command)| command.clone()).collect()
    }

    pub fn letters(&self) -> Vec<String> {
        self.heard.lock().unwrap().letters.clone()
    }
}

fn certificates(is_expired: bool) -> (String, TlsAcceptor) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if is_expired {
        server.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

async fn say(connection: &mut Connection, line: &str) -> io::Result<()> {
    connection.write_all(format!("{line}\r\n").as_bytes()).await?;
    connection.flush().await
}

async fn hear(connection: &mut Connection) -> io::Result<String> {
    let mut line = String::new();
    match connection.read_line(&mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

async fn serve(
    stream: Box<dyn Stream>,
    script: &Script,
    acceptor: &TlsAcceptor,
    ears: &Mutex<Heard>,
) -> io::Result<()> {
    let mut tls = script.security == Security::ImplicitTls;
    let stream: Box<dyn Stream> = if tls { Box::new(acceptor.accept(stream).await?) } else { stream };
    let mut connection = BufReader::new(stream);
    let mut signed_in = script.account.is_none();
    say(&mut connection, "220 fake ESMTP").await?;
    loop {
        let command = hear(&mut connection).await?;
        ears.lock().unwrap().commands.push((tls, command.clone()));
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => {
                say(&mut connection, "250-fake").await?;
                if script.security == Security::Starttls && script.offers_starttls && !tls {
                    say(&mut connection, "250-STARTTLS").await?;
                }
                if script.account.is_some() {
                    say(&mut connection, "250-AUTH PLAIN LOGIN").await?;
                }
                "250 8BITMIME"
            }
            "STARTTLS" => {
                say(&mut connection, "220 go ahead").await?;
                connection = BufReader::new(Box::new(acceptor.accept(connection.into_inner()).await?));
                tls = true;
                continue;
            }
            "AUTH" if script.on_auth.is_some() => {
                let said = script.on_auth.unwrap_or_default().replace("{}", &command);
                say(&mut connection, &said).await?;
                continue;
            }
            "AUTH" => {
                let (name, password) = script.account.unwrap_or_default();
                signed_in = command == format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{name}\0{password}")));
                if signed_in { "235 2.7.0 welcome" } else { "535 5.7.8 bad credentials" }
            }
            "MAIL" if !signed_in => "530 5.7.0 sign in first",
            "RCPT" => {
                let is_meant = |address: &&(&str, &str)| command.contains(address.0);
                script.receivers.iter().find(is_meant).map_or("250 ok", |(_, reply)| reply)
            }
            "DATA" => {
                say(&mut connection, "354 go on").await?;
                let letter = hear_letter(&mut connection).await?;
                ears.lock().unwrap().letters.push(letter);
                match script.after_data {
                    AfterData::Accept => "250 2.0.0 queued as 7F3A",
                    AfterData::HangUp => return Ok(()),
                    AfterData::Silence => std::future::pending().await,
                }
            }
            "QUIT" => return say(&mut connection, "221 bye").await,
            "MAIL" | "RSET" | "NOOP" => "250 ok",
            _ => "500 what?",
        };
        say(&mut connection, reply).await?;
    }
}

async fn hear_letter(connection: &mut Connection) -> io::Result<String> {
    let mut letter = String::new();
    loop {
        let line = hear(connection).await?;
        if line == "." {
            return Ok(letter);
        }
        letter.push_str(line.strip_prefix('.').unwrap_or(&line));
        letter.push('\n');
    }
}
