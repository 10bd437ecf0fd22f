//! The other faces: adapters that speak a foreign protocol to the same store, one folder each. None
//! of them listens unless it is asked to.

pub mod map;
pub mod zgossip;
