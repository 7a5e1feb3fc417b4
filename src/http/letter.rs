//! The HTML of a message, as it goes into its frame. What a browser does with it is held back by the
//! response's policy and the frame's sandbox, and nothing here repeats that; but no policy is asked
//! before a `<link>` has a name looked up or a connection made (`rel` being `dns-prefetch` or
//! `preconnect`), which is enough to tell the sender who has opened the message. All else that such
//! an element can do is forbidden anyway, so it becomes one that means nothing.

use memchr::memchr_iter;

/// Pieces that are, one after the other, the same HTML without `<link>` elements.
///
/// An element begins where a `<` and its name stand side by side and nowhere else, however the
/// letters are written (HTML standard, section 13.2.5.8), so nothing has to be parsed.
pub(super) fn without_links(html: &str) -> impl Iterator<Item = &str> {
    let mut begin = 0;
    let names = memchr_iter(b'<', html.as_bytes()).filter_map(|at| {
        let name = at.checked_add(1)?;
        let found = html.get(name..name.checked_add(LINK.len())?)?;
        found.eq_ignore_ascii_case(LINK).then_some(name)
    });
    let ends = names.map(Some).chain([None]);
    ends.flat_map(move |name| {
        let piece = html.get(begin..name.unwrap_or(html.len())).unwrap_or_default();
        begin = name.map_or(html.len(), |name| name.saturating_add(LINK.len()));
        [piece, if name.is_some() { NOTHING } else { "" }]
    })
}

const LINK: &str = "link";
/// An element that no browser knows.
const NOTHING: &str = "no-link";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(html: &str) -> String {
        without_links(html).collect()
    }

    #[test]
    fn links_become_nothing_and_all_else_stays() {
        for (html, expected) in [
            ("", ""),
            ("<link rel=preconnect href=//x>", "<no-link rel=preconnect href=//x>"),
            ("a<LiNk/><link", "a<no-link/><no-link"),
            ("<<link><link>é", "<<no-link><no-link>é"),
            ("< link></link><lin", "< link></link><lin"),
            ("<b>link</b> <a href=x>", "<b>link</b> <a href=x>"),
            ("<linké", "<no-linké"),
            ("<liné", "<liné"),
        ] {
            assert_eq!(shown(html), expected);
        }
    }

    proptest! {
        #[test]
        fn law_no_link_is_left_and_nothing_else_is_lost(
            html in "(<|<l|<link|<LINK|link|i|n|k|é|>| ){0,20}",
        ) {
            let shown = shown(&html);
            prop_assert!(!shown.to_ascii_lowercase().contains("<link"), "{}", shown);
            let naive = html.replace("<LINK", "<link").replace("<link", "<no-link");
            prop_assert_eq!(shown, naive);
        }
    }
}
