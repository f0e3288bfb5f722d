//! What several integration tests need.
#![allow(dead_code)] // each test file uses its part

use std::process::Output;

use assert_cmd::Command;

pub(crate) mod checkpoint;
pub(crate) mod fixture;

/// Runs the program.
pub(crate) fn detrace(args: &[&str]) -> Output {
    Command::cargo_bin("detrace").expect("the program").args(args).output().expect("runs")
}

/// Standard output of the program, which must end with exit code 0.
pub(crate) fn done(args: &[&str]) -> String {
    let output = detrace(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Text that a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Exit code 2, nothing on standard output, and a message that holds every one of `parts`.
pub(crate) fn refused(args: &[&str], parts: &[&str]) {
    let output = detrace(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?} printed something");
    for part in parts {
        assert!(message.contains(part), "{args:?}: {message:?} does not say {part:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}
