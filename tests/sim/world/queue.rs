//! What will happen, by virtual time; what is due at the same time happens in the order in which it
//! was put in.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use gaggle::protocol::Mono;

struct Item<T>(Mono, u64, T);

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl<T> Eq for Item<T> {}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Things to come, the next one first.
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Item<T>>>,
    order: u64,
}

impl<T> Queue<T> {
    /// Nothing to come.
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Has `what` happen at `at`.
    pub(crate) fn push(&mut self, at: Mono, what: T) {
        self.order += 1;
        self.heap.push(Reverse(Item(at, self.order, what)));
    }

    /// The next thing, if it is due by `end`.
    pub(crate) fn pop(&mut self, end: Mono) -> Option<(Mono, T)> {
        if self.heap.peek()?.0.0 > end {
            return None;
        }
        let Reverse(Item(at, _, what)) = self.heap.pop()?;
        Some((at, what))
    }
}
