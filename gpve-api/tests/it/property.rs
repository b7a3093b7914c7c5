//! key=value texts.
