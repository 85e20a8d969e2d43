//! Compiles mimalloc 2 from the sources a crate carries, with `c/prim.c` as its operating system.

#[cfg(feature = "c")]
#[path = "src/info.rs"]
mod info;

fn main() {
    #[cfg(feature = "c")]
    bespoke_heap_build::compile(&info::INFO, "mimalloc", |build, carrier| {
        let tree = carrier.join("c_src/mimalloc/v2");
        build
            .include(tree.join("include"))
            .include(tree.join("src"))
            .define("NDEBUG", None);
    });
}
