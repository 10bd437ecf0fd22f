//! The `Authorization` header of Basic authentication (RFC 7617): read once, UTF-8, strict.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::api::problem::{Code, Problem};

/// The longest header value that is looked at, in bytes.
const HEADER_LIMIT: usize = 4096;

/// Base64 with or without its padding: both are seen from clients.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password as a client sent them, not yet verified. Wiped when dropped.
pub(super) struct Credentials {
    text: Zeroizing<String>,
    colon: usize,
}

impl Credentials {
    /// The user's name: all before the first colon.
    pub(super) fn name(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The password: all behind the first colon, further colons included.
    pub(super) fn password(&self) -> &[u8] {
        let from = self.colon.saturating_add(1);
        self.text.as_bytes().get(from..).unwrap_or_default()
    }
}

/// The one `Authorization` header. None is 401, two are 400: which of them would count?
pub(super) fn header(headers: &HeaderMap) -> Result<&HeaderValue, Problem> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next().ok_or_else(Problem::unauthorized)?;
    if all.next().is_some() {
        return Err(invalid("there are two Authorization headers"));
    }
    if first.len() > HEADER_LIMIT {
        return Err(invalid("the Authorization header is too long"));
    }
    Ok(first)
}

/// Reads the value of an `Authorization` header. Another scheme than Basic is 401, what cannot be
/// read is 400.
pub(super) fn credentials(value: &HeaderValue) -> Result<Credentials, Problem> {
    let rest = match value.as_bytes().split_at_checked(6) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"basic ") => rest,
        _ => return Err(Problem::unauthorized()),
    };
    let octets = Zeroizing::new(
        BASE64
            .decode(rest.trim_ascii())
            .map_err(|_| invalid("the credentials are no base64"))?,
    );
    let text = std::str::from_utf8(&octets)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| invalid("the credentials are no UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(invalid("the credentials hold a control character"));
    }
    let colon = text
        .find(':')
        .ok_or_else(|| invalid("the credentials have no colon between name and password"))?;
    Ok(Credentials { text, colon })
}

fn invalid(detail: &'static str) -> Problem {
    Problem::new(Code::InvalidHeader, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8]) -> Result<(String, String), Code> {
        let value = HeaderValue::from_bytes(value).unwrap();
        let read = credentials(&value).map_err(|problem| problem.code)?;
        let password = String::from_utf8(read.password().to_vec()).unwrap();
        Ok((read.name().to_owned(), password))
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(text)).into_bytes()
    }

    #[test]
    fn reads_names_and_passwords_of_any_script_and_with_colons() {
        for (name, password) in [
            ("admin", "secret"),
            ("admin", "a:b:c"),
            ("ädmin", "pässwörd🦢"),
            ("admin", ""),
            ("", "x"),
            ("a b", " x "),
        ] {
            let value = encoded(format!("{name}:{password}").as_bytes());
            assert_eq!(read(&value), Ok((name.into(), password.into())));
        }
        assert_eq!(read(b"bAsIc   YTpi"), Ok(("a".into(), "b".into())));
        assert_eq!(read(b"Basic YWE6Yg"), Ok(("aa".into(), "b".into())));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for (value, code) in [
            (b"Basic".to_vec(), Code::Unauthorized),
            (b"".to_vec(), Code::Unauthorized),
            (b"BasicYTpi".to_vec(), Code::Unauthorized),
            (b"Bearer abc".to_vec(), Code::Unauthorized),
            (b"Basic !!!".to_vec(), Code::InvalidHeader),
            (b"Basic \xff".to_vec(), Code::InvalidHeader),
            (encoded(b"nocolon"), Code::InvalidHeader),
            (encoded(b"a:\xff\xfe"), Code::InvalidHeader),
            (encoded(b"a:b\n"), Code::InvalidHeader),
            (encoded(b"a\0:b"), Code::InvalidHeader),
        ] {
            assert_eq!(read(&value), Err(code), "{value:?}");
        }
    }

    #[test]
    fn one_header_is_wanted() {
        let mut headers = HeaderMap::new();
        let code = |headers: &HeaderMap| header(headers).map(|_| ()).map_err(|p| p.code);
        assert_eq!(code(&headers), Err(Code::Unauthorized));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(code(&headers), Ok(()));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(code(&headers), Err(Code::InvalidHeader));
        let long = HeaderValue::from_str(&"x".repeat(HEADER_LIMIT + 1)).unwrap();
        headers.insert(AUTHORIZATION, long);
        assert_eq!(code(&headers), Err(Code::InvalidHeader));
    }
}
