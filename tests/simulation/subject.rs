//! The subject of a message, read plainly: all that there is of it, from the start, each time. Not here:
//! what is judged about it (`judge`).

use mailfly::limits::GUARD_SUBJECT_BYTES;

/// What subjects are searched for.
pub(crate) const WORDS: [&str; 2] = ["subject", "lottery"];

/// What stands for an answer or a forward, as far as clients here write it.
const PREFIXES: [&str; 3] = ["re", "fwd", "aw"];

/// How far a message is with its header section.
pub(crate) enum Header {
    Unfinished,
    Subject(Vec<u8>),
    /// And no subject in it.
    Over,
}

/// The first Subject of a message that begins like this, once its field is over.
pub(crate) fn header(message: &[u8], is_end: bool) -> Header {
    let mut lines = message.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if line == b"\n" || line == b"\r\n" {
            return Header::Over;
        }
        let Some(value) = subject_line(line) else { continue };
        let mut field = value.to_vec();
        let mut is_whole = line.ends_with(b"\n");
        while let Some(more) = lines.next_if(|line| matches!(line[0], b' ' | b'\t')) {
            field.extend_from_slice(more);
            is_whole = more.ends_with(b"\n");
        }
        return match is_end || is_whole && lines.peek().is_some() {
            true => Header::Subject(field),
            false => Header::Unfinished,
        };
    }
    if is_end { Header::Over } else { Header::Unfinished }
}

fn subject_line(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = line.split_at_checked(7)?;
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let value = rest[blanks..].strip_prefix(b":")?;
    name.eq_ignore_ascii_case(b"subject").then_some(value)
}

/// What it says, blanks and answers left out. (No client here encodes words.)
pub(crate) fn text(field: &[u8]) -> Vec<u8> {
    let words = field.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let mut text = words.join(&b' ');
    while let Some(colon) = text.iter().position(|byte| *byte == b':') {
        let before = text[..colon].trim_ascii().to_ascii_lowercase();
        if !PREFIXES.iter().any(|prefix| prefix.as_bytes() == before) {
            break;
        }
        text = text[colon + 1..].trim_ascii().to_vec();
    }
    text.truncate(GUARD_SUBJECT_BYTES);
    text
}

pub(crate) fn has_word(text: &[u8]) -> bool {
    let mut words = text.split(|byte| !byte.is_ascii_alphanumeric());
    words.any(|word| WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)))
}
