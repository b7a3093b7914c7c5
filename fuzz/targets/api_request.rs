//! Paths, credentials and bodies of requests: refused or accepted, never anything else.
#![no_main]

use gpve_api::pve2::credentials;
use gpve_api::pve2::request::{BodyKind, decode};
use gpve_api::route::Dialect;
use gpve_api::routes::router;
use gpve_api::v1::VmDocument;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (path, rest) = text.split_once('\n').unwrap_or((&text, ""));
    for dialect in [Dialect::Pve2, Dialect::V1] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let Ok(matched) = router(dialect).find(method, path) else { continue };
            for kind in [BodyKind::Form, BodyKind::Json] {
                if let Ok(given) = decode(None, kind, rest.as_bytes()) {
                    let _ = matched.validate(given);
                }
            }
        }
    }
    let _ = credentials(Some(&text), Some(&text));
    let _ = VmDocument::parse(data);
});
