//! key=value texts of every form: what is accepted prints to a text that is accepted again, as the same; a guest's whole
//! configuration reads back as it was written.
#![no_main]

use gpve_api::pve2::config::VmConfig;
use gpve_api::pve2::property::PropertyString;
use gpve_api::route::Kind;
use gpve_api::routes::vm_options;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for param in vm_options() {
        let Kind::Property(format) = param.kind else { continue };
        if let Ok(parsed) = PropertyString::parse(format, text) {
            let shown = parsed.to_string();
            assert_eq!(
                PropertyString::parse(format, &shown).ok().as_ref(),
                Some(&parsed),
                "{}: {text:?} is shown as {shown:?}",
                param.name
            );
        }
    }
    let mut config = VmConfig::default();
    for line in text.lines() {
        if let Some((key, value)) = line.split_once(": ") {
            config.set(key, value);
        }
    }
    if let Ok(definition) = config.define() {
        let _ = VmConfig::of(&definition).define();
    }
});
