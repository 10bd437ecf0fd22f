//! The keys that a query names, as a gossipcar reads them: `k=a&k=b`, a blank as `+` or `%20`.
//!
//! A key is checked before anything is done with it: what the store has no name for is 422, said in
//! words, for a read as for a write.

use std::collections::BTreeSet;

use http::Uri;

use crate::api::decode;
use crate::api::problem::{Code, Problem};
use crate::model::{KeyName, NAME_LIMIT};

/// The most keys that one request may name.
const MOST_KEYS: usize = 1024;

/// All keys of the query, in their order; at least one. Other parameters mean nothing.
///
/// # Errors
/// `key-needed` without one, with more than [`MOST_KEYS`], and for a text that is no key.
pub(super) fn keys(uri: &Uri) -> Result<Vec<KeyName>, Problem> {
    let named = pairs(uri).filter(|(name, _)| *name == "k");
    let keys: Vec<KeyName> = named
        .map(|(_, value)| key(value, NAME_LIMIT))
        .take(MOST_KEYS + 1)
        .collect::<Result<_, _>>()?;
    match keys.len() {
        0 => Err(missing()),
        1..=MOST_KEYS => Ok(keys),
        _ => Err(Problem::new(
            Code::KeyNeeded,
            format!("the query names more than {MOST_KEYS} keys"),
        )
        .hint("ask for them in several requests")),
    }
}

/// The key to write, of at most `limit` bytes: the first `k`, if nothing else is in the query.
///
/// # Errors
/// `key-needed` as above, and for another parameter.
pub(super) fn the_key(uri: &Uri, limit: usize) -> Result<KeyName, Problem> {
    let names: BTreeSet<&str> = pairs(uri).map(|(name, _)| name).collect();
    if names.len() > 1 {
        let detail = "a write names one key with k, and nothing else";
        return Err(Problem::new(Code::KeyNeeded, detail));
    }
    let first = pairs(uri).find(|(name, _)| *name == "k");
    first.map_or_else(|| Err(missing()), |(_, value)| key(value, limit))
}

/// The key to delete: the one `k`, for a second one would not be deleted.
///
/// # Errors
/// As for [`the_key`], and for a second `k`.
pub(super) fn the_only_key(uri: &Uri) -> Result<KeyName, Problem> {
    if pairs(uri).count() > 1 {
        let detail = "a deletion names one key with k, and nothing else";
        return Err(Problem::new(Code::KeyNeeded, detail));
    }
    the_key(uri, NAME_LIMIT)
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let parts = uri.query().unwrap_or_default().split('&');
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn missing() -> Problem {
    Problem::new(Code::KeyNeeded, "the query names no key").hint("write it as /map?k=KEY")
}

/// The key that is the rest of a path, where a `+` is a plus.
///
/// # Errors
/// `key-needed` for a text that is no key.
pub(super) fn key_of_path(raw: &str) -> Result<KeyName, Problem> {
    let text = decode(raw).map_err(|problem| refused(&problem.detail))?;
    KeyName::limited(&text, NAME_LIMIT).map_err(|why| refused(&why.to_string()))
}

/// A key from a query, decoded once.
fn key(raw: &str, limit: usize) -> Result<KeyName, Problem> {
    let raw = raw.replace('+', "%20");
    let text = decode(&raw).map_err(|problem| refused(&problem.detail))?;
    KeyName::limited(&text, limit).map_err(|why| refused(&why.to_string()))
}

fn refused(why: &str) -> Problem {
    Problem::new(Code::KeyNeeded, format!("what is named is no key: {why}")).hint(
        "a key is 1 to 255 bytes of UTF-8 without control characters, and no part of it between \
         slashes is \".\" or \"..\"",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::encoded;

    fn uri(query: &str) -> Uri {
        format!("/map?{query}").parse().unwrap()
    }

    #[test]
    fn keys_come_in_their_order_decoded_once() {
        let check = |query: &str, expected: &[&str]| {
            let keys = keys(&uri(query)).unwrap();
            let shown: Vec<&str> = keys.iter().map(KeyName::as_str).collect();
            assert_eq!(shown, expected, "{query}");
        };
        check("k=a", &["a"]);
        check("k=b&k=a&k=b", &["b", "a", "b"]);
        check("x=1&k=a&", &["a"]);
        check("k=a+b&k=a%20b&k=a%2Bb", &["a b", "a b", "a+b"]);
        check("k=%2525", &["%25"]);
        check("k=a=b", &["a=b"]);
        check("k=a%26k%3Db", &["a&k=b"]);
        check("k=db/host", &["db/host"]);
        check("k=a..b", &["a..b"]);
    }

    proptest! {
        #[test]
        fn any_key_that_is_encoded_comes_back_and_any_text_is_read_or_refused(
            text in "\\PC{0,40}", octets in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let written = encoded(&text).to_string();
            let named: Result<KeyName, _> = text.parse();
            let in_query = the_key(&uri(&format!("k={written}")), NAME_LIMIT).ok();
            prop_assert_eq!(in_query, named.clone().ok());
            prop_assert_eq!(key_of_path(&written).ok(), named.ok());
            let raw = String::from_utf8_lossy(&octets);
            let _ = (key(&raw, NAME_LIMIT), key_of_path(&raw));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let long = format!("k={}", "x".repeat(256));
        for (query, part) in [
            ("", "names no key"),
            ("j=1", "names no key"),
            ("K=1", "names no key"),
            ("k=", "at least one character"),
            ("k", "at least one character"),
            ("k=..", "no segment"),
            ("k=a/../b", "no segment"),
            ("k=%2e%2E", "no segment"),
            ("k=%00", "no control characters"),
            ("k=a%0Ab", "no control characters"),
            ("k=%ff", "UTF-8"),
            ("k=%zz", "two hexadecimal digits"),
            ("k=good&k=..", "no segment"),
            (&long, "256 bytes"),
        ] {
            let problem = keys(&uri(query)).unwrap_err();
            assert_eq!(problem.code, Code::KeyNeeded, "{query}");
            assert!(problem.detail.contains(part), "{query}: {}", problem.detail);
            assert!(
                the_key(&uri(query), NAME_LIMIT).is_err() || query == "k=good&k=..",
                "{query}"
            );
        }
    }

    #[test]
    fn a_request_names_a_bounded_number_of_keys() {
        let query = |count: usize| uri(&vec!["k=a"; count].join("&"));
        assert_eq!(keys(&query(MOST_KEYS)).unwrap().len(), MOST_KEYS);
        let problem = keys(&query(MOST_KEYS + 1)).unwrap_err();
        assert!(
            problem.detail.contains("more than 1024"),
            "{}",
            problem.detail
        );
    }

    #[test]
    fn a_write_takes_the_first_k_and_no_other_parameter() {
        assert_eq!(the_key(&uri("k=a&k=b"), 1).unwrap().as_str(), "a");
        for bad in ["k=a&x=1", "x=1&k=a", "j=1", ""] {
            assert!(the_key(&uri(bad), NAME_LIMIT).is_err(), "{bad}");
        }
        assert_eq!(the_only_key(&uri("k=a")).unwrap().as_str(), "a");
        assert!(the_only_key(&uri("k=a&k=b")).is_err());
    }
}
