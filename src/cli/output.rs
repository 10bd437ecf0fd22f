//! Results on stdout: as table, JSON, YAML or raw; coloured only on a terminal that wants it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::escape::{Lines, for_terminal};
use super::exit::Failure;
use super::yaml::yaml;
use crate::config::Output;

const HEADER: Style = Style::new().bold();

/// How a row is shown on a terminal with colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// As any other.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// Something is broken.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
        }
    }
}

/// Rows with a heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    heading: Vec<String>,
    rows: Vec<(Vec<String>, Tone)>,
}

impl Rows {
    pub(super) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self {
            heading: heading.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn push<const N: usize>(&mut self, cells: [&str; N], tone: Tone) {
        let escaped = |cell: &str| for_terminal(cell.as_bytes(), Lines::Escape);
        self.rows.push((cells.map(escaped).to_vec(), tone));
    }

    /// In columns, with a heading.
    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if !self.heading.is_empty() {
            table.set_header(self.heading.clone());
        }
        for (cells, _) in &self.rows {
            table.add_row(cells.clone());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let heading = (!self.heading.is_empty()).then_some(HEADER);
        let styles = heading
            .into_iter()
            .chain(self.rows.iter().map(|(_, tone)| tone.style()));
        let mut text = String::new();
        for (line, style) in table.lines().zip(styles) {
            let line = line.trim_end();
            let _ = writeln!(text, "{style}{line}{style:#}");
        }
        text
    }

    /// Whether there is nothing but a heading.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tab-separated, without a heading.
    pub(super) fn raw(&self) -> String {
        let lines = self.rows.iter().map(|(cells, _)| cells.join("\t") + "\n");
        lines.collect()
    }
}

/// Writes results to stdout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    output: Option<Output>,
}

impl Printer {
    pub(super) fn new(output: Option<Output>) -> Self {
        Self { output }
    }

    /// What was asked for, if anything was.
    pub(super) fn output(self) -> Option<Output> {
        self.output
    }

    /// Shows a result: `value` for programs, `rows` for people.
    pub(super) fn show(self, value: &Value, rows: impl FnOnce() -> Rows) -> Result<(), Failure> {
        match self.output.unwrap_or(Output::Table) {
            Output::Table => text(&rows().table()),
            Output::Raw => text(&rows().raw()),
            Output::Json => text(&json(value)),
            Output::Yaml => text(&yaml(value)),
        }
    }

    /// The same for a result in parts; raw is its list alone.
    pub(super) fn report(self, value: &Value, report: &Report) -> Result<(), Failure> {
        match self.output.unwrap_or(Output::Table) {
            Output::Table => text(&report.table()),
            Output::Raw => text(&report.list.raw()),
            Output::Json => text(&json(value)),
            Output::Yaml => text(&yaml(value)),
        }
    }
}

/// A result in parts, for people: what is so, what is listed, and a line that sums it up.
#[derive(Debug)]
pub(super) struct Report {
    /// Names and values, without a heading.
    pub(super) facts: Rows,
    /// What is listed; not shown if it is empty.
    pub(super) list: Rows,
    /// The last line.
    pub(super) summary: (String, Tone),
}

impl Report {
    fn table(&self) -> String {
        let mut text = self.facts.table();
        if !self.list.is_empty() {
            let _ = write!(text, "\n{}", self.list.table());
        }
        let (summary, tone) = &self.summary;
        let summary = for_terminal(summary.as_bytes(), Lines::Escape);
        let style = tone.style();
        let _ = writeln!(text, "\n{style}{summary}{style:#}");
        text
    }
}

/// The value as indented JSON, with a line feed at its end.
fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A value of an answer as the text of a cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(map) => match map.get("$base64") {
            Some(Value::String(coded)) => format!("(binary, {} bytes)", decoded_length(coded)),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// How many there are of something, in words: `1 key`, `2 keys`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    let word = if count == 1 { one } else { many };
    format!("{count} {word}")
}

/// How many bytes a base64 text stands for.
fn decoded_length(coded: &str) -> usize {
    coded.trim_end_matches('=').len() * 3 / 4
}

/// Writes text to stdout; colours in it are kept only for a terminal that wants them.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = AutoStream::new(io::stdout().lock(), AutoStream::choice(&io::stdout()));
    quiet(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A unified diff in colours.
pub(super) fn coloured_diff(text: &str) -> String {
    let mut coloured = String::with_capacity(text.len());
    for line in text.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => HEADER,
            [b'+', ..] => AnsiColor::Green.on_default(),
            [b'-', ..] => AnsiColor::Red.on_default(),
            [b'@', ..] => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        let _ = writeln!(coloured, "{style}{line}{style:#}");
    }
    coloured
}

/// Writes bytes to stdout as they are.
pub(super) fn octets(octets: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    quiet(out.write_all(octets).and_then(|()| out.flush()))
}

/// Nobody reads on: no error, there is nothing more to do.
fn quiet(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(why) => Err(anyhow::Error::new(why)
            .context("stdout cannot be written")
            .into()),
        Ok(()) => Ok(()),
    }
}

/// Writes a message to stderr, with a coloured label such as `error` in front; further lines are
/// indented. That stderr is closed is no reason to fail.
pub(super) fn message(label: &str, tone: Tone, text: &str) {
    let style = tone.style().bold();
    let mut err = AutoStream::new(io::stderr().lock(), AutoStream::choice(&io::stderr()));
    let text = text.replace('\n', &format!("\n{:width$}", "", width = label.len() + 2));
    let _ = writeln!(err, "{style}{label}:{style:#} {text}");
}

/// Writes a line to stderr as it is.
pub(super) fn plain_message(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A bar on stderr that shows how far long work is; silent where nobody looks.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    is_seen: bool,
    shown: Option<u64>,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        let is_seen = io::stderr().is_terminal();
        Self {
            what,
            is_seen,
            shown: None,
        }
    }

    /// So much of so much is done.
    pub(super) fn at(&mut self, done: u64, all: u64) {
        let percent = done.saturating_mul(100) / all.max(1);
        if self.is_seen && self.shown != Some(percent) {
            let bar = "#".repeat(usize::try_from(percent / 4).unwrap_or_default());
            let _ = write!(io::stderr(), "\r{} [{bar:<25}] {percent:>3} %", self.what);
            self.shown = Some(percent);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
    }
}

/// Whether stdout is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(["NAME", "STATE"]);
        rows.push(["a", "alive"], Tone::Good);
        rows.push(["longer\nname", "dead"], Tone::Bad);
        rows
    }

    #[test]
    fn columns_line_up_and_each_row_stays_on_one_line() {
        let plain = anstream::adapter::strip_str(&rows().table()).to_string();
        assert_eq!(
            plain,
            "NAME          STATE\na             alive\nlonger\\nname  dead\n"
        );
    }

    #[test]
    fn a_binary_value_is_told_by_its_length() {
        for (coded, shown) in [("", "0"), ("/w==", "1"), ("//8=", "2"), ("////", "3")] {
            let value = serde_json::json!({ "$base64": coded });
            assert_eq!(cell(&value), format!("(binary, {shown} bytes)"));
        }
        assert_eq!(cell(&serde_json::json!({"a": 1})), "{\"a\":1}");
    }

    #[test]
    fn raw_rows_are_separated_by_tabs_and_have_no_heading() {
        assert_eq!(rows().raw(), "a\talive\nlonger\\nname\tdead\n");
        assert_eq!(Rows::new(["NAME"]).raw(), "");
    }
}
