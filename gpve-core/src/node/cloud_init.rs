//! What sagas do about cloud-init drives.

use super::env::Env;
use crate::cloud_init::{CUSTOM_FILE_MAX, CustomFiles, Instance};
use crate::error::{Error, Result};
use crate::ports::{CreateVolume, OpCx};
use crate::types::{DiskFormat, DiskSlot, DiskSource, GuestName, VmSpec, VolumeId};

/// Writes the guest's cloud-init drive as `spec` asks, and makes its volume first if that is gone (a snapshot keeps none).
/// Which it is; none if `spec` has no such drive. Repeating it is harmless.
pub(crate) async fn write(env: &Env, cx: &OpCx, spec: &VmSpec, name: Option<&GuestName>) -> Result<Option<DiskSlot>> {
    let Some((slot, volume)) = spec.cloud_init_drive(env.vmid()) else { return Ok(None) };
    let host = env.dns().await;
    let instance = Instance::of(env.vmid(), name, spec, &host);
    let image = instance.drive(&custom(env, cx, spec).await?).image()?;
    let plugin = env.storage(volume.storage())?;
    let unable = || Error::unsupported("cloud-init", format!("storage '{}' cannot hold cloud-init drives", volume.storage())).on(volume);
    let contents = plugin.contents().ok_or_else(unable)?;
    if plugin.get(cx, volume.name()).await?.is_none() {
        let format = volume.name().as_str().rsplit_once('.').and_then(|(_, format)| format.parse().ok()).unwrap_or(DiskFormat::Raw);
        let request = CreateVolume { name: volume.name().clone(), owner: env.vmid(), format, size: DiskSource::CLOUD_INIT_SIZE };
        plugin.create(cx, &request).await?;
    }
    contents.write(cx, volume.name(), image.into()).await?;
    cx.log(format!("wrote the cloud-init drive '{volume}' ({})", instance.kind()));
    Ok(Some(slot))
}

async fn custom(env: &Env, cx: &OpCx, spec: &VmSpec) -> Result<CustomFiles> {
    let files = &spec.cloud_init.files;
    Ok(CustomFiles {
        meta: file(env, cx, files.meta.as_ref()).await?,
        network: file(env, cx, files.network.as_ref()).await?,
        user: file(env, cx, files.user.as_ref()).await?,
        vendor: file(env, cx, files.vendor.as_ref()).await?,
    })
}

async fn file(env: &Env, cx: &OpCx, volume: Option<&VolumeId>) -> Result<Option<Vec<u8>>> {
    let Some(volume) = volume else { return Ok(None) };
    if !volume.name().as_str().starts_with("snippets/") {
        return Err(Error::field("cloud-init", "cicustom", format!("'{volume}' is no snippet (STORAGE:snippets/NAME)")));
    }
    let unable = || Error::unsupported("cloud-init", format!("storage '{}' cannot read snippets", volume.storage())).on(volume);
    let contents = env.storage(volume.storage())?.contents().ok_or_else(unable)?;
    Ok(Some(contents.read(cx, volume.name(), CUSTOM_FILE_MAX).await?.to_vec()))
}
