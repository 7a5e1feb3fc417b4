//! Conversations, as data: what a client sends, what it is answered, and which messages are stored
//! afterwards. Whoever runs them decides how the bytes are cut and what carries them.
//!
//! `c` is what the client sends before it looks for the `s` that follows; one that runs them in
//! step may compare after each. In replies `{id}` stands for whatever the message was called.

use std::fmt;

use mailfly::limits::{BODY_PIECES_MAX, PATH_BYTES_MAX};
use mailfly::smtp::session::Policy;

/// The server's name in every transcript.
pub(crate) const HOSTNAME: &str = "mx.test";

/// The cap on messages in every transcript, in bytes: small, so that cutting everywhere is cheap.
pub(crate) const MESSAGE_BYTES_MAX: usize = 100;

/// One conversation.
#[derive(Clone, Debug)]
pub(crate) struct Transcript {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
    pub(crate) turns: Vec<Turn>,
    /// The messages that can be read back afterwards, oldest first.
    pub(crate) stored: Vec<Stored>,
    /// Whether the server closes at the end.
    pub(crate) closes: bool,
}

/// Who says what.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    Client(Vec<u8>),
    Server(String),
}

/// A message as it was kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) reverse_path: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reverse_path, recipients, bytes } = self;
        write!(formatter, "{reverse_path} to {recipients:?}: {}", bytes.escape_ascii())
    }
}

impl Transcript {
    fn new(name: &'static str, policy: Policy) -> Self {
        Self { name, policy, turns: vec![], stored: vec![], closes: false }
            .s("220 mx.test ESMTP mailfly\r\n")
    }

    fn c(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.turns.push(Turn::Client(bytes.as_ref().to_vec()));
        self
    }

    fn s(mut self, replies: &str) -> Self {
        self.turns.push(Turn::Server(replies.to_owned()));
        self
    }

    fn ehlo(self) -> Self {
        self.c("EHLO there\r\n").s(EHLO)
    }

    fn envelope(self) -> Self {
        self.c("MAIL FROM:<a@x>\r\n").s(SENDER).c("RCPT TO:<b@y>\r\n").s(RECIPIENT)
    }

    fn data(self) -> Self {
        self.c("DATA\r\n").s(GO)
    }

    fn quit(self) -> Self {
        self.c("QUIT\r\n").s("221 2.0.0 mx.test Bye\r\n").closed()
    }

    fn stored(self, bytes: impl AsRef<[u8]>) -> Self {
        self.stored_for("a@x", &["b@y"], bytes)
    }

    fn stored_for(
        mut self,
        reverse_path: &str,
        recipients: &[&str],
        bytes: impl AsRef<[u8]>,
    ) -> Self {
        let recipients = recipients.iter().map(|&recipient| recipient.to_owned()).collect();
        let (reverse_path, bytes) = (reverse_path.to_owned(), bytes.as_ref().to_vec());
        self.stored.push(Stored { reverse_path, recipients, bytes });
        self
    }

    fn closed(mut self) -> Self {
        self.closes = true;
        self
    }

    /// All that the client sends.
    pub(crate) fn sent(&self) -> Vec<u8> {
        let sent = self.turns.iter().map(|turn| match turn {
            Turn::Client(bytes) => &bytes[..],
            Turn::Server(_) => &[],
        });
        sent.collect::<Vec<_>>().concat()
    }

    /// All that the server answers.
    pub(crate) fn replies(&self) -> String {
        let replies = self.turns.iter().map(|turn| match turn {
            Turn::Client(_) => "",
            Turn::Server(replies) => replies,
        });
        replies.collect()
    }
}

/// Replies as the table has them: ids replaced by `{id}`.
pub(crate) fn without_ids(replies: &str) -> String {
    let lines = replies.split_inclusive("\r\n").map(|line| match line.split_once("stored as ") {
        Some((before, _)) => format!("{before}stored as {{id}}\r\n"),
        None => line.to_owned(),
    });
    lines.collect()
}

const EHLO: &str = "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n\
                    250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n";
