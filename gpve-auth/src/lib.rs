//! Identity for gpve: passwords, tickets, API tokens and privilege checks; pure decisions.
