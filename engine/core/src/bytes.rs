//! Little-endian writing and reading of plain fields, for bodies and images.

use alloc::vec::Vec;

#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

/// The bytes ended too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncated;

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Hands over what was written so far and starts again.
    pub(crate) fn drain_into(&mut self, sink: &mut dyn FnMut(&[u8])) {
        sink(&self.bytes);
        self.bytes.clear();
    }

    /// For who writes bytes of a form of their own.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn slice(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }
    pub(crate) fn u32(&mut self, value: u32) {
        self.slice(&value.to_le_bytes());
    }
    pub(crate) fn u64(&mut self, value: u64) {
        self.slice(&value.to_le_bytes());
    }
    pub(crate) fn i64(&mut self, value: i64) {
        self.slice(&value.to_le_bytes());
    }
    pub(crate) fn u128(&mut self, value: u128) {
        self.slice(&value.to_le_bytes());
    }
    pub(crate) fn i128(&mut self, value: i128) {
        self.slice(&value.to_le_bytes());
    }
}

#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is still to be read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Truncated> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(Truncated)?;
        self.bytes = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or(Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }
    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }
    pub(crate) fn i64(&mut self) -> Result<i64, Truncated> {
        self.array().map(i64::from_le_bytes)
    }
    pub(crate) fn u128(&mut self) -> Result<u128, Truncated> {
        self.array().map(u128::from_le_bytes)
    }
    pub(crate) fn i128(&mut self) -> Result<i128, Truncated> {
        self.array().map(i128::from_le_bytes)
    }
}
