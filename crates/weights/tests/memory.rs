//! What a hostile file can make the reader allocate, measured: one test, alone in its process.
#![cfg(target_os = "linux")]

use std::io::Write;

use detrace_weights::Checkpoint;

/// The most memory that this process ever had in use, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

#[test]
fn no_file_takes_more_than_the_stated_memory() {
    const STATED: u64 = 200 << 20;
    let start = peak();
    let count = 1 << 19;
    let mut directory = b"PK\x03\x04".to_vec();
    let entries = 65_000_u16;
    for name in 0..entries {
        directory.extend_from_slice(b"PK\x01\x02\x14\0\x14\0");
        directory.extend_from_slice(&[0; 20]);
        directory.extend_from_slice(&4_u16.to_le_bytes());
        directory.extend_from_slice(&[0; 16]);
        directory.extend_from_slice(format!("{name:04x}").as_bytes());
    }
    let bytes = u32::try_from(directory.len() - 4).expect("small");
    directory.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    directory.extend_from_slice(&[entries.to_le_bytes(), entries.to_le_bytes()].concat());
    directory.extend_from_slice(&bytes.to_le_bytes());
    directory.extend_from_slice(b"\x04\0\0\0\0\0");
    let tensor = |at: u32| format!("\"{at:x}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let header = format!("{{{}}}", (0..70_000).map(tensor).collect::<Vec<_>>().join(","));
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    for (what, bytes) in [
        ("tuples", [b"\x80\x04", &b")".repeat(count)[..]].concat()),
        ("lists", [b"\x80\x04", &b"]".repeat(count)[..]].concat()),
        ("memo", [b"\x80\x04N", &b"\x94".repeat(count)[..]].concat()),
        ("marks", [b"\x80\x04", &b"(".repeat(count)[..]].concat()),
        ("calls", [b"\x80\x04", &b"ctorch\nSize\n)R".repeat(count / 3)[..]].concat()),
        ("wide tuples", [b"\x80\x04)q\0", &b"h\0h\0h\0\x87".repeat(count / 4)[..]].concat()),
        ("a dictionary", [b"\x80\x04}(", &b"NN".repeat(count / 2)[..], b"u."].concat()),
        ("singletons", [b"\x80\x04", &b"N\x85".repeat(count / 2)[..]].concat()),
        ("a zip directory", directory),
        ("a safetensors header", safetensors),
        ("declared text", b"\x80\x04X\xff\xff\xff\xff".to_vec()),
    ] {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&bytes).expect("written");
        drop(bytes);
        let outcome = Checkpoint::open(file.path());
        let grown = peak().saturating_sub(start);
        assert!(grown < STATED, "{what}: {grown} bytes");
        assert!(outcome.is_err() || what == "a safetensors header", "{what}: {outcome:?}");
    }
}
