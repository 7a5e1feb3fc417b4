//! The Simple Mail Transfer Protocol (RFC 5321), from bytes to replies, without a socket or a
//! clock.
//!
//! ```text
//! floor 3   session    the conversation: one enum, one match, effects through a trait
//! floor 1   line       the next command line of some bytes
//!           command    a line's verb and arguments
//!           address    paths: who it is from, whom it is for
//!           body       where a message ends, and which dots are not its own
//!           reply      what is answered, byte for byte
//!           hostname   what the server calls itself
//! ```
//!
//! Nothing on floor 1 keeps or copies what a client sends; all of it borrows from the read buffer.

pub mod address;
pub mod body;
pub mod command;
pub mod hostname;
pub mod line;
pub mod reply;
pub mod session;
