use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use gpve_core::error::{Error, Result};
use gpve_core::ports::{ContentKind, OpCx, Volume, VolumeUpload};
use tokio::io::AsyncWriteExt as _;

use super::parse::{FilePlace, Place};
use super::plugin::DirStorage;
use crate::fault::Fault;

const OP: &str = "volume.upload";

#[async_trait]
impl VolumeUpload for DirStorage {
    async fn upload(
        &self,
        cx: &OpCx,
        content: ContentKind,
        file_name: &str,
        chunks: &mut (dyn Stream<Item = Result<Bytes>> + Send + Unpin),
    ) -> Result<Volume> {
        let place = self.upload_place(content, file_name)?;
        let subject = format!("{}:{}", self.inner.config.id, place.name());
        let looked = place.clone();
        let exists = self.blocking(cx, OP, &subject, move |inner| match inner.tree.root() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            root => Ok(inner.look_at(&root?, looked)?.is_some()),
        });
        if exists.await? {
            return Err(Error::already_exists(OP, subject));
        }
        let draft = self.draft(cx, OP, &place).await?;
        let written = async {
            let wrong = |error: std::io::Error| Fault::from(error).boundary(OP, &subject);
            let mut file = tokio::fs::File::from_std(draft.file().try_clone().map_err(wrong)?);
            while let Some(chunk) = chunks.next().await {
                file.write_all(&chunk?).await.map_err(wrong)?;
            }
            file.flush().await.map_err(wrong)
        };
        cx.run(OP, written).await?;
        self.publish(cx, OP, draft, place).await
    }
}

impl DirStorage {
    fn upload_place(&self, content: ContentKind, file_name: &str) -> Result<Place> {
        if !matches!(content, ContentKind::Iso | ContentKind::Snippets | ContentKind::Vztmpl | ContentKind::Import) {
            let reason = format!("files of content {content} are not taken in; iso, snippets, vztmpl and import are");
            return Err(Error::field(OP, "content", reason));
        }
        if !self.inner.config.content.contains(&content) {
            return Err(Error::field(OP, "content", format!("storage {} is not configured for {content}", self.inner.config.id)));
        }
        let place = FilePlace::new(content, file_name).ok().map(Place::File).filter(|place| place.volume_name().is_some());
        place.ok_or_else(|| {
            let shown: String = file_name.chars().take(64).flat_map(char::escape_default).collect();
            let reason = format!("'{shown}' is no file name for {content}: letters, digits and '-_.+@' with a fitting ending are");
            Error::field(OP, "filename", reason)
        })
    }
}
