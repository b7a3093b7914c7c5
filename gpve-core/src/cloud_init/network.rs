//! The network: cloud-init's own form, version 1, and Debian's `interfaces`, which OpenStack's drives carry.

use std::net::Ipv4Addr;

use super::quote::yaml;
use super::{Card, Dns};
use crate::types::{Ip4Setting, Ip6Setting, IpConfig};

/// The addresses of a card: one that says nothing about them asks by DHCP.
pub(super) fn addresses(card: &Card) -> IpConfig {
    let given = card.addresses;
    if given.ip.is_none() && given.ip6.is_none() { IpConfig { ip: Some(Ip4Setting::Dhcp), ..given } } else { given }
}

/// The mask of an IPv4 network.
pub(super) fn mask(length: u8) -> Ipv4Addr {
    let host_bits = 32u32.saturating_sub(length.into());
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

/// Version 1 of cloud-init's network configuration.
pub(super) fn version_1(cards: &[Card], dns: &Dns<'_>) -> String {
    let mut lines = vec!["version: 1".to_owned(), "config:".to_owned()];
    for card in cards {
        lines.push("  - type: physical".to_owned());
        lines.push(format!("    name: eth{}", card.number));
        lines.push(format!("    mac_address: {}", yaml(&card.mac.to_string().to_ascii_lowercase())));
        lines.push("    subnets:".to_owned());
        lines.extend(subnets(&addresses(card)).into_iter().map(|line| format!("      {line}")));
    }
    if !dns.servers.is_empty() || !dns.search.is_empty() {
        lines.push("  - type: nameserver".to_owned());
        for (key, values) in [("address", &dns.servers), ("search", &dns.search)] {
            if !values.is_empty() {
                lines.push(format!("    {key}:"));
                lines.extend(values.iter().map(|value| format!("      - {}", yaml(value))));
            }
        }
    }
    if lines.len() == 2 {
        lines[1].push_str(" []");
    }
    lines.join("\n") + "\n"
}

fn subnets(addresses: &IpConfig) -> Vec<String> {
    let mut lines = Vec::new();
    match addresses.ip {
        None => {}
        Some(Ip4Setting::Dhcp) => lines.push("- type: dhcp4".to_owned()),
        Some(Ip4Setting::Fixed(address, length)) => {
            lines.extend(["- type: static".to_owned(), format!("  address: \"{address}\""), format!("  netmask: \"{}\"", mask(length))]);
            lines.extend(addresses.gateway.map(|gateway| format!("  gateway: \"{gateway}\"")));
        }
    }
    match addresses.ip6 {
        None => {}
        Some(Ip6Setting::Auto) => lines.push("- type: ipv6_slaac".to_owned()),
        Some(Ip6Setting::Dhcp) => lines.push("- type: dhcp6".to_owned()),
        Some(Ip6Setting::Fixed(address, length)) => {
            lines.extend(["- type: static6".to_owned(), format!("  address: \"{address}/{length}\"")]);
            lines.extend(addresses.gateway6.map(|gateway| format!("  gateway: \"{gateway}\"")));
        }
    }
    lines
}

/// Debian's `interfaces`. The hardware address tells which card is meant, to cloud-init and to cloudbase-init.
pub(super) fn interfaces(cards: &[Card], dns: &Dns<'_>) -> String {
    let mut lines = vec!["auto lo".to_owned(), "iface lo inet loopback".to_owned()];
    let named = |key: &str, values: &[&str]| (!values.is_empty()).then(|| format!("        {key} {}", values.join(" ")));
    let mut resolving = vec![named("dns-nameservers", &dns.servers), named("dns-search", &dns.search)];
    for card in cards {
        lines.extend([String::new(), format!("auto eth{}", card.number)]);
        for (family, options) in stanzas(&addresses(card)) {
            lines.push(format!("iface eth{} {family}", card.number));
            lines.push(format!("        hwaddress ether {}", card.mac.to_string().to_ascii_lowercase()));
            lines.extend(options.into_iter().map(|(key, value)| format!("        {key} {value}")));
            // Once is enough, and more would be listed twice.
            lines.extend(resolving.drain(..).flatten());
        }
    }
    lines.join("\n") + "\n"
}

type Stanza = (&'static str, Vec<(&'static str, String)>);

fn stanzas(addresses: &IpConfig) -> Vec<Stanza> {
    let ip4 = addresses.ip.map(|setting| match setting {
        Ip4Setting::Dhcp => ("inet dhcp", Vec::new()),
        Ip4Setting::Fixed(address, length) => {
            let options = [("address", address.to_string()), ("netmask", mask(length).to_string())].into_iter();
            ("inet static", options.chain(addresses.gateway.map(|g| ("gateway", g.to_string()))).collect())
        }
    });
    let ip6 = addresses.ip6.map(|setting| match setting {
        Ip6Setting::Auto => ("inet6 auto", Vec::new()),
        Ip6Setting::Dhcp => ("inet6 dhcp", Vec::new()),
        Ip6Setting::Fixed(address, length) => {
            let options = [("address", address.to_string()), ("netmask", length.to_string())].into_iter();
            ("inet6 static", options.chain(addresses.gateway6.map(|g| ("gateway", g.to_string()))).collect())
        }
    });
    ip4.into_iter().chain(ip6).collect()
}
