//! What a client gets from `/v1`: the real face over a real store, without a network between.
//!
//! | file | what it asks |
//! |---|---|
//! | `names` | every odd name goes in and comes out, every wrong one is refused |
//! | `values` | every odd value comes out as it went in, in every form |
//! | `documents` | nodes and the store as JSON, merge patches |
//! | `settings` | `/v1/nodes` |
//! | `conditions` | entity tags and what hangs on them |
//! | `history` | the versions of a key, and restoring one |
//! | `conflicts` | what two members wrote without knowing of each other |
//! | `methods` | every resource with every method, HEAD, OPTIONS, problems |
//! | `counters`, `alone` | counters and the group of the strong side, on one member |
//! | `locks`, `waiting`, `elections` | locks, waiting for them, following who holds them |
//! | `logs`, `follow`, `stream` | ordered logs, and following them |
//! | `strong_nodes`, `strong_classes`, `net` | strong nodes; which class a node has, on three members |
//! | `transactions` | `/v1/txn` |
//! | `quorum` | what an operator sees of the strong side, and changes |
//! | `acks` | writes that wait for other members |
//! | `sessions` | tokens of what was seen |
//! | `limits` | what is too large or too much |
//! | `gate` | who gets in |
//! | `gaggle07`, `transcript` | `/api`: the interface of gaggle 0.7, by recorded requests of curl |
//! | `forgetting` | members that do not come back |
//! | `monitors` | health, status, members, metrics |

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where by its backtrace"
)]

mod acks;
mod alone;
mod conditions;
mod conflicts;
mod counters;
mod documents;
mod elections;
mod follow;
mod forgetting;
mod gaggle07;
mod gate;
mod history;
mod limits;
mod locks;
mod logs;
mod member;
mod methods;
mod monitors;
mod names;
#[expect(dead_code, reason = "some of it is for the tests of the engine")]
#[path = "../strong/net.rs"]
mod net;
mod peers;
mod quorum;
mod sessions;
mod settings;
mod stream;
mod strong_classes;
mod strong_nodes;
mod transactions;
mod transcript;
mod values;
mod waiting;
