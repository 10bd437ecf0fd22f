//! Names given on the command line, checked before anything is sent.

use super::exit::Failure;
use crate::model::{KeyName, NodeName};

/// The name of a node.
pub(super) fn node_name(text: &str) -> Result<NodeName, Failure> {
    text.parse()
        .map_err(|why| Failure::usage(format!("{text:?} is no name of a node: {why}")))
}

/// The name of a key.
pub(super) fn key_name(text: &str) -> Result<KeyName, Failure> {
    text.parse()
        .map_err(|why| Failure::usage(format!("{text:?} is no name of a key: {why}")))
}

/// The node and the key in front of `words`, as `NODE/KEY` or in two words, and the words behind.
/// (A node's name has no slash, so there is no doubt; the key is all behind the first one.)
pub(super) fn place(words: &[String]) -> Result<(NodeName, KeyName, &[String]), Failure> {
    let missing = || Failure::usage("the key is missing").hint("for example web/colour");
    let (first, rest) = words.split_first().ok_or_else(missing)?;
    if let Some((node, key)) = first.split_once('/') {
        return Ok((node_name(node)?, key_name(key)?, rest));
    }
    let (key, rest) = rest.split_first().ok_or_else(missing)?;
    Ok((node_name(first)?, key_name(key)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_in_one_word_or_in_two() {
        let check = |line: &str, expected: Option<(&str, &str, usize)>| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let found = place(&words).ok();
            let found = found
                .as_ref()
                .map(|(node, key, rest)| (node.as_str(), key.as_str(), rest.len()));
            assert_eq!(found, expected, "{line}");
        };
        check("web/colour", Some(("web", "colour", 0)));
        check("web colour", Some(("web", "colour", 0)));
        check("web/a//b/ -1", Some(("web", "a//b/", 1)));
        check("web inproc://x -1 -2", Some(("web", "inproc://x", 2)));
        check("web//x", Some(("web", "/x", 0)));
        check("web", None);
        check("web/", None);
        check("/x", None);
        check("", None);
    }
}
