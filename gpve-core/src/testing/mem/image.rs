//! The bytes of a volume.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const BLOCK: usize = 4096;

/// Sparse bytes that are cheap to copy: copies share blocks until one is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image(Arc<BTreeMap<u64, Arc<[u8; BLOCK]>>>);

impl Image {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.write(0, bytes);
        image
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let blocks = Arc::make_mut(&mut self.0);
        for (i, byte) in (offset..).zip(bytes) {
            let block = blocks.entry(i / BLOCK as u64).or_insert_with(|| Arc::new([0; BLOCK]));
            Arc::make_mut(block)[(i % BLOCK as u64) as usize] = *byte;
        }
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let byte = |i: u64| self.0.get(&(i / BLOCK as u64)).map_or(0, |b| b[(i % BLOCK as u64) as usize]);
        (offset..).take(len).map(byte).collect()
    }

    /// Bytes that blocks take.
    pub(super) fn used(&self) -> u64 {
        (self.0.len() * BLOCK) as u64
    }

    /// A number that differs where the bytes do.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (n, block) in self.0.iter().filter(|(_, b)| b.iter().any(|x| *x != 0)) {
            (n, block).hash(&mut hasher);
        }
        hasher.finish()
    }
}
