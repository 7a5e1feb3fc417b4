//! How an attachment is handed over: as a file to be saved, of a type that no browser runs.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The type that is claimed for an attachment: the sender's, if it is a picture that can do nothing
/// but be looked at, else none in particular.
pub(super) fn safe_type(content_type: &str) -> &'static str {
    const PICTURES: [&str; 4] = ["image/gif", "image/jpeg", "image/png", "image/webp"];
    PICTURES
        .into_iter()
        .find(|picture| *picture == content_type)
        .unwrap_or("application/octet-stream")
}

/// The value of Content-Disposition (RFC 6266): saved, never shown, under this name.
pub(super) fn disposition(filename: &str) -> String {
    let ascii: String = filename
        .chars()
        .map(|character| match character {
            '"' | '\\' | '%' => '_',
            ' '..='~' => character,
            _ => '_',
        })
        .collect();
    let encoded = utf8_percent_encode(filename, NON_ALPHANUMERIC);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_keeps_its_type() {
        for content_type in
            ["text/html", "image/svg+xml", "application/pdf", "text/plain", "IMAGE/PNG\r\nX: y", ""]
        {
            assert_eq!(safe_type(content_type), "application/octet-stream", "{content_type}");
        }
        assert_eq!(safe_type("image/png"), "image/png");
    }

    #[test]
    fn a_name_stays_between_its_quotes() {
        assert_eq!(
            disposition("a\"; x=\"é\r\n"),
            "attachment; filename=\"a_; x=____\"; filename*=UTF-8''a%22%3B%20x%3D%22%C3%A9%0D%0A"
        );
    }
}
