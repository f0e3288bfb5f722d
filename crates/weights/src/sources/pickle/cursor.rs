//! Reading numbers and pieces of a pickle's bytes.

use super::value::Span;
use crate::error::{Checked, Fault};

/// A place in a pickle's bytes.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn cut_short(&self, what: &str) -> Fault {
        Fault::new(format!(
            "the pickle ends at byte {} in the middle of {what}; the file is cut short or damaged",
            self.bytes.len()
        ))
    }

    pub(super) fn byte(&mut self) -> Checked<u8> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.cut_short("its instructions"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn span(&mut self, len: usize) -> Checked<Span> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let span = Span { start: self.at, end: end.ok_or_else(|| self.cut_short("a value"))? };
        self.at = span.end;
        Ok(span)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Checked<[u8; N]> {
        let span = self.span(N)?;
        self.slice(span).try_into().map_err(|_| self.cut_short("a value"))
    }

    /// A length of one, four or eight bytes.
    pub(super) fn length(&mut self, bytes: usize) -> Checked<usize> {
        let span = self.span(bytes)?;
        let mut length = [0; 8];
        length.iter_mut().zip(self.slice(span)).for_each(|(to, from)| *to = *from);
        Ok(usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX))
    }

    /// A length of so many bytes, and a piece of that length.
    pub(super) fn counted(&mut self, bytes: usize) -> Checked<Span> {
        let length = self.length(bytes)?;
        self.span(length)
    }

    /// A short line, without its end.
    pub(super) fn line(&mut self) -> Checked<Span> {
        const LONGEST: usize = 256;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().take(LONGEST).position(|byte| *byte == b'\n').ok_or_else(|| self.cut_short("a name"))?;
        let span = self.span(len)?;
        self.at += 1;
        Ok(span)
    }

    /// The bytes of a piece.
    pub(super) fn slice(&self, span: Span) -> &'a [u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }
}
