//! Where a value is looked for: flags, environment, file, default; the first that has it wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::file::{self, FileError};
use super::hidden::Hidden;
use super::setting::{Preset, Setting};
use super::settings::CONFIG;
use super::stand_in::StandIn;

/// The most that a file with a secret may hold: far beyond any need.
const HIDDEN_FILE_LIMIT: u64 = 64 << 10;

/// Values given as flags, by the setting's name; for a confidential value given as a file, by its
/// name and `-file`. A repeated flag of a list is one text with commas.
pub type Flags = BTreeMap<String, String>;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Why the layers could not be read. Happens when an operator mistypes; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The file of `--config` is missing or wrong.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag, as it is typed.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A key in the file.
    File(PathBuf),
    /// Nobody gave it.
    Default,
    /// It was found on this host, at this place.
    Found(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Found(path) => write!(f, "found in {}", path.display()),
        }
    }
}

/// A value's text and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) text: Hidden,
    pub(super) source: Source,
}

/// Why a value that was given cannot be had. The text ends the sentence "`<where>`: …".
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) source: Source,
    pub(super) why: String,
}

/// Everything that was given.
pub struct Layers {
    flags: Flags,
    environment: BTreeMap<String, OsString>,
    stand_in: StandIn,
    file: BTreeMap<String, String>,
    path: Option<PathBuf>,
}

impl fmt::Debug for Layers {
    /// Shows which values were given, and none of them that may be confidential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("flags", &self.flags.keys())
            .field("environment", &self.environment.keys())
            .field("stand_in", &self.stand_in)
            .field("file", &self.file.keys())
            .field("path", &self.path)
            .finish()
    }
}

impl Layers {
    /// Takes flags and environment, and reads the file that they name.
    ///
    /// # Errors
    /// When that file cannot be read, is no TOML, or holds what is no setting.
    pub fn new(flags: Flags, environment: Environment<'_>) -> Result<Self, LayersError> {
        let stand_in = StandIn::new(environment);
        let environment = variables()
            .filter_map(|name| {
                let value = environment(&name).filter(|value| !value.is_empty())?;
                Some((name, value))
            })
            .collect();
        let mut layers = Self {
            flags,
            environment,
            stand_in,
            file: BTreeMap::new(),
            path: None,
        };
        layers.path = layers.config_path();
        if let Some(path) = &layers.path {
            layers.file = file::read(path)?;
        }
        Ok(layers)
    }

    fn config_path(&self) -> Option<PathBuf> {
        let flag = self.flags.get(CONFIG.name).map(PathBuf::from);
        flag.or_else(|| self.environment.get(CONFIG.env).map(PathBuf::from))
    }

    /// The value's text, if a flag, a variable, the file or the default has it.
    pub(super) fn find(&self, setting: &Setting) -> Result<Option<Found>, Unreadable> {
        if let Some(found) = self.in_flags(setting)? {
            return Ok(Some(found));
        }
        if let Some(found) = self.in_environment(setting)? {
            return Ok(Some(found));
        }
        if let Some(found) = self.in_foreign_environment(setting)? {
            return Ok(Some(found));
        }
        if let Some(found) = self.in_file(setting)? {
            return Ok(Some(found));
        }
        Ok(match setting.preset {
            Preset::Text(text) => Some(Found {
                text: Hidden::new(text),
                source: Source::Default,
            }),
            Preset::Words(_) => None,
        })
    }

    fn in_flags(&self, setting: &Setting) -> Result<Option<Found>, Unreadable> {
        let text = self.flags.get(setting.name).cloned();
        let path = setting
            .file()
            .and_then(|file| self.flags.get(file).cloned());
        let flag = setting.flag();
        let path_source = Source::Flag(format!("{flag}-file"));
        one_of(setting, (text, Source::Flag(flag)), (path, path_source))
    }

    fn in_environment(&self, setting: &Setting) -> Result<Option<Found>, Unreadable> {
        let source = Source::Environment(setting.env.to_owned());
        let path_name = format!("{}_FILE", setting.env);
        let path_source = Source::Environment(path_name.clone());
        let text = self.variable(setting.env)?;
        let path = if setting.is_hidden() {
            self.variable(&path_name)?
        } else {
            None
        };
        one_of(setting, (text, source), (path, path_source))
    }

    fn in_foreign_environment(&self, setting: &Setting) -> Result<Option<Found>, Unreadable> {
        let Some(stand) = self.stand_in.find(setting) else {
            return Ok(None);
        };
        let source = Source::Environment(stand.variable.to_owned());
        match stand.text.to_str() {
            Some(text) => Ok(Some(Found {
                text: Hidden::new(text),
                source,
            })),
            None => Err(Unreadable {
                source,
                why: "it is no UTF-8 text".to_owned(),
            }),
        }
    }

    /// What is to be told about variables of other systems, in whole sentences.
    pub(super) fn notices(&self) -> &[String] {
        self.stand_in.notices()
    }

    fn variable(&self, name: &str) -> Result<Option<String>, Unreadable> {
        let value = self.environment.get(name).cloned();
        value
            .map(std::ffi::OsString::into_string)
            .transpose()
            .map_err(|_| Unreadable {
                source: Source::Environment(name.to_owned()),
                why: "it is no UTF-8 text".to_owned(),
            })
    }

    fn in_file(&self, setting: &Setting) -> Result<Option<Found>, Unreadable> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let text = self.file.get(setting.name).cloned();
        let hidden = setting.file().and_then(|file| self.file.get(file).cloned());
        let source = Source::File(path.clone());
        one_of(setting, (text, source.clone()), (hidden, source))
    }
}

/// The names of all variables that are ours to read.
fn variables() -> impl Iterator<Item = String> {
    super::settings::SETTINGS.into_iter().flat_map(|setting| {
        let file = setting.is_hidden().then(|| format!("{}_FILE", setting.env));
        std::iter::once(setting.env.to_owned()).chain(file)
    })
}

type Candidate = (Option<String>, Source);

/// The text itself or the content of the file that holds it; both in one layer is an error.
fn one_of(
    setting: &Setting,
    text: Candidate,
    path: Candidate,
) -> Result<Option<Found>, Unreadable> {
    match (text, path) {
        ((Some(_), _), (Some(_), source)) => Err(Unreadable {
            source,
            why: format!(
                "{} is given as text and as a file; give only one",
                setting.name
            ),
        }),
        ((Some(text), source), _) => Ok(Some(Found {
            text: Hidden::new(text),
            source,
        })),
        (_, (Some(path), source)) => match hidden_file(Path::new(&path)) {
            Ok(text) => Ok(Some(Found { text, source })),
            Err(why) => Err(Unreadable { source, why }),
        },
        _ => Ok(None),
    }
}

/// Reads a confidential text; the line feed at its end does not belong to it.
pub(super) fn hidden_file(path: &Path) -> Result<Hidden, String> {
    let size = std::fs::metadata(path).map(|data| data.len());
    if size.is_ok_and(|size| size > HIDDEN_FILE_LIMIT) {
        return Err(format!("{} is too large for a secret", path.display()));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
    Ok(Hidden::new(text.trim_end_matches(['\r', '\n'])))
}
