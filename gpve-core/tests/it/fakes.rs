//! The host in memory: its adapters pass the suites of their ports, and it fails as it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::{
    AgentExec, AttachedPort, AttachedVolume, ConsoleKind, CreateVolume, Exit, GuestDriver, HotplugChange, Live, LiveEvent, NetworkBackend,
    OpCx, PortId, PortRequest, Prepared, RunState, StoragePlugin, VolumeAccess, VolumeMode, Wired,
};
use gpve_core::testing::conformance::{self, GuestFixture, HooksFixture, NetworkFixture, StorageFixture, VolumeBytes};
use gpve_core::testing::mem::{Acpi, Boot, Fault, MemHooks, MemHost, MemNetwork, MemQemu, MemStorage, Script};
use gpve_core::types::{AgentSpec, ByteSize, DiskFormat, DiskSlot, MacAddr, NicIndex, ResolvedVm, SerialPort, VmSpec, Vmid, VolumeId};
use tokio::time::Instant;

fn vmid(n: u32) -> Vmid {
    n.try_into().unwrap()
}

fn slot(name: &str) -> DiskSlot {
    name.parse().unwrap()
}

fn cx() -> OpCx {
    OpCx::background()
}

/// Hands on the bytes of volumes in memory.
struct HostBytes(MemHost);

impl HostBytes {
    fn id(access: &VolumeAccess) -> &VolumeId {
        match access {
            VolumeAccess::Memory { volume, .. } => volume,
            other => panic!("not in memory: {other:?}"),
        }
    }
}

#[async_trait]
impl VolumeBytes for HostBytes {
    async fn write(&self, access: &VolumeAccess, offset: u64, bytes: &[u8]) {
        self.0.write(Self::id(access), offset, bytes).unwrap();
    }

    async fn read(&self, access: &VolumeAccess, offset: u64, len: usize) -> Vec<u8> {
        self.0.read(Self::id(access), offset, len).unwrap()
    }
}

fn resolved(vmid: Vmid, change: impl FnOnce(&mut VmSpec)) -> ResolvedVm {
    let mut spec = VmSpec::of("64Mi".parse().unwrap());
    spec.agent = Some(AgentSpec::default());
    spec.serials.insert(0, SerialPort::Socket);
    change(&mut spec);
    spec.resolve(vmid, None).unwrap()
}

fn bare(vmid: Vmid) -> Wired {
    Prepared::new(resolved(vmid, |_| {})).wire(BTreeMap::new(), BTreeMap::new()).unwrap()
}

/// A guest with a disk in scsi0 and a card, everything attached.
async fn furnished(host: &MemHost, storage: &MemStorage, vmid: Vmid) -> Wired {
    let name = storage.free_name(&cx(), vmid, DiskFormat::Qcow2, &[]).await.unwrap();
    let size = ByteSize::from_mib(8);
    let disk = CreateVolume { name, owner: vmid, format: DiskFormat::Qcow2, size };
    let volume = storage.create(&cx(), &disk).await.unwrap().into_inner();
    let access = storage.attach(&cx(), volume.id.name(), VolumeMode::Write).await.unwrap();
    let nic = NicIndex::try_from(0).unwrap();
    let mac = MacAddr::local([0, 0, 1]);
    let id = PortId { vmid, nic };
    let bridge = Some("vmbr0".parse().unwrap());
    let request = PortRequest { id, bridge, mac, vlan: None, trunks: vec![], mtu: None, queues: 0 };
    let port = MemNetwork::new(host.clone()).attach(&cx(), &request).await.unwrap().into_inner();
    let vm = resolved(vmid, |spec| {
        let json = serde_json::json!({ "name": "scsi0", "source": { "volume": { "volume": volume.id } } });
        spec.disks.insert(slot("scsi0"), serde_json::from_value(json).unwrap());
        let json = serde_json::json!({ "name": "net0", "macAddress": mac, "bridge": "vmbr0" });
        spec.networks.insert(nic, serde_json::from_value(json).unwrap());
    });
    let volumes = [(slot("scsi0"), AttachedVolume { volume: volume.id, access })].into();
    Prepared::new(vm).wire(volumes, [(nic, AttachedPort { port })].into()).unwrap()
}

