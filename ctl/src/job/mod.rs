//! Long operations: hearing of them, following them, showing how far they are, and answering
//! what they ask.

pub mod answer;
pub mod follow;
pub mod signals;
pub mod view;
pub mod watch;
