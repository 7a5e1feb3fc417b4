//! The heap that responses hold together, over all connections: counted, and bounded.

use std::cell::Cell;
use std::rc::Rc;

use crate::limits::{HTTP_RESPONSE_SMALL_BYTES, HTTP_RESPONSES_BYTES_MAX};

/// How many bytes the responses that are not yet wholly sent hold.
///
/// A shared count and not a number that the reactor hands around, because a response can end in
/// many ways (sent, reset, timed out, dropped with its connection), and a forgotten one would
/// shrink the bound for ever. Whatever way it ends, [`Held`] is dropped.
#[derive(Clone, Debug, Default)]
pub struct Responses(Rc<Cell<usize>>);

impl Responses {
    /// The bytes that are held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.get()
    }

    /// Counts `bytes` more until the [`Held`] is dropped. `None` past
    /// [`HTTP_RESPONSES_BYTES_MAX`], unless it is only a few.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let sum = self.0.get().saturating_add(bytes);
        if sum > HTTP_RESPONSES_BYTES_MAX && bytes > HTTP_RESPONSE_SMALL_BYTES {
            return None;
        }
        self.0.set(sum);
        Some(Held { responses: self.clone(), bytes })
    }
}

/// Some bytes of [`Responses`], given back when dropped.
#[derive(Debug)]
pub struct Held {
    responses: Responses,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.responses.0.set(self.responses.0.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_what_is_dropped_is_given_back() {
        let responses = Responses::default();
        let first = responses.hold(HTTP_RESPONSES_BYTES_MAX);
        assert!(first.is_some());
        assert!(responses.hold(HTTP_RESPONSE_SMALL_BYTES + 1).is_none());
        let small = responses.hold(HTTP_RESPONSE_SMALL_BYTES);
        assert!(small.is_some());
        drop(first);
        assert_eq!(responses.bytes(), HTTP_RESPONSE_SMALL_BYTES);
        drop(small);
        assert_eq!(responses.bytes(), 0);
    }
}