const OK: &str = "250 2.0.0 Ok\r\n";
const SENDER: &str = "250 2.1.0 Ok\r\n";
const RECIPIENT: &str = "250 2.1.5 Ok\r\n";
const GO: &str = "354 End data with <CR><LF>.<CR><LF>\r\n";
const STORED: &str = "250 2.0.0 Ok: stored as {id}\r\n";
const NO_SUCH_USER: &str = "550 No such user\r\n";
const TOO_LARGE: &str = "552 5.3.4 Message too large\r\n";
const BAD_SEQUENCE: &str = "503 5.5.1 Bad sequence of commands\r\n";
const TOO_MANY: &str = "421 4.7.0 mx.test Too many errors\r\n";

/// A conversation that goes the same way in both policies.
fn both(
    transcripts: &mut Vec<Transcript>,
    name: &'static str,
    talk: impl Fn(Transcript) -> Transcript,
) {
    transcripts.push(talk(Transcript::new(name, Policy::Curt)));
    transcripts.push(talk(Transcript::new(name, Policy::Rfc)));
}

/// Every conversation that asks nothing special of the server's room.
pub(crate) fn all() -> Vec<Transcript> {
    let mut transcripts = vec![];
    honest(&mut transcripts);
    too_much(&mut transcripts);
    chunks(&mut transcripts);
    smuggling(&mut transcripts);
    curt(&mut transcripts);
    rfc(&mut transcripts);
    transcripts
}

fn honest(to: &mut Vec<Transcript>) {
    both(to, "one message in step", |talk| {
        talk.ehlo().envelope().data().c("hi\r\n.\r\n").s(STORED).quit().stored("hi\r\n")
    });
    both(to, "one message by plain SMTP", |talk| {
        talk.c("HELO there\r\n")
            .s("250 mx.test\r\n")
            .envelope()
            .data()
            .c("hi\r\n.\r\n")
            .s(STORED)
            .quit()
            .stored("hi\r\n")
    });
    both(to, "two pipelined messages and the next envelope behind the body", |talk| {
        talk.ehlo()
            .c("MAIL FROM:<a@x> SIZE=4\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\nDATA\r\n")
            .s(SENDER)
            .s(RECIPIENT)
            .s(RECIPIENT)
            .s(GO)
            .c("hi\r\n.\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n")
            .s(STORED)
            .s(SENDER)
            .s(RECIPIENT)
            .s(GO)
            .c("ho\r\n.\r\nQUIT\r\n")
            .s(STORED)
            .s("221 2.0.0 mx.test Bye\r\n")
            .closed()
            .stored_for("a@x", &["b@y", "c@y"], "hi\r\n")
            .stored("ho\r\n")
    });
    both(to, "addresses as people send them", |talk| {
        talk.ehlo()
            .c("mail from: a@x size=1 body=8bitmime\r\n")
            .s(SENDER)
            .c("rcpt to: b@y\r\nRCPT TO:<\"q \\\"u\"@[192.0.2.1]>\r\n")
            .s(RECIPIENT)
            .s(RECIPIENT)
            .c("RCPT TO:<@r,@s:c@y>\r\nRcpt To:<Postmaster>\r\n")
            .s(RECIPIENT)
            .s(RECIPIENT)
            .data()
            .c("\r\n.\r\n")
            .s(STORED)
            .stored_for("a@x", &["b@y", "\"q \\\"u\"@[192.0.2.1]", "c@y", "Postmaster"], "\r\n")
    });
    both(to, "a notification, from nobody, and an address in UTF-8", |talk| {
        talk.ehlo()
            .c("MAIL FROM:<> SMTPUTF8\r\n")
            .s(SENDER)
            .c("RCPT TO:<пошта@приклад.укр>\r\n")
            .s(RECIPIENT)
            .data()
            .c("hi\r\n.\r\n")
            .s(STORED)
            .stored_for("", &["пошта@приклад.укр"], "hi\r\n")
    });
    both(to, "lines that end with LF alone, as typed with netcat", |talk| {
        talk.c("HELO there\nMAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\n")
            .s("250 mx.test\r\n")
            .s(SENDER)
            .s(RECIPIENT)
            .s(GO)
            .c("hi\n\r\n.\r\n")
            .s(STORED)
            .stored("hi\n\r\n")
    });
    both(to, "dots are unstuffed and an empty message is one", |talk| {
        talk.ehlo()
            .envelope()
            .data()
            .c("..\r\n...a\r\n.b\r\nc.\r\n.\r\n")
            .s(STORED)
            .envelope()
            .data()
            .c(".\r\n")
            .s(STORED)
            .stored(".\r\n..a\r\nb\r\nc.\r\n")
            .stored("")
    });
    both(to, "more dot lines than are gathered at once", |talk| {
        talk.ehlo()
            .envelope()
            .data()
            .c("..\r\n".repeat(20) + ".\r\n")
            .s(STORED)
            .stored(".\r\n".repeat(20))
    });
    both(to, "dot lines just as many as are gathered, and then long ones", |talk| {
        let dots = "..\r\n".repeat(BODY_PIECES_MAX);
        let line = format!(".{}\r\n", "l".repeat(17));
        talk.ehlo()
            .envelope()
            .data()
            .c(format!("{dots}.\r\n"))
            .s(STORED)
            .envelope()
            .data()
            .c(format!("{dots}.{line}.{line}.\r\n"))
            .s(STORED)
            .stored(".\r\n".repeat(BODY_PIECES_MAX))
            .stored(format!("{}{line}{line}", ".\r\n".repeat(BODY_PIECES_MAX)))
    });
    both(to, "RSET and EHLO midway, NOOP anywhere", |talk| {
        talk.c("NOOP\r\nRSET\r\n")
            .s(OK)
            .s(OK)
            .ehlo()
            .envelope()
            .c("RSET\r\nNOOP what\r\n")
            .s(OK)
            .s(OK)
            .envelope()
            .ehlo()
            .envelope()
            .c("noop\r\n")
            .s(OK)
            .data()
            .c("hi\r\n.\r\n")
            .s(STORED)
            .quit()
            .stored("hi\r\n")
    });
    both(to, "QUIT and then more, which is not read", |talk| {
        talk.ehlo().envelope().quit().c("MAIL FROM:<a@x>\r\n")
    });
    both(to, "the end in the middle of a message", |talk| {
        talk.ehlo().envelope().data().c("hi\r\n.\r")
    });
}

