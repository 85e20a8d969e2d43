//! Compiles mallocng from musl's unmodified tarball with `c/glue.h` in the place of its glue.
//!
//! `BESPOKE_GUEST_INCLUDE`, a colon-separated list of folders, names the C library headers of an
//! image; without it the host's are used, for the tests.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=source.toml");
    println!("cargo::rerun-if-changed=c");
    #[cfg(feature = "c")]
    if let Err(error) = compile::compile() {
        println!("cargo::error={}", error.to_string().replace('\n', " "));
    }
}

#[cfg(feature = "c")]
mod compile {
    use bespoke_sources::{Cache, read_sources};
    use std::env;
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    pub fn compile() -> Result<(), Box<dyn Error>> {
        for variable in ["BESPOKE_GUEST_INCLUDE", "BESPOKE_CACHE", "BESPOKE_SOURCES"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let sources = read_sources(Path::new("source.toml"))?;
        let musl = sources.first().ok_or("source.toml names no source")?;
        let tree = Cache::from_environment()?.tree(musl)?;
        let mut build = cc::Build::new();
        build
            .file("c/mallocng.c")
            .include("c")
            .include(tree.join("src/malloc/mallocng"))
            .opt_level(3)
            .debug(true)
            .warnings(false)
            .flag("-fno-stack-protector");
        for_guest(&mut build)?;
        build.try_compile("bespoke_mallocng")?;
        Ok(())
    }

    /// An image is linked statically at a fixed address and has headers of its own.
    fn for_guest(build: &mut cc::Build) -> Result<(), Box<dyn Error>> {
        let Some(headers) = env::var_os("BESPOKE_GUEST_INCLUDE") else {
            return Ok(());
        };
        build
            .pic(false)
            .flag("-fno-pic")
            .flag("-static")
            .flag("-nostdinc");
        let compiler = build.get_compiler();
        // The compiler's own headers (stdatomic.h and the like) come after the C library's.
        let own = Command::new(compiler.path())
            .arg("-print-file-name=include")
            .output()?;
        let own = PathBuf::from(String::from_utf8(own.stdout)?.trim());
        for folder in env::split_paths(&headers).chain([own]) {
            build.flag("-isystem").flag(folder);
        }
        Ok(())
    }
}
