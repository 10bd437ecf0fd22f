//! The unit file: the one in `deploy/systemd`, with another command line.

use std::path::{Path, PathBuf};

use crate::config::settings::{DATA, named};
use crate::config::{Flags, Kind};

/// The unit file that packages install.
const UNIT: &str = include_str!("../../../deploy/systemd/gaggle.service");
/// The line of it that says what is run.
const COMMAND: &str = "ExecStart=/usr/local/bin/gaggle serve\n";
/// Where the service keeps its data: `StateDirectory` of the unit.
pub(super) const DATA_DIR: &str = "/var/lib/gaggle";

/// Why no unit can be written for these flags.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnitError {
    /// A unit can be read by everybody on the host.
    #[error(
        "--{0} would stand in the unit, which everybody on this host can read; give --{0}-file, \
         or write GAGGLE_{up}=... into /etc/gaggle/gaggle.env (owner root, mode 0600)",
        up = .0.to_uppercase()
    )]
    Confidential(String),
    /// The unit owns its data directory.
    #[error("the service keeps its data in {DATA_DIR}; leave --data out")]
    DataDir,
    /// A path that the service would not see.
    #[error(
        "the service does not see {}: its own /tmp is empty, and homes are hidden from it; put it \
         elsewhere, for example into {instead}", .path.display()
    )]
    Hidden {
        /// The path.
        path: PathBuf,
        /// Where such a thing usually is.
        instead: &'static str,
    },
    /// A path that a unit cannot name.
    #[error("{} cannot stand in a unit: it is no UTF-8 text, or has a line break", .0.display())]
    Unwritable(PathBuf),
}

