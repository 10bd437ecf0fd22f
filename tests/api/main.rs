//! What a client gets from `/v1`: the real face over a real store, without a network between.
//!
//! | file | what it asks |
//! |---|---|
//! | `names` | every odd name goes in and comes out, every wrong one is refused |
//! | `values` | every odd value comes out as it went in, in every form |
//! | `documents` | nodes and the store as JSON, merge patches |
//! | `settings` | `/v1/nodes` |
//! | `conditions` | entity tags and what hangs on them |
//! | `methods` | every resource with every method, HEAD, OPTIONS, problems |
//! | `limits` | what is too large or too much |
//! | `gate` | who gets in |
//! | `monitors` | health, status, members, metrics |

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where by its backtrace"
)]

mod conditions;
mod documents;
mod gate;
mod limits;
mod member;
mod methods;
mod monitors;
mod names;
mod settings;
mod values;
