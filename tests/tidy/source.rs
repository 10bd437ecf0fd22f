//! Reading Rust source just well enough: code without comments and literals, and its paths.

/// The code with comments, strings and character literals blanked out; lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            out.extend(chars[at..end].iter().map(blank));
            at = end;
        }
    }
    out
}

/// Where the comment, string or character literal that starts at `at` ends; `at` if none starts.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |step: usize| chars.get(at + step).copied().unwrap_or(' ');
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => find(chars, at, |c, i| c[i] == '\n'),
        '/' if next(1) == '*' => {
            find(chars, at + 2, |c, i| {
                c[i] == '*' && c.get(i + 1) == Some(&'/')
            }) + 2
        }
        'r' if !word_before && (next(1) == '"' || next(1) == '#') => raw_end(chars, at),
        '"' => quoted_end(chars, at, '"'),
        '\'' if next(1) == '\\' => quoted_end(chars, at, '\''),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
    .min(chars.len())
}

fn find(chars: &[char], from: usize, hit: impl Fn(&[char], usize) -> bool) -> usize {
    (from..chars.len())
        .find(|i| hit(chars, *i))
        .unwrap_or(chars.len())
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let closing = |c: &[char], i: usize| {
        c[i] == '"' && c[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    find(chars, at + 2 + hashes, closing) + 1 + hashes
}

/// A word, or a mark that matters to paths.
pub(crate) fn tokens(code: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            out.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    out
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every path in the code, groups of a `use` written out: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub(crate) fn paths<'a>(tokens: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(tokens[at]) {
            at = path(tokens, at, &[], &mut out);
        } else {
            at += 1;
        }
    }
    out
}

/// Reads the path at `at` below `above`, puts it into `out`, and gives where it ends.
fn path<'a>(
    tokens: &[&'a str],
    mut at: usize,
    above: &[&'a str],
    out: &mut Vec<Vec<&'a str>>,
) -> usize {
    let mut here = above.to_vec();
    while let Some(word) = tokens.get(at).filter(|t| is_word(t)) {
        here.push(word);
        if tokens.get(at + 1) != Some(&"::") {
            out.push(here);
            return at + 1;
        }
        at += 2;
    }
    if tokens.get(at) != Some(&"{") {
        out.push(here);
        return at;
    }
    at += 1;
    while at < tokens.len() && tokens[at] != "}" {
        at = if is_word(tokens[at]) {
            path(tokens, at, &here, out)
        } else {
            at + 1
        };
    }
    at + 1
}
