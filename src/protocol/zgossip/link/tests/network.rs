//! Networks of nodes of czmq around one of ours, with messages that travel in any order but each
//! pipe's own: they agree and fall silent.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// The value of the one key, as small numbers.
type Value = u32;

/// Ours is node 0; the others are czmq's, each on a pipe of its own to ours.
struct Star {
    ours: Value,
    links: Vec<Link>,
    theirs: Vec<Value>,
    to: Vec<VecDeque<Value>>,
    from: Vec<VecDeque<Value>>,
    now: Mono,
    messages: usize,
}

fn text(value: Value) -> String {
    value.to_string()
}

impl Star {
    fn new(nodes: usize) -> Self {
        let mut star = Self {
            ours: 0,
            links: (0..nodes).map(|_| link()).collect(),
            theirs: vec![0; nodes],
            to: vec![VecDeque::new(); nodes],
            from: vec![VecDeque::new(); nodes],
            now: at(2.0),
            messages: 0,
        };
        for node in 0..nodes {
            star.from[node].push_back(0);
        }
        star.settle(&mut StdRng::seed_from_u64(0));
        star
    }

    fn tell(&mut self) {
        for (node, link) in self.links.iter_mut().enumerate() {
            if link.tells(self.now, &key(), print(&text(self.ours))) {
                self.to[node].push_back(self.ours);
            }
        }
    }

    /// Ours writes, as by another face.
    fn write(&mut self, value: Value) {
        self.ours = value;
        self.tell();
    }

    /// One of theirs publishes.
    fn publish(&mut self, node: usize, value: Value) {
        if self.theirs[node] != value {
            self.theirs[node] = value;
            self.from[node].push_back(value);
        }
    }

    /// Some message arrives; false if there is none.
    fn step(&mut self, random: &mut StdRng) -> bool {
        let pipes = self.to.len() * 2;
        let from = random.random_range(0..pipes);
        for pipe in (from..pipes).chain(0..from) {
            let node = pipe / 2;
            if pipe % 2 == 0 {
                // czmq takes what differs and tells it to all, also to whom it came from.
                if let Some(value) = self.to[node].pop_front() {
                    self.publish(node, value);
                    self.messages += 1;
                    return true;
                }
            } else if let Some(value) = self.from[node].pop_front() {
                self.hear(node, value);
                self.messages += 1;
                return true;
            }
        }
        false
    }

    fn hear(&mut self, node: usize, value: Value) {
        let said = Said {
            print: print(&text(value)),
            expires: None,
            wall: WallTime::default(),
        };
        let held = live(&text(self.ours));
        match self.links[node].said(self.now, &key(), said, held) {
            Verdict::Write => {
                self.ours = value;
                self.tell();
            }
            Verdict::Answer => self.tell(),
            Verdict::Nothing => {}
            other => panic!("{other:?}"),
        }
    }

    fn settle(&mut self, random: &mut StdRng) {
        let before = self.messages;
        while self.step(random) {
            let told = self.messages - before;
            assert!(told < 2000, "no end of it");
        }
        for theirs in &self.theirs {
            assert_eq!(*theirs, self.ours, "they agree");
        }
    }
}

#[test]
fn conflicting_publishers_around_ours_agree_and_fall_silent() {
    for seed in 0..3000 {
        let mut random = StdRng::seed_from_u64(seed);
        let nodes = random.random_range(1..=4);
        let mut star = Star::new(nodes);
        for _ in 0..random.random_range(1..=12) {
            // Few values, so that they meet and return.
            let value = random.random_range(0..4);
            match random.random_range(0..=nodes) {
                0 => star.write(value),
                node => star.publish(node - 1, value),
            }
            for _ in 0..random.random_range(0..4) {
                star.step(&mut random);
            }
        }
        star.settle(&mut random);
    }
}