async fn running(host: &MemHost, vmid: Vmid) -> Box<dyn Live> {
    let live = MemQemu::new(host.clone()).launch(&cx(), bare(vmid)).await.unwrap();
    live.resume(&cx()).await.unwrap();
    live
}

fn storage(host: &MemHost) -> MemStorage {
    MemStorage::new(host.clone(), "local".parse().unwrap())
}

#[tokio::test]
async fn the_storage_in_memory_keeps_the_promises_of_its_port() {
    let host = MemHost::default();
    host.add_file("/srv/image.raw", &[7; 5000]);
    let access = VolumeAccess::File { path: "/srv/image.raw".into(), format: DiskFormat::Raw, read_only: true, backing: Vec::new() };
    let fixture = StorageFixture { image: Some((access, vec![7; 5000])), ..StorageFixture::new(HostBytes(host.clone())) };
    conformance::storage(&storage(&host), fixture).await;
}

#[tokio::test]
async fn the_network_in_memory_keeps_the_promises_of_its_port() {
    let backend = MemNetwork::new(MemHost::default());
    conformance::network(&backend, NetworkFixture::new(Some("vmbr0".parse().unwrap()))).await;
}

struct Bare {
    host: MemHost,
    acpi: Acpi,
}

#[async_trait]
impl GuestFixture for Bare {
    async fn wired(&self, vmid: Vmid) -> Wired {
        self.host.script(vmid, Script { acpi: self.acpi, ..Script::default() });
        bare(vmid)
    }

    fn restarted(&self) -> Box<dyn GuestDriver> {
        Box::new(MemQemu::new(self.host.clone()))
    }

    fn obeys_power_button(&self) -> bool {
        self.acpi == Acpi::Obeys
    }
}

#[tokio::test]
async fn the_hypervisor_in_memory_keeps_the_promises_of_its_port() {
    for acpi in [Acpi::Obeys, Acpi::Ignores] {
        let host = MemHost::default();
        let before = host.dump();
        let fixture = Bare { host: host.clone(), acpi };
        conformance::guest(&MemQemu::new(host.clone()), &fixture).await;
        assert_eq!(host.dump(), before);
    }
}

