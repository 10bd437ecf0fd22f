//! What the operating system says of itself.

use std::time::Duration;

/// The host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name of the system: `Linux`.
    pub system: String,
    /// The version of its kernel.
    pub release: String,
    /// The kind of its processors: `x86_64`.
    pub machine: String,
    /// How long it is up.
    pub uptime: Duration,
}

/// Looks at the host.
pub fn look() -> Host {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let seconds = rustix::system::sysinfo().uptime;
    Host {
        system: text(name.sysname()),
        release: text(name.release()),
        machine: text(name.machine()),
        uptime: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_what_it_is() {
        let host = look();
        assert_eq!(host.system, "Linux");
        assert_eq!(host.machine, std::env::consts::ARCH);
        assert!(!host.release.is_empty());
        assert!(host.uptime > Duration::ZERO);
    }
}
