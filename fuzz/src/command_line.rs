//! Command lines: how they are cut out of a stream, and what they say.

use mailfly::smtp::command::{self, Command};
use mailfly::smtp::line::{self, Line};

/// The input is what a client sent, of which the first line is looked at.
pub fn holds(input: &[u8]) {
    let whole = line::next(input);
    for cut in [1, input.len() / 2, input.len().saturating_sub(1)] {
        let early = line::next(&input[..cut.min(input.len())]);
        assert!(early == Line::Partial || early == whole, "a cut at {cut} changed a line");
    }
    let text = match whole {
        Line::Whole { text, consumed } => {
            assert!(consumed > text.len() && !text.contains(&b'\n'));
            text
        }
        Line::Partial | Line::TooLong => input,
    };
    match command::parse(text) {
        Ok(command) => {
            assert!(!text.contains(&b'\r') && !text.contains(&0));
            let written = written(&command);
            assert_eq!(command::parse(&written), Ok(command), "{}", written.escape_ascii());
        }
        Err(fault) => {
            let reply = fault.reply();
            assert!(reply.ends_with(b"\r\n") && reply[0] == b'5');
        }
    }
}

/// The command as RFC 5321 would have it written.
fn written(command: &Command<'_>) -> Vec<u8> {
    match command {
        Command::Helo(name) => [b"HELO ", *name].concat(),
        Command::Ehlo(name) => [b"EHLO ", *name].concat(),
        Command::Mail(mail) => {
            let mut line = format!("MAIL FROM:<{}>", mail.reverse_path.text());
            if let Some(size) = mail.size {
                line += &format!(" SIZE={size}");
            }
            line += if mail.eight_bit { " BODY=8BITMIME" } else { "" };
            line += if mail.smtputf8 { " SMTPUTF8" } else { "" };
            line.into_bytes()
        }
        Command::Rcpt(address) => format!("RCPT TO:<{}>", address.text()).into_bytes(),
        Command::Data => b"DATA".to_vec(),
        Command::Bdat { bytes, last } => {
            format!("BDAT {bytes}{}", if *last { " LAST" } else { "" }).into_bytes()
        }
        Command::Rset => b"RSET".to_vec(),
        Command::Noop => b"NOOP".to_vec(),
        Command::Quit => b"QUIT".to_vec(),
        Command::Vrfy => b"VRFY".to_vec(),
        Command::Expn => b"EXPN".to_vec(),
        Command::Help => b"HELP".to_vec(),
        Command::Starttls => b"STARTTLS".to_vec(),
    }
}
