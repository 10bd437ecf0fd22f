//! Reading `store.json`: strict about what it is, generous about how it was edited.
//!
//! Pure, for it reads what people and other programs wrote: any bytes give a document or an error
//! with line and column. The two levels of the store are read here, strings and single values by
//! `serde_json`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{JSON, KeyName, NAME_LIMIT, NodeName, OCTETS, Value};

/// A file as node → key → value.
pub type Document = BTreeMap<NodeName, BTreeMap<KeyName, Value>>;

/// The deepest nesting of lists and objects in a value.
const DEPTH: usize = 128;

/// What is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest length of a name, in bytes; at most [`NAME_LIMIT`].
    pub name: usize,
    /// The greatest length of a value, in bytes.
    pub value: usize,
}

impl Default for Limits {
    /// Names of 255 bytes and values of 1 MiB.
    fn default() -> Self {
        Self {
            name: NAME_LIMIT,
            value: 1 << 20,
        }
    }
}

/// Why a file gives no edits. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file is there but cannot be read.
    #[error("cannot read store.json: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is no store: a slip of an editor, or cut short.
    #[error("store.json, line {line}, column {column}: {why}")]
    Broken {
        /// The line, from 1.
        line: usize,
        /// The column in it, from 1, in bytes.
        column: usize,
        /// What is wrong.
        why: String,
    },
}

/// Reads a whole file.
///
/// Strings become text, `{"$base64": "…"}` octets, and every other JSON value its own text (numbers
/// exactly as written) with the type `application/json`.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Document, SnapshotError> {
    let mut reader = Reader {
        bytes,
        at: 0,
        limits,
    };
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(reader.broken("a byte order mark: save the file as UTF-8 without one"));
    }
    let Some(first) = reader.peek() else {
        return Err(reader.broken("the file is empty: a store without nodes is {}"));
    };
    if first != b'{' {
        return Err(reader.broken("the file must be one object: {\"node\": {\"key\": \"value\"}}"));
    }
    let mut document = Document::new();
    reader.object(|reader| {
        let (place, name) = reader.name()?;
        let node = NodeName::limited(&name, limits.name)
            .map_err(|error| reader.broken_at(place, &format!("the node {name:?}: {error}")))?;
        let keys = reader.keys()?;
        match document.entry(node) {
            Entry::Vacant(free) => free.insert(keys),
            Entry::Occupied(_) => {
                return Err(reader.broken_at(place, &format!("the node {name:?} stands twice")));
            }
        };
        Ok(())
    })?;
    match reader.peek() {
        None => Ok(document),
        Some(_) => Err(reader.broken("there is something after the end of the store")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space; the reader then stands on it.
    fn peek(&mut self) -> Option<u8> {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(space).count();
        self.rest().first().copied()
    }

    fn take(&mut self, byte: u8, expected: &str) -> Result<(), SnapshotError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.broken(&format!("expected {expected}"))),
            None => Err(self.broken(&format!("the file ends where {expected} should come"))),
        }
    }

    /// Reads an object, its members by `member`, which stands at the name.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        self.take(b'{', "{")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            member(self)?;
            if self.peek() == Some(b',') {
                self.at += 1;
            } else {
                return self.take(b'}', "a comma or }");
            }
        }
    }

    /// A name and the colon after it, with the place where the name began.
    fn name(&mut self) -> Result<(usize, String), SnapshotError> {
        let found = self.peek();
        let place = self.at;
        if found != Some(b'"') {
            return Err(self.broken("expected a name in double quotes"));
        }
        let name: String = self.one()?;
        self.take(b':', "a colon after the name")?;
        Ok((place, name))
    }

    fn keys(&mut self) -> Result<BTreeMap<KeyName, Value>, SnapshotError> {
        if self.peek() != Some(b'{') {
            return Err(self.broken("a node must be an object: {\"key\": \"value\"}"));
        }
        let limits = self.limits;
        let mut keys = BTreeMap::new();
        self.object(|reader| {
            let (place, name) = reader.name()?;
            let key = KeyName::limited(&name, limits.name)
                .map_err(|error| reader.broken_at(place, &format!("the key {name:?}: {error}")))?;
            let value = reader.value()?;
            match keys.entry(key) {
                Entry::Vacant(free) => free.insert(value),
                Entry::Occupied(_) => {
                    let why = format!("the key {name:?} stands twice in its node");
                    return Err(reader.broken_at(place, &why));
                }
            };
            Ok(())
        })?;
        Ok(keys)
    }

    fn value(&mut self) -> Result<Value, SnapshotError> {
        let first = self.peek();
        let place = self.at;
        let value = match first {
            Some(b'"') => Value::untyped(self.one::<String>()?.into_bytes()),
            Some(b'{') => {
                let text = self.one::<&RawValue>()?.get();
                self.octets_or_json(place, text)?
            }
            _ => json(self.one::<&RawValue>()?.get()),
        };
        let (length, limit) = (value.octets.len(), self.limits.value);
        if length > limit {
            let why = format!("the value has {length} bytes, the limit is {limit}");
            return Err(self.broken_at(place, &why));
        }
        if depth(&self.bytes[place..self.at]) > DEPTH {
            let why = format!("the value is nested deeper than {DEPTH} levels");
            return Err(self.broken_at(place, &why));
        }
        Ok(value)
    }

    fn octets_or_json(&self, place: usize, text: &str) -> Result<Value, SnapshotError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Octets {
            #[serde(rename = "$base64")]
            base64: String,
        }
        let Ok(octets) = serde_json::from_str::<Octets>(text) else {
            return Ok(json(text));
        };
        match STANDARD.decode(octets.base64) {
            Ok(octets) => Ok(Value::new(OCTETS, octets)),
            Err(error) => Err(self.broken_at(place, &format!("$base64: {error}"))),
        }
    }

    /// One value by `serde_json`.
    fn one<T: Deserialize<'a>>(&mut self) -> Result<T, SnapshotError> {
        let mut stream = serde_json::Deserializer::from_slice(self.rest()).into_iter::<T>();
        match stream.next() {
            Some(Ok(value)) => {
                self.at += stream.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => Err(self.misread(&error)),
            None => Err(self.broken("the file ends where a value should come")),
        }
    }

    /// An error of `serde_json`, whose line and column count from where the reader stands.
    fn misread(&self, error: &serde_json::Error) -> SnapshotError {
        let (line, column) = self.line_and_column(self.at);
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        SnapshotError::Broken {
            line: line + error.line().saturating_sub(1),
            column: if error.line() <= 1 {
                column + error.column().saturating_sub(1)
            } else {
                error.column().max(1)
            },
            why: why.to_owned(),
        }
    }

    fn broken(&self, why: &str) -> SnapshotError {
        self.broken_at(self.at, why)
    }

    fn broken_at(&self, place: usize, why: &str) -> SnapshotError {
        let (line, column) = self.line_and_column(place);
        SnapshotError::Broken {
            line,
            column,
            why: why.to_owned(),
        }
    }

    fn line_and_column(&self, place: usize) -> (usize, usize) {
        let before = self.bytes.get(..place).unwrap_or(self.bytes);
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        (line, column)
    }
}

fn json(text: &str) -> Value {
    Value::new(JSON, text.as_bytes())
}

/// The deepest nesting in the text of a JSON value, with one pass and no recursion.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
