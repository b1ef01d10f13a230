//! An interval tree: which ranges contain a key, without looking at all of them.
//!
//! A treap (Seidel and Aragon, 1996) ordered by start, in which every node knows the farthest
//! end below it (Cormen et al., "Augmenting Data Structures"). Equal ranges share a node.

use std::collections::BTreeMap;

use bytes::Bytes;

/// An exclusive end. `None` is the end of the key space, behind every key.
type End = Option<Bytes>;

fn behind(end: &End, key: &[u8]) -> bool {
    end.as_ref().is_none_or(|end| &end[..] > key)
}

fn farther(a: &End, b: &End) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}

struct Node<K, T> {
    range: (Bytes, End),
    items: BTreeMap<K, T>,
    priority: u64,
    farthest: End,
    left: Tree<K, T>,
    right: Tree<K, T>,
}

type Tree<K, T> = Option<Box<Node<K, T>>>;

impl<K: Ord, T> Node<K, T> {
    fn update(&mut self) {
        let mut farthest = &self.range.1;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if farther(&child.farthest, farthest) {
                farthest = &child.farthest;
            }
        }
        self.farthest = farthest.clone();
    }
}

/// Items by the range they are for.
pub(crate) struct Intervals<K, T> {
    root: Tree<K, T>,
    /// State of the priorities' sequence; it need be irregular, not secret.
    sequence: u64,
}

impl<K, T> Default for Intervals<K, T> {
    fn default() -> Self {
        Self {
            root: None,
            sequence: 0,
        }
    }
}

impl<K: Ord, T> Intervals<K, T> {
    pub(crate) fn insert(&mut self, start: Bytes, end: End, key: K, item: T) {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.sequence = self.sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.sequence;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let range = (start, end);
        let mut place = &mut self.root;
        while let Some(node) = place {
            if node.range == range {
                node.items.insert(key, item);
                return;
            }
            place = if range < node.range {
                &mut node.left
            } else {
                &mut node.right
            };
        }
        let node = Box::new(Node {
            farthest: range.1.clone(),
            range,
            items: BTreeMap::from([(key, item)]),
            priority: mixed ^ (mixed >> 31),
            left: None,
            right: None,
        });
        insert(&mut self.root, node);
    }

    pub(crate) fn remove(&mut self, start: &Bytes, end: &End, key: &K) {
        remove(&mut self.root, &(start.clone(), end.clone()), key);
    }

    /// Calls `found` with every item whose range contains `key`.
    pub(crate) fn containing<'a>(&'a self, key: &[u8], found: &mut impl FnMut(&'a K, &'a T)) {
        containing(&self.root, key, found);
    }
}

fn insert<K: Ord, T>(tree: &mut Tree<K, T>, mut new: Box<Node<K, T>>) {
    match tree {
        Some(node) if node.priority >= new.priority => {
            let child = if new.range < node.range {
                &mut node.left
            } else {
                &mut node.right
            };
            insert(child, new);
            node.update();
        }
        _ => {
            (new.left, new.right) = split(tree.take(), &new.range);
            new.update();
            *tree = Some(new);
        }
    }
}

fn split<K: Ord, T>(tree: Tree<K, T>, at: &(Bytes, End)) -> (Tree<K, T>, Tree<K, T>) {
    let Some(mut node) = tree else {
        return (None, None);
    };
    if node.range < *at {
        let (left, right) = split(node.right.take(), at);
        node.right = left;
        node.update();
        (Some(node), right)
    } else {
        let (left, right) = split(node.left.take(), at);
        node.left = right;
        node.update();
        (left, Some(node))
    }
}

fn merge<K: Ord, T>(left: Tree<K, T>, right: Tree<K, T>) -> Tree<K, T> {
    match (left, right) {
        (None, tree) | (tree, None) => tree,
        (Some(mut left), Some(mut right)) => Some(if left.priority > right.priority {
            left.right = merge(left.right.take(), Some(right));
            left.update();
            left
        } else {
            right.left = merge(Some(left), right.left.take());
            right.update();
            right
        }),
    }
}

fn remove<K: Ord, T>(tree: &mut Tree<K, T>, range: &(Bytes, End), key: &K) {
    let Some(node) = tree else {
        return;
    };
    match range.cmp(&node.range) {
        std::cmp::Ordering::Less => remove(&mut node.left, range, key),
        std::cmp::Ordering::Greater => remove(&mut node.right, range, key),
        std::cmp::Ordering::Equal => {
            node.items.remove(key);
            if node.items.is_empty() {
                *tree = merge(node.left.take(), node.right.take());
                return;
            }
        }
    }
    node.update();
}

fn containing<'a, K: Ord, T>(
    tree: &'a Tree<K, T>,
    key: &[u8],
    found: &mut impl FnMut(&'a K, &'a T),
) {
    let Some(node) = tree else {
        return;
    };
    if !behind(&node.farthest, key) {
        return;
    }
    containing(&node.left, key, found);
    if &node.range.0[..] <= key {
        if behind(&node.range.1, key) {
            for (key, item) in &node.items {
                found(key, item);
            }
        }
        containing(&node.right, key, found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Finds what looking at every range finds, after inserts and removals.
        #[test]
        fn finds_what_a_list_finds(
            steps in prop::collection::vec((0_u8..16, prop::option::of(0_u8..17), any::<bool>(), 0_u8..3), 0..120)
        ) {
            let mut tree = Intervals::default();
            let mut list = std::collections::BTreeSet::new();
            for (start, end, add, id) in steps {
                let (first, last) = (Bytes::from(vec![start]), end.map(|end| Bytes::from(vec![end])));
                let key = (start, end, id);
                if add {
                    tree.insert(first, last, key, ());
                    list.insert(key);
                } else {
                    tree.remove(&first, &last, &key);
                    list.remove(&key);
                }
            }
            for key in 0_u8..18 {
                let mut found = Vec::new();
                tree.containing(&[key], &mut |key, ()| found.push(*key));
                found.sort_unstable();
                let expected: Vec<_> = list
                    .iter()
                    .filter(|(start, end, _)| *start <= key && end.is_none_or(|end| key < end))
                    .copied()
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn depth_stays_logarithmic() {
        fn depth<K, T>(tree: &Tree<K, T>) -> usize {
            tree.as_ref()
                .map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        let mut tree = Intervals::default();
        for number in 0_u32..10_000 {
            let start = Bytes::copy_from_slice(&number.to_be_bytes());
            tree.insert(start, None, number, ());
        }
        assert!(depth(&tree.root) < 60, "{}", depth(&tree.root));
    }
}
