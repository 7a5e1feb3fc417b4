//! mailfly takes mail for anybody at any address, keeps it for a while in memory that was set
//! aside at start, and shows it to whoever asks.
//!
//! A house of six floors; a file imports only from lower ones (`tests/floors.rs` holds the table):
//!
//! ```text
//! floor 5  main  server               start, wire the parts together, plan, signals, drain
//! floor 4  net                        the reactor: poll, slab, accept, timers, spill
//!          config                     what the operator chose
//! floor 3  smtp::session  http        conversations and judgement: no socket, no clock
//!          guard
//! floor 2  store                      the pool of arenas, mailbox logs, drafts, directory
//! floor 1  smtp::{line,command,       bytes in, values out
//!            address,body,reply,
//!            hostname}
//!          proxy                      who a proxy says its client is
//!          phases                     how long the server's own phases take
//!          tls                        plain bytes in, records out, and back
//! floor 0  limits  clock  output      every bound in one place, the time, what is for a peer, what
//!          progress  metrics  sys     is counted; the only `unsafe`
//! ```

pub mod clock;
pub mod config;
pub mod guard;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod output;
pub mod phases;
pub mod progress;
pub mod proxy;
pub mod server;
pub mod smtp;
pub mod store;
pub mod sys;
pub mod tls;
