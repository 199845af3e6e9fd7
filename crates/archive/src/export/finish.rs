//! The last step: playlists, then the manifest that says all of it is there.

use anyhow::{Context, Result};
use headwater_media::Init;

use crate::manifest::{DASH_PATH, HLS_PATH, Manifest, PATH, PLAN_PATH, media_playlist_path};
use crate::playlist::{self, Presentation, Shown};
use crate::{Place, Progress};

pub(super) async fn write(place: &Place, manifest: &Manifest, progress: &dyn Progress) -> Result<()> {
    let document = manifest.checked_document()?;
    let mut renditions = Vec::new();
    for entry in &manifest.renditions {
        let init = match &entry.init {
            None => None,
            Some(object) => place.get(&object.path).await?.context("the init segment has gone from the place")?.into(),
        };
        let init = init.and_then(|bytes| Init::read(&bytes[..]).ok());
        if init.is_none() {
            progress.note(&format!("rendition {} has no init segment to read: it is in no DASH manifest", entry.id));
        }
        renditions.push(Shown { entry, init });
    }
    let presentation = Presentation { document: &document, from: manifest.from, to: manifest.to, renditions };
    for shown in &presentation.renditions {
        let text = playlist::hls::media(&presentation, shown);
        place.put(&media_playlist_path(&shown.entry.id), text.into()).await?;
    }
    place.put(HLS_PATH, playlist::hls::master(&presentation).into()).await?;
    place.put(DASH_PATH, playlist::dash::manifest(&presentation).into()).await?;
    place.put(PATH, manifest.write()?.into()).await?;
    place.remove(PLAN_PATH).await
}
