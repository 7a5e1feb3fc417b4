//! How far a conversation got with the bytes that it was shown, and what it wants next: the answer
//! of conversations (floor 3) to whoever brings them bytes (floor 4), so it lives below both. Not
//! here: the bytes themselves, on their way in or out (`net`, `output`).

/// What a conversation made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the input it is done with. The rest is presented again.
    pub consumed: usize,
    /// What it wants next.
    pub then: Then,
}

/// What a conversation wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More input: what it did not consume, if anything, is the beginning of something.
    Continue,
    /// Its output sent, and after that the rest of its input again: the output was full, or holds
    /// something that has to leave first.
    Flush,
    /// The same, but not before the others have had their turn: what it did, or would have to do
    /// next, takes long.
    Yield,
    /// Its output sent, and from there on everything encrypted, in both directions. The rest of the
    /// input is the beginning of the handshake: a conversation that was asked for this within the
    /// plain bytes has to see that there is none.
    Encrypt,
    /// To close, when its output has been sent. The rest of the input is of no matter.
    Close,
}
