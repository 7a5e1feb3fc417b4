//! What a reader is shown of a message.

use mailfly::http::message::fields::Fields;
use mailfly::http::message::view::{Summary, View};
use mailfly::limits::{
    HEADER_FIELDS_MAX, HEADER_SECTION_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX,
    MIME_FILE_NAME_CHARACTERS_MAX, MIME_PARTS_MAX,
};
use mailfly::store::Envelope;

/// The input is a message.
pub fn holds(input: &[u8]) {
    let envelope = Envelope {
        helo: b"there".to_vec(),
        reverse_path: b"a@x".to_vec(),
        forward_paths: vec![b"b@y".to_vec()],
    };
    assert!(Fields::split(input, HEADER_SECTION_BYTES_MAX).body_at <= input.len());
    is_on_one_line(&Summary::of_beginning(input, &envelope));
    let view = View::of(input, &envelope);
    assert!(!view.unreadable, "a decoder panicked");
    is_on_one_line(&view.summary);
    assert!(view.fields.len() <= HEADER_FIELDS_MAX);
    for (name, value) in &view.fields {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!value.chars().any(char::is_control), "{value:?}");
    }
    assert!(view.text.len() <= MESSAGE_TEXT_BYTES_MAX && view.html.len() <= MESSAGE_TEXT_BYTES_MAX);
    assert!(view.attachments.len() <= MIME_PARTS_MAX);
    for (number, attachment) in view.attachments.iter().enumerate() {
        let name = &attachment.filename;
        let characters = name.chars().count();
        assert!((1..=MIME_FILE_NAME_CHARACTERS_MAX).contains(&characters), "{name:?}");
        assert!(!name.starts_with('.') && !name.contains(['/', '\\']), "{name:?} leads somewhere");
        assert!(!name.chars().any(char::is_control), "{name:?}");
        assert!(attachment.bytes <= input.len(), "decoding made it longer");
        // Each is found again, but all of them would cost the square.
        if number < 4 {
            let mut bytes = 0;
            let found = View::attachment(input, number, |shown| bytes = shown.len());
            assert_eq!(found.as_ref(), Some(attachment));
            assert_eq!(bytes, attachment.bytes);
        }
    }
    assert_eq!(View::attachment(input, view.attachments.len(), |_| ()), None);
}

fn is_on_one_line(summary: &Summary) {
    let Summary { from, to, cc, subject, date } = summary;
    for text in [from, subject, date].into_iter().chain(to).chain(cc) {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
