//! The house, held by a test: a file names only rooms on lower floors than its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// A room is a path below `src`; the first that a file's path starts with is its room.
const FLOORS: [(&str, u8); 22] = [
    ("limits", 0),
    ("clock", 0),
    ("metrics", 0),
    ("output", 0),
    ("progress", 0),
    ("sys", 0),
    ("smtp/line", 1),
    ("smtp/command", 1),
    ("smtp/address", 1),
    ("smtp/body", 1),
    ("smtp/reply", 1),
    ("smtp/hostname", 1),
    ("phases", 1),
    ("proxy", 1),
    ("tls", 1),
    ("store", 2),
    ("guard", 3),
    ("smtp/session", 3),
    ("http", 3),
    ("net", 4),
    ("config", 4),
    // Floor 5 is where everything is put together: its rooms know each other.
    ("", 5),
];
/// The doors: they name what is behind them, whatever its floor.
const DOORS: [&str; 2] = ["lib", "smtp"];

fn room(path: &str) -> (&'static str, u8) {
    let inside = |room: &str| {
        path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    FLOORS
        .into_iter()
        .find(|(name, _)| name.is_empty() || inside(name))
        .unwrap_or_else(|| panic!("{path} has no room"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, into),
            false => into.push(path),
        }
    }
}

/// Every `crate::a::b` of a source, also those in braces, as `a` or `a/b`; comments left out.
fn named_rooms(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(!code.contains("crate::{"), "one `use crate::` for each room keeps this test simple");
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
            let path = rest[..end.unwrap_or(rest.len())].trim_end_matches(':').replace("::", "/");
            let braces = rest[end.unwrap_or(rest.len())..].strip_prefix('{');
            match braces.filter(|_| path == "smtp") {
                None => vec![path],
                Some(list) => list[..list.find('}').unwrap_or(0)]
                    .split(',')
                    .map(|item| format!("{path}/{}", item.trim().split("::").next().unwrap_or("")))
                    .collect(),
            }
        })
        .collect()
}

#[test]
fn a_file_names_only_rooms_on_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let path = file.strip_prefix(&src).unwrap().with_extension("");
        let path = path.to_str().unwrap().trim_end_matches("/mod");
        if DOORS.contains(&path) {
            continue;
        }
        let (own, floor) = room(path);
        let source = fs::read_to_string(file).unwrap();
        for named in named_rooms(&source) {
            let (other, below) = room(&named);
            if own != other && below >= floor && floor < 5 {
                wrong.push(format!("{path} (floor {floor}) names {named} (floor {below})"));
            }
        }
        if path.starts_with("smtp/") && floor == 1 && source.contains("super::session") {
            wrong.push(format!("{path} names smtp/session"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_lives_in_one_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let allows = source.contains("allow(unsafe_code") || source.contains("expect(unsafe_code");
        assert!(!allows || file.starts_with(src.join("sys")), "{} allows unsafe", file.display());
    }
}
