//! The address of a server, as people write it: `https://host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;
use http::uri::Scheme;
use rustls::pki_types::ServerName;

use super::api_error::ApiError;

/// Where HTTPS is if no port is given.
const PORT: u16 = 443;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiUrl {
    host: String,
    port: u16,
}

impl ApiUrl {
    /// Reads `https://host[:port][/]`.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let bad = |why| ApiError::BadUrl {
            url: text.to_owned(),
            why,
        };
        let uri: Uri = text.parse().map_err(|_| bad("it is no URL"))?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(bad("it must begin with https://"));
        }
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(bad("user and password are given apart from it"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(bad("it ends after the port"));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if ServerName::try_from(host).is_err() {
            return Err(bad("it names no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(PORT),
        })
    }

    /// The name that the server's certificate must have.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }

    /// Host and port, as in a `Host` header.
    pub(super) fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// All addresses of the host. `localhost` needs no `/etc/hosts`, which an empty container has
    /// not.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, ApiError> {
        if self.host.eq_ignore_ascii_case("localhost") {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(loopback.map(|ip| SocketAddr::new(ip, self.port)).to_vec());
        }
        let unknown = |why: String| ApiError::UnknownHost {
            host: self.host.clone(),
            why,
        };
        let found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|why| unknown(why.to_string()))?;
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        Ok(found)
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, shown) in [
            ("https://localhost:8000", "https://localhost:8000"),
            ("https://[::1]:8000/", "https://[::1]:8000"),
            ("https://10.0.0.1", "https://10.0.0.1:443"),
        ] {
            assert_eq!(ApiUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no URL"),
            ("localhost:8000", "https://"),
            ("http://localhost:8000", "https://"),
            ("https://u:p@localhost:8000", "apart"),
            ("https://localhost:8000/v1", "after the port"),
            ("https://a..b:8000", "no host"),
        ] {
            let why = ApiUrl::parse(text).unwrap_err().to_string();
            assert!(why.contains(reason), "{text}: {why}");
        }
    }

    #[tokio::test]
    async fn localhost_is_the_loopback_without_any_file() {
        let url = ApiUrl::parse("https://LOCALHOST:1").unwrap();
        let found = url.addresses().await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(found.len(), 2);
    }
}
