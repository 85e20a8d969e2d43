//! Compiles mallocng from musl's unmodified tarball with `c/glue.h` in the place of its glue.

#[cfg(feature = "c")]
#[path = "src/info.rs"]
mod info;

fn main() {
    #[cfg(feature = "c")]
    bespoke_heap_build::compile(&info::INFO, "musl", |build, musl| {
        build.include(musl.join("src/malloc/mallocng"));
    });
}