/// The unit that runs `binary` as a member with these flags.
pub(super) fn unit(binary: &Path, flags: &Flags) -> Result<String, UnitError> {
    let mut words = vec![
        quoted(visible(binary, "/usr/local/bin")?)?,
        "serve".to_owned(),
    ];
    let mut credentials = String::new();
    for (name, value) in flags {
        let given = named(name).map(|setting| &setting.kind);
        match (name.strip_suffix("-file"), given) {
            // A file that only root may read is handed over by systemd.
            (Some(hidden), None) => {
                let path = seen_by_systemd(value);
                let path = unquoted(&path)?;
                credentials.extend(["LoadCredential=", hidden, ":", &path, "\n"]);
                words.push(format!("--{name}=${{CREDENTIALS_DIRECTORY}}/{hidden}"));
            }
            (_, Some(Kind::Hidden { .. })) => return Err(UnitError::Confidential(name.clone())),
            (_, Some(Kind::Path(_))) if name == DATA.name => {
                if Path::new(value) != Path::new(DATA_DIR) {
                    return Err(UnitError::DataDir);
                }
            }
            (_, Some(Kind::Path(_))) => {
                let path = absolute(Path::new(value));
                let path = visible(&path, "/etc/gaggle")?.display();
                words.push(quoted_text(&format!("--{name}={path}"))?);
            }
            _ => words.push(quoted_text(&format!("--{name}={value}"))?),
        }
    }
    let command = format!("ExecStart={}\n{credentials}", words.join(" "));
    Ok(UNIT.replacen(COMMAND, &command, 1))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Credentials are read by systemd itself, which sees everything.
fn seen_by_systemd(path: &str) -> PathBuf {
    absolute(Path::new(path))
}

/// The path, if the service sees it: the unit hides homes (`ProtectHome`) and has its own `/tmp`
/// (`PrivateTmp`).
fn visible<'a>(path: &'a Path, instead: &'static str) -> Result<&'a Path, UnitError> {
    let hidden = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
    if hidden.iter().any(|hidden| path.starts_with(hidden)) {
        let path = path.to_owned();
        return Err(UnitError::Hidden { path, instead });
    }
    Ok(path)
}

fn quoted(path: &Path) -> Result<String, UnitError> {
    let text = path
        .to_str()
        .ok_or_else(|| UnitError::Unwritable(path.to_owned()))?;
    quoted_text(text)
}

/// A word of a command line as systemd reads it (`systemd.service(5)`): in quotes where it must be,
/// `%` and `$` doubled.
fn quoted_text(text: &str) -> Result<String, UnitError> {
    if text.chars().any(char::is_control) {
        return Err(UnitError::Unwritable(text.into()));
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = escaped.replace('%', "%%").replace('$', "$$");
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@+[]%$".contains(c);
    if escaped.chars().all(is_plain) {
        Ok(escaped)
    } else {
        Ok(format!("\"{escaped}\""))
    }
}

/// A path outside a command line: only `%` means something.
fn unquoted(path: &Path) -> Result<String, UnitError> {
    let text = path
        .to_str()
        .filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| UnitError::Unwritable(path.to_owned()))?;
    Ok(text.replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(flags: &[(&str, &str)]) -> Result<String, String> {
        let pairs = flags
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let flags: Flags = pairs.collect();
        unit(Path::new("/opt/gaggle"), &flags).map_err(|why| why.to_string())
    }

    fn line<'a>(unit: &'a str, name: &str) -> &'a str {
        unit.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or("none")
    }

    #[test]
    fn only_the_command_line_is_another_one() {
        assert_eq!(UNIT.matches(COMMAND).count(), 1);
        let unit = made(&[]).unwrap();
        assert_eq!(line(&unit, "ExecStart="), "ExecStart=/opt/gaggle serve");
        assert_eq!(unit.replace("/opt/gaggle", "/usr/local/bin/gaggle"), UNIT);
        assert!(UNIT.contains("StateDirectory=gaggle\n") && DATA_DIR.ends_with("/gaggle"));
    }

    #[test]
    fn flags_are_written_so_that_systemd_reads_them_as_they_were() {
        for (name, value, word) in [
            ("name", "a", "--name=a"),
            (
                "name",
                "100% $me \"x\" \\",
                r#""--name=100%% $$me \"x\" \\""#,
            ),
            (
                "discover",
                "static:[::1]:1,b",
                "--discover=static:[::1]:1,b",
            ),
            ("repair", "yes", "--repair=yes"),
            (
                "tls-cert",
                "/etc/gaggle/tls.crt",
                "--tls-cert=/etc/gaggle/tls.crt",
            ),
            ("data", "/var/lib/gaggle", ""),
        ] {
            let unit = made(&[(name, value)]).unwrap();
            let expected = format!("ExecStart=/opt/gaggle serve {word}");
            assert_eq!(line(&unit, "ExecStart="), expected.trim_end(), "{name}");
        }
    }

    #[test]
    fn a_secret_is_handed_over_by_systemd_and_never_written_down() {
        let unit = made(&[("secret-file", "/etc/gaggle/secret")]).unwrap();
        let word = "--secret-file=${CREDENTIALS_DIRECTORY}/secret";
        assert!(line(&unit, "ExecStart=").ends_with(word), "{unit}");
        assert_eq!(
            line(&unit, "LoadCredential="),
            "LoadCredential=secret:/etc/gaggle/secret"
        );
        let why = made(&[("password", "xyzzy")]).unwrap_err();
        assert!(
            why.contains("GAGGLE_PASSWORD=") && !why.contains("xyzzy"),
            "{why}"
        );
    }

    #[test]
    fn what_the_service_would_not_find_is_refused() {
        for (flags, part) in [
            (&[("data", "/srv/gaggle")][..], "leave --data out"),
            (&[("config", "/home/ann/gaggle.toml")], "homes are hidden"),
            (&[("tls-key", "/tmp/key")], "its own /tmp is empty"),
            (
                &[("name", "a\nExecStartPre=/bin/evil")],
                "cannot stand in a unit",
            ),
        ] {
            let why = made(flags).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let why = unit(Path::new("/home/ann/gaggle"), &Flags::new()).unwrap_err();
        assert!(why.to_string().contains("/usr/local/bin"), "{why}");
    }
}
