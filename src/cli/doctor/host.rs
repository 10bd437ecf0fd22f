//! What can be seen without asking anybody: the data directory, the secret, the interfaces.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Finding;
use crate::cli::output;
use crate::config::{ClientConfig, Config, DataDir};
use crate::io::disk::{DirError, verify};
use crate::io::snapshot::SnapshotFile;
use crate::io::tls::Secrets;
use crate::io::udp::{self, InterfaceChoice};

/// `IFF_LOOPBACK` of Linux' `<net/if.h>`.
const LOOPBACK: u32 = 0x8;
/// `IFF_MULTICAST`.
const MULTICAST: u32 = 0x1000;

/// The largest database that is verified in passing, in bytes: for so long no member can start.
const VERIFIED: u64 = 64 << 20;

pub(super) fn look(member: &Config, client: &ClientConfig) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration", "every value is in its range")];
    findings.push(data_directory(&member.data));
    findings.extend(private_files(&member.data));
    findings.push(secret(client));
    findings.extend(interfaces(member));
    findings
}

fn data_directory(data: &DataDir) -> Finding {
    const CHECK: &str = "data directory";
    let path = data.path();
    let shown = path.display();
    if !path.exists() {
        let hint = "--data (GAGGLE_DATA) names it; a member makes it at its first start";
        return Finding::warning(CHECK, format!("{shown} is not there"), hint);
    }
    if !path.is_dir() {
        return Finding::failed(
            CHECK,
            format!("{shown} is no directory"),
            "name another one",
        );
    }
    if let Err(why) = rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
        let hint = "give it to the user that runs the member; in the image that is 65532";
        return Finding::failed(CHECK, format!("{shown} cannot be written: {why}"), hint);
    }
    let whose = match data.member() {
        Some(member) => format!("{shown} belongs to {} ({})", member.name, member.id),
        None => format!("{shown}, no member has run in it yet"),
    };
    contents(path, &whose)
}

/// What lies in a data directory, if no member runs there that verifies it itself.
fn contents(path: &Path, whose: &str) -> Finding {
    const CHECK: &str = "data directory";
    let size = fs::metadata(path.join("gaggle.redb")).map(|found| found.len());
    if size.as_ref().is_ok_and(|size| *size > VERIFIED) {
        let mib = size.unwrap_or_default() >> 20;
        let detail = format!("{whose}; a database of {mib} MiB, not verified here");
        return Finding::ok(
            CHECK,
            format!("{detail}: see `gaggle verify` and readiness"),
        );
    }
    match verify(path, &mut |_, _| {}) {
        Ok(found) if found.fault_count > 0 => {
            let first = found
                .faults
                .first()
                .map_or_else(String::new, ToString::to_string);
            let faults = output::counted(found.fault_count, "fault", "faults");
            let hint = "`gaggle verify` lists all of it; `gaggle serve --repair` mends it";
            let detail = format!("{whose}; the database is damaged, {faults}: {first}");
            Finding::failed(CHECK, detail, hint)
        }
        Ok(_) if SnapshotFile::open(path).is_as_written().is_ok_and(|is| !is) => {
            let detail = format!("{whose}; store.json is not as the member wrote it");
            let hint = "an edit is taken over by the next start; `gaggle verify` says more";
            Finding::warning(CHECK, detail, hint)
        }
        Ok(_) => Finding::ok(
            CHECK,
            format!("{whose}; no member runs in it, and it is sound"),
        ),
        Err(DirError::InUse { .. }) => {
            Finding::ok(CHECK, format!("{whose}, which runs and verifies it itself"))
        }
        // There is no database yet.
        Err(_) if size.is_err() => Finding::ok(CHECK, whose),
        Err(why) => Finding::failed(CHECK, format!("{whose}; {why}"), "see `gaggle verify`"),
    }
}

/// Secret and password must be for their owner only.
fn private_files(data: &DataDir) -> Option<Finding> {
    let is_open = |path: &Path| {
        let mode = fs::metadata(path).map(|found| found.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o077 != 0)
    };
    let files = [data.secret_file(), data.password_file()];
    let open = files.iter().find(|path| is_open(path))?;
    let open = open.display();
    let detail = format!("{open} can be read by others");
    Some(Finding::failed(
        "private files",
        detail,
        format!("chmod 600 {open}"),
    ))
}

fn secret(client: &ClientConfig) -> Finding {
    const CHECK: &str = "secret";
    const BETTER: &str = "`gaggle secret` makes one that cannot be guessed";
    let Some(secret) = &client.secret else {
        let detail = "none is given here, and none is in the data directory";
        let hint = "a member makes its own at its first start, and other hosts join with it";
        return Finding::warning(CHECK, detail, hint);
    };
    match Secrets::parse(secret.reveal()) {
        Err(why) => Finding::failed(CHECK, why.to_string(), BETTER),
        Ok(secrets) if !secrets.first.is_generated() => {
            let detail = format!("your own, {} bytes", secrets.first.reveal().len());
            Finding::warning(CHECK, detail, BETTER)
        }
        Ok(secrets) if secrets.also.is_some() => Finding::warning(
            CHECK,
            "two are accepted: it is being changed",
            "when all members have the new one, take the old one away",
        ),
        Ok(_) => Finding::ok(CHECK, "256 random bits, without a typing error"),
    }
}

