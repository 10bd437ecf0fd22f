//! The house rules that check themselves: which room may name which, what a pure room may not
//! hold, how long a file and a line may be, how a file opens, which words are not left behind.
//!
//! `rules` holds the rules, `source` reads just enough Rust for them, and `planted` breaks each
//! rule on purpose and sees it found.

mod planted;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::RULES;

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "corpus" {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz"] {
        sources(&root.join(folder), &mut files);
    }
    files.sort();
    assert!(
        files.len() > 15,
        "the walk found only {} files",
        files.len()
    );
    let mut found = Vec::new();
    for file in files {
        let place = file
            .strip_prefix(root)
            .expect("a file below the root")
            .to_string_lossy();
        let text = fs::read_to_string(&file).expect("a readable source file");
        for rule in RULES {
            found.extend(
                rule(&place, &text)
                    .iter()
                    .map(|what| format!("{place} {what}")),
            );
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
