//! The HTTPS face: `/v1`, the door for peers, authentication, problems.
