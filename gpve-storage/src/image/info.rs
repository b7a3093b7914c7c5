use serde::Deserialize;

/// What `qemu-img info --output=json` says, as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    /// Size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
    /// The format it was opened as.
    pub format: String,
    /// Space it takes, in bytes.
    #[serde(default)]
    pub actual_size: u64,
    /// The backing file's name as it stands in the image.
    #[serde(default)]
    pub backing_filename: Option<String>,
    /// Its format, if the image says.
    #[serde(default)]
    pub backing_filename_format: Option<String>,
    /// Internal snapshots.
    #[serde(default)]
    pub snapshots: Vec<InfoSnapshot>,
    #[serde(default)]
    format_specific: Option<FormatSpecific>,
}

/// An internal snapshot as `qemu-img` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InfoSnapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, seconds since the epoch.
    pub date_sec: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct FormatSpecific {
    #[serde(default)]
    data: FormatData,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FormatData {
    #[serde(default)]
    data_file: Option<String>,
    #[serde(default)]
    extents: Vec<Extent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Extent {
    filename: String,
}

impl ImageInfo {
    /// Names of other files the image's data lies in: a qcow2 data file, vmdk extents that are not `own_name`.
    pub fn foreign_data(&self, own_name: &str) -> Vec<&str> {
        let Some(FormatSpecific { data }) = &self.format_specific else { return Vec::new() };
        let extents = data.extents.iter().map(|extent| extent.filename.as_str()).filter(|name| *name != own_name);
        data.data_file.as_deref().into_iter().chain(extents).collect()
    }
}

/// Reads the output of `qemu-img info --output=json`.
///
/// # Errors
/// When it is not the JSON that `qemu-img` prints.
pub fn parse_info(json: &[u8]) -> Result<ImageInfo, serde_json::Error> {
    serde_json::from_slice(json)
}
