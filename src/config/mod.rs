//! Flags, environment and file become one checked configuration.
//!
//! Each value is looked for in four layers, the first that has it wins: flags, environment
//! (`GAGGLE_*`), the TOML file named by `--config`, the default. [`Setting`] describes a value once
//! (name, unit, range, default, help); flags, help, checks and `gaggle config` all read that table.
//!
//! | file | what lives there |
//! |---|---|
//! | `setting`, `settings` | what can be set, and the table of all of it |
//! | `layers` | where a value is looked for |
//! | `file` | the TOML file |
//! | `read` | numbers, sizes, durations as text |
//! | `address` | hosts and ports |
//! | `discover` | in which ways members are found, and the file that names some |
//! | `checker` | reads values out of the layers, collects every refusal |
//! | `member`, `client` | the checked configuration of a member, and of a client command |
//! | `zgossip` | endpoints of the zgossip face |
//! | `data_dir` | the files in a data directory that other programs on this host may read |
//! | `faces` | the checked configuration of the other faces |
//! | `stand_in` | variables of a system that gaggle stands in for |
//! | `hidden` | text that is never shown |

mod address;
mod checker;
mod client;
mod credentials;
mod data_dir;
mod discover;
mod faces;
mod file;
mod hidden;
mod layers;
mod member;
mod read;
mod setting;
pub mod settings;
mod stand_in;
#[cfg(test)]
mod tests;
mod zgossip;

pub use address::{Endpoint, Listen};
pub use checker::{InForce, Refusal, Refusals};
pub use client::{ClientConfig, Output, ServerUrl};
pub use data_dir::{DataDir, MemberFile};
pub use discover::{BadLine, Discover, DnsName, HOSTS_FILE_BYTES, HOSTS_LIMIT, hosts_of};
pub use faces::{MapFace, Reach};
pub use hidden::Hidden;
pub use layers::{Environment, Flags, Layers, LayersError, Source};
pub use member::{CertificateFiles, Config, Founders, Limits, LogFormat, Repair, Strong, Timeouts};
pub use read::{duration, show_duration, show_size, size};
pub use setting::{Kind, Preset, Section, Setting, Use};
pub use zgossip::{Bind, Connect, Zgossip};
