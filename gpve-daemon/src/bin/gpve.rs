//! One binary, many names: `gpve-server`, `gpve-agent`, `gpvectl`. See `gpve_daemon::program`.

fn main() -> std::process::ExitCode {
    gpve_daemon::program::main()
}
