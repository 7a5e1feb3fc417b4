//! HTTP/1.1 over the store: the API, the pages, and what a monitor asks for. Bytes in, bytes out;
//! no socket and no clock.
//!
//! ```text
//! exchange   one connection's conversation: when is a request whole, what is owed
//!   request      a head and its strictness            bytes -> Request
//!     host         whom it means
//!   gate         who may ask for what
//!     secret       what reading and deleting may need
//!   route        the table of all that can be asked    Request -> Route
//!   answer       does what the route says              Route, Desk -> Response
//!     api            JSON, in the shapes of Inbucket's REST v1
//!     pages          HTML without script
//!     long           an answer that takes several turns
//!       listing        a list, by the API or a page, a few messages a turn
//!         newest         the newest messages of a mailbox
//!       source         a message as it was sent, a piece a turn
//!         trace          the lines put before it
//!     message        what a message says: fields, parts, text
//!     download       how an attachment is handed over
//!     link           paths that come back to what they name
//!     date           a moment in the spellings that HTTP, JSON and mail want
//!     standing       why a sender was refused
//!     monitor        metrics, status, livez, readyz
//!   response     the one place that writes a head     Response -> bytes
//! desk       the world that an answer may touch
//! held       the memory that responses are written into and wait in
//! ```

mod answer;
mod api;
mod date;
pub mod desk;
mod download;
pub mod exchange;
pub mod gate;
pub mod held;
pub mod host;
mod letter;
mod link;
mod listing;
mod long;
pub mod message;
mod monitor;
mod newest;
mod pages;
pub mod request;
pub mod response;
pub mod route;
pub mod secret;
mod source;
pub mod standing;
pub mod trace;

pub use desk::{Desk, Scratch, Secret};
pub use exchange::Exchange;
pub use gate::Gate;
pub use held::Responses;
pub use host::AllowedHost;
pub use secret::Secrets;

#[cfg(test)]
mod tests;
