//! `scripts/gpu-check.sh`, with the program on the CPU and with a stand-in for it whose checks or benchmarks fail.
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use common::checkpoint::Folder;
use common::text;

/// Runs the script into `out`; there is no PyTorch.
fn check(folder: &Folder, program: &str, out: &str) -> Output {
    executable(&folder.with("python3", b"#!/bin/sh\nexit 1\n"));
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a PATH"));
    Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/gpu-check.sh"))
        .args(["--detrace", program, "--device", "cpu", "--quick", "--out", out])
        .env("PATH", path)
        .output()
        .expect("bash")
}

fn executable(path: &str) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

#[test]
fn it_writes_one_json_and_one_table() {
    let folder = Folder::new();
    let out = folder.file("out");
    let run = check(&folder, env!("CARGO_BIN_EXE_detrace"), &out);
    let said = text(&run.stderr);
    assert!(run.status.success() && said.contains("SKIPPED: PyTorch"), "{said}");
    let read = |name: &str| std::fs::read_to_string(format!("{out}/{name}")).expect("written");
    let report: serde_json::Value = serde_json::from_str(&read("gpu-check.json")).expect("JSON");
    assert_eq!((&report["passed"], &report["peers"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(report["doctor"]["networks"][0]["passed"], true);
    let benches = report["bench"].as_array().expect("a list");
    let runs: Vec<_> = benches.iter().map(|bench| (bench["dtype"].as_str(), bench["batch"].as_u64())).collect();
    assert_eq!(runs, [(Some("f16"), Some(1)), (Some("f16"), Some(2)), (Some("f32"), Some(1)), (Some("f32"), Some(2))]);
    let table = read("gpu-check.md");
    assert_eq!((table.lines().count(), &text(&run.stdout)), (6, &table));
    assert!(table.starts_with("| engine | model |") && table.contains("| rtdetr_r18vd | cpu | f16 | 2 |"), "{table}");
}

/// A wrong result is shown and ends with 1; a program that cannot run ends with 2 and leaves no report.
#[test]
fn failures_are_not_lost() {
    for (doctor, bench, code) in [(1, 0, 1), (0, 0, 0), (2, 0, 2), (0, 2, 2)] {
        let folder = Folder::new();
        let (out, program) = (folder.file("out"), folder.file("stand-in"));
        let script = format!(
            "#!/bin/bash\nif [ $1 = doctor ]; then echo '{{}}'; exit {doctor}; fi\nwhile [ $# -gt 1 ]; do\n\
             case $1 in --output) echo '{{}}' >$2 ;; --row) printf 'a\\nb\\nc\\n' >$2 ;; esac\nshift\ndone\nexit {bench}\n"
        );
        std::fs::write(&program, script).expect("written");
        executable(&program);
        let run = check(&folder, &program, &out);
        assert_eq!(run.status.code(), Some(code), "{doctor} {bench}: {}", text(&run.stderr));
        match std::fs::read(format!("{out}/gpu-check.json")) {
            Ok(report) => {
                let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
                assert_eq!((code < 2, &report["passed"]), (true, &(code == 0).into()));
            }
            Err(_) => assert_eq!(code, 2),
        }
    }
}
