//! Storage plugins for gpve; first the directory plugin.
