//! The only place in gpve that starts a program: typed invocations, fixed tool directories, deadlines, transcripts.
