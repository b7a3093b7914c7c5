//! Network backends for gpve: Linux bridge and tap through netlink.
