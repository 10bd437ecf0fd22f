//! The table of everything that can be set. Flags, help, file keys, checks and `gaggle config`
//! read nothing else.

mod asking;
mod behaviour;
mod faces;
mod identity;
mod limits;
mod network;

use super::setting::Setting;
pub use asking::*;
pub use behaviour::*;
pub use faces::*;
pub use identity::*;
pub use limits::*;
pub use network::*;

/// Every setting, in the order of the help.
pub static SETTINGS: [&Setting; 49] = [
    &CLUSTER,
    &NAME,
    &DATA,
    &CONFIG,
    &SECRET,
    &USER,
    &PASSWORD,
    &TLS_CERT,
    &TLS_KEY,
    &LISTEN,
    &ADVERTISE,
    &INTERFACE,
    &DISCOVER,
    &DISCOVERY_PORT,
    &MAP_LISTEN,
    &MAP_EXPOSE,
    &MAP_NODE,
    &ZGOSSIP_BIND,
    &ZGOSSIP_CONNECT,
    &ZGOSSIP_NODE,
    &ZGOSSIP_EXPOSE,
    &MAX_CLOCK_SKEW,
    &KEEP_DELETED,
    &FORGET_AFTER,
    &FANOUT,
    &CLUSTER_SIZE,
    &VOTERS,
    &PROMOTE_AFTER,
    &STOP_TIMEOUT,
    &SCRUB_EVERY,
    &REPAIR,
    &LOG,
    &LOG_FORMAT,
    &MAX_NAME_BYTES,
    &MAX_VALUE_BYTES,
    &MAX_BODY_BYTES,
    &MAX_KEYS,
    &MAX_CONNECTIONS,
    &MAX_STREAMS,
    &HANDSHAKE_TIMEOUT,
    &HEADER_TIMEOUT,
    &BODY_TIMEOUT,
    &IDLE_TIMEOUT,
    &PEER_TIMEOUT,
    &SERVER,
    &CA,
    &OUTPUT,
    &TIMEOUT,
    &SESSION,
];

/// The setting with this name.
pub fn named(name: &str) -> Option<&'static Setting> {
    SETTINGS.into_iter().find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_own_name_and_a_variable_that_follows_from_it() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            let derived = format!("GAGGLE_{}", setting.name.replace('-', "_").to_uppercase());
            let suffix = setting.env.strip_prefix(&derived).unwrap_or("another");
            assert!(["", "_FILE"].contains(&suffix), "{}", setting.name);
            let twins = SETTINGS.iter().filter(|other| other.name == setting.name);
            assert_eq!(twins.count(), 1, "{}", setting.name);
            assert!(setting.help.ends_with('.'), "{at}: {}", setting.help);
        }
    }
}
