//! The TOML file: flat, its keys are the names of the flags (`-` or `_` between words).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::setting::Setting;
use super::settings::{CONFIG, SETTINGS};

/// Why the file could not be taken. Happens when an operator mistypes; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there or may not be read.
    #[error(
        "the configuration file {} cannot be read: {why}; check --config or GAGGLE_CONFIG",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is no TOML.
    #[error("{}:{line}: no TOML: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// A key that is no setting.
    #[error("{}: there is no setting \"{key}\"{hint}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// A sentence with a likely one, or with where to look.
        hint: String,
    },
    /// A value that is neither a text, a number, nor a list of them.
    #[error(
        "{}: {key} is {kind}; it must be a text, a number or a list of texts",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it is.
        kind: &'static str,
    },
}

/// Reads the file into texts by setting name.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, FileError> {
    let text = std::fs::read_to_string(path).map_err(|why| FileError::Unreadable {
        path: path.to_owned(),
        why: why.to_string(),
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, String>, FileError> {
    let table: toml::Table = text.parse().map_err(|why: toml::de::Error| {
        let at = why.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        FileError::Syntax {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            why: why.message().replace('\n', " "),
        }
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        if !is_known(&name) {
            return Err(unknown(path, key));
        }
        let value = flat(&value).map_err(|kind| FileError::Shape {
            path: path.to_owned(),
            key,
            kind,
        })?;
        values.insert(name, value);
    }
    Ok(values)
}

/// The names that may stand in the file: all but that of the file itself.
fn names(setting: &'static Setting) -> impl Iterator<Item = &'static str> {
    std::iter::once(setting.name).chain(setting.file())
}

fn is_known(name: &str) -> bool {
    let mut known = SETTINGS.into_iter().flat_map(names);
    name != CONFIG.name && known.any(|known| known == name)
}

fn unknown(path: &Path, key: String) -> FileError {
    let wanted = key.replace('_', "-");
    let likely = SETTINGS
        .into_iter()
        .flat_map(names)
        .filter(|name| name.contains(&wanted) || wanted.contains(name))
        .min_by_key(|name| name.len().abs_diff(wanted.len()));
    let hint = match likely {
        Some(name) if name != CONFIG.name => format!(": did you mean {name}?"),
        _ => "; `gaggle config` lists all of them".to_owned(),
    };
    FileError::Unknown {
        path: path.to_owned(),
        key,
        hint,
    }
}

fn flat(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Array(items) => {
            let texts: Result<Vec<_>, _> = items.iter().map(flat).collect();
            Ok(texts?.join(","))
        }
        toml::Value::Float(_) => Err("a fraction"),
        toml::Value::Boolean(_) => Err("true or false"),
        toml::Value::Datetime(_) => Err("a date"),
        toml::Value::Table(_) => Err("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let parsed = parse(Path::new("gaggle.toml"), text);
        parsed.expect_err(text).to_string()
    }

    #[test]
    fn texts_numbers_and_lists_become_texts_by_setting_name() {
        let text = "fanout = 3\nstop_timeout = '5s'\ninterface = ['lo', 'eth0']\nsecret-file='x'";
        let values = parse(Path::new("x"), text).unwrap();
        let shown: Vec<_> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            shown,
            [
                "fanout=3",
                "interface=lo,eth0",
                "secret-file=x",
                "stop-timeout=5s"
            ]
        );
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said_with_its_place() {
        let cases = [
            ("fanout = 3\nname = ", "gaggle.toml:2: no TOML"),
            (
                "fan-out = 3",
                "there is no setting \"fan-out\"; `gaggle config` lists",
            ),
            ("max_value = 3", "did you mean max-value-bytes?"),
            ("config = 'y'", "there is no setting \"config\""),
            ("[limits]\nfanout = 3", "there is no setting \"limits\""),
            ("fanout = 1.5", "fanout is a fraction; it must be"),
            ("name = true", "name is true or false; it must be"),
            ("[name]\na = 1", "name is a table; it must be"),
        ];
        for (text, part) in cases {
            let why = refusal(text);
            assert!(why.contains(part), "{text}: {why}");
            assert!(why.starts_with("gaggle.toml"), "{why}");
        }
    }
}
