//! What went wrong with a request to a server, for people: what, why, and what to do next.

use std::time::Duration;

use crate::io::tls::TlsRefusal;

/// A request that has no answer. An answer that reports an error is no such thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The server's address is mistyped. Nothing was sent.
    #[error("{url:?} is no address of a server: {why} (for example https://localhost:8000)")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The request cannot be expressed in HTTP. Nothing was sent.
    #[error("no such request can be made: {0}")]
    BadRequest(String),
    /// The host's name leads nowhere. Nothing was sent.
    #[error("the address of {host} cannot be found: {why}")]
    UnknownHost {
        /// The name.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// No connection to any of the host's addresses. Nothing was sent.
    #[error("nobody answers at {url} ({tried}): is the member running, is the port right?")]
    NobodyAnswers {
        /// The server.
        url: String,
        /// Each address and what happened there.
        tried: String,
    },
    /// Somebody answers, but TLS fails. Nothing was sent.
    #[error("{url} answers, but {why}{}", advice(.why))]
    Refused {
        /// The server.
        url: String,
        /// What is wrong.
        why: TlsRefusal,
    },
    /// No answer in time. Whether the request was done is unknown.
    #[error("{url} did not answer within {after:?}; whether it did what was asked is unknown")]
    TimedOut {
        /// The server.
        url: String,
        /// The limit that was set.
        after: Duration,
    },
    /// The connection broke. Whether the request was done is unknown.
    #[error("the connection to {url} broke ({why}); whether it did what was asked is unknown")]
    Broken {
        /// The server.
        url: String,
        /// What happened.
        why: String,
    },
    /// The answer is larger than the limit. The request was done.
    #[error("{url} answered with more than {limit} bytes")]
    TooLarge {
        /// The server.
        url: String,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// What to do about a refusal, where the refusal itself does not say.
fn advice(why: &TlsRefusal) -> &'static str {
    match why {
        TlsRefusal::UnknownAuthority => {
            ": give --ca with the output of `gaggle ca`, or GAGGLE_SECRET"
        }
        TlsRefusal::OtherName { .. } => ": call it by one of these names",
        TlsRefusal::Expired { .. }
        | TlsRefusal::NotYetValid { .. }
        | TlsRefusal::OursExpired
        | TlsRefusal::OursUnknown
        | TlsRefusal::OursOther
        | TlsRefusal::OursMissing
        | TlsRefusal::NotTls
        | TlsRefusal::Other(_) => "",
    }
}
