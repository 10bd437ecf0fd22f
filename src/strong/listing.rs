//! Nodes of both classes in one listing.
//!
//! A name is that of one node. Only a member that is cut off can make an eventual node by the name
//! of a strong one; then readers see the strong one, and the eventual one is hidden until somebody
//! deletes it. Nothing is lost by that, and no write of the strong side is undone by it.

use crate::model::{self, NodeName, Store};

use super::nodes::{Node, Nodes};

/// A node as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'a> {
    /// An eventual one.
    Eventual(&'a model::Node),
    /// A strong one.
    Strong {
        /// The node.
        node: &'a Node,
        /// The eventual node of the same name, which nobody sees.
        hides: Option<&'a model::Node>,
    },
}

/// All nodes by name; the strong one of two that have the same.
pub fn listing<'a>(
    store: &'a Store,
    strong: &'a Nodes,
) -> impl Iterator<Item = (&'a NodeName, Listed<'a>)> {
    let mut eventual = store.nodes().peekable();
    let mut strong = strong.iter().peekable();
    std::iter::from_fn(move || {
        let next = strong.peek().map(|(name, _)| *name);
        if let Some((name, node)) = eventual.next_if(|(name, _)| next.is_none_or(|it| *name < it)) {
            return Some((name, Listed::Eventual(node)));
        }
        let (name, node) = strong.next()?;
        let hides = eventual.next_if(|(other, _)| *other == name);
        let hides = hides.map(|(_, node)| node);
        Some((name, Listed::Strong { node, hides }))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::super::samples::Run;
    use super::super::{Condition, NodeOp};
    use super::*;
    use crate::model::{
        Change, HybridTime, MemberId, NodeRegister, NodeState, Settings, Stamp, WallTime,
    };

    fn eventual(names: &[&str]) -> Store {
        let mut store = Store::new();
        for (time, name) in (1..).zip(names) {
            let stamp = Stamp {
                time: HybridTime::from_bits(time),
                member: MemberId::from_u64(1),
                sequence: time,
            };
            let register = NodeRegister {
                stamp,
                replaces: None,
                author: "ann".into(),
                written: WallTime::from_millis(0),
                state: NodeState::Present(Settings::default()),
                cleared: None,
            };
            let change = Change::Node {
                node: name.parse().unwrap(),
                register: Arc::new(register),
            };
            let older = |_: &_, _: &_| Ok::<_, Infallible>(Vec::new());
            let _ = store.merge(&change, older, &mut Vec::new());
        }
        store
    }

    fn check(names: &[&str], strong: &[&str], expected: &str) {
        let mut run = Run::default();
        for name in strong {
            let op = NodeOp::Patch {
                node: name.parse().unwrap(),
                keys: std::collections::BTreeMap::new(),
                condition: Condition::default(),
            };
            run.op(op).unwrap();
        }
        let store = eventual(names);
        let all = listing(&store, run.state.nodes()).map(|(name, listed)| match listed {
            Listed::Eventual(_) => format!("{name}"),
            Listed::Strong { hides: None, .. } => format!("{name}!"),
            Listed::Strong { hides: Some(_), .. } => format!("{name}!!"),
        });
        assert_eq!(all.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn every_name_stands_once_in_order_and_strong_if_it_is() {
        check(&[], &[], "");
        check(&["b", "a"], &[], "a b");
        check(&[], &["b", "a"], "a! b!");
        check(&["a", "c"], &["b", "d"], "a b! c d!");
        check(&["b", "d"], &["a", "c"], "a! b c! d");
        check(&["a", "b", "c"], &["b"], "a b!! c");
        check(&["a", "ä", "z"], &["z", "ä"], "a z!! ä!!");
        check(&["a"], &["a", "b"], "a!! b!");
    }
}
