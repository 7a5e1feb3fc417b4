//! The front page: a field for a mailbox's name, and what this is.

use maud::html;

use crate::http::desk::Desk;
use crate::http::response::{Response, Status};
use crate::store::Naming;

use super::frame;

pub(in crate::http) fn page(desk: &Desk<'_>) -> Response {
    let main = html! {
        section.welcome {
            h1 { "Mail for anybody" }
            p.lead {
                "Every address here already has a mailbox. Send something to it, then open it by name."
            }
            form.open action="/mailbox" method="get" {
                input type="text" name="name" aria-label="Mailbox or address"
                    placeholder="any-name-you-like" autocapitalize="none" autocomplete="off"
                    spellcheck="false" required autofocus;
                button type="submit" { "Open mailbox" }
            }
            dl.facts {
                @if !desk.smtp.is_empty() {
                    dt { "Send to" }
                    dd { "any address, by SMTP to " code { (desk.smtp) } }
                }
                dt { "Names" }
                dd {
                    @match desk.naming {
                        Naming::Local => {
                            code { "Bob+tag@example.com" } " arrives in " code { "bob" }
                            ", whatever the domain."
                        }
                        Naming::Full => {
                            code { "Bob@example.com" } " arrives in " code { "bob@example.com" } "."
                        }
                    }
                }
                dt { "Privacy" }
                dd {
                    @match (desk.gate.reading_needs_a_secret(), desk.gate.changing_needs_a_secret()) {
                        (false, false) => "None: whoever knows a name can read its mail and delete it.",
                        (false, true) => "None: whoever knows a name can read its mail.",
                        (true, _) => "Whoever has the secret and knows a name can read its mail.",
                    }
                }
                dt { "Keeping" }
                dd {
                    "In memory, for a while. When room is short, the oldest gives way; each mailbox "
                    "tells what it has lost and why."
                }
                dt { "Programs" }
                dd { code { "GET /api/v1/mailbox/" em { "name" } } " answers in JSON." }
                dt { "Senders" }
                dd { a href="/refused" { "Why was I refused?" } }
                dt { "Operators" }
                dd { a href="/status" { "Status" } ": what was counted, and how long things take." }
            }
        }
    };
    Response::page(Status::OK, frame(desk.hostname, &main))
}
