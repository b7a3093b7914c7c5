//! The ready-made gpve server, agent and command line.
