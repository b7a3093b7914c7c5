//! Host name, user and keys.

use serde_json::json;

use super::Instance;
use super::quote::yaml;

/// The user data; `password` is the hash, or what stands for it.
pub(super) fn data(instance: &Instance<'_>, password: Option<&str>) -> String {
    let settings = instance.settings;
    let mut lines = vec!["#cloud-config".to_owned(), format!("hostname: {}", yaml(instance.short_name()))];
    lines.push("manage_etc_hosts: true".to_owned());
    lines.extend(instance.full_name().map(|name| format!("fqdn: {}", yaml(&name))));
    let user = settings.user.as_ref().map(|user| user.as_str());
    lines.extend(user.map(|user| format!("user: {}", yaml(user))));
    if user == Some("root") {
        lines.push("disable_root: false".to_owned());
    }
    lines.extend(password.map(|hash| format!("password: {}", yaml(hash))));
    let keys: Vec<String> = instance.keys().map(|key| format!("  - {}", yaml(key))).collect();
    if !keys.is_empty() {
        lines.push("ssh_authorized_keys:".to_owned());
        lines.extend(keys);
    }
    lines.push("chpasswd:\n  expire: false\nusers:\n  - default".to_owned());
    lines.push(format!("package_upgrade: {}", settings.upgrade.unwrap_or(true)));
    lines.join("\n") + "\n"
}

/// OpenStack's metadata. It has no password: the hash is in the user data, and Windows takes none.
pub(super) fn openstack(instance: &Instance<'_>, id: &str) -> String {
    let keys: serde_json::Map<_, _> = (0..).zip(instance.keys()).map(|(n, key): (u32, _)| (format!("key-{n}"), key.into())).collect();
    let mut meta = json!({
        "uuid": id,
        "hostname": instance.full_name().unwrap_or_else(|| instance.host_name.clone()),
        "name": instance.host_name,
        "network_config": {"content_path": "/content/0000"},
    });
    if !keys.is_empty() {
        meta["public_keys"] = keys.into();
    }
    format!("{meta:#}\n")
}
