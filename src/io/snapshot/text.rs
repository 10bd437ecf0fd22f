//! Writing `store.json`, key by key, without the whole text in memory.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::{KeyName, Store, Value, WallTime};
use crate::strong::{Listed, Nodes, listing};

/// Writes what readers see of both classes at `now`: pretty JSON with four spaces, nodes and keys
/// in order of their names, no line feed at the end.
pub(super) fn write(
    store: &Store,
    strong: &Nodes,
    now: WallTime,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(b"{")?;
    let mut nodes = 0;
    for (name, listed) in listing(store, strong) {
        out.write_all(if nodes == 0 { b"\n    " } else { b",\n    " })?;
        nodes += 1;
        string(name.as_str(), out)?;
        out.write_all(b": ")?;
        match listed {
            Listed::Eventual(node) => {
                let keys = node.live_keys(now);
                let keys = keys.filter_map(|(key, version)| Some((key, version.value()?)));
                write_keys(keys, out)?;
            }
            Listed::Strong { node, .. } => {
                write_keys(node.keys().map(|(key, item)| (key, &item.value)), out)?;
            }
        }
    }
    out.write_all(if nodes == 0 { b"}" } else { b"\n}" })
}

fn write_keys<'a>(
    all: impl Iterator<Item = (&'a KeyName, &'a Value)>,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(b"{")?;
    let mut keys = 0;
    for (key, value) in all {
        out.write_all(if keys == 0 {
            b"\n        "
        } else {
            b",\n        "
        })?;
        keys += 1;
        string(key.as_str(), out)?;
        out.write_all(b": ")?;
        write_value(value, out)?;
    }
    out.write_all(if keys == 0 { b"}" } else { b"\n    }" })
}

fn write_value(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match value.text() {
        Some(text) => string(text, out),
        None => write!(
            out,
            "{{\n            \"$base64\": \"{}\"\n        }}",
            STANDARD.encode(&value.octets)
        ),
    }
}

fn string(text: &str, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}
