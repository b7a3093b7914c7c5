//! QEMU as a driver of guests: command line, launch, adoption, live control.

pub mod argv;
