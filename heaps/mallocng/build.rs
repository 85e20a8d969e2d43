//! Compiles mallocng from musl's unmodified tarball with `c/glue.h` in the place of its glue.

fn main() {
    #[cfg(feature = "c")]
    bespoke_heap_build::compile("mallocng", "musl", |build, musl| {
        build.include(musl.join("src/malloc/mallocng"));
    });
}
