//! The `detrace` program.

fn main() -> std::process::ExitCode {
    detrace_cli::main()
}
