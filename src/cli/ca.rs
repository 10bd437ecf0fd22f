//! `gaggle ca`: the certificate that clients trust.

use std::fs;

use anyhow::Context;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::{ClientConfig, Flags};
use crate::io::tls::Secrets;

/// Print the certificate that clients should trust
///
/// It is derived from the secret and the cluster's id, the same on every host; where no secret is
/// given, it is the one that the member of the data directory left there. It is public.
#[derive(clap::Args)]
pub(super) struct Ca {}

impl Ca {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        output::text(&pem(&config)?)?;
        Ok(Exit::Ok)
    }
}

/// The certificates to trust, as PEM: those of a file if one is named or found, those that follow
/// from the secret otherwise.
pub(super) fn pem(config: &ClientConfig) -> Result<String, Failure> {
    if let Some(path) = &config.ca {
        let pem = fs::read_to_string(path)
            .with_context(|| format!("the certificate {} cannot be read", path.display()))?;
        return Ok(pem);
    }
    let Some(secret) = &config.secret else {
        return Err(nothing_to_trust(config));
    };
    let secrets = Secrets::parse(secret.reveal()).map_err(|why| Failure::new(Exit::Usage, why))?;
    Ok(secrets.keys(&config.cluster)?.ca_pem())
}

fn nothing_to_trust(config: &ClientConfig) -> Failure {
    let data = config.data.path().display();
    Failure::usage(format!(
        "no member has left its certificate in {data}, and neither --ca nor a secret says whom to \
         trust elsewhere"
    ))
    .hint(
        "for a member on this host give its --data; for another one --ca with a file that holds \
         the output of `gaggle ca`, or GAGGLE_SECRET and GAGGLE_CLUSTER; `gaggle serve` starts one",
    )
}
