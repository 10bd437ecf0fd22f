//! The query of a request: every parameter is known, comes once, and can be read; or the request is
//! refused.

use http::Uri;

use super::problem::{Code, Problem};
use super::route::decode;

/// The parameters of a query, decoded.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// That of a request whose parameters mean nothing.
    pub(super) fn none() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Reads the query of a path that knows the parameters `known`.
    ///
    /// # Errors
    /// `invalid-query` for another parameter, one that comes twice, and what is not encoded right.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let parts = uri.query().unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                return Err(refused(format!(
                    "this path knows no query parameter {name:?}"
                )));
            }
            if pairs.iter().any(|(before, _)| before == name) {
                return Err(refused(format!("the query parameter {name} comes twice")));
            }
            // As browsers and forms write it.
            let value = value.replace('+', "%20");
            let value = decode(&value).map_err(|why| refused(format!("{name}: {}", why.detail)))?;
            pairs.push((name.to_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// A parameter as it came.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(known, _)| known == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// A parameter as something that can be read from text.
    ///
    /// # Errors
    /// `invalid-query` with what it should have been.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &str| {
            text.parse()
                .map_err(|why| refused(format!("{name}={text:?}: {why}")))
        };
        self.text(name).map(parse).transpose()
    }

    /// `limit`: 1 to `most`, which is also the default.
    ///
    /// # Errors
    /// `invalid-query` for anything else.
    pub(super) fn limit(&self, most: usize) -> Result<usize, Problem> {
        let limit = self.parsed("limit")?.unwrap_or(most);
        if (1..=most).contains(&limit) {
            return Ok(limit);
        }
        Err(refused(format!("limit is 1 to {most}")))
    }
}

/// A query that cannot be taken.
pub(super) fn refused(detail: String) -> Problem {
    Problem::new(Code::InvalidQuery, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Code> {
        let uri = format!("/v1/conflicts?{text}").parse().unwrap();
        Query::of(&uri, &["node", "limit"]).map_err(|problem| problem.code)
    }

    #[test]
    fn parameters_are_decoded_once_in_either_way_of_writing_a_blank() {
        for (text, node) in [
            ("", None),
            ("node=web", Some("web")),
            ("&node=a%20b&", Some("a b")),
            ("node=a+b", Some("a b")),
            ("node=a%2Bb", Some("a+b")),
            ("node=%2525", Some("%25")),
            ("limit=3&node=", Some("")),
            ("node", Some("")),
        ] {
            assert_eq!(query(text).unwrap().text("node"), node, "{text}");
        }
    }

    #[test]
    fn what_is_unknown_doubled_or_unreadable_is_refused() {
        for bad in ["x=1", "node=a&node=a", "node=%", "node=%ff", "Node=a"] {
            assert_eq!(query(bad).unwrap_err(), Code::InvalidQuery, "{bad}");
        }
        for (text, limit) in [("", Some(9)), ("limit=1", Some(1)), ("limit=9", Some(9))] {
            assert_eq!(query(text).unwrap().limit(9).ok(), limit, "{text}");
        }
        for bad in ["limit=0", "limit=10", "limit=-1", "limit=", "limit=a"] {
            assert!(query(bad).unwrap().limit(9).is_err(), "{bad}");
        }
    }
}
