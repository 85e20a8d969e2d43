//! Names of the calls that allocated most, from the debug file of the traced image. Must never name a
//! line of another build.

use bespoke_monitor::{Frame, SourceLines};
use bespoke_sources::hex;
use bespoke_trace::{Facts, Site, Summary};
use std::path::Path;

/// A call with its name.
#[derive(Debug)]
pub struct Named {
    /// What it asked for.
    pub site: Site,
    /// `function (file:line)`, as far as it is known.
    pub name: String,
}

/// The calls that asked for most bytes.
pub struct Sites {
    /// In falling order.
    pub top: Vec<Named>,
    /// Why they have no names.
    pub hint: Option<String>,
}

impl std::fmt::Debug for Sites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sites").finish_non_exhaustive()
    }
}

impl Sites {
    /// The `count` calls that asked for most bytes.
    pub fn of(facts: &Facts, summary: &Summary, count: usize) -> Self {
        let mut sites = summary.sites.clone();
        sites.sort_by_key(|site| {
            std::cmp::Reverse((site.requested_bytes, site.grants, site.address))
        });
        sites.truncate(count);
        let (lines, hint) = match lines(facts) {
            Ok(lines) => (Some(lines), None),
            Err(hint) => (None, Some(hint)),
        };
        let name = |site: Site| {
            let frames = lines
                .as_ref()
                .map(|lines| lines.of_call(site.address.into()));
            let name = frames.and_then(|frames| describe(&frames));
            let name = name.unwrap_or_else(|| format!("{:#x}", site.address));
            Named { site, name }
        };
        Self {
            top: sites.into_iter().map(name).collect(),
            hint,
        }
    }
}

fn lines(facts: &Facts) -> Result<SourceLines, String> {
    let lines = SourceLines::open(Path::new(&facts.image))?;
    let found = hex(lines.build_id());
    if found == facts.build_id {
        Ok(lines)
    } else {
        Err(format!(
            "no names: {} has been built anew since; record again",
            facts.image
        ))
    }
}

/// The innermost frame that is not the Rust library's own, for that asks on behalf of its caller.
fn describe(frames: &[Frame]) -> Option<String> {
    let library = |frame: &Frame| {
        let file = frame.file.as_deref().unwrap_or_default();
        ["/library/alloc/", "/library/core/"]
            .iter()
            .any(|folder| file.contains(folder))
    };
    let own = |frame: &&Frame| !library(frame);
    let frame = frames.iter().find(own).or(frames.last())?;
    let function = frame.function.clone()?;
    let place = frame.file.as_deref().and_then(|file| {
        let file = Path::new(file).file_name()?.to_string_lossy();
        Some(format!(" ({file}:{})", frame.line?))
    });
    Some(function + &place.unwrap_or_default())
}
