//! Display adapter, console and sound of a virtual machine.

use serde::{Deserialize, Serialize};

use super::disk::words;

words!(
    /// Model of the display adapter.
    Vga, "display",
    "one of std, cirrus, vmware, qxl, qxl2, qxl3, qxl4, virtio, virtio-gl, serial0, serial1, serial2, serial3, none", {
        /// Standard VGA.
        Std = "std",
        /// Cirrus.
        Cirrus = "cirrus",
        /// VMware SVGA.
        Vmware = "vmware",
        /// QXL.
        Qxl = "qxl",
        /// QXL with two screens.
        Qxl2 = "qxl2",
        /// QXL with three screens.
        Qxl3 = "qxl3",
        /// QXL with four screens.
        Qxl4 = "qxl4",
        /// virtio-gpu.
        Virtio = "virtio",
        /// virtio-gpu with OpenGL.
        VirtioGl = "virtio-gl",
        /// No adapter; the console is serial port 0.
        Serial0 = "serial0",
        /// No adapter; the console is serial port 1.
        Serial1 = "serial1",
        /// No adapter; the console is serial port 2.
        Serial2 = "serial2",
        /// No adapter; the console is serial port 3.
        Serial3 = "serial3",
        /// No adapter.
        None = "none",
    }
);

impl Vga {
    /// Screens of a QXL adapter; none for other models.
    pub const fn qxl_screens(self) -> Option<u8> {
        match self {
            Self::Qxl => Some(1),
            Self::Qxl2 => Some(2),
            Self::Qxl3 => Some(3),
            Self::Qxl4 => Some(4),
            _ => None,
        }
    }

    /// The serial port that is the console instead of an adapter.
    pub const fn serial_port(self) -> Option<u8> {
        match self {
            Self::Serial0 => Some(0),
            Self::Serial1 => Some(1),
            Self::Serial2 => Some(2),
            Self::Serial3 => Some(3),
            _ => None,
        }
    }
}

words!(
    /// Clipboard shared between guest and console.
    Clipboard, "clipboard", "vnc", {
        /// Through VNC.
        Vnc = "vnc",
    }
);

words!(
    /// When SPICE sends moving pictures as video.
    VideoStreaming, "video streaming", "one of off, all, filter", {
        /// Never.
        Off = "off",
        /// Always where it is detected.
        All = "all",
        /// Where a filter finds it worth it.
        Filter = "filter",
    }
);

/// Extras of a SPICE console.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SpiceSpec {
    /// A folder of the viewer is shared with the guest; absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder_sharing: Option<bool>,
    /// Video streams; absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_streaming: Option<VideoStreaming>,
}

words!(
    /// Model of the sound card.
    AudioDevice, "sound card", "one of ich9-intel-hda, intel-hda, AC97", {
        /// Intel HD Audio of q35 boards.
        Ich9IntelHda = "ich9-intel-hda",
        /// Intel HD Audio.
        IntelHda = "intel-hda",
        /// AC97.
        Ac97 = "AC97",
    }
);

words!(
    /// Where sound goes.
    AudioDriver, "audio driver", "one of spice, none", {
        /// To the SPICE viewer.
        Spice = "spice",
        /// Nowhere.
        None = "none",
    }
);

/// The sound card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AudioSpec {
    /// Model.
    pub device: AudioDevice,
    /// Where sound goes; absent: SPICE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<AudioDriver>,
}
