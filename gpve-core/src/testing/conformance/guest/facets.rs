//! What a live guest can do besides.

use std::collections::BTreeMap;

use super::{Suite, kind};
use crate::error::ErrorKind;
use crate::ports::{AgentExec, ConsoleKind, HotplugChange, RunState};
use crate::types::{DiskBus, DiskSlot};

impl Suite<'_> {
    pub(super) async fn agents_that_are_not_there_fail_fast(&self) {
        let wired = self.fixture.wired(self.vmid).await;
        let has_channel = wired.vm().agent.is_some();
        let live = self.driver.launch(&self.cx, wired).await.expect("a wired guest can be launched");
        assert_eq!(live.agent().is_some(), has_channel, "a guest has the agent facet if its machine has the channel");
        if let Some(agent) = live.agent() {
            // Its processors have not run yet, so that nobody can have opened the channel.
            assert!(!agent.connected(), "no agent is there before the first instruction");
            let exec = AgentExec { command: vec!["true".to_owned()], input: None };
            let answers = [
                kind(agent.ping(&self.cx).await),
                kind(agent.exec(&self.cx, exec).await),
                kind(agent.query(&self.cx, "get-osinfo", BTreeMap::new()).await),
            ];
            assert_eq!(answers, [Some(ErrorKind::Unavailable); 3], "an agent that is not there is unavailable");
        }
        self.end(live).await;
    }

    pub(super) async fn consoles_are_those_of_the_machine(&self) {
        let wired = self.fixture.wired(self.vmid).await;
        let ports: Vec<u8> = wired.vm().serials.keys().copied().collect();
        let live = self.driver.launch(&self.cx, wired).await.expect("a wired guest can be launched");
        if let Some(console) = live.console() {
            for port in 0..4 {
                let opened = console.open(&self.cx, ConsoleKind::Serial(port)).await;
                assert_eq!(opened.is_ok(), ports.contains(&port), "serial port {port} opens if the machine has it");
            }
        }
        self.end(live).await;
    }

    pub(super) async fn hardware_that_cannot_change_is_refused_and_stays(&self) {
        let live = self.launch_and_resume(self.vmid).await;
        if let Some(hotplug) = live.hotplug() {
            let absent = DiskSlot::new(DiskBus::Scsi, 29).expect("a valid slot");
            for change in
                [HotplugChange::RemoveDisk { slot: absent }, HotplugChange::RemoveNic { index: 31.try_into().expect("a valid card") }]
            {
                if hotplug.can(&change) {
                    hotplug.apply(&self.cx, change).await.expect("what is not there is removed already");
                } else {
                    assert!(hotplug.apply(&self.cx, change).await.is_err(), "what cannot be done is refused");
                }
            }
            let limits = HotplugChange::CpuLimits { limit: None, units: None };
            if hotplug.can(&limits) {
                hotplug.apply(&self.cx, limits).await.expect("what can be done is done");
            }
        }
        assert_eq!(self.state(&*live).await, RunState::Running, "a refused change leaves the guest alone");
        self.end(live).await;
    }
}
