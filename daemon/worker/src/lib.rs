//! The worker of Mooring: looks at one person's files, syncs, verifies and removes them.

pub mod files;
