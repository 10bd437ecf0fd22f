//! The image and the compose file, on networks that have no way out of this machine.

mod compose;
mod image;
