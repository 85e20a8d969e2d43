//! The contract, as every heap must keep it.
bespoke_heap_testkit::heap_tests!(heap_tlsf::Heap, heap_tlsf::AppHeap);
