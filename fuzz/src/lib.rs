//! What has to hold of any input: one function for each subject, which takes bytes and panics where
//! something is wrong. The fuzzer (`targets/`) looks for inputs that break one; `tests/kept_inputs.rs`
//! includes this file as a module and shows all of them what was kept in `corpus/`, and mixtures of
//! it. Not here: conversations with known answers (`tests/transcripts`).

#![allow(unreachable_pub, reason = "it is a library for the fuzzer, and a module for the tests")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "panicking is the answer"
)]

pub mod address;
pub mod body_scanner;
pub mod command_line;
pub mod configuration;
pub mod http;
pub mod mime_view;
pub mod proxy_header;
pub mod session;
pub mod tls;

/// A subject.
pub struct Target {
    /// The name of its file in `targets/` and of its folder in `corpus/`.
    pub name: &'static str,
    /// What has to hold of any input.
    pub holds: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "address", holds: address::holds },
    Target { name: "body_scanner", holds: body_scanner::holds },
    Target { name: "command_line", holds: command_line::holds },
    Target { name: "configuration", holds: configuration::holds },
    Target { name: "http", holds: http::holds },
    Target { name: "mime_view", holds: mime_view::holds },
    Target { name: "proxy_header", holds: proxy_header::holds },
    Target { name: "session", holds: session::holds },
    Target { name: "tls", holds: tls::holds },
];
