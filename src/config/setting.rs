//! What can be set: one description per value, read by the flags, the help and the checks.

use std::ops::RangeInclusive;

use super::read::{show_duration, show_size};

/// One value that can be set by flag, by environment, or in the file.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes, and the key in the file.
    pub name: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// The value in force where nothing is given.
    pub preset: Preset,
    /// How the text is read.
    pub kind: Kind,
    /// The heading in the help.
    pub section: Section,
    /// Which commands take it.
    pub of: Use,
    /// What it means, in whole sentences.
    pub help: &'static str,
    /// A value that is right, for messages.
    pub example: &'static str,
}

/// The value in force where nothing is given.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// This text, read as if it had been given.
    Text(&'static str),
    /// Worked out when needed; the words say how.
    Words(&'static str),
}

impl Preset {
    /// The text for the help.
    pub fn words(self) -> &'static str {
        match self {
            Self::Text(text) | Self::Words(text) => text,
        }
    }
}

/// The words of a switch: its flag may stand without a word, which means the second.
pub(super) const NO_OR_YES: [&str; 2] = ["no", "yes"];

/// How a value's text is read.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text with its own rule; the words say what is allowed.
    Text(&'static str),
    /// Comma-separated texts; the flag may be repeated.
    List(&'static str),
    /// A confidential text, never shown; there is a `-file` flag and a `_FILE` variable as well.
    Hidden {
        /// What is allowed.
        allowed: &'static str,
        /// The flag, without its dashes, that names a file with the text; also a key in the file.
        file: &'static str,
    },
    /// The name of a file or directory.
    Path(&'static str),
    /// A whole number.
    Number(RangeInclusive<u64>),
    /// A number of bytes.
    Size(RangeInclusive<u64>),
    /// A time span; the range is in milliseconds.
    Duration(RangeInclusive<u64>),
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What is allowed, in words that end a sentence.
    pub fn allowed(&self) -> String {
        match self {
            Self::Text(allowed)
            | Self::List(allowed)
            | Self::Hidden { allowed, .. }
            | Self::Path(allowed) => (*allowed).to_owned(),
            Self::Number(range) => {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
            Self::Size(range) => format!(
                "a size from {} to {}",
                show_size(*range.start()),
                show_size(*range.end())
            ),
            Self::Duration(range) => format!(
                "a time span from {} to {}",
                show_duration(std::time::Duration::from_millis(*range.start())),
                show_duration(std::time::Duration::from_millis(*range.end()))
            ),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// Headings of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Who this member is and whom it belongs to.
    Cluster,
    /// Addresses and discovery.
    Network,
    /// Users and certificates.
    Security,
    /// Adapters for foreign protocols.
    Faces,
    /// Bounds on what comes from outside.
    Limits,
    /// Replication and stopping.
    Behaviour,
    /// What is logged, and how.
    Log,
    /// How a client command finds and asks a member.
    Client,
}

impl Section {
    /// The heading's text.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Network => "Network",
            Self::Security => "Security",
            Self::Faces => "Faces",
            Self::Limits => "Limits",
            Self::Behaviour => "Behaviour",
            Self::Log => "Log",
            Self::Client => "Connection",
        }
    }
}

/// Which commands take a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Those that run a member.
    Member,
    /// Those that ask one.
    Client,
    /// Both.
    Both,
}

impl Setting {
    /// The flag as it is typed.
    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// Whether the value is confidential.
    pub fn is_hidden(&self) -> bool {
        self.file().is_some()
    }

    /// For a confidential value, the flag that names a file with it, without its dashes.
    pub fn file(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Hidden { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Whether its flag may stand without a value.
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Choice(words) if words == NO_OR_YES)
    }

    /// Whether the flag may be given several times.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
    }

    /// Whether a member's configuration has it.
    pub fn is_of_member(&self) -> bool {
        matches!(self.of, Use::Member | Use::Both)
    }

    /// Whether a client command's configuration has it.
    pub fn is_of_client(&self) -> bool {
        matches!(self.of, Use::Client | Use::Both)
    }
}
