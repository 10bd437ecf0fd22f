//! The addresses of this host.

use std::net::IpAddr;

/// Every address of every interface that is up, the loopback's included; none if the system does
/// not say.
pub fn host_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().map(if_addrs::Interface::ip).collect()
}