/// One finding for each interface that a member would use, and for each that is missing.
fn interfaces(member: &Config) -> Vec<Finding> {
    const CHECK: &str = "interface";
    let choice = if member.interfaces.is_empty() {
        InterfaceChoice::Usual
    } else {
        InterfaceChoice::Only(member.interfaces.clone())
    };
    let chosen = match udp::interfaces(&choice) {
        Ok(chosen) => chosen,
        Err(why) => {
            return vec![Finding::failed(
                CHECK,
                format!("cannot be listed: {why}"),
                "",
            )];
        }
    };
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for place in &chosen.places {
        let addresses = places.entry(place.name.as_str()).or_default();
        addresses.push(place.address.to_string());
    }
    let mut findings: Vec<Finding> = chosen
        .missing
        .iter()
        .map(|name| {
            let hint = "`ip address` lists those that are there; --interface names them";
            Finding::failed(CHECK, format!("{name} is not there, or down"), hint)
        })
        .collect();
    findings.extend(
        places
            .iter()
            .map(|(name, addresses)| interface(name, addresses, member.discover.multicast)),
    );
    if findings.is_empty() {
        let hint = "bring one up; until then nobody can be found";
        findings.push(Finding::failed(CHECK, "none is up", hint));
    }
    findings
}

fn interface(name: &str, addresses: &[String], is_multicast_wanted: bool) -> Finding {
    const CHECK: &str = "interface";
    let shown = format!("{name}: {}", addresses.join(", "));
    match flags(name) {
        // The loopback has no such flag, yet carries multicast among members on this host.
        Some(flags) if flags & LOOPBACK != 0 => {
            let detail = format!("{shown}, the loopback: only members on this host are found");
            Finding::ok(CHECK, detail)
        }
        Some(flags) if flags & MULTICAST == 0 && is_multicast_wanted => {
            let hint = "name members with --discover static:HOST, or another --interface";
            Finding::warning(CHECK, format!("{shown}, without multicast"), hint)
        }
        Some(_) => Finding::ok(CHECK, format!("{shown}, with multicast")),
        None => Finding::ok(CHECK, shown),
    }
}

/// The interface's flags as Linux shows them, if it does.
fn flags(name: &str) -> Option<u32> {
    let text = fs::read_to_string(Path::new("/sys/class/net").join(name).join("flags")).ok()?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::config::{Flags, Layers};

    fn configs(flags: &[(&str, &str)]) -> (Config, ClientConfig) {
        let flags: Flags = flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let layers = Layers::new(flags, &|_| None).unwrap();
        let member = Config::check(&layers).unwrap().0;
        (member, ClientConfig::check(&layers).unwrap().0)
    }

    fn verdict(flags: &[(&str, &str)], check: &str) -> Option<(Verdict, String)> {
        let (member, client) = configs(flags);
        let findings = look(&member, &client);
        let finding = findings
            .into_iter()
            .find(|finding| finding.check == check)?;
        Some((finding.verdict, finding.detail))
    }

    #[test]
    fn a_missing_directory_is_a_warning_and_a_file_in_its_place_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing").display().to_string();
        let found = verdict(&[("data", &missing)], "data directory").unwrap();
        assert_eq!(found.0, Verdict::Warning);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let found = verdict(&[("data", &file.display().to_string())], "data directory").unwrap();
        assert_eq!(found.0, Verdict::Failed);
        let there = dir.path().display().to_string();
        let found = verdict(&[("data", &there)], "data directory").unwrap();
        assert_eq!(found.0, Verdict::Ok);
    }

    #[test]
    fn a_secret_that_others_can_read_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        data.write_secret("sixteen bytes or more").unwrap();
        let flags = [("data", dir.path().to_str().unwrap())];
        assert_eq!(verdict(&flags, "private files"), None);
        fs::set_permissions(data.secret_file(), fs::Permissions::from_mode(0o640)).unwrap();
        let found = verdict(&flags, "private files").unwrap();
        assert_eq!(found.0, Verdict::Failed);
    }

    #[test]
    fn the_secret_is_judged() {
        let made = crate::io::tls::Secret::generate();
        let nowhere = ("data", "/nowhere");
        let cases = [
            (vec![nowhere], Verdict::Warning),
            (vec![nowhere, ("secret", "short")], Verdict::Failed),
            (
                vec![nowhere, ("secret", "sixteen bytes or more")],
                Verdict::Warning,
            ),
            (vec![nowhere, ("secret", made.reveal())], Verdict::Ok),
        ];
        for (flags, expected) in cases {
            assert_eq!(verdict(&flags, "secret").unwrap().0, expected);
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_failure_and_the_loopback_is_there() {
        let found = verdict(&[("interface", "none7")], "interface").unwrap();
        assert_eq!(found.0, Verdict::Failed);
        let found = verdict(&[("interface", "lo")], "interface").unwrap();
        assert_eq!(found.0, Verdict::Ok, "{}", found.1);
    }
}
