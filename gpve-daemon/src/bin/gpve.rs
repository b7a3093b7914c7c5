//! One binary, many names: `gpve-server`, `gpve-agent`, `gpvectl`.
fn main() {}
