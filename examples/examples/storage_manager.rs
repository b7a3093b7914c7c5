//! The storage manager alone, without engine or guests: make a disk, take a snapshot, go back to it, clone the disk both ways.
//!
//! `cargo run -p gpve-examples --example storage_manager`; needs `qemu-img` (Debian: `qemu-utils`). Prints:
//!
//! ```text
//! made     demo:100/vm-100-disk-0.qcow2 (1Gi)
//! snapshot ["before-upgrade"]
//! copy     demo:101/vm-101-disk-0.raw (1Gi)
//! base     demo:100/base-100-disk-0.qcow2
//! linked   demo:100/base-100-disk-0.qcow2/102/vm-102-disk-0.qcow2 (1Gi)
//! refused  demo:100/base-100-disk-0.qcow2/102/vm-102-disk-0.qcow2 is a linked clone of it: delete that first
//! left     0 volumes
//! ```
use std::sync::Arc;

use gpve_core::ports::{CloneVolume, CreateVolume, ImportVolume, OpCx, VolumeFilter, VolumeMode};
use gpve_core::types::{ByteSize, DiskFormat, SnapName, Vmid};
use gpve_exec::{System, Tool, Tools};
use gpve_storage::{DirConfig, DirStorage, Manager};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if Tools::system().find(Tool::QEMU_IMG).is_err() {
        println!("SKIP storage_manager: there is no qemu-img");
        return Ok(());
    }
    let work = tempfile::tempdir()?;
    let cx = OpCx::background();
    let manager = Manager::new();
    let config = DirConfig::new("demo".parse()?, work.path());
    manager.register(Arc::new(DirStorage::new(config, Arc::new(System::new(Tools::system())))?))?;
    let storage = manager.get(&"demo".parse()?)?;
    let (owner, copier, cloner): (Vmid, Vmid, Vmid) = ("100".parse()?, "101".parse()?, "102".parse()?);

    let name = storage.free_name(&cx, owner, DiskFormat::Qcow2, &[]).await?;
    let request = CreateVolume { name: name.clone(), owner, format: DiskFormat::Qcow2, size: ByteSize::from_gib(1) };
    let disk = manager.create_volume(&cx, storage.id(), &request).await?.into_inner();
    println!("made     {} ({})", disk.id, disk.size);

    // What a storage can do besides is in facets; one that cannot do a thing has none for it.
    let snapshots = storage.snapshots().ok_or("no snapshots here")?;
    let before: SnapName = "before-upgrade".parse()?;
    snapshots.take(&cx, &name, &before).await?;
    println!("snapshot {:?}", snapshots.list(&cx, &name).await?.iter().map(ToString::to_string).collect::<Vec<_>>());
    snapshots.rollback(&cx, &name, &before).await?;

    // A full clone is an import of the disk as it was at the snapshot, here into another format.
    let source = storage.attach(&cx, &name, VolumeMode::Read).await?;
    let copy = storage.free_name(&cx, copier, DiskFormat::Raw, &[]).await?;
    let request = ImportVolume { source, snapshot: Some(before.clone()), name: copy.clone(), owner: copier, format: DiskFormat::Raw };
    let copied = storage.import().ok_or("no imports here")?.import(&cx, &request).await?.into_inner();
    println!("copy     {} ({})", copied.id, copied.size);
    storage.detach(&cx, &name).await?;

    // A linked clone shares blocks with a base, which nobody writes any more.
    snapshots.delete(&cx, &name, &before).await?;
    let clones = storage.clones().ok_or("no clones here")?;
    let base = clones.make_base(&cx, &name).await?;
    println!("base     {base}");
    let clone = storage.free_name(&cx, cloner, DiskFormat::Qcow2, &[]).await?;
    let request = CloneVolume { source: base.name().clone(), snapshot: None, name: clone, owner: cloner };
    let linked = clones.linked(&cx, &request).await?.into_inner();
    println!("linked   {} ({})", linked.id, linked.size);

    let refused = storage.delete(&cx, base.name()).await.err().ok_or("a base in use was deleted")?;
    println!("refused  {refused}");
    for volume in [linked.id.name(), base.name(), &copy] {
        storage.delete(&cx, volume).await?;
    }
    println!("left     {} volumes", storage.list(&cx, &VolumeFilter::default()).await?.len());
    Ok(())
}
