//! The composition root: builds the parts, owns every task, stops them in order.

pub mod membership;
