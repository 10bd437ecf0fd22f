//! `If-Match` and `If-None-Match` (RFC 9110 §13.1) as the conditions that the store checks.

use http::header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use crate::app::{Condition, EditError, Tags};

use super::problem::{Code, Problem};

/// What the headers demand. Neither header: nothing.
///
/// `If-Match` compares strongly: a weak tag in it matches nothing. `If-None-Match` compares weakly.
///
/// # Errors
/// `invalid-header` for a list that cannot be read: a condition is never passed over in silence.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, Problem> {
    Ok(Condition {
        if_match: tags(headers, &IF_MATCH, Weak::MatchesNothing)?,
        if_none_match: tags(headers, &IF_NONE_MATCH, Weak::Matches)?,
    })
}

/// What the tag of a version's JSON form has behind the version's own.
pub(super) const JSON_FORM: &str = ";json";

/// The same for a write, which `If-Unmodified-Since` must not guard: two writes may fall into one
/// of its seconds.
pub(super) fn for_write(headers: &HeaderMap) -> Result<Condition, Problem> {
    if headers.contains_key(IF_UNMODIFIED_SINCE) {
        return Err(Problem::new(
            Code::InvalidHeader,
            "If-Unmodified-Since is too coarse to guard a write",
        )
        .hint("use If-Match with the ETag"));
    }
    let Condition {
        if_match,
        if_none_match,
    } = condition(headers)?;
    Ok(Condition {
        if_match: if_match.map(whatever_the_form),
        if_none_match: if_none_match.map(whatever_the_form),
    })
}

/// A write is guarded by the version, in whichever form it was read.
fn whatever_the_form(tags: Tags) -> Tags {
    match tags {
        Tags::Any => Tags::Any,
        Tags::OneOf(mut tags) => {
            for tag in &mut tags {
                if let Some(length) = tag.strip_suffix(JSON_FORM).map(str::len) {
                    tag.truncate(length);
                }
            }
            Tags::OneOf(tags)
        }
    }
}

/// Whether there is any condition to be read.
pub(super) fn are_any(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH)
}

/// Refuses conditions on what has no `ETag`: they are never passed over in silence.
///
/// # Errors
/// `invalid-header`.
pub(super) fn none(headers: &HeaderMap) -> Result<(), Problem> {
    let all = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE];
    match all.iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Problem::new(
            Code::InvalidHeader,
            format!("{name} holds for nodes and keys only"),
        )
        .hint("\"expect\" compares a counter; POST /v1/txn compares anything before it writes")),
    }
}

/// Whether a reader has what is there, of this tag, already (304).
///
/// # Errors
/// `precondition-failed` if `If-Match` wanted another.
pub(super) fn unchanged(headers: &HeaderMap, tag: &str) -> Result<bool, Problem> {
    let Condition {
        if_match,
        if_none_match,
    } = condition(headers)?;
    if if_match.is_some_and(|tags| !tags.matches(true, Some(tag))) {
        return Err(EditError::PreconditionFailed {
            current: Some(tag.to_owned()),
        }
        .into());
    }
    Ok(if_none_match.is_some_and(|tags| tags.matches(true, Some(tag))))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weak {
    Matches,
    MatchesNothing,
}

fn tags(headers: &HeaderMap, name: &HeaderName, weak: Weak) -> Result<Option<Tags>, Problem> {
    let mut any = false;
    let mut all = None;
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable(name))?;
        if text.trim() == "*" {
            any = true;
        } else {
            let list = all.get_or_insert_with(Vec::new);
            read_list(text, weak, list).ok_or_else(|| unreadable(name))?;
        }
    }
    match (any, all) {
        (false, None) => Ok(None),
        (true, None) => Ok(Some(Tags::Any)),
        (false, Some(list)) => Ok(Some(Tags::OneOf(list))),
        (true, Some(_)) => Err(unreadable(name)),
    }
}

/// Reads `"a", W/"b"`; a comma may stand within the quotes. `None` if it is no such list.
fn read_list(text: &str, weak: Weak, into: &mut Vec<String>) -> Option<()> {
    let blank = |c| c == ' ' || c == '\t' || c == ',';
    let mut rest = text.trim_matches(blank);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, behind) = quoted.strip_prefix('"')?.split_once('"')?;
        if tag.chars().any(|c| c == ' ' || c.is_control()) {
            return None;
        }
        if !is_weak || weak == Weak::Matches {
            into.push(tag.to_owned());
        }
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start_matches(blank);
        }
    }
    Some(())
}

fn unreadable(name: &HeaderName) -> Problem {
    let detail = format!("the header {name} is neither * nor a list of quoted tags");
    Problem::new(Code::InvalidHeader, detail).hint("send the ETag with its quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &HeaderName, values: &[&str]) -> Result<Option<Tags>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().unwrap());
        }
        let condition = condition(&headers).map_err(|problem| problem.code)?;
        Ok(if *name == IF_MATCH {
            condition.if_match
        } else {
            condition.if_none_match
        })
    }

    #[track_caller]
    fn check(values: &[&str], strong: Option<&[&str]>, weak: Option<&[&str]>) {
        let tags = |list: Option<&[&str]>| match list {
            Some(list) => Ok(Some(Tags::OneOf(
                list.iter().map(|t| (*t).to_owned()).collect(),
            ))),
            None => Err(Code::InvalidHeader),
        };
        assert_eq!(read(&IF_MATCH, values), tags(strong));
        assert_eq!(read(&IF_NONE_MATCH, values), tags(weak));
    }

    #[test]
    fn lists_weak_tags_and_stars_are_read() {
        check(&[r#""a""#], Some(&["a"]), Some(&["a"]));
        check(&[r#""a", "b""#], Some(&["a", "b"]), Some(&["a", "b"]));
        check(&[r#""a,b" ,W/"c""#], Some(&["a,b"]), Some(&["a,b", "c"]));
        check(&[r#"W/"c""#], Some(&[]), Some(&["c"]));
        check(&[r#", "a",, "b","#], Some(&["a", "b"]), Some(&["a", "b"]));
        check(&[r#""a""#, r#""b""#], Some(&["a", "b"]), Some(&["a", "b"]));
        check(&[r#""""#], Some(&[""]), Some(&[""]));
        for name in [IF_MATCH, IF_NONE_MATCH] {
            assert_eq!(read(&name, &[" * "]), Ok(Some(Tags::Any)));
            assert_eq!(read(&name, &[]), Ok(None));
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_passed_over() {
        for bad in [
            "",
            ",",
            "a",
            r#""a"#,
            r#"a""#,
            r#""a" "b""#,
            r#""a"b"#,
            r#"w/"a""#,
            r#"*, "a""#,
        ] {
            check(&[bad], None, None);
        }
        check(&["*", r#""a""#], None, None);
    }

    #[test]
    fn a_write_is_not_guarded_by_a_date() {
        let date = "Sat, 29 Oct 1994 19:43:31 GMT".parse().unwrap();
        let headers = HeaderMap::from_iter([(IF_UNMODIFIED_SINCE, date)]);
        assert!(for_write(&headers).is_err());
        assert_eq!(for_write(&HeaderMap::new()), Ok(Condition::default()));
    }
}
