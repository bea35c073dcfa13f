//! mooringctl
fn main() {}
