//! The contract, over both interfaces.

bespoke_heap_testkit::heap_tests!(heap_mimalloc::Heap, heap_mimalloc::AppHeap);
