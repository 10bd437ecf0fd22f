//! The answer to who speaks HTTP without TLS to the port: short, cheap, and saying what to do.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The first byte of a TLS connection: a record of the handshake (RFC 8446 §5.1).
pub(super) const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of the request that we are willing to see before we hang up.
const SEEN: usize = 16 * 1024;
/// How long the answer may take to be read.
const LINGER: Duration = Duration::from_secs(1);

const BODY: &str = concat!(
    r#"{"type":"about:blank","title":"Bad Request","status":400,"code":"plain-http","#,
    r#""detail":"this port speaks HTTPS: use https:// instead of http://","#,
    r#""outcome":"not-applied"}"#,
);

/// Whether a first byte looks like HTTP: the letter of a method.
pub(super) fn begins_like_http(first: u8) -> bool {
    first.is_ascii_alphabetic()
}

/// Says that this port speaks HTTPS and closes. What the client has sent is read first (a bounded
/// part of it), for closing over unread bytes would take the answer from it.
pub(super) async fn answer(mut stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{BODY}\n",
        BODY.len() + 1
    );
    let talk = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut seen = 0;
        let mut buffer = [0; 1024];
        while seen < SEEN {
            match stream.read(&mut buffer).await? {
                0 => break,
                more => seen += more,
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, talk).await;
}
