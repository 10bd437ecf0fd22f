//! What a request's body is: its `Content-Type`, and whether it is the thing itself.

use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use super::problem::{Code, Problem};

/// The longest media type that is kept with a value, in bytes.
const TYPE_LIMIT: usize = 255;
/// What plain `curl --data` says, whatever the data are.
const FORM: &str = "application/x-www-form-urlencoded";

/// The type that a raw value was given, kept as it came. `None`: none was, or the one that plain
/// curl sends without being asked.
///
/// # Errors
/// `invalid-header` for what is no media type, and for two of them.
pub(super) fn of_value(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(text) = single(headers, &CONTENT_TYPE)? else {
        return Ok(None);
    };
    let essence = essence(text);
    if essence.eq_ignore_ascii_case(FORM) {
        return Ok(None);
    }
    if is_type(text) {
        return Ok(Some(text));
    }
    Err(Problem::new(
        Code::InvalidHeader,
        "the Content-Type is no media type of at most 255 characters",
    ))
}

/// Whether a text is a media type that is kept with a value.
pub(super) fn is_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let is_visible = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    let parts = essence(text).split_once('/');
    parts.is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
        && text.len() <= TYPE_LIMIT
        && text.bytes().all(is_visible)
}

/// Whether a document's body may be taken for JSON: it says so, or it says nothing of its own.
///
/// # Errors
/// `unsupported-media-type` for any other type. Parameters such as `charset=utf-8` are fine.
pub(super) fn check_json(headers: &HeaderMap, also: &str) -> Result<(), Problem> {
    let essence = essence(single(headers, &CONTENT_TYPE)?.unwrap_or(FORM));
    let taken = ["application/json", FORM, also];
    if taken.iter().any(|one| essence.eq_ignore_ascii_case(one)) {
        return Ok(());
    }
    let detail = format!("this resource is written as application/json, not as {essence}");
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// Refuses bodies that are not what is to be stored: coded ones (nothing is unpacked here), and
/// parts of something larger (RFC 9110 §14.5).
pub(super) fn is_whole(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Problem::new(
            Code::InvalidHeader,
            "a part of a value, with a Content-Range, is not taken",
        )
        .hint("send the whole value"));
    }
    let plain = |text: &str| text.trim().is_empty() || text.trim().eq_ignore_ascii_case("identity");
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    if codings.all(|value| value.to_str().is_ok_and(plain)) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "a body with a Content-Encoding is not taken",
    )
    .hint("send it plain"))
}

fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    if all.next().is_some() {
        return Err(Problem::new(
            Code::InvalidHeader,
            format!("there are two headers {name}"),
        ));
    }
    let text = first.map(|value| value.to_str()).transpose();
    let text = text.map_err(|_| {
        Problem::new(
            Code::InvalidHeader,
            format!("the header {name} is no visible ASCII"),
        )
    })?;
    Ok(text.map(str::trim).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                CONTENT_TYPE,
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn a_value_keeps_the_type_that_somebody_chose() {
        for (sent, kept) in [
            (&["text/css"][..], Ok(Some("text/css"))),
            (
                &["application/json; charset=utf-8"],
                Ok(Some("application/json; charset=utf-8")),
            ),
            (
                &["application/vnd.x+json;a=\"b\""],
                Ok(Some("application/vnd.x+json;a=\"b\"")),
            ),
            (&[], Ok(None)),
            (&["  "], Ok(None)),
            (
                &["Application/X-WWW-form-urlencoded; charset=UTF-8"],
                Ok(None),
            ),
            (&["text"], Err(Code::InvalidHeader)),
            (&["/"], Err(Code::InvalidHeader)),
            (&["a b/c"], Err(Code::InvalidHeader)),
            (&["text/plain", "text/plain"], Err(Code::InvalidHeader)),
            (&["text/plän"], Err(Code::InvalidHeader)),
        ] {
            let headers = headers(sent);
            assert_eq!(
                of_value(&headers).map_err(|problem| problem.code),
                kept,
                "{sent:?}"
            );
        }
        assert!(of_value(&headers(&[&format!("a/{}", "b".repeat(254))])).is_err());
    }

    #[test]
    fn a_document_is_json() {
        let check = |sent: &[&str], taken| {
            let result = check_json(&headers(sent), "application/merge-patch+json");
            assert_eq!(result.is_ok(), taken, "{sent:?}");
        };
        check(&[], true);
        check(&["application/json; charset=utf-8"], true);
        check(&["APPLICATION/JSON"], true);
        check(&["application/merge-patch+json"], true);
        check(&["application/x-www-form-urlencoded"], true);
        check(&["application/json-patch+json"], false);
        check(&["text/plain"], false);
        check(&["application/json", "application/json"], false);
    }

    #[test]
    fn coded_bodies_and_parts_are_refused() {
        let check = |coding: &str, taken| {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, coding.parse().unwrap())]);
            assert_eq!(is_whole(&headers).is_ok(), taken, "{coding}");
        };
        check("identity", true);
        check("", true);
        check("gzip", false);
        check("identity, gzip", false);
        assert!(is_whole(&HeaderMap::new()).is_ok());
        let part = "bytes 0-9/100".parse().unwrap();
        assert!(is_whole(&HeaderMap::from_iter([(CONTENT_RANGE, part)])).is_err());
    }
}
