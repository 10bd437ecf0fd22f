//! Checks on every request before a resource sees it: where it comes from, and what its query asks.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Uri};

use crate::io::serve::Connection;

use super::problem::{Code, Problem};

/// The address that the request came from. Whoever serves puts it with the request; without one,
/// all share the unspecified address, and its limits.
pub(super) fn remote(head: &Parts) -> IpAddr {
    let known = head.extensions.get::<Connection>();
    known.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |connection| {
        connection.remote.ip()
    })
}

/// Refuses what a browser sends on behalf of another site: it would carry the user's credentials.
/// Programs send neither header and pass. (`Sec-Fetch-Site` says it best; browsers without it send
/// `Origin` with every write.)
pub(super) fn same_site(head: &Parts) -> Result<(), Problem> {
    let text = |name| {
        head.headers
            .get(name)
            .map(|value: &http::HeaderValue| value.as_bytes())
    };
    let is_same = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == b"same-origin" || site == b"none",
        (None, None) => true,
        (None, Some(origin)) => {
            let host = authority(&head.uri, &head.headers);
            host.is_some_and(|host| origin.strip_prefix(b"https://") == Some(host.as_bytes()))
        }
    };
    if is_same {
        return Ok(());
    }
    Err(Problem::new(
        Code::CrossSite,
        "a page of another site may not write here",
    ))
}

fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// Refuses any query: no parameter is passed over in silence.
pub(super) fn no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(query) => Err(unknown(query)),
    }
}

/// Whether the query is `verbose`; nothing else may be in it.
pub(super) fn is_verbose(uri: &Uri) -> Result<bool, Problem> {
    match uri.query() {
        None | Some("") => Ok(false),
        Some("verbose" | "verbose=" | "verbose=1" | "verbose=true") => Ok(true),
        Some(query) => Err(unknown(query)),
    }
}

fn unknown(query: &str) -> Problem {
    let first = query.split(['&', '=']).next().unwrap_or_default();
    Problem::new(
        Code::InvalidQuery,
        format!("this path knows no query parameter {first:?}"),
    )
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn pages_of_other_sites_are_told_from_programs() {
        let check = |headers: &[(&str, &str)], passes: bool| {
            let mut all = vec![("host", "gaggle:8000")];
            all.extend_from_slice(headers);
            assert_eq!(
                same_site(&head("/v1/store/a/b", &all)).is_ok(),
                passes,
                "{headers:?}"
            );
        };
        check(&[], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("sec-fetch-site", "cross-site")], false);
        check(
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://gaggle:8000"),
            ],
            false,
        );
        check(&[("origin", "https://gaggle:8000")], true);
        check(&[("origin", "https://gaggle")], false);
        check(&[("origin", "http://gaggle:8000")], false);
        check(&[("origin", "https://evil.example")], false);
        check(&[("origin", "null")], false);
        let absolute = head(
            "https://gaggle:8000/v1",
            &[("origin", "https://gaggle:8000")],
        );
        assert!(
            same_site(&absolute).is_ok(),
            "HTTP/2 has the authority in the URI"
        );
    }

    #[test]
    fn no_query_parameter_is_passed_over() {
        let query = |text: &str| no_query(&text.parse().unwrap()).is_ok();
        assert!(query("/livez") && query("/livez?"));
        assert!(!query("/livez?x") && !query("/livez?verbose"));
        let verbose = |text: &str| is_verbose(&text.parse().unwrap()).ok();
        assert_eq!(verbose("/readyz"), Some(false));
        assert_eq!(verbose("/readyz?verbose"), Some(true));
        assert_eq!(verbose("/readyz?verbose=true"), Some(true));
        assert_eq!(verbose("/readyz?verbose=no"), None);
        assert_eq!(verbose("/readyz?verbose&x=1"), None);
    }
}
