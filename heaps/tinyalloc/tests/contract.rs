//! The contract, as every heap must keep it.
bespoke_heap_testkit::heap_tests!(heap_tinyalloc::Heap, heap_tinyalloc::AppHeap);
