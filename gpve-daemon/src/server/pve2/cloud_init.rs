//! What cloud-init reads in a guest.

use gpve_api::pve2::config::{Definition, cloud_init_pending};
use gpve_api::pve2::{Failure, Reply};
use gpve_core::cloud_init::Part;
use gpve_core::control::UpdateGuest;

use super::guest::find;
use super::{Answered, Ctx, nothing};

pub(super) fn pending(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let (asked, running) = (Definition::from(guest.as_ref()), Definition::running(&guest));
    Ok(Reply::data(&cloud_init_pending(&asked, running.as_ref())))
}

pub(super) async fn update(cx: &Ctx<'_>) -> Answered {
    find(cx)?;
    let update = UpdateGuest { refresh_cloud_init: true, wait: true, ..UpdateGuest::default() };
    cx.app.plane.update(&cx.call, cx.vmid()?, update).await.map_err(|e| Failure::from(&e))?;
    nothing()
}

pub(super) fn dump(cx: &Ctx<'_>) -> Answered {
    find(cx)?;
    let part = match cx.params.text("type") {
        Some("network") => Part::Network,
        Some("meta") => Part::Meta,
        _ => Part::User,
    };
    let text = cx.app.plane.cloud_init(cx.vmid()?, part).map_err(|e| Failure::from(&e))?;
    Ok(Reply::data(&text))
}
