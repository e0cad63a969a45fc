//! The trie of reads: a node is what a run reads next, an edge what it found, a leaf what it decided.
//!
//! Nodes, edges and leaves lie in slabs and name each other by number; one table finds an edge by its node and
//! value. So a node with one edge, which most are, costs no table of its own, and a leaf that goes takes along
//! what leads to it alone.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::Weigh;
use crate::facts::{Find, Read, Value};
use crate::trace::Reads;

/// How many leaves one insertion looks at to find one that may go.
const STEPS: usize = 128;
/// No run takes more than such a part of the memo.
const LARGEST_PART: usize = 4;
/// What a slot of the table and the slack of its and the slabs' growth count for.
const SLACK: usize = 2;
const TABLE_SLOT_BYTES: usize = 8;

/// Where an edge leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Node(usize),
    Leaf(usize),
}

struct Node {
    read: Read<'static>,
    /// The edge that leads here; none leads to the root.
    via: Option<usize>,
    edges: usize,
    /// One of its edges, which is compared before the table is asked: most nodes have no other.
    first: Option<usize>,
}

struct Edge {
    hash: u64,
    from: usize,
    value: Value<'static>,
    to: To,
}

struct Leaf<V> {
    verdict: V,
    via: Option<usize>,
    /// Asked for since the clock's hand came by.
    used: AtomicBool,
}

/// Where a walk ended.
pub(super) enum Walk<V> {
    /// At a verdict.
    Leaf(V),
    /// Nothing was kept yet.
    Empty,
    /// At a node that knows no such value; `place` is a hash of both.
    Unknown { place: u64 },
    /// At a value that is too long to be kept, or at a question that cannot be asked here.
    Off,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    Stored,
    /// Another run stored the same meanwhile.
    Known,
    /// It is too large, or everything else is in use.
    NoRoom,
    /// A run that read the same went on in another way.
    Contradiction,
}

/// The trie of one hook.
pub(super) struct Trie<V> {
    /// Keyed anew in each process, so that clients cannot choose values that collide.
    hasher: DefaultHashBuilder,
    table: HashTable<usize>,
    nodes: Slab<Node>,
    edges: Slab<Edge>,
    leaves: Slab<Leaf<V>>,
    root: Option<To>,
    hand: usize,
    bytes: usize,
}

