//! `--if-fence`: a write that is refused once somebody else has got the lock.

use crate::io::http_client::ApiRequest;

/// What guards a write.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Fence {
    /// Write only if nobody has got this lock since; under `gaggle lock`:
    /// "$`GAGGLE_LOCK`=$`GAGGLE_LOCK_TOKEN`"
    #[arg(long, value_name = "LOCK=TOKEN")]
    if_fence: Vec<String>,
}

impl Fence {
    /// The request with its fences.
    pub(super) fn on(&self, request: ApiRequest) -> ApiRequest {
        if self.if_fence.is_empty() {
            return request;
        }
        request.with_header("if-fence", &self.if_fence.join(", "))
    }
}
