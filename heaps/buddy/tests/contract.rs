//! The contract, as every heap must keep it.
bespoke_heap_testkit::heap_tests!(heap_buddy::Heap, heap_buddy::AppHeap);
