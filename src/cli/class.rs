//! `--class`: which side of the store a command means.

use clap::ValueEnum;

/// What promises hold for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Class {
    /// Any member takes writes, the last writer wins
    Eventual,
    /// Writes need a majority and stand in one order
    Strong,
}

impl Class {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Strong => "strong",
        }
    }
}

/// The flag, for every command about one node.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct ClassFlag {
    /// Only the node of this class; without it the member finds out which one the name has
    #[arg(long, value_enum)]
    pub(super) class: Option<Class>,
}

impl ClassFlag {
    /// The path with what the member must know.
    pub(super) fn on(self, path: String) -> String {
        on(self.class, path)
    }
}

/// The path for a node of this class.
pub(super) fn on(class: Option<Class>, path: String) -> String {
    let Some(class) = class else {
        return path;
    };
    // A name's own "?" is encoded.
    let and = if path.contains('?') { '&' } else { '?' };
    format!("{path}{and}class={}", class.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_goes_into_the_query_behind_what_is_there() {
        let strong = Some(Class::Strong);
        assert_eq!(on(None, "/x".into()), "/x");
        assert_eq!(on(strong, "/x".into()), "/x?class=strong");
        assert_eq!(on(strong, "/x?ack=2".into()), "/x?ack=2&class=strong");
    }
}
