//! A version as JSON: who wrote what, where and when, and how it stands to the others of its key.

use crate::api::json::{write_text, write_value};
use crate::app::{Shown, Standing};
use crate::model::{Version, WallTime};

/// Writes the members that describe a version, without braces.
pub(super) fn write_fields(out: &mut Vec<u8>, version: &Version, now: WallTime) {
    let mut is_first = true;
    let mut member = |name: &str, text: &str| {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_member(out, name, text);
    };
    member("stamp", &version.stamp.to_string());
    member("author", &version.author);
    member("member", &version.stamp.member.to_string());
    member("written", &version.written.to_string());
    if let Some(value) = version.value() {
        member("content_type", &value.content_type);
        out.extend_from_slice(br#","value":"#);
        write_value(out, value);
    }
    if let Some(expires) = version.expires {
        let left = expires.millis().saturating_sub(now.millis());
        out.extend_from_slice(format!(r#","ttl_ms":{left}"#).as_bytes());
    }
}

/// Writes `"name":"text"`.
pub(super) fn write_member(out: &mut Vec<u8>, name: &str, text: &str) {
    write_text(out, name);
    out.push(b':');
    write_text(out, text);
}

/// Writes a version of a history, with its standing.
pub(super) fn write_shown(out: &mut Vec<u8>, shown: &Shown, now: WallTime) {
    let version = &shown.version;
    out.push(b'{');
    write_fields(out, version, now);
    out.extend_from_slice(br#","replaces":["#);
    for (place, stamp) in version.replaces.stamps().iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(out, &stamp.to_string());
    }
    out.push(b']');
    if version.value().is_none() {
        out.extend_from_slice(br#","deleted":true"#);
    }
    out.extend_from_slice(match shown.standing {
        Standing::Current => br#","current":true"#,
        Standing::Lost => br#","conflict":true"#,
        Standing::Replaced => b"",
    });
    out.push(b'}');
}

/// Writes versions of a history as a list.
pub(super) fn write_list(out: &mut Vec<u8>, versions: &[Shown], now: WallTime) {
    out.push(b'[');
    for (place, shown) in versions.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_shown(out, shown, now);
    }
    out.push(b']');
}
