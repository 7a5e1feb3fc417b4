//! The store: mail in fixed memory.

pub mod pool;
