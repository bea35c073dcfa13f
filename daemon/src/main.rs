//! mooringd
fn main() {}
