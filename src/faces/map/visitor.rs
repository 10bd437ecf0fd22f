//! Who is refused: pages in browsers.
//!
//! This face has no password, and a page of any site may send requests to this host from a browser
//! on it. A program sends neither `Origin` nor `Sec-Fetch-Site`; a browser sends one of them with
//! every write to another site. A page whose own name was made to mean this host (DNS rebinding) is
//! of the same site, but says that name: on the loopback only names of the loopback are taken.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use std::net::IpAddr;

use crate::api::problem::{Code, Problem};
use crate::config::Reach;

/// Refuses what a page of a browser asks.
///
/// # Errors
/// `cross-site`.
pub(super) fn check(head: &Parts, reach: Reach) -> Result<(), Problem> {
    let site = head.headers.get("sec-fetch-site");
    let is_page = site.is_some_and(|site| site != "none") || head.headers.contains_key(ORIGIN);
    if is_page {
        return Err(refused("a page in a browser is not served here")
            .hint("use the REST API at --listen, with a password"));
    }
    if reach == Reach::Loopback && !is_local(head) {
        return Err(
            refused("the Host of the request is no name of the loopback")
                .hint("ask for localhost or 127.0.0.1; --map-expose takes any name"),
        );
    }
    Ok(())
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::CrossSite, detail)
}

/// Whether the request names this host as the loopback, or does not name it at all.
fn is_local(head: &Parts) -> bool {
    let named = match head.uri.host() {
        Some(host) => Some(host),
        None => match head.headers.get(HOST).map(|host| host.to_str()) {
            Some(Ok(host)) => Some(without_port(host)),
            Some(Err(_)) => return false,
            None => None,
        },
    };
    let Some(host) = named.filter(|host| !host.is_empty()) else {
        return true;
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    let lower = host.to_ascii_lowercase();
    address.is_some() || lower == "localhost" || lower.ends_with(".localhost")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn passes(headers: &[(&str, &str)], reach: Reach) -> bool {
        let mut request = Request::builder().uri("/map?k=a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, reach).is_ok()
    }

    #[test]
    fn on_the_loopback_only_its_names_are_taken() {
        for (host, local) in [
            ("localhost", true),
            ("LocalHost:8080", true),
            ("car.localhost:80", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("10.0.0.1", true),
            ("", true),
            ("evil.example", false),
            ("localhost.evil.example:80", false),
            ("notlocalhost", false),
        ] {
            assert_eq!(passes(&[("host", host)], Reach::Loopback), local, "{host}");
            assert!(passes(&[("host", host)], Reach::Anywhere), "{host}");
        }
        assert!(passes(&[], Reach::Loopback));
    }

    #[test]
    fn pages_are_told_from_programs() {
        for (headers, is_program) in [
            (&[("user-agent", "curl/8")][..], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("origin", "http://localhost")], false),
            (&[("origin", "null")], false),
        ] {
            for reach in [Reach::Loopback, Reach::Anywhere] {
                assert_eq!(passes(headers, reach), is_program, "{headers:?}");
            }
        }
    }
}
