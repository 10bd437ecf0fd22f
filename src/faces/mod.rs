//! The other listeners: faces that speak the protocols of older systems to the same store.

pub mod zgossip;
