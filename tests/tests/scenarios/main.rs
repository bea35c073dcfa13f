//! What must not go wrong, tried on the real binaries: deaths, hostile calls, storage that is not
//! what it was, policy that changes under way, and secrets that must not be found anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

mod aftermath;
mod apps;
mod at_once;
mod bundles;
mod calls;
mod continuous;
mod copies;
mod deaths;
mod deletions;
mod descriptors;
mod devices;
mod disk;
mod exits;
mod fence;
mod forgetting;
mod gone_before;
mod hostile;
mod hostile_sign_in;
mod ignoring;
mod kills;
mod moves;
mod passwords;
mod policy;
mod secrets;
mod sign_out;
mod storage;
mod terms;
mod versions;
