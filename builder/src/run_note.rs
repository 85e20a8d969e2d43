//! How a recipe runs its image, and what the image was made from, as notes of the image: a file is run as its app is, and
//! `bespoke inspect` needs nothing but the file.
//! Owns nothing; what stands there is `bespoke_abi::note::TYPE_RUN`'s to say.

use super::cc::{self, COMPILER};
use super::key::Key;
use super::tool;
use super::work::Work;
use crate::Error;
use bespoke_abi::note::{OWNER, TYPE_NOTICE, TYPE_ORIGIN, TYPE_RUN};
use bespoke_recipe::app::Run;
use bespoke_recipe::paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The object with the notes; `origin` is the text of [`TYPE_ORIGIN`].
pub(crate) fn object(run: &Run, origin: &str, cache: &Path, work: &Work) -> Result<PathBuf, Error> {
    let source = source(run, origin);
    let folder = cache.join("objects");
    paths::create(&folder)?;
    let name = format!("run-{}", Key::new("run").text(&source).finish());
    let object = folder.join(format!("{name}.o"));
    let make = || assemble(&source, &folder, &name, &object);
    work.provide(&name, "the image's note", || object.exists(), make)?;
    cc::touch(&object);
    Ok(object)
}

fn assemble(source: &str, folder: &Path, name: &str, object: &Path) -> Result<(), Error> {
    let (assembly, part) = (
        folder.join(format!("{name}.s")),
        folder.join(format!("{name}.part")),
    );
    fs::write(&assembly, source).map_err(Error::file("write", &assembly))?;
    let mut gcc = Command::new(COMPILER);
    gcc.arg("-c").arg("-o").args([&part, &assembly]);
    tool::run("assemble the image's note", &mut gcc)?;
    fs::remove_file(&assembly).map_err(Error::file("remove", &assembly))?;
    fs::rename(&part, object).map_err(Error::file("create", object))
}

/// Assembly of the notes; every byte is a number, so nothing needs quoting.
fn source(run: &Run, origin: &str) -> String {
    let mut description = run.memory.0.to_string().into_bytes();
    description.push(0);
    for argument in run.written_arguments() {
        description.extend(argument.as_bytes());
        description.push(0);
    }
    let notice = run.notice.as_ref();
    let notice = notice.map_or_else(String::new, |text| note(TYPE_NOTICE, text.as_bytes()));
    format!(
        ".section .note.bespoke, \"a\", @note\n{}{notice}{}.section .note.GNU-stack, \"\", @progbits\n",
        note(TYPE_RUN, &description),
        note(TYPE_ORIGIN, origin.as_bytes()),
    )
}

fn note(kind: u32, description: &[u8]) -> String {
    let bytes: Vec<String> = description.iter().map(u8::to_string).collect();
    format!(
        ".balign 4\n.long {}, {}, {kind}\n.asciz \"{OWNER}\"\n.byte {}\n.balign 4\n",
        OWNER.len() + 1,
        description.len(),
        bytes.join(",")
    )
}
