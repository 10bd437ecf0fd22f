//! `gaggle secret`: makes a new secret for a cluster.

use super::exit::{Exit, Failure};
use super::output;
use crate::io::tls::Secret;

/// Print a new secret for a cluster
///
/// 256 random bits with a checksum. Give it to every member, best by a file (--secret-file) or by
/// `GAGGLE_SECRET`. Nothing is stored.
#[derive(clap::Args)]
pub(super) struct MakeSecret {}

impl MakeSecret {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self) -> Result<Exit, Failure> {
        output::text(&format!("{}\n", Secret::generate().reveal()))?;
        Ok(Exit::Ok)
    }
}
