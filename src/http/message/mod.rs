//! What a message says, for somebody who reads it. Nothing here runs while mail is taken.
//!
//! ```text
//! fields    the header section, cut into fields; words, addresses, parameters decoded
//! parts     the MIME tree, walked to its leaves, bounded
//!   quoted_printable   one transfer encoding, bounded by what was sent
//! view      texts, HTML and attachments out of the leaves
//! ```
//!
//! mail-parser decodes what needs tables and care: encoded words, addresses, parameters, charsets,
//! base64. The tree is walked by hand, because mail-parser's own walk has no
//! bounds. Messages within messages, 30 bytes each, make it nest its answer as deep as the message is
//! long: 8 MB of them overflow the stack when the answer is dropped, which nothing catches. Within a
//! base64 part it copies the rest of the message once for each of them: 200 KB cost 700 MB.

pub mod fields;
pub mod parts;
mod quoted_printable;
pub mod view;
