//! QEMU for gpve: QMP client, typed argument builder, launch, adoption and live control.
