//! A dead man's switch: an address that is asked for while the process is well. Whoever runs it tells when
//! it falls silent.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// How long the address may take to answer; the next heartbeat asks again anyhow.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A switch at an address. The address itself guards it, so it stands in no message.
#[derive(Debug)]
pub struct DeadManSwitch {
    client: reqwest::Client,
    url: SecretString,
}

impl DeadManSwitch {
    /// A switch at `url`.
    ///
    /// # Errors
    /// If the client cannot be built, which no later attempt will change.
    pub fn new(url: SecretString) -> Result<Self, reqwest::Error> {
        // An error means that the process has a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Self { client: reqwest::Client::builder().timeout(TIMEOUT).build()?, url })
    }

    /// Asks for the address once.
    ///
    /// # Errors
    /// If it does not answer, or answers with an error; the error does not name the address.
    pub async fn ping(&self) -> Result<(), reqwest::Error> {
        let answer = self.client.get(self.url.expose_secret()).send().await;
        answer.and_then(reqwest::Response::error_for_status).map(drop).map_err(reqwest::Error::without_url)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_ping_asks_for_the_address_and_an_error_does_not_tell_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping/secret", listener.local_addr().unwrap());
        let switch = DeadManSwitch::new(url.into()).unwrap();
        for status in ["200 OK", "500 Internal Server Error"] {
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /ping/secret HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (pinged, ()) = tokio::join!(switch.ping(), answering);
            match pinged {
                Ok(()) => assert_eq!(status, "200 OK"),
                Err(error) => assert!(!format!("{error:?}").contains("secret"), "{error:?}"),
            }
        }
    }
}
