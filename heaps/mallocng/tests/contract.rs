//! The contract, over both interfaces.

bespoke_heap_testkit::heap_tests!(heap_mallocng::Heap, heap_mallocng::AppHeap);
