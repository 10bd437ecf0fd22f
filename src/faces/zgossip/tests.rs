//! The face over a real store, against raw sockets.