impl<V: Clone + PartialEq + Weigh> Trie<V> {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            nodes: Slab::new(),
            edges: Slab::new(),
            leaves: Slab::new(),
            root: None,
            hand: 0,
            bytes: 0,
        }
    }

    /// What it takes, roughly.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Asks what a run would ask, until it is clear how that would end.
    pub(super) fn walk(&self, facts: &impl Find, value_bytes: usize) -> Walk<V> {
        let Some(mut at) = self.root else { return Walk::Empty };
        loop {
            let node = match at {
                To::Node(node) => node,
                To::Leaf(leaf) => return self.leaf(leaf),
            };
            let Some(asks) = self.nodes.get(node) else { return Walk::Off };
            let Some(value) = facts.find(&asks.read) else { return Walk::Off };
            if let Some(first) = asks.first.and_then(|edge| self.edges.get(edge))
                && first.value == value
            {
                at = first.to;
                continue;
            }
            if value.len() > value_bytes {
                return Walk::Off;
            }
            let hash = self.hash(node, &value);
            match self.edge(hash, node, &value) {
                Some(edge) => at = edge.to,
                None => return Walk::Unknown { place: hash },
            }
        }
    }

    fn leaf(&self, leaf: usize) -> Walk<V> {
        let Some(leaf) = self.leaves.get(leaf) else { return Walk::Off };
        // Written once a round only: all cores read this.
        if !leaf.used.load(Ordering::Relaxed) {
            leaf.used.store(true, Ordering::Relaxed);
        }
        Walk::Leaf(leaf.verdict.clone())
    }

    /// Stores the verdict of a run that read `reads`.
    pub(super) fn insert(&mut self, reads: Reads, verdict: V, limit_bytes: u64, evictions: &AtomicU64) -> Inserted {
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        let known = self.find(&reads, &verdict);
        if known != Inserted::NoRoom {
            return known;
        }
        let way = reads.iter().map(|(read, value)| node_bytes(read) + edge_bytes(value)).sum::<usize>();
        let most = way + leaf_bytes(&verdict);
        // Making room may take away parts of the way there, so it comes first.
        if most > limit / LARGEST_PART || !self.make_room(limit - most, evictions) {
            return Inserted::NoRoom;
        }
        self.add(reads, verdict);
        Inserted::Stored
    }

    /// Whether a run is known, contradicts what is, or (`NoRoom`, as yet) is new.
    fn find(&self, reads: &Reads, verdict: &V) -> Inserted {
        let Some(mut at) = self.root else { return Inserted::NoRoom };
        for (read, value) in reads {
            let To::Node(node) = at else { return Inserted::Contradiction };
            if self.nodes.get(node).is_none_or(|node| node.read != *read) {
                return Inserted::Contradiction;
            }
            match self.edge(self.hash(node, value), node, value) {
                Some(edge) => at = edge.to,
                None => return Inserted::NoRoom,
            }
        }
        match at {
            To::Leaf(leaf) if self.leaves.get(leaf).is_some_and(|leaf| leaf.verdict == *verdict) => Inserted::Known,
            _ => Inserted::Contradiction,
        }
    }

    fn add(&mut self, reads: Reads, verdict: V) {
        // The edge that is to lead to what comes next.
        let mut via: Option<usize> = None;
        for (read, value) in reads {
            let at = via.map_or(self.root, |edge| self.edges.get(edge).map(|edge| edge.to));
            let node = match at {
                Some(To::Node(node)) if node != usize::MAX => node,
                _ => self.add_node(read, via),
            };
            let hash = self.hash(node, &value);
            via = Some(match self.edge_index(hash, node, &value) {
                Some(edge) => edge,
                None => self.add_edge(hash, node, value),
            });
        }
        self.bytes += leaf_bytes(&verdict);
        let leaf = self.leaves.insert(Leaf { verdict, via, used: AtomicBool::new(false) });
        self.lead(via, To::Leaf(leaf));
    }

    fn add_node(&mut self, read: Read<'static>, via: Option<usize>) -> usize {
        self.bytes += node_bytes(&read);
        let node = self.nodes.insert(Node { read, via, edges: 0, first: None });
        self.lead(via, To::Node(node));
        node
    }

    fn add_edge(&mut self, hash: u64, from: usize, value: Value<'static>) -> usize {
        self.bytes += edge_bytes(&value);
        let edge = self.edges.insert(Edge { hash, from, value, to: NOWHERE });
        let edges = &self.edges;
        self.table.insert_unique(hash, edge, |edge| edges.get(*edge).map_or(0, |edge| edge.hash));
        if let Some(node) = self.nodes.get_mut(from) {
            node.edges += 1;
            node.first = node.first.or(Some(edge));
        }
        edge
    }

    fn lead(&mut self, via: Option<usize>, to: To) {
        match via.and_then(|edge| self.edges.get_mut(edge)) {
            Some(edge) => edge.to = to,
            None => self.root = Some(to),
        }
    }

    /// Removes leaves that were not asked for lately until no more than `limit` bytes are left. False: there were
    /// not enough of them among those that it looked at.
    fn make_room(&mut self, limit: usize, evictions: &AtomicU64) -> bool {
        for _ in 0..STEPS {
            if self.bytes <= limit {
                return true;
            }
            self.hand = if self.hand + 1 < self.leaves.capacity() { self.hand + 1 } else { 0 };
            let unused = |leaf: &Leaf<V>| !leaf.used.swap(false, Ordering::Relaxed);
            if self.leaves.get(self.hand).is_some_and(unused) {
                self.remove_leaf(self.hand);
                evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.bytes <= limit
    }

    fn remove_leaf(&mut self, leaf: usize) {
        let Some(leaf) = self.leaves.try_remove(leaf) else { return };
        self.bytes = self.bytes.saturating_sub(leaf_bytes(&leaf.verdict));
        let mut via = leaf.via;
        // Up to the first node that leads elsewhere too.
        while let Some(edge) = via {
            let Some(from) = self.remove_edge(edge) else { return };
            let Some(node) = self.nodes.get_mut(from) else { return };
            node.edges = node.edges.saturating_sub(1);
            node.first = node.first.filter(|first| *first != edge);
            if node.edges > 0 {
                return;
            }
            via = node.via;
            self.bytes = self.bytes.saturating_sub(node_bytes(&node.read));
            self.nodes.try_remove(from);
        }
        self.root = None;
    }

    /// Returns the node that it came from.
    fn remove_edge(&mut self, edge: usize) -> Option<usize> {
        let removed = self.edges.try_remove(edge)?;
        if let Ok(entry) = self.table.find_entry(removed.hash, |other| *other == edge) {
            entry.remove();
        }
        self.bytes = self.bytes.saturating_sub(edge_bytes(&removed.value));
        Some(removed.from)
    }

    fn hash(&self, node: usize, value: &Value<'_>) -> u64 {
        self.hasher.hash_one((node, value))
    }

    fn edge(&self, hash: u64, from: usize, value: &Value<'_>) -> Option<&Edge> {
        self.edge_index(hash, from, value).and_then(|edge| self.edges.get(edge))
    }

    fn edge_index(&self, hash: u64, from: usize, value: &Value<'_>) -> Option<usize> {
        let same = |edge: &usize| {
            let edge = self.edges.get(*edge);
            edge.is_some_and(|edge| edge.hash == hash && edge.from == from && edge.value == *value)
        };
        self.table.find(hash, same).copied()
    }
}

/// Where an edge leads until what it leads to is made.
const NOWHERE: To = To::Node(usize::MAX);

fn node_bytes(read: &Read<'_>) -> usize {
    SLACK * size_of::<Node>() + read.name().len()
}

fn edge_bytes(value: &Value<'_>) -> usize {
    SLACK * (size_of::<Edge>() + TABLE_SLOT_BYTES) + value.len()
}

fn leaf_bytes<V: Weigh>(verdict: &V) -> usize {
    SLACK * size_of::<Leaf<V>>() + verdict.weigh()
}

#[cfg(test)]
impl<V: Clone + PartialEq + Weigh> Trie<V> {
    /// Panics unless everything is reached from the root, counted once and weighed rightly.
    pub(super) fn check(&self) {
        let mut bytes = 0;
        let led = |via: Option<usize>| match via {
            Some(edge) => self.edges.get(edge).map(|edge| edge.to),
            None => self.root,
        };
        for (number, node) in &self.nodes {
            bytes += node_bytes(&node.read);
            let first = node.first.map(|first| self.edges.get(first).map(|edge| edge.from));
            assert!(first.is_none_or(|from| from == Some(number)));
            assert_eq!(node.edges, self.edges.iter().filter(|(_, edge)| edge.from == number).count());
            assert_eq!(led(node.via), Some(To::Node(number)));
        }
        for (number, edge) in &self.edges {
            bytes += edge_bytes(&edge.value);
            assert_eq!(self.edge_index(edge.hash, edge.from, &edge.value), Some(number));
        }
        for (number, leaf) in &self.leaves {
            bytes += leaf_bytes(&leaf.verdict);
            assert_eq!(led(leaf.via), Some(To::Leaf(number)));
        }
        assert_eq!((bytes, self.table.len()), (self.bytes, self.edges.len()));
        assert_eq!(self.root.is_none(), self.leaves.is_empty());
    }
}
