//! The image, built from the binary under test, and what docker and compose say about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::program::{binary, scratch};

/// The docker client that can build with `BuildKit`; tests/run finds it.
pub(crate) fn docker() -> String {
    std::env::var("GAGGLE_DOCKER").unwrap_or_else(|_| "docker".to_owned())
}

/// What a program of docker printed, with what it complained about if it failed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
    }
}

/// Asks docker; fails the test if it fails.
pub(crate) fn ask_docker(words: &[&str]) -> String {
    let said = try_docker(words);
    assert!(said.ok, "docker {words:?}: {}{}", said.out, said.err);
    said.out
}

/// Asks docker, whatever comes of it.
pub(crate) fn try_docker(words: &[&str]) -> Said {
    Command::new(docker())
        .args(words)
        .output()
        .expect("docker runs")
        .into()
}

/// The image of the binary under test; removed when dropped.
pub(crate) struct Image {
    tag: String,
}

impl Image {
    /// Builds it as the Dockerfile says, with the binary that is there already: from a copy of what
    /// the builder reads, so that several builds do not meet.
    pub(crate) fn build() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let context = scratch();
        for file in [
            "Dockerfile",
            ".dockerignore",
            "LICENSE",
            "NOTICE",
            "LICENSES/MPL-2.0.txt",
        ] {
            place(&repository.join(file), &context.path().join(file));
        }
        place(&binary(), &context.path().join("prebuilt/gaggle"));
        let tag = format!("gaggle-test:{}", std::process::id());
        let said: Said = Command::new(docker())
            .env("DOCKER_BUILDKIT", "1")
            .args([
                "build",
                "--quiet",
                "--build-arg",
                "SOURCE=prebuilt",
                "--network",
                "none",
            ])
            .args([
                "--build-arg",
                "VERSION=1.2.3",
                "--build-arg",
                "REVISION=abc",
            ])
            .args(["--tag", &tag])
            .arg(context.path())
            .output()
            .expect("docker runs")
            .into();
        assert!(
            said.ok,
            "the image does not build: {}{}",
            said.out, said.err
        );
        Self { tag }
    }

    /// Its name.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// One field of what docker knows of the image.
    pub(crate) fn inspect(&self, field: &str) -> serde_json::Value {
        let format = format!("{{{{json {field}}}}}");
        let told = ask_docker(&["image", "inspect", "--format", &format, &self.tag]);
        serde_json::from_str(&told).expect("JSON from docker")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = try_docker(&["image", "rm", "--force", &self.tag]);
    }
}

fn place(from: &Path, to: &Path) {
    let folder = to.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(folder).expect("a folder of the build");
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}
