//! The pages: HTML without script, one style sheet, the same frame around each. maud escapes.

use maud::{DOCTYPE, Markup, html};

use super::response::{Response, Status};
use crate::limits::{KIB, MIB};

pub(super) mod home;
pub(super) mod mailbox;
pub(super) mod message;
pub(super) mod refused;
pub(super) mod status;

/// The style sheet.
pub(super) fn style() -> Response {
    Response::asset("text/css; charset=utf-8", include_str!("style.css"))
}

/// What went wrong, in words.
pub(super) fn failure(status: Status, words: &str) -> Response {
    let title = status.reason();
    let main = html! {
        section.notice {
            h1 { (title) }
            p { (capitalized(words)) "." }
            p { a href="/" { "To the front page" } }
        }
    };
    Response::page(status, frame(title, &main))
}

fn frame(title: &str, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · mailfly" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="data:,";
            }
            body {
                header {
                    a.brand href="/" { "mailfly" }
                    form.find action="/mailbox" method="get" {
                        input type="text" name="name" aria-label="Mailbox or address"
                            placeholder="mailbox" autocapitalize="none"
                            autocomplete="off" spellcheck="false" required;
                        button type="submit" { "Open" }
                    }
                }
                main { (main) }
            }
        }
    };
    page.into_string()
}

/// A button that sends an empty form.
fn button(action: &str, words: &str) -> Markup {
    html! {
        form.inline action=(action) method="post" {
            button.quiet type="submit" { (words) }
        }
    }
}

/// `1 message`, `2 messages`.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A length, for people.
fn size(bytes: usize) -> String {
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{}.{} KiB", bytes / KIB, bytes % KIB * 10 / KIB),
        _ => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

fn capitalized(words: &str) -> String {
    let mut characters = words.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_the_unit_that_fits() {
        for (bytes, told) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }
}
