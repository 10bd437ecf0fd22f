//! Names in paths: whatever a request's path holds is a name that goes in and comes out the same,
//! or an error; never a panic, never another name.

use gaggle::model::{KeyName, NAME_LIMIT, NodeName};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::{Shape, shape_of};

/// Reads `data` as a segment of a path: decoded once, then checked.
///
/// # Panics
/// If a name breaks its promise.
#[must_use]
pub(crate) fn run(data: &[u8]) -> Shape {
    let Ok(text) = percent_decode(data).decode_utf8() else {
        return "no text".to_owned();
    };
    let key = text.parse::<KeyName>();
    let node = text.parse::<NodeName>();
    match (&key, &node) {
        (Ok(key), Ok(node)) => {
            assert_eq!(key.as_str(), node.as_str());
            assert!(!node.as_str().contains('/'));
        }
        (Ok(key), Err(_)) => assert!(key.as_str().contains('/'), "only a slash tells them apart"),
        (Err(_), node) => assert!(node.is_err(), "a node's name that is no key's name"),
    }
    let Ok(key) = key else {
        return key.map_or_else(|error| shape_of(&error), |_| String::new());
    };
    assert_eq!(key.as_str(), text, "nothing is collapsed or cut");
    assert!((1..=NAME_LIMIT).contains(&key.as_str().len()));
    assert!(!key.as_str().chars().any(char::is_control));
    let wire = utf8_percent_encode(key.as_str(), NON_ALPHANUMERIC).to_string();
    let back = percent_decode(wire.as_bytes())
        .decode_utf8()
        .map(|text| text.parse::<KeyName>());
    assert_eq!(
        back,
        Ok(Ok(key.clone())),
        "written as a path and read again"
    );
    let json = serde_json::to_string(&key).unwrap_or_default();
    assert_eq!(
        serde_json::from_str::<KeyName>(&json).ok(),
        Some(key.clone()),
        "as JSON"
    );
    format!("name with {} segments", key.as_str().split('/').count())
}
