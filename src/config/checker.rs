//! Reads values out of the layers, and collects every refusal instead of stopping at the first.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::hidden::Hidden;
use super::layers::{Found, Layers, Source};
use super::read;
use super::setting::{Kind, Setting};
use super::stand_in::is_foreign;

/// A value in force and where it comes from.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What it is the value of.
    pub setting: &'static Setting,
    /// The value as text; a confidential one is not shown.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// A value that was given and cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    place: String,
    given: Option<String>,
    why: String,
    allowed: String,
    example: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Some(given) => write!(f, "{} is {given:?}: {}", self.place, self.why)?,
            None => write!(f, "{}: {}", self.place, self.why)?,
        }
        write!(f, "; allowed: {}; example: {}", self.allowed, self.example)
    }
}

/// Everything that was refused; at least one thing. Happens when an operator mistypes; nothing was
/// changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, refusal) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            write!(f, "{gap}{refusal}")?;
        }
        Ok(())
    }
}

/// Takes values one after the other; remembers what is in force and what was refused.
pub(super) struct Checker<'a> {
    layers: &'a Layers,
    in_force: Vec<InForce>,
    refused: Vec<Refusal>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            in_force: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// What is in force; or all refusals if there are any.
    pub(super) fn finish(self) -> Result<Vec<InForce>, Refusals> {
        if self.refused.is_empty() {
            Ok(self.in_force)
        } else {
            Err(Refusals(self.refused))
        }
    }

    /// The value, if anybody gave it.
    pub(super) fn given<T>(
        &mut self,
        setting: &'static Setting,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<(T, Source)> {
        let found = match self.layers.find(setting) {
            Ok(found) => found?,
            Err(unreadable) => {
                let place = place(setting, &unreadable.source);
                self.refused
                    .push(refusal(setting, place, None, unreadable.why));
                return None;
            }
        };
        match read(found.text.reveal()) {
            Ok(value) => {
                let shown = if setting.is_hidden() {
                    "(hidden)".to_owned()
                } else {
                    found.text.reveal().to_owned()
                };
                self.note(setting, shown, found.source.clone());
                Some((value, found.source))
            }
            Err(why) => {
                self.refuse(setting, &found, why);
                None
            }
        }
    }

    /// The value, where the setting has a default; anything after a refusal, which ends in an
    /// error anyway.
    pub(super) fn value<T: Default>(
        &mut self,
        setting: &'static Setting,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.given(setting, read)
            .map_or_else(T::default, |(value, _)| value)
    }

    /// The value of a number or size.
    pub(super) fn number(&mut self, setting: &'static Setting) -> usize {
        let read = |text: &str| match &setting.kind {
            Kind::Number(range) => read::number(text, range),
            Kind::Size(range) => read::size_in(text, range),
            _ => Err("not a number".to_owned()),
        };
        usize::try_from(self.value(setting, read)).unwrap_or(usize::MAX)
    }

    /// The value of a time span.
    pub(super) fn duration(&mut self, setting: &'static Setting) -> Duration {
        let read = |text: &str| match &setting.kind {
            Kind::Duration(range) => read::duration_in(text, range),
            _ => Err("not a time span".to_owned()),
        };
        self.value(setting, read)
    }

    /// The position of the chosen word, if one was given.
    pub(super) fn choice(&mut self, setting: &'static Setting) -> Option<usize> {
        let Kind::Choice(words) = &setting.kind else {
            return None;
        };
        let read = |text: &str| {
            let place = words.iter().position(|word| *word == text);
            place.ok_or_else(|| "no such choice".to_owned())
        };
        self.given(setting, read).map(|(at, _)| at)
    }

    /// A confidential value, if one was given.
    pub(super) fn hidden(
        &mut self,
        setting: &'static Setting,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<Hidden> {
        let read = |text: &str| check(text).map(|()| Hidden::new(text));
        self.given(setting, read).map(|(text, _)| text)
    }

    /// Whether a value comes from somebody rather than from the default.
    pub(super) fn is_given(&self, setting: &'static Setting) -> bool {
        match self.layers.find(setting) {
            Ok(found) => found.is_some_and(|found| found.source != Source::Default),
            Err(_) => true,
        }
    }

    /// Remembers a value that was not given but worked out; it takes the place of one before.
    pub(super) fn note(&mut self, setting: &'static Setting, value: String, source: Source) {
        let noted = InForce {
            setting,
            value,
            source,
        };
        let mut before = self.in_force.iter_mut();
        match before.find(|before| before.setting.name == setting.name) {
            Some(before) => *before = noted,
            None => self.in_force.push(noted),
        }
    }

    /// Refuses a file that would give the value.
    pub(super) fn refuse_file(&mut self, setting: &'static Setting, file: &Path, why: String) {
        let place = file.display().to_string();
        self.refused.push(refusal(setting, place, None, why));
    }

    /// Refuses a value that does not go together with another one.
    pub(super) fn conflict(&mut self, setting: &'static Setting, why: &str) {
        let found = self.layers.find(setting).ok().flatten();
        if let Some(found) = found {
            self.refuse(setting, &found, why.to_owned());
        } else {
            let place = setting.flag();
            self.refused
                .push(refusal(setting, place, None, why.to_owned()));
        }
    }

    fn refuse(&mut self, setting: &'static Setting, found: &Found, why: String) {
        let given = (!setting.is_hidden()).then(|| found.text.reveal().to_owned());
        let place = place(setting, &found.source);
        self.refused.push(refusal(setting, place, given, why));
    }
}

fn place(setting: &Setting, source: &Source) -> String {
    match source {
        Source::Flag(flag) => flag.clone(),
        Source::Environment(name) => name.clone(),
        Source::File(path) => format!("{} in {}", setting.name, path.display()),
        Source::Default | Source::Found(_) => setting.flag(),
    }
}

fn refusal(setting: &Setting, place: String, given: Option<String>, why: String) -> Refusal {
    let example = if is_foreign(&place) {
        format!("{}={}", setting.env, setting.example)
    } else if place.starts_with("--") {
        format!("{} {}", setting.flag(), setting.example)
    } else if place.starts_with("GAGGLE_") {
        format!("{}={}", setting.env, setting.example)
    } else {
        format!("{} = \"{}\"", setting.name, setting.example)
    };
    Refusal {
        place,
        given,
        why,
        allowed: setting.kind.allowed(),
        example,
    }
}
