//! Choices out of bytes: an input that is a script is read through this.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number of four bytes; zeros follow the end.
    pub fn number(&mut self) -> u32 {
        let mut number = [0; 4];
        number.fill_with(|| self.byte().unwrap_or(0));
        u32::from_le_bytes(number)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte().unwrap_or(0)) % of.len()]
    }

    /// So many bytes as the next one says, or what is left.
    pub fn some(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (some, rest) = self.0.split_at(count);
        self.0 = rest;
        some
    }
}
