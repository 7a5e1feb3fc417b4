//! What the fuzzer kept (`fuzz/corpus`), shown to every subject that it is for, and mixtures of it.
//! Looking for more is `scripts/fuzz`'s work.

#![allow(clippy::unwrap_used, reason = "what is not as it should be fails the test")]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

/// The names in a folder, without their endings.
fn names(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(path)).unwrap();
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// The inputs kept for a target, by their files' names.
fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut kept: Vec<_> = fs::read_dir(folder("corpus").join(target.name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    kept.sort();
    kept
}

#[test]
fn every_target_is_built_and_has_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names("targets"), targets);
    assert_eq!(names("corpus"), targets);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not built");
        let target = fs::read_to_string(folder("targets").join(format!("{name}.rs"))).unwrap();
        assert!(target.contains(&format!("mailfly_fuzz::{name}::holds(input)")), "{target}");
    }
}

#[test]
fn law_every_target_holds_of_every_kept_input() {
    for target in &TARGETS {
        let kept = kept(target);
        assert!(kept.len() >= 5, "{} has seeds", target.name);
        for (path, input) in kept {
            // A failure should name its input, and a panic only tells of itself.
            println!("{path}");
            (target.holds)(&input);
        }
    }
}

#[test]
fn law_every_target_holds_of_mixtures_of_kept_inputs() {
    for target in &TARGETS {
        let kept: Vec<Vec<u8>> = kept(target).into_iter().map(|(_, input)| input).collect();
        let piece = (
            prop::sample::select(kept),
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
        )
            .prop_map(|(input, from, to)| {
                let (from, to) = (from.index(input.len() + 1), to.index(input.len() + 1));
                input[from.min(to)..from.max(to)].to_vec()
            });
        let byte = any::<u8>().prop_map(|byte| vec![byte]);
        let mixture = prop::collection::vec(prop_oneof![3 => piece, 1 => byte], 0..8);
        let mixture = mixture.prop_map(|pieces| pieces.concat());
        let held = TestRunner::default().run(&mixture, |input| {
            (target.holds)(&input);
            Ok(())
        });
        held.unwrap_or_else(|broken| unreachable!("{}: {broken}", target.name));
    }
}
