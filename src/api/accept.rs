//! Which form of a value the client wants (RFC 9110 §12.5.1): its octets, or JSON that tells its
//! metadata too.

use http::HeaderMap;
use http::header::ACCEPT;

/// The form of a value in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The octets, with the content type that they were stored with.
    Raw,
    /// JSON with the value and its metadata.
    Json,
}

/// The form that these headers ask for. JSON only if `application/json` is named, and no less
/// wanted than whatever else would match the stored type; what is named first wins a tie. No
/// `Accept`, or one that nothing here fits: the octets.
pub(super) fn form(headers: &HeaderMap, stored: &str) -> Form {
    let stored = stored.split(';').next().unwrap_or_default().trim();
    let (mut json, mut raw) = (0, 0);
    let mut first = None;
    let values = headers.get_all(ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    for (range, weight) in texts.flat_map(|text| text.split(',')).map(weighed) {
        let best = if range.eq_ignore_ascii_case("application/json") {
            first.get_or_insert(Form::Json);
            &mut json
        } else if matches(range, stored) {
            first.get_or_insert(Form::Raw);
            &mut raw
        } else {
            continue;
        };
        *best = weight.max(*best);
    }
    if json > raw || (json == raw && json > 0 && first == Some(Form::Json)) {
        Form::Json
    } else {
        Form::Raw
    }
}

/// A media range and its weight in thousandths. A weight that cannot be read counts as 1.
fn weighed(part: &str) -> (&str, u32) {
    let mut pieces = part.split(';').map(str::trim);
    let range = pieces.next().unwrap_or_default();
    let weight = pieces
        .filter_map(|piece| piece.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .and_then(|(_, weight)| thousandths(weight.trim()));
    (range, weight.unwrap_or(1000))
}

/// `0`, `1`, `0.5`, `0.123`, `1.000` (RFC 9110 §12.4.2).
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{part:0<3}");
    match whole {
        "0" => padded.parse().ok(),
        "1" => Some(1000),
        _ => None,
    }
}

fn matches(range: &str, stored: &str) -> bool {
    if range == "*/*" || range.eq_ignore_ascii_case(stored) {
        return true;
    }
    let kind = |text: &str| {
        text.split_once('/')
            .map(|(kind, _)| kind.to_ascii_lowercase())
    };
    range.ends_with("/*") && kind(range) == kind(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_only_to_who_names_it_and_wants_it_no_less() {
        let check = |accept: &[&str], stored: &str, expected: Form| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(form(&headers, stored), expected, "{accept:?} of {stored}");
        };
        let text = "text/plain; charset=utf-8";
        let json = "application/json";
        check(&[], text, Form::Raw);
        check(&["*/*"], text, Form::Raw);
        check(&["*/*"], json, Form::Raw);
        check(&["application/json"], text, Form::Json);
        check(&["application/json"], json, Form::Json);
        check(&["Application/JSON;charset=utf-8"], text, Form::Json);
        check(&["application/json, text/plain, */*"], text, Form::Json);
        check(&["*/*, application/json"], text, Form::Raw);
        check(&["text/plain", "application/json"], text, Form::Raw);
        check(&["text/html, application/json"], text, Form::Json);
        check(&["text/*;q=0.5, application/json;q=0.4"], text, Form::Raw);
        check(&["text/*;q=0.4, application/json;q=0.5"], text, Form::Json);
        check(&["application/json;q=0, */*"], text, Form::Raw);
        check(&["application/json;q=0"], text, Form::Raw);
        check(&["application/*"], json, Form::Raw);
        check(&["image/png"], text, Form::Raw);
        check(&["application/json;q=0.9, */*;q=0.8"], text, Form::Json);
        check(&["application/json;q=bad, */*"], text, Form::Json);
        check(&[",,;;q=,"], text, Form::Raw);
    }
}
