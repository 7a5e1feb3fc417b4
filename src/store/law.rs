//! How a law of the store is stated where tests ask for it: the table's and the whole store's walks
//! (`directory`, `invariants`) stop at the first that is broken, and say which.

/// `law` unless it holds.
pub(super) fn holds(holds: bool, law: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(law) }
}
