//! Wire dialects of gpve: the route table, Proxmox-compatible and native types, error tables and the client.
