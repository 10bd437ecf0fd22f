//! `gaggle version`: what this program is.

use super::exit::{Exit, Failure};
use super::output;

/// Print the version
#[derive(clap::Args)]
pub(super) struct Version {}

impl Version {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self) -> Result<Exit, Failure> {
        output::text(concat!("gaggle ", env!("CARGO_PKG_VERSION"), "\n"))?;
        Ok(Exit::Ok)
    }
}
