//! The `detrace` program.

#[global_allocator]
static MEMORY: detrace_kernels::Memory = detrace_kernels::Memory::new();

fn main() -> std::process::ExitCode {
    detrace_cli::main()
}
