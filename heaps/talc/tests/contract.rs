//! The contract, as every heap must keep it.
bespoke_heap_testkit::heap_tests!(heap_talc::Heap, heap_talc::AppHeap);