#[tokio::test]
async fn the_nth_effect_fails_and_only_that_one() {
    let host = MemHost::default();
    let storage = storage(&host);
    host.fail_at(2, Fault::Fail(Error::new(ErrorKind::Unavailable, "test", "the disk is on fire")));
    let create = async |n: u32| {
        let name = format!("100/vm-100-disk-{n}.raw").parse().unwrap();
        let request = CreateVolume { name, owner: vmid(100), format: DiskFormat::Raw, size: ByteSize::from_mib(1) };
        storage.create(&cx(), &request).await
    };
    assert!(create(0).await.is_ok());
    let before = host.dump();
    assert_eq!(create(1).await.unwrap_err().message, "the disk is on fire");
    assert_eq!(host.dump(), before, "a failed effect has done nothing");
    assert!(create(1).await.is_ok());
    assert_eq!(host.journal().last().unwrap(), "volume.create local:100/vm-100-disk-1.raw");
    assert_eq!(host.effects(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_effect_ends_with_its_deadline_and_has_done_nothing() {
    let host = MemHost::default();
    let before = host.dump();
    host.fail_on("guest.launch", Fault::Hang);
    let late = cx().within(Duration::from_secs(5));
    let error = MemQemu::new(host.clone()).launch(&late, bare(vmid(100))).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(host.dump(), before);
}

#[tokio::test]
async fn a_crash_stops_the_daemon_before_or_after_the_effect_and_the_host_goes_on() {
    for (fault, launched) in [(Fault::CrashBefore, 0), (Fault::CrashAfter, 1)] {
        let host = MemHost::default();
        host.fail_at(1, fault);
        let daemon = tokio::spawn({
            let host = host.clone();
            async move { MemQemu::new(host).launch(&cx(), bare(vmid(100))).await.is_ok() }
        });
        host.crashed().await;
        assert!(!daemon.is_finished(), "a dead daemon hears of nothing");
        daemon.abort();
        host.recover();
        let strays = MemQemu::new(host.clone()).strays(&cx(), &[]).await.unwrap();
        assert_eq!((strays.len(), host.guest_count()), (launched, launched));
    }
}

#[tokio::test]
async fn a_guest_needs_its_volumes_attached_and_its_ports_made() {
    let (host, vmid) = (MemHost::default(), vmid(100));
    let storage = storage(&host);
    let wired = furnished(&host, &storage, vmid).await;
    let disk = wired.volumes()[&slot("scsi0")].volume.clone();
    let qemu = MemQemu::new(host.clone());

    storage.detach(&cx(), disk.name()).await.unwrap();
    assert_eq!(qemu.launch(&cx(), wired.clone()).await.err().unwrap().kind, ErrorKind::FailedPrecondition);
    storage.attach(&cx(), disk.name(), VolumeMode::Write).await.unwrap();
    let live = qemu.launch(&cx(), wired).await.unwrap();
    assert_eq!(storage.delete(&cx(), disk.name()).await.unwrap_err().kind, ErrorKind::FailedPrecondition, "it is in use");
    live.kill(&cx()).await.unwrap();
    storage.delete(&cx(), disk.name()).await.unwrap();
}

#[tokio::test]
async fn a_live_snapshot_keeps_the_bytes_of_its_moment() {
    let (host, vmid) = (MemHost::default(), vmid(100));
    let storage = storage(&host);
    let live = MemQemu::new(host.clone()).launch(&cx(), furnished(&host, &storage, vmid).await).await.unwrap();
    live.resume(&cx()).await.unwrap();
    let guest = host.guest(vmid).unwrap();
    let disk = host.guest(vmid).unwrap().hardware().disks[&slot("scsi0")].volume.clone().unwrap();
    let (snapshots, name) = (live.snapshots().unwrap(), "before".parse().unwrap());
    assert!(snapshots.covers(&[slot("scsi0")]) && !snapshots.covers(&[slot("scsi5")]));
    guest.write(slot("scsi0"), 0, b"then").unwrap();
    snapshots.take(&cx(), &name, &[slot("scsi0")]).await.unwrap();
    guest.write(slot("scsi0"), 0, b"now!").unwrap();
    assert!(snapshots.take(&cx(), &name, &[slot("scsi0"), slot("scsi5")]).await.is_err(), "all or none");

    let store = storage.snapshots().unwrap();
    assert!(store.rollback(&cx(), disk.name(), &name).await.is_err(), "a running guest has the disk open");
    live.kill(&cx()).await.unwrap();
    store.rollback(&cx(), disk.name(), &name).await.unwrap();
    assert_eq!(host.read(&disk, 0, 4).unwrap(), b"then");
}

#[tokio::test]
async fn hardware_changes_are_seen_in_the_guest() {
    let (host, vmid) = (MemHost::default(), vmid(100));
    let storage = storage(&host);
    let live = MemQemu::new(host.clone()).launch(&cx(), furnished(&host, &storage, vmid).await).await.unwrap();
    live.resume(&cx()).await.unwrap();
    let (guest, hotplug, nic) = (host.guest(vmid).unwrap(), live.hotplug().unwrap(), NicIndex::try_from(0).unwrap());
    let apply = async |change| hotplug.apply(&cx(), change).await.unwrap();

    assert!(guest.link_up(nic));
    apply(HotplugChange::SetLink { index: nic, up: false }).await;
    assert!(!guest.link_up(nic));
    apply(HotplugChange::Balloon { target: "32Mi".parse().unwrap() }).await;
    apply(HotplugChange::CpuLimits { limit: Some("1.5".parse().unwrap()), units: Some(512) }).await;
    let (limits, memory) = guest.limits();
    assert_eq!((limits.cpu_milli, limits.cpu_units, memory.get()), (Some(1500), Some(512), 32));
    apply(HotplugChange::ResizeDisk { slot: slot("scsi0"), size: ByteSize::from_mib(16) }).await;
    let disk = guest.hardware().disks[&slot("scsi0")].volume.clone().unwrap();
    assert_eq!(storage.get(&cx(), disk.name()).await.unwrap().unwrap().size, ByteSize::from_mib(16));
    apply(HotplugChange::RemoveNic { index: nic }).await;
    apply(HotplugChange::RemoveDisk { slot: slot("scsi0") }).await;
    assert!(guest.hardware().disks.is_empty() && guest.hardware().networks.is_empty());
}

#[tokio::test]
async fn a_script_decides_how_a_guest_boots() {
    let host = MemHost::default();
    host.script(vmid(100), Script { boot: Boot::Panics, ..Script::default() });
    host.script(vmid(101), Script { boot: Boot::PowersOff, ..Script::default() });
    let panicked = running(&host, vmid(100)).await;
    assert_eq!(panicked.observe(&cx()).await.unwrap().state, RunState::Panicked);
    assert!(panicked.resume(&cx()).await.is_err());
    panicked.reset(&cx()).await.unwrap();
    assert_eq!(panicked.observe(&cx()).await.unwrap().state, RunState::Running);
    assert_eq!(running(&host, vmid(101)).await.wait().await, Exit::GuestPoweroff);
}

#[tokio::test]
async fn what_a_guest_does_by_itself_is_told() {
    let host = MemHost::default();
    let live = running(&host, vmid(100)).await;
    let (mut events, guest) = (live.events(), host.guest(vmid(100)).unwrap());
    guest.reset();
    guest.set_agent(false);
    guest.io_error();
    live.resume(&cx()).await.unwrap();
    guest.panic();
    guest.crash("signal 11");
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(event);
    }
    let expected = [
        LiveEvent::Reset,
        LiveEvent::AgentConnected(false),
        LiveEvent::State(RunState::IoError),
        LiveEvent::State(RunState::Running),
        LiveEvent::State(RunState::Panicked),
        LiveEvent::Panicked,
    ];
    assert_eq!(told, expected);
    assert_eq!(live.wait().await, Exit::Crashed("signal 11".to_owned()));
    assert!(host.guest(vmid(100)).is_none());
}

#[tokio::test]
async fn a_paused_guest_answers_its_power_button_when_it_runs_again() {
    let host = MemHost::default();
    let live = running(&host, vmid(100)).await;
    live.pause(&cx()).await.unwrap();
    live.request_shutdown(&cx()).await.unwrap();
    assert_eq!(live.observe(&cx()).await.unwrap().state, RunState::Paused);
    live.resume(&cx()).await.unwrap();
    assert_eq!(live.wait().await, Exit::GuestPoweroff);
}

#[tokio::test]
async fn the_agent_runs_programs_and_is_away_while_the_guest_is_paused() {
    let host = MemHost::default();
    let live = running(&host, vmid(100)).await;
    let agent = live.agent().unwrap();
    agent.ping(&cx()).await.unwrap();
    let exec = AgentExec { command: vec!["echo".to_owned(), "hello".to_owned()], input: None };
    let pid = agent.exec(&cx(), exec).await.unwrap();
    let status = agent.exec_status(&cx(), pid).await.unwrap();
    assert_eq!((status.exit_code, status.out_data.as_slice()), (Some(0), b"hello\n".as_slice()));
    assert!(agent.query(&cx(), "get-osinfo", BTreeMap::new()).await.unwrap()["name"].is_string());
    assert_eq!(agent.query(&cx(), "no-such", BTreeMap::new()).await.unwrap_err().kind, ErrorKind::Unsupported);
    live.pause(&cx()).await.unwrap();
    assert_eq!(agent.ping(&cx()).await.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_console_shows_what_was_written_before_and_carries_what_is_typed() {
    let host = MemHost::default();
    let live = running(&host, vmid(100)).await;
    let guest = host.guest(vmid(100)).unwrap();
    let mut console = live.console().unwrap().open(&cx(), ConsoleKind::Serial(0)).await.unwrap();
    let kept = console.read().await.unwrap().unwrap();
    assert!(kept.ends_with(b"login: "), "{kept:?}");
    console.write("root\n".into()).await.unwrap();
    assert_eq!(console.read().await.unwrap().unwrap(), "root\n", "the terminal echoes");
    assert_eq!(guest.typed(0), b"root\n");
    guest.print(0, "welcome");
    assert_eq!(console.read().await.unwrap().unwrap(), "welcome");
    guest.power_off();
    assert_eq!(console.read().await.unwrap(), None, "the line ends with the guest");
}

#[tokio::test]
async fn a_power_cut_takes_guests_and_ports_and_leaves_volumes() {
    let (host, vmid) = (MemHost::default(), vmid(100));
    let storage = storage(&host);
    let live = MemQemu::new(host.clone()).launch(&cx(), furnished(&host, &storage, vmid).await).await.unwrap();
    let record = live.record().clone();
    host.reboot();
    assert!(matches!(live.wait().await, Exit::Crashed(_)));
    assert!(MemQemu::new(host.clone()).adopt(&cx(), &record).await.unwrap().is_none());
    let left = host.dump();
    assert_eq!(left.lines().len(), 1, "{left}");
    assert!(left.lines()[0].starts_with("volume local:100/vm-100-disk-0.qcow2") && left.lines()[0].contains("attached None"), "{left}");
}

#[tokio::test]
async fn a_storage_that_is_full_or_silent_says_so() {
    let host = MemHost::default();
    let small = storage(&host).with_capacity(ByteSize::from_mib(1));
    let request = CreateVolume {
        name: "100/vm-100-disk-0.qcow2".parse().unwrap(),
        owner: vmid(100),
        format: DiskFormat::Qcow2,
        size: ByteSize::from_mib(2),
    };
    assert_eq!(small.create(&cx(), &request).await.unwrap_err().kind, ErrorKind::ResourceExhausted);
    host.set_storage_online(small.id(), false);
    assert!(!small.status(&cx()).await.unwrap().active, "a silent storage is no error");
    assert_eq!(small.create(&cx(), &request).await.unwrap_err().kind, ErrorKind::Unavailable);
    host.set_storage_online(small.id(), true);
    assert!(small.status(&cx()).await.unwrap().active);
}

#[tokio::test]
async fn five_thousand_guests_are_launched_observed_and_ended_in_seconds() {
    let (host, start) = (MemHost::default(), Instant::now());
    let qemu = MemQemu::new(host.clone());
    let mut lives = Vec::new();
    for n in 0..5000 {
        let live = qemu.launch(&cx(), bare(vmid(100 + n))).await.unwrap();
        live.resume(&cx()).await.unwrap();
        lives.push(live);
    }
    let launched = start.elapsed();
    for live in &lives {
        assert_eq!(live.observe(&cx()).await.unwrap().state, RunState::Running);
    }
    let observed = start.elapsed();
    for live in &lives {
        live.kill(&cx()).await.unwrap();
    }
    println!("5,000 guests: launched in {launched:?}, observed in {:?}, all in {:?}", observed - launched, start.elapsed());
    assert_eq!(host.guest_count(), 0);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// Scripts in memory do what their names say.
struct Named;

#[async_trait]
impl HooksFixture for Named {
    async fn ends(&self, status: i32) -> (VolumeId, VolumeAccess) {
        named(&format!("ends-{status}"))
    }

    async fn hangs(&self) -> (VolumeId, VolumeAccess) {
        named("hangs")
    }
}

fn named(name: &str) -> (VolumeId, VolumeAccess) {
    let volume: VolumeId = format!("local:snippets/{name}").parse().unwrap();
    (volume.clone(), VolumeAccess::Memory { volume, format: DiskFormat::Raw })
}

#[tokio::test]
async fn scripts_in_memory_keep_the_promises_of_the_port() {
    conformance::hooks(&MemHooks::new(), &Named).await;
}