fn too_much(to: &mut Vec<Transcript>) {
    both(to, "too large by SIZE, with the rest of the group behind it", |talk| {
        talk.ehlo()
            .c("MAIL FROM:<a@x> SIZE=101\r\nRCPT TO:<b@y>\r\nDATA\r\n")
            .s(TOO_LARGE)
            .s(TOO_LARGE)
            .s(TOO_LARGE)
            .c("MAIL FROM:<a@x> SIZE=99999999999999999999\r\n")
            .s(TOO_LARGE)
            .c("RSET\r\n")
            .s(OK)
            .c("MAIL FROM:<a@x> SIZE=100\r\n")
            .s(SENDER)
    });
    both(
        to,
        "too large by one byte, read to its true end, and the next as large as may be",
        |talk| {
            let most = "m".repeat(MESSAGE_BYTES_MAX - 2) + "\r\n";
            talk.ehlo()
                .envelope()
                .data()
                .c(format!("m{most}QUIT\r\n.QUIT\r\n\n.\n\r\n.\r\nMAIL FROM:<a@x>\r\n"))
                .s(TOO_LARGE)
                .s(SENDER)
                .c("RCPT TO:<b@y>\r\n")
                .s(RECIPIENT)
                .data()
                .c(format!("{most}.\r\n"))
                .s(STORED)
                .stored(most)
        },
    );
    both(to, "too large by one byte in dot lines, and the next as large as may be", |talk| {
        let lines = (MESSAGE_BYTES_MAX - 4) / 3;
        let fill = "f".repeat(MESSAGE_BYTES_MAX - 3 * lines - 3);
        assert!(lines > BODY_PIECES_MAX, "most of it is copied together");
        let dots = "..\r\n".repeat(lines);
        talk.ehlo()
            .envelope()
            .data()
            .c(format!("{dots}..f{fill}\r\n.\r\n"))
            .s(TOO_LARGE)
            .envelope()
            .data()
            .c(format!("{dots}..{fill}\r\n.\r\n"))
            .s(STORED)
            .stored(format!("{}.{fill}\r\n", ".\r\n".repeat(lines)))
    });
    both(to, "added dots do not count as size", |talk| {
        let most = ".".to_owned() + &"m".repeat(MESSAGE_BYTES_MAX - 3) + "\r\n";
        talk.ehlo().envelope().data().c(format!(".{most}.\r\n")).s(STORED).stored(most)
    });
    both(to, "a hundred recipients and then some", |talk| {
        let names: Vec<String> = (0..100).map(|number| format!("{number}@y")).collect();
        let group: String = names.iter().map(|name| format!("RCPT TO:<{name}>\r\n")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        talk.ehlo()
            .c("MAIL FROM:<a@x>\r\n")
            .s(SENDER)
            .c(group)
            .s(&RECIPIENT.repeat(100))
            .c("RCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\n")
            .s(&"452 4.5.3 Too many recipients\r\n".repeat(2))
            .data()
            .c("hi\r\n.\r\n")
            .s(STORED)
            .stored_for("a@x", &names, "hi\r\n")
    });
}

fn chunks(to: &mut Vec<Transcript>) {
    both(to, "a message in three chunks, dots and all", |talk| {
        talk.ehlo()
            .envelope()
            .c("BDAT 4\r\n.\r\n.")
            .s("250 2.0.0 4 octets received\r\n")
            .c("bdat 0\r\nBDAT 6 last\r\n\r\nQUIT")
            .s("250 2.0.0 0 octets received\r\n")
            .s(STORED)
            .quit()
            .stored(".\r\n.\r\nQUIT")
    });
    both(to, "an empty last chunk ends a message, and may be all of it", |talk| {
        talk.ehlo()
            .envelope()
            .c("BDAT 2\r\nhiBDAT 0 LAST\r\n")
            .s("250 2.0.0 2 octets received\r\n")
            .s(STORED)
            .envelope()
            .c("BDAT 0 LAST\r\n")
            .s(STORED)
            .stored("hi")
            .stored("")
    });
    both(to, "chunks and then RSET, and DATA in the next transaction", |talk| {
        talk.ehlo()
            .envelope()
            .c("BDAT 2\r\nhi")
            .s("250 2.0.0 2 octets received\r\n")
            .c("RSET\r\n")
            .s(OK)
            .envelope()
            .data()
            .c("ho\r\n.\r\n")
            .s(STORED)
            .stored("ho\r\n")
    });
    both(to, "a chunk too many is consumed, and those behind it", |talk| {
        talk.ehlo()
            .envelope()
            .c(format!("BDAT 99\r\n{}", "m".repeat(99)))
            .s("250 2.0.0 99 octets received\r\n")
            .c("BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n")
            .s(TOO_LARGE)
            .s(TOO_LARGE)
            .s(TOO_LARGE)
            .envelope()
            .c(format!("BDAT 100 LAST\r\n{}", "m".repeat(100)))
            .s(STORED)
            .stored("m".repeat(100))
    });
    both(to, "a chunk behind a MAIL that was refused is consumed", |talk| {
        talk.ehlo()
            .c("MAIL FROM:<a@x> SIZE=101\r\nRCPT TO:<b@y>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
            .s(TOO_LARGE)
            .s(TOO_LARGE)
            .s(TOO_LARGE)
            .s(OK)
    });
    to.push(
        Transcript::new("chunks out of order are consumed", Policy::Rfc)
            .c("BDAT 6\r\nQUIT\r\nMAIL FROM:<a@x>\r\n")
            .s(BAD_SEQUENCE)
            .s(BAD_SEQUENCE)
            .ehlo()
            .c("BDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<a@x>\r\nBDAT 6 LAST\r\nQUIT\r\n")
            .s(BAD_SEQUENCE)
            .s(SENDER)
            .s(BAD_SEQUENCE)
            .envelope()
            .c("BDAT 2 LAST\r\nhiBDAT 6 LAST\r\nQUIT\r\n")
            .s(STORED)
            .s(BAD_SEQUENCE)
            .quit()
            .stored("hi"),
    );
    to.push(
        Transcript::new("DATA, MAIL and RCPT have no place between chunks", Policy::Rfc)
            .ehlo()
            .envelope()
            .c("BDAT 2\r\nhiDATA\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 2 LAST\r\nho")
            .s("250 2.0.0 2 octets received\r\n")
            .s(&BAD_SEQUENCE.repeat(3))
            .s(STORED)
            .stored("hiho"),
    );
    for size in ["", " x", " -1", " 18446744073709551616", " 6 FIRST"] {
        to.push(
            Transcript::new("a chunk whose size cannot be read ends the session", Policy::Rfc)
                .ehlo()
                .envelope()
                .c(format!("BDAT{size}\r\nRSET\r\n"))
                .s("501 5.5.4 Chunk size not understood, closing\r\n")
                .closed(),
        );
    }
    to.push(
        Transcript::new("a chunk out of order", Policy::Curt)
            .ehlo()
            .c("BDAT 6\r\nNOOP\r\n")
            .s(NO_SUCH_USER)
            .closed(),
    );
}

/// What someone's server has taken for the end of data; here it is data.
fn smuggling(to: &mut Vec<Transcript>) {
    for ending in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n.\r\0\n",
        "\r\0\n.\r\n",
        "\r\n. \r\n",
        "\n\n.\n\n",
        "\r\r\n.\r\r\n",
    ] {
        both(to, "nothing but CRLF.CRLF ends a message", |talk| {
            let behind = "MAIL FROM:<e@v>\r\n";
            // What stands at a line's start loses its dot, whatever follows.
            let kept = format!("hi{ending}{behind}").replace("\r\n.", "\r\n");
            talk.ehlo()
                .envelope()
                .data()
                .c(format!("hi{ending}{behind}.\r\n"))
                .s(STORED)
                .quit()
                .stored(kept)
        });
    }
    for hidden in ["NOOP\rNOOP\r\n", "NOOP\0\r\n", "NOOP\r\r\n", "MAIL FROM:<a@x\r>\r\n"] {
        to.push(
            Transcript::new("a CR or NUL within a command", Policy::Curt)
                .ehlo()
                .c(hidden)
                .s(NO_SUCH_USER)
                .closed(),
        );
        to.push(
            Transcript::new("a CR or NUL within a command", Policy::Rfc)
                .ehlo()
                .c(hidden)
                .s("500 5.5.2 CR or NUL within a command\r\n")
                .quit(),
        );
    }
}

fn curt(to: &mut Vec<Transcript>) {
    let long = "x".repeat(1024);
    for bad in [
        "MAIL FROM:<a@x>\r\n", // before HELO
        "GET / HTTP/1.1\r\n",
        "\r\n",
        "HELO\r\n",
        "VRFY bob\r\n",
        "EXPN list\r\n",
        "HELP\r\n",
        "STARTTLS\r\n",
        "AUTH PLAIN\r\n",
        "DATA\r\n",
        "QUIT now\r\n",
        &long,
    ] {
        to.push(
            Transcript::new("bad from the first line", Policy::Curt)
                .c(bad)
                .s(NO_SUCH_USER)
                .closed(),
        );
    }
    for bad in [
        "RCPT TO:<b@y>\r\n",
        "DATA\r\n",
        "MAIL FROM:<a>\r\n",
        "MAIL FROM:\r\n",
        "MAIL\r\n",
        "MAIL FROM:<a@x> RET=FULL\r\n",
        "MAIL FROM:<a@x> BODY=BINARYMIME\r\n",
        "MAIL FROM:<é@x>\r\n",
    ] {
        to.push(
            Transcript::new("bad after EHLO", Policy::Curt).ehlo().c(bad).s(NO_SUCH_USER).closed(),
        );
    }
    for bad in ["DATA\r\n", "MAIL FROM:<a@x>\r\n", "RCPT TO:<>\r\n", "RCPT TO:<é@y>\r\n"] {
        to.push(
            Transcript::new("bad after MAIL", Policy::Curt)
                .ehlo()
                .c("MAIL FROM:<a@x>\r\n")
                .s(SENDER)
                .c(bad)
                .s(NO_SUCH_USER)
                .closed(),
        );
    }
    to.push(
        Transcript::new("bad behind a good message", Policy::Curt)
            .ehlo()
            .envelope()
            .data()
            .c("hi\r\n.\r\nhello?\r\nNOOP\r\n")
            .s(STORED)
            .s(NO_SUCH_USER)
            .closed()
            .stored("hi\r\n"),
    );
}

fn rfc(to: &mut Vec<Transcript>) {
    to.push(
        Transcript::new("each fault has its code, and the session goes on", Policy::Rfc)
            .c("MAIL FROM:<a@x>\r\n")
            .s(BAD_SEQUENCE)
            .ehlo()
            .c("BLAH\r\n")
            .s("500 5.5.1 Command unrecognized\r\n")
            .c("MAIL FROM:<a>\r\n")
            .s("501 5.1.7 Syntax error in reverse-path\r\n")
            .c("MAIL FROM:<a@x> RET=FULL\r\n")
            .s("555 5.5.4 Parameter not recognized or not implemented\r\n")
            .c("MAIL FROM:<a@x> SIZE=x\r\n")
            .s("501 5.5.4 Syntax error in parameter\r\n")
            .envelope()
            .c("RCPT TO:<>\r\n")
            .s("501 5.1.3 Syntax error in forward-path\r\n")
            .c("RCPT TO:<é@y>\r\n")
            .s("553 5.6.7 Address needs SMTPUTF8\r\n")
            .c("MAIL FROM:<a@x>\r\n")
            .s(BAD_SEQUENCE)
            .c("STARTTLS\r\n")
            .s("502 5.5.1 Command not implemented\r\n")
            .data()
            .c("hi\r\n.\r\n")
            .s(STORED)
            .quit()
            .stored("hi\r\n"),
    );
    to.push(
        Transcript::new("a path that is too long is told so", Policy::Rfc)
            .ehlo()
            .c(format!("MAIL FROM:<{}@x>\r\n", "a".repeat(PATH_BYTES_MAX)))
            .s("501 5.5.4 Path too long\r\n")
            .envelope()
            .quit(),
    );
    to.push(
        Transcript::new("VRFY and HELP are no faults", Policy::Rfc)
            .c("VRFY bob\r\n".repeat(10))
            .s(&"252 2.5.0 Any address is accepted, none is verified\r\n".repeat(10))
            .c("HELP\r\n")
            .s("214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP\r\n")
            .ehlo()
            .envelope()
            .c("vrfy\r\n")
            .s("252 2.5.0 Any address is accepted, none is verified\r\n")
            .c("EXPN x\r\n")
            .s("502 5.5.1 Command not implemented\r\n")
            .quit(),
    );
    to.push(
        Transcript::new("the tenth fault is the last", Policy::Rfc)
            .ehlo()
            .envelope()
            .c("x\r\n".repeat(11))
            .s(&"500 5.5.1 Command unrecognized\r\n".repeat(10))
            .s(TOO_MANY)
            .closed(),
    );
    to.push(
        Transcript::new("a line too long is answered once and skipped", Policy::Rfc)
            .ehlo()
            .c(format!("NOOP {}\r\nNOOP\r\n", "x".repeat(3000)))
            .s("500 5.5.2 Line too long\r\n")
            .s(OK)
            .c(format!("NOOP {}\r\n", "x".repeat(1017)))
            .s(OK)
            .c(format!("NOOP {}\r\n", "x".repeat(1018)))
            .s("500 5.5.2 Line too long\r\n")
            .quit(),
    );
    to.push(
        Transcript::new("an endless line ends", Policy::Rfc)
            .ehlo()
            .c("x".repeat(10 * 1024))
            .s("500 5.5.2 Line too long\r\n")
            .s(TOO_MANY)
            .closed(),
    );
}
