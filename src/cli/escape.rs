//! Bytes from the store on their way to a terminal: nothing in them may command it.

use std::fmt::Write as _;

/// Whether a terminal would act on the character, or show the text in another order.
fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The bytes as text that a terminal only shows: commands and what is no UTF-8 become `\x1b` and
/// the like. Line feeds and tabs stay if `lines` says so.
pub(super) fn for_terminal(octets: &[u8], lines: Lines) -> String {
    let mut shown = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            let stays = matches!(lines, Lines::Keep) && matches!(c, '\n' | '\t');
            match c {
                c if stays || !is_command(c) => shown.push(c),
                '\n' => shown.push_str("\\n"),
                '\r' => shown.push_str("\\r"),
                '\t' => shown.push_str("\\t"),
                c if u32::from(c) < 0x100 => {
                    let _ = write!(shown, "\\x{:02x}", u32::from(c));
                }
                c => {
                    let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
                }
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// What becomes of line feeds and tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// They stay: the text may take several lines.
    Keep,
    /// They are escaped: the text must stay on one line.
    Escape,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_to_the_terminal_are_shown_instead_of_sent() {
        let cases: [(&[u8], &str); 6] = [
            (b"blue", "blue"),
            (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
            (b"a\r\nb\tc", "a\\r\nb\tc"),
            (b"\xff\xfe ok \xc3", "\\xff\\xfe ok \\xc3"),
            ("\u{9b}31m".as_bytes(), "\\x9b31m"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
        ];
        for (octets, expected) in cases {
            assert_eq!(for_terminal(octets, Lines::Keep), expected);
        }
        assert_eq!(for_terminal(b"a\nb\t", Lines::Escape), "a\\nb\\t");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(octets: Vec<u8>) {
            let shown = for_terminal(&octets, Lines::Escape);
            prop_assert!(!shown.chars().any(is_command));
        }
    }
}
