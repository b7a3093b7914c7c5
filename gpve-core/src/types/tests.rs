//! The vocabulary keeps its promises.

mod patch;
mod quantity;
mod spec;
mod text;
