//! The single list of the cases that every heap must pass. A new case is one line here.

/// Makes all tests of a heap: `heap_tests!(path::Heap, path::AppHeap)`, in a file under `tests/`.
#[macro_export]
macro_rules! heap_tests {
    ($heap:ty, $app:ty) => {
        mod rust {
            $crate::interface_tests!($crate::RustInterface<$heap>);
        }
        mod c {
            $crate::interface_tests!($crate::CInterface<$app>);
            /// `hardened`: free without a size is C's, and so is freeing twice.
            #[test]
            fn double_free() {
                $crate::capabilities::double_free::<Subject>();
            }
        }
    };
}

/// The tests of one interface; used by [`heap_tests!`].
#[doc(hidden)]
#[macro_export]
macro_rules! interface_tests {
    ($subject:ty) => {
        type Subject = $subject;
        $crate::interface_tests!(@cases
            mixed MIXED, churn CHURN, robson ROBSON, vector_doubling VECTOR_DOUBLING,
            realloc_only REALLOC_ONLY, over_aligned OVER_ALIGNED, odd_sizes ODD_SIZES, phases PHASES,
            lifo LIFO, fifo FIFO, exhaustion_small EXHAUSTION_SMALL, exhaustion_large EXHAUSTION_LARGE,
            pressure PRESSURE, absurd_sizes ABSURD_SIZES, zeroed_after_dirty ZEROED_AFTER_DIRTY,
            neighbours NEIGHBOURS, long_run LONG_RUN);
        $crate::interface_tests!(@promises
            smallest_pool, tiny_memory, two_components, gives_back, reallocates_in_place);
    };
    (@cases $($name:ident $case:ident),*) => {
        $(#[test]
        fn $name() {
            $crate::run::case::<Subject>(&$crate::cases::$case);
        })*
    };
    (@promises $($name:ident),*) => {
        $(#[test]
        fn $name() {
            $crate::capabilities::$name::<Subject>();
        })*
    };
}
