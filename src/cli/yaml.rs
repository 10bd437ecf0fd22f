//! JSON values written as YAML 1.2, in block style.
//!
//! Texts that could be taken for anything else are written in double quotes. A double-quoted text
//! of JSON is one of YAML too, once the characters that YAML calls unprintable are escaped.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as a YAML document, with a line feed at its end.
pub(super) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 || depth == 0 {
                    indent(text, depth);
                }
                text.push_str(&quoted(key));
                text.push(':');
                child(text, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 || depth == 0 {
                    indent(text, depth);
                }
                text.push_str("- ");
                block(text, item, depth + 1);
            }
        }
        scalar => {
            text.push_str(&plain(scalar));
            text.push('\n');
        }
    }
}

/// What follows a key: a scalar on its line, anything else below it.
fn child(text: &mut String, value: &Value, depth: usize) {
    let is_nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_nested {
        text.push('\n');
        indent(text, depth);
    } else {
        text.push(' ');
    }
    block(text, value, depth);
}

fn indent(text: &mut String, depth: usize) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// The text as it is if nobody can take it for anything else, in double quotes otherwise.
fn quoted(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_word {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_and_lists_are_written_as_blocks() {
        let value = json!({
            "members": [{"id": "00ab", "up": true, "tags": ["a", "b"]}, {"id": "x", "none": {}}],
            "list": [], "count": 3, "deep": {"a": {"b": null}}, "rows": [[1, 2], [3]],
        });
        let expected = "\
members:
  - id: \"00ab\"
    up: true
    tags:
      - a
      - b
  - id: x
    none: {}
list: []
count: 3
deep:
  a:
    b: null
rows:
  - - 1
    - 2
  - - 3
";
        assert_eq!(yaml(&value), expected);
        assert_eq!(yaml(&json!({})), "{}\n");
        assert_eq!(yaml(&json!("a: b")), "\"a: b\"\n");
    }

    #[test]
    fn texts_that_could_be_something_else_are_quoted() {
        let cases = [
            ("blue", "blue"),
            ("a/b-c_d.e", "a/b-c_d.e"),
            ("", "\"\""),
            ("no", "\"no\""),
            ("True", "\"True\""),
            ("12", "\"12\""),
            ("- x", "\"- x\""),
            ("a\nb", "\"a\\nb\""),
            ("a: b # c", "\"a: b # c\""),
            ("\u{1b}[31m", "\"\\u001b[31m\""),
            ("\u{9b}\u{7f}\u{2028}", "\"\\u009b\\u007f\\u2028\""),
            ("ä🦆", "\"ä🦆\""),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
    }
}
