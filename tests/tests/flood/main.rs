//! Clients that mean no good, or are only broken, on the real binaries: floods, clients that vanish
//! or never read, descriptors without end. Whatever they do, another client's call is answered, and
//! memory, descriptors and the journal stay within their bounds. What is measured is printed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod client;
mod descriptors;
mod jobs;
mod measure;
