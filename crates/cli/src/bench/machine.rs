use detrace_report::Machine;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What this program runs on, as far as the system tells.
pub(crate) fn machine() -> Machine {
    let kinds = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(kinds.with_memory(MemoryRefreshKind::nothing().with_ram())).ok();
    let brand = system.as_ref().and_then(|system| system.cpus().first()).map(|cpu| cpu.brand().trim().to_owned());
    Machine {
        cpu: brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| "unknown CPU".to_owned()),
        cores: System::physical_core_count().ok(),
        logical_cores: std::thread::available_parallelism().map_or(1, usize::from),
        features: features(),
        memory: system.map(|system| system.total_memory() >> 20),
        os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        arch: std::env::consts::ARCH,
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
    }
}

/// Instruction sets that the CPU has and that matter to arithmetic.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt)*) => { [$(($name, std::arch::is_x86_feature_detected!($name))),*] };
    }
    let sets = detected!("sse4.2" "avx" "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vl" "avx512vnni" "avx512bf16");
    sets.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

/// Instruction sets that the CPU has and that matter to arithmetic.
#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt)*) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    let sets = detected!("neon" "fp16" "dotprod" "i8mm" "bf16" "sve");
    sets.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

/// Nothing is known of other architectures.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// Resident memory of this process in MiB, where the system tells.
pub(super) fn resident() -> Option<f64> {
    status("VmRSS:")
}

/// Largest resident memory that this process had, in MiB, where the system tells.
pub(super) fn peak_resident() -> Option<f64> {
    status("VmHWM:")
}

/// A size that Linux tells of this process in KiB.
fn status(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
